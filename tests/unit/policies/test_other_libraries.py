"""Guarded functions that use requests, urllib3, aiohttp, httpx or httpx2: what they raise and return is understood."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
import requests
import urllib3
from aiohttp.http_exceptions import BadStatusLine
from yarl import URL

from http_service_client import CircuitBreakerPolicy, ConstantBackoff, RetryCondition, RetryPolicy
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.rows import each_row


def made_by(library: str, name: str, base: type = Exception, **attributes: Any) -> Any:
    """A class as that library has it: httpx and httpx2 need not be installed for these tests."""
    return type(name, (base,), {"__module__": f"{library}._some_module", **attributes})


def response_of(library: str, status: int) -> Any:
    if library == "requests":
        response = requests.Response()
        response.status_code = status
        return response
    if library == "urllib3":
        return urllib3.HTTPResponse(status=status)
    if library == "aiohttp":
        return made_by("aiohttp", "ClientResponse", object, status=status)()
    return made_by(library, "Response", object, status_code=status)()


def status_error_of(library: str, status: int) -> Exception:
    """What `raise_for_status()` raises there."""
    if library == "requests":
        return requests.HTTPError(response=response_of(library, status))
    if library == "aiohttp":
        return aiohttp.ClientResponseError(request_info(), (), status=status)
    error: Exception = made_by(library, "HTTPStatusError")()
    error.response = response_of(library, status)  # type: ignore[attr-defined]  # as httpx does
    return error


def request_info() -> aiohttp.RequestInfo:
    return aiohttp.RequestInfo(URL("http://h/"), "GET", {}, URL("http://h/"))  # type: ignore[arg-type]  # unread


def broken_exchanges() -> list[Exception]:
    malformed = aiohttp.ClientResponseError(request_info(), (), status=400)
    malformed.__cause__ = BadStatusLine("nonsense")
    return [
        requests.ConnectionError(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        urllib3.exceptions.ProtocolError(),
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientPayloadError(),
        malformed,
        *[
            made_by(library, name)()
            for library in ("httpx", "httpx2")
            for name in ("NetworkError", "TimeoutException", "RemoteProtocolError")
        ],
    ]


def unverified() -> Exception:
    error = requests.exceptions.SSLError()
    error.__context__ = ssl.SSLCertVerificationError()
    return error


def hopeless() -> list[Exception]:
    return [
        requests.exceptions.InvalidURL(),
        requests.TooManyRedirects(),
        unverified(),
        made_by("httpx", "UnsupportedProtocol")(),
        made_by("my_library", "ConnectionError")(),
    ]


def attempts(front_end: FrontEnd, *, raises: Exception | None = None, returns: Any = None) -> int:
    """How often the default policy calls a function that does this every time."""
    calls = []

    def body() -> Any:
        calls.append(1)
        if raises is not None:
            raise raises
        return returns

    policy = RetryPolicy(3, ConstantBackoff(0.0), clock=FakeClock())
    with suppress(Exception):
        front_end.run(policy.apply(front_end.function(body)))
    return len(calls)


def is_failure(front_end: FrontEnd, *, raises: Exception | None = None, returns: Any = None) -> bool:
    """Whether the default circuit breaker counts it as a failure."""
    breaker = CircuitBreakerPolicy(failure_threshold=1)

    def body() -> Any:
        if raises is not None:
            raise raises
        return returns

    with suppress(Exception):
        front_end.run(breaker.apply(front_end.function(body)))
    return breaker.state.value == "open"


@each_row("error", broken_exchanges(), ids=lambda error: type(error).__name__)
def test_a_broken_exchange_is_retried_and_is_a_failure(front_end: FrontEnd, error: Exception) -> None:
    """As this client's own transport errors are, aiohttp's malformed responses too."""
    assert attempts(front_end, raises=error) == 3
    assert is_failure(front_end, raises=error)


@each_row("error", hopeless(), ids=lambda error: type(error).__name__)
def test_an_error_that_would_come_again_is_not_retried(front_end: FrontEnd, error: Exception) -> None:
    """A wrong URL, a certificate that cannot be verified, and the exceptions of unknown libraries."""
    assert attempts(front_end, raises=error) == 1


@each_row("library", ["requests", "aiohttp", "httpx", "httpx2"])
@each_row(
    ("status", "tries", "fails"),
    [(404, 1, False), (402, 1, False), (429, 3, True), (503, 3, True), (501, 1, True)],
)
def test_an_error_raised_for_a_status_is_judged_by_it(
    front_end: FrontEnd, library: str, status: int, tries: int, fails: bool
) -> None:
    """`raise_for_status()` of a 404 says that the service works."""
    assert attempts(front_end, raises=status_error_of(library, status)) == tries
    assert is_failure(front_end, raises=status_error_of(library, status)) is fails


@each_row("library", ["requests", "urllib3", "aiohttp", "httpx", "httpx2"])
@each_row(("status", "tries", "fails"), [(200, 1, False), (404, 1, False), (503, 3, True)])
def test_a_returned_response_is_judged_by_its_status(
    front_end: FrontEnd, library: str, status: int, tries: int, fails: bool
) -> None:
    """Most functions return the response of a 503, and raise nothing."""
    assert attempts(front_end, returns=response_of(library, status)) == tries
    assert is_failure(front_end, returns=response_of(library, status)) is fails


@pytest.mark.parametrize(("inner", "outer"), [(404, 503), (503, 404)])
def test_one_failure_among_the_statuses_that_an_error_stems_from_decides(
    front_end: FrontEnd, inner: int, outer: int
) -> None:
    """Whichever call came first."""
    error = status_error_of("requests", outer)
    error.__cause__ = status_error_of("httpx", inner)
    assert is_failure(front_end, raises=error)


@pytest.mark.parametrize("library", ["requests", "urllib3", "aiohttp", "httpx"])
@pytest.mark.parametrize("how", ["returned", "raised", "wrapped"])
def test_a_retry_waits_as_long_as_the_response_asks(front_end: FrontEnd, library: str, how: str) -> None:
    """Retry-After is a floor for the responses of every library."""
    clock = FakeClock()
    response = response_of(library, 429)
    headers = requests.structures.CaseInsensitiveDict({"retry-after": "7"})
    error: Any = None
    if how == "returned":
        response.headers = headers
    elif library == "urllib3":
        pytest.skip("it has no raise_for_status")
    else:
        error = status_error_of(library, 429)
        target = error if library == "aiohttp" else error.response
        target.headers = headers
    calls: list[float] = []

    def body() -> Any:
        calls.append(clock.monotonic())
        if error is not None and len(calls) == 1:
            if how == "wrapped":
                raise RuntimeError("the order failed") from error
            raise error
        return response if len(calls) == 1 else "done"

    policy = RetryPolicy(2, ConstantBackoff(0.5), clock=clock)
    assert front_end.run(policy.apply(front_end.function(body))) == "done"
    assert calls[1] - calls[0] == 7.0


def test_classes_without_end_take_no_memory() -> None:
    """Results of ever new types are forgotten, and still understood."""
    condition = RetryCondition.on_status_codes([503])
    for _ in range(3000):
        assert not condition.holds_for(type("Row", (), {})())
    assert condition.holds_for(response_of("requests", 503))
    from http_service_client.core.machines.other_libraries import READERS

    assert len(READERS) <= 1024


def test_the_default_conditions_can_be_added_to_and_taken_from() -> None:
    """`defaults()` is a new list each time, of what a policy uses that sets none."""
    conditions = RetryCondition.defaults()
    assert RetryPolicy(retry_conditions=conditions) == RetryPolicy()
    conditions.append(RetryCondition.on_exceptions([KeyError]))
    assert len(RetryCondition.defaults()) == len(conditions) - 1
    assert RetryPolicy(retry_conditions=conditions).is_worth_it(KeyError())
    assert not RetryPolicy(retry_conditions=conditions[1:]).is_worth_it(ConnectionError())
