"""Every error of requests, urllib3 and aiohttp is translated; an error that a new version adds fails a test here.

Our own connections raise no errors of requests and urllib3. Mocks raise them in place of `Session.send` and
`ClientSession._request`. Each row: the error that the caller sees, and its sent-state.
"""

from __future__ import annotations

import inspect
import socket
import ssl
from types import ModuleType, SimpleNamespace
from typing import Any

import aiohttp
import aiohttp.client_exceptions
import aiohttp.http_exceptions
import pytest
import requests
import requests.exceptions
import urllib3.exceptions
from yarl import URL

from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from network.faults import failing, slots_in_use

NEVER, MAYBE = "never_sent", "maybe_processed"
URL_USED = "http://127.0.0.1:9/"

REQUESTS = {
    "ChunkedEncodingError": ("ProtocolError", MAYBE),
    "ConnectTimeout": ("ConnectTimeoutError", NEVER),
    "ConnectionError": ("ConnectionLostError", MAYBE),
    "ContentDecodingError": ("ProtocolError", MAYBE),
    "HTTPError": ("ConnectionLostError", MAYBE),
    "InvalidHeader": ("InvalidRequestError", NEVER),
    "InvalidJSONError": ("InvalidRequestError", NEVER),
    "InvalidProxyURL": ("InvalidRequestError", NEVER),
    "InvalidSchema": ("InvalidRequestError", NEVER),
    "InvalidURL": ("InvalidRequestError", NEVER),
    "JSONDecodeError": ("InvalidRequestError", NEVER),
    "MissingSchema": ("InvalidRequestError", NEVER),
    "ProxyError": ("ProxyError", NEVER),
    "ReadTimeout": ("ReadTimeoutError", MAYBE),
    "RequestException": ("ConnectionLostError", MAYBE),
    "RetryError": ("ConnectionLostError", MAYBE),
    "SSLError": ("TlsError", NEVER),
    "StreamConsumedError": ("ConnectionLostError", MAYBE),
    "Timeout": ("ReadTimeoutError", MAYBE),
    "TooManyRedirects": ("ConnectionLostError", MAYBE),
    "URLRequired": ("InvalidRequestError", NEVER),
    "UnrewindableBodyError": ("InvalidRequestError", NEVER),
}

URLLIB3 = {
    "BodyNotHttplibCompatible": ("ProtocolError", MAYBE),
    "ClosedPoolError": ("ConnectError", NEVER),
    "ConnectTimeoutError": ("ConnectTimeoutError", NEVER),
    "ConnectionError": ("ProtocolError", MAYBE),  # urllib3's old name for ProtocolError
    "DecodeError": ("ProtocolError", MAYBE),
    "EmptyPoolError": ("ConnectError", NEVER),
    "FullPoolError": ("ConnectError", NEVER),
    "HTTPError": ("ConnectionLostError", MAYBE),
    "HeaderParsingError": ("ProtocolError", MAYBE),
    "HostChangedError": ("ConnectionLostError", MAYBE),
    "IncompleteRead": ("ProtocolError", MAYBE),
    "InvalidChunkLength": ("ProtocolError", MAYBE),
    "InvalidHeader": ("InvalidRequestError", NEVER),
    "LocationParseError": ("InvalidRequestError", NEVER),
    "LocationValueError": ("InvalidRequestError", NEVER),
    "MaxRetryError": ("ConnectionLostError", MAYBE),
    "NameResolutionError": ("NameResolutionError", NEVER),
    "NewConnectionError": ("ConnectError", NEVER),
    "PoolError": ("ConnectionLostError", MAYBE),
    "ProtocolError": ("ProtocolError", MAYBE),
    "ProxyError": ("ProxyError", NEVER),
    "ProxySchemeUnknown": ("InvalidRequestError", NEVER),
    "ProxySchemeUnsupported": ("InvalidRequestError", NEVER),
    "ReadTimeoutError": ("ReadTimeoutError", MAYBE),
    "RequestError": ("ConnectionLostError", MAYBE),
    "ResponseError": ("ConnectionLostError", MAYBE),
    "ResponseNotChunked": ("ProtocolError", MAYBE),
    "SSLError": ("TlsError", NEVER),
    "TimeoutError": ("ReadTimeoutError", MAYBE),
    "TimeoutStateError": ("ConnectionLostError", MAYBE),
    "URLSchemeUnknown": ("InvalidRequestError", NEVER),
    "UnrewindableBodyError": ("InvalidRequestError", NEVER),
}

