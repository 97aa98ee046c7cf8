"""What other libraries' responses and errors mean, told by the names of their classes alone."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpResponse
from http_service_client.core.machines.other_libraries import (
    READERS,
    is_transient,
    is_unverified,
    requested_delay_of,
    status_of,
    status_of_error,
)
from kit.rows import each_row

NOW = 1_000_000.0


def kind(library: str, name: str, base: type = object) -> type:
    """A class as that library would define it."""
    return type(name, (base,), {"__module__": f"{library}.some.module"})


def error(library: str, name: str, **attributes: Any) -> Exception:
    made: Exception = kind(library, name, Exception)()
    vars(made).update(attributes)
    return made


RESPONSES = [
    *(("requests", "Response", "status_code"), ("httpx", "Response", "status_code")),
    *(("httpx2", "Response", "status_code"), ("aiohttp", "ClientResponse", "status")),
    *(("urllib3", "BaseHTTPResponse", "status"), ("urllib3", "HTTPResponse", "status")),
]


@each_row(("library", "name", "attribute"), RESPONSES)
@each_row("derives", [False, True])
def test_the_status_of_another_library_s_response(
    library: str, name: str, attribute: str, derives: bool
) -> None:
    """Of a subclass too; of no class that only bears the name, or comes from the library."""
    response: type = kind(library, name)
    made = (kind("theirs", "Mine", response) if derives else response)()
    setattr(made, attribute, 503)
    assert status_of(made) == 503
    setattr(made, attribute, "503")
    assert status_of(made) is None
    for other in (kind("elsewhere", name), kind(library, "Session")):
        stranger = other()
        setattr(stranger, attribute, 503)
        assert status_of(stranger) is None


def test_our_own_response_is_read_too() -> None:
    """And no other value."""
    assert status_of(HttpResponse(404)) == 404
    assert [status_of(value) for value in (None, 503, "503", object())] == [None] * 4


def test_classes_without_end_fill_no_memory() -> None:
    """The table of types starts over after a thousand."""
    READERS.clear()
    sizes = []
    for _ in range(1026):
        assert status_of(type("Made", (), {})()) is None
        sizes.append(len(READERS))
    assert sizes == [*range(1, 1025), 1, 2]


@pytest.mark.parametrize(
    ("library", "name"),
    [("requests", "HTTPError"), ("httpx", "HTTPStatusError"), ("httpx2", "HTTPStatusError")],
)
def test_the_status_that_an_error_was_raised_for(library: str, name: str) -> None:
    """That of its response; an error without a response has none."""
    package = library if library != "requests" else "requests"
    response = kind(package, "Response")()
    response.status_code = 502  # type: ignore[attr-defined]
    assert status_of_error(error(library, name, response=response)) == 502
    assert status_of_error(error(library, name)) is None
    assert status_of_error(error("elsewhere", name, response=response)) is None
    assert status_of_error(error(library, "OtherError", response=response)) is None


def test_aiohttp_s_error_has_the_status_itself() -> None:
    """But not one for a malformed response, whose 400 is aiohttp's own."""
    assert status_of_error(error("aiohttp", "ClientResponseError", status=429)) == 429
    assert status_of_error(error("aiohttp", "ClientResponseError", status="429")) is None
    malformed = error("aiohttp", "ClientResponseError", status=400)
    malformed.__cause__ = error("aiohttp", "HttpProcessingError")
    assert status_of_error(malformed) is None
    assert is_transient(malformed)
    assert not is_transient(error("aiohttp", "ClientResponseError", status=400))
    other = error("requests", "HTTPError")
    other.__cause__ = error("aiohttp", "HttpProcessingError")
    assert not is_transient(other)


TRANSIENT = {
    "requests": "ConnectionError Timeout ChunkedEncodingError",
    "urllib3": "NewConnectionError MaxRetryError ProtocolError ProxyError TimeoutError",
    "aiohttp": "ClientConnectionError ClientPayloadError",
    "httpx": "NetworkError TimeoutException RemoteProtocolError ProxyError",
    "httpx2": "NetworkError TimeoutException RemoteProtocolError ProxyError",
}


@each_row(
    ("library", "name"), [(library, name) for library, names in TRANSIENT.items() for name in names.split()]
)
def test_an_exchange_that_broke_may_succeed_next_time(library: str, name: str) -> None:
    """Not an error of another library that bears the name, nor an invalid URL."""
    assert is_transient(error(library, name))
    assert not is_transient(error("elsewhere", name))
    assert not is_transient(error(library, "InvalidURL"))


def test_a_certificate_that_was_not_verified() -> None:
    """In any library: they chain Python's error, and aiohttp has one more for a fingerprint. Another attempt would fail, too."""
    assert is_unverified(ssl.SSLCertVerificationError)
    assert is_unverified(type("Theirs", (ssl.SSLCertVerificationError,), {}))
    assert is_unverified(type(error("aiohttp", "ServerFingerprintMismatch")))
    assert not is_unverified(ssl.SSLError)


def test_the_delay_that_a_response_asks_for() -> None:
    """Of one that was returned, or that an error was raised for; errors of aiohttp have the headers themselves."""
    response: Any = kind("requests", "Response")()
    response.status_code, response.headers = 503, {"Retry-After": "7", "X": "y"}
    assert requested_delay_of(response, None, None, NOW) == 7.0
    assert requested_delay_of(SimpleNamespace(headers={"Retry-After": "7"}), None, None, NOW) is None
    raised = error("requests", "HTTPError", response=response)
    assert requested_delay_of(None, raised, None, NOW) == 7.0
    own = error("aiohttp", "ClientResponseError", status=429, headers={"retry-after-ms": "2500"})
    assert requested_delay_of(None, own, None, NOW) == 2.5
    wrapped = ValueError()
    wrapped.__cause__ = raised
    assert requested_delay_of(None, wrapped, None, NOW) == 7.0
    assert requested_delay_of(None, ValueError(), None, NOW) is None
    bare = error("aiohttp", "ClientResponseError", status=429, headers=None)
    assert requested_delay_of(None, bare, None, NOW) is None