AIOHTTP = {
    "ClientConnectionError": ("ConnectionLostError", MAYBE),
    "ClientConnectionResetError": ("ConnectionLostError", MAYBE),
    "ClientConnectorCertificateError": ("TlsVerificationError", NEVER),
    "ClientConnectorDNSError": ("NameResolutionError", NEVER),
    "ClientConnectorError": ("ConnectError", NEVER),
    "ClientConnectorSSLError": ("TlsError", NEVER),
    "ClientError": ("ConnectionLostError", MAYBE),
    "ClientHttpProxyError": ("ProxyError", NEVER),
    "ClientOSError": ("ConnectionLostError", MAYBE),
    "ClientPayloadError": ("ProtocolError", MAYBE),
    "ClientProxyConnectionError": ("ProxyError", NEVER),
    "ClientResponseError": ("ProtocolError", MAYBE),
    "ClientSSLError": ("TlsError", NEVER),
    "ConnectionTimeoutError": ("ConnectTimeoutError", NEVER),
    "ContentTypeError": ("ProtocolError", MAYBE),
    "InvalidURL": ("InvalidRequestError", NEVER),
    "InvalidUrlClientError": ("InvalidRequestError", NEVER),
    "InvalidUrlRedirectClientError": ("InvalidRequestError", NEVER),
    "NonHttpUrlClientError": ("InvalidRequestError", NEVER),
    "NonHttpUrlRedirectClientError": ("InvalidRequestError", NEVER),
    "RedirectClientError": ("ConnectionLostError", MAYBE),
    "ServerConnectionError": ("ConnectionLostError", MAYBE),
    "ServerDisconnectedError": ("ConnectionLostError", MAYBE),
    "ServerFingerprintMismatch": ("TlsVerificationError", NEVER),
    "ServerTimeoutError": ("ReadTimeoutError", MAYBE),
    "SocketTimeoutError": ("ReadTimeoutError", MAYBE),
    "TooManyRedirects": ("ProtocolError", MAYBE),
    "UnixClientConnectorError": ("ConnectError", NEVER),
    "UploadAbortedError": ("ConnectionLostError", MAYBE),
    "WSServerHandshakeError": ("ProtocolError", MAYBE),
}
NO_REQUESTS = {"WSMessageTypeError"}  # raised by WebSocket methods only
NEWER_THAN_OUR_MINIMUM = {"UploadAbortedError"}

AIOHTTP_PARSER = dict.fromkeys(
    [
        "BadHttpMessage", "BadHttpMethod", "BadStatusLine", "ContentEncodingError", "ContentLengthError",
        "DecompressSizeError", "HttpBadRequest", "HttpProcessingError", "InvalidHeader", "InvalidURLError",
        "LineTooLong", "PayloadEncodingError", "TransferEncodingError",
    ],
    ("ProtocolError", MAYBE),
)  # fmt: skip

TABLES: list[tuple[ModuleType, dict[str, tuple[str, str]]]] = [
    (requests.exceptions, REQUESTS),
    (urllib3.exceptions, URLLIB3),
    (aiohttp.client_exceptions, AIOHTTP),
    (aiohttp.http_exceptions, AIOHTTP_PARSER),
]

# Arguments for their constructors, by the name of the parameter.
ARGUMENTS: dict[str, Any] = {
    "actual_size": 1, "certificate_error": ssl.SSLCertVerificationError("untrusted"), "conn": None,
    "connection_key": SimpleNamespace(ssl=True, host="h", port=1), "defects": [], "error": OSError("broken"),
    "expected": 3, "got": b"", "hdr": "X", "history": (), "host": "h", "length": b"x", "limit": 1, "line": b"x",
    "location": "http://", "message": "failed", "partial": 2, "path": "/x", "pool": None, "port": 1,
    "reason": socket.gaierror(-2, "unknown"), "request_info": SimpleNamespace(real_url=URL(URL_USED)),
    "response": SimpleNamespace(tell=lambda: 1, length_remaining=2), "scheme": "x", "unparsed_data": b"",
    "url": "x",
}  # fmt: skip


def make_error(kind: type[BaseException]) -> BaseException:
    """An error of this class."""
    os_error = ssl.SSLError(1, "no") if "SSL" in kind.__name__ else ConnectionRefusedError(111, "Refused")
    known = {**ARGUMENTS, "os_error": socket.gaierror(-2, "?") if "DNS" in kind.__name__ else os_error}
    if kind.__name__ == "JSONDecodeError":
        return kind("failed", "x", 0)
    if kind.__name__ == "MaxRetryError":
        known["reason"] = None
    parameters = [
        parameter
        for parameter in list(inspect.signature(kind.__init__).parameters.values())[1:]
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
        and parameter.name not in ("args", "kwargs")
    ]
    return kind(*(known[parameter.name] for parameter in parameters))


def classes(module: ModuleType) -> dict[str, type[BaseException]]:
    """The errors that a module defines, without warnings."""
    return {
        name: kind
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, BaseException)
        and not issubclass(kind, Warning)
        and kind.__module__ == module.__name__
    }


@pytest.mark.parametrize(("module", "table"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_error_of_the_libraries_has_a_row(
    module: ModuleType, table: dict[str, tuple[str, str]]
) -> None:
    """A class that a new version adds or removes fails here."""
    known = set(table) | (NO_REQUESTS if table is AIOHTTP else set())
    found = set(classes(module)) | {"ConnectionError"} & set(vars(module))
    assert found - known == set(), "give it a row above, and a translation in over_*/errors.py"
    assert known - found <= NEWER_THAN_OUR_MINIMUM


ROWS = [
    pytest.param(getattr(module, name), expected, id=f"{module.__name__.partition('.')[0]}-{name}")
    for module, table in TABLES
    for name, expected in table.items()
    if hasattr(module, name)
]


@pytest.mark.parametrize(("kind", "expected"), ROWS)
def test_each_error_of_the_libraries_is_translated(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException], expected: tuple[str, str]
) -> None:
    """The caller gets an error of this package with its sent-state, never the library's own."""

    def send(*arguments: object, **options: object) -> None:
        raise make_error(kind)

    async def request(*arguments: object, **options: object) -> None:
        raise make_error(kind)

    is_aiohttp = kind.__module__.startswith("aiohttp")
    monkeypatch.setattr(requests.Session, "send", send)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
    with (AsyncioFrontEnd if is_aiohttp else BlockingFrontEnd)() as front_end:
        caught = failing(front_end, front_end.client(), "POST", URL_USED)
    assert (caught.type, caught.sent) == expected


WRAPPED = [
    (requests.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.NewConnectionError(None, "x"))), "ConnectError", NEVER),  # type: ignore[arg-type]  # no pool here
    (requests.ConnectionError(urllib3.exceptions.ProtocolError("x", ConnectionResetError(104, "x"))), "ConnectionLostError", MAYBE),
    (requests.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "/", "x")), "ReadTimeoutError", MAYBE),  # type: ignore[arg-type]
    (requests.exceptions.SSLError(urllib3.exceptions.SSLError(ssl.SSLCertVerificationError("x"))), "TlsVerificationError", NEVER),
    (requests.exceptions.ProxyError(urllib3.exceptions.ProxyError("x", OSError("y"))), "ProxyError", NEVER),
    (requests.exceptions.ChunkedEncodingError(urllib3.exceptions.ProtocolError("x", urllib3.exceptions.IncompleteRead(1, 2))), "ProtocolError", MAYBE),
]  # fmt: skip


@pytest.mark.parametrize(("error", "name", "sent"), WRAPPED, ids=lambda value: type(value).__name__)
def test_the_innermost_error_that_requests_wraps_decides(
    monkeypatch: pytest.MonkeyPatch, error: Exception, name: str, sent: str
) -> None:
    """requests wraps the errors of urllib3, which wrap those of sockets."""

    def send(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(requests.Session, "send", send)
    with BlockingFrontEnd() as front_end:
        caught = failing(front_end, front_end.client(), "POST", URL_USED)
    assert (caught.type, caught.sent) == (name, sent)


def test_an_error_that_is_not_about_the_exchange_is_raised_as_it_is(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of a mock or of a library is no failure of the server: it is not retried, and no slot stays acquired."""
    calls: list[int] = []

    def send(*arguments: object, **options: object) -> None:
        calls.append(1)
        raise RuntimeError("a bug")

    async def request(*arguments: object, **options: object) -> None:
        send()

    monkeypatch.setattr(requests.Session, "send", send)
    monkeypatch.setattr(aiohttp.ClientSession, "_request", request)
    client = front_end.client()
    with pytest.raises(RuntimeError, match="a bug"):
        front_end.request(client, "GET", URL_USED)
    assert (len(calls), slots_in_use(client)) == (1, 0)
