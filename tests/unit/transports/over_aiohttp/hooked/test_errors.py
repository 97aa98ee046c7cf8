"""What an error of aiohttp means: the phase of the exchange, and the builtin error beneath."""

from __future__ import annotations

import asyncio
import errno
import ssl
from socket import gaierror
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.http_exceptions import BadStatusLine

from http_service_client.http.http1.errors import CutShortError, NotHttpError
from http_service_client.transports.failures import Phase, PhaseError, ProxyRefusedError, UnsendableError
from http_service_client.transports.over_aiohttp.hooked.connector import send_once
from http_service_client.transports.over_aiohttp.hooked.errors import (
    ERRORS,
    NotRepeatedError,
    translate_error,
)
from kit.front_ends import run_task
from kit.rows import each_row

KEY: Any = SimpleNamespace(ssl=False, host="a.test", port=80, is_ssl=False)
INFO: Any = SimpleNamespace(real_url="http://a.test/", headers={}, method="GET", url="http://a.test/")
REFUSED = ConnectionRefusedError(111, "refused")
RESET = ConnectionResetError(104, "reset")
NO_NAME = gaierror(-2, "no such name")
UNREACHABLE = OSError(113, "unreachable")
FINGERPRINT = aiohttp.ServerFingerprintMismatch(b"a", b"b", "a.test", 443)
CUT = CutShortError()
PROXY_REFUSED = ProxyRefusedError("403 Forbidden")
OF_THE_CONNECTION = ConnectionAbortedError("of the connection")


def caused(error: BaseException, cause: BaseException) -> BaseException:
    """The error, raised from this one."""
    error.__cause__ = cause
    return error


def during(error: BaseException, other: BaseException) -> BaseException:
    """The error, raised while this one was handled."""
    error.__context__ = other
    return error


def proxy_error(status: int, message: str) -> aiohttp.ClientHttpProxyError:
    return aiohttp.ClientHttpProxyError(INFO, (), status=status, message=message)


# The error, and what it means where the exchange got as far as RECEIVE: the phase, and the error or its type and text.
MEANINGS: list[tuple[BaseException, Phase, Any]] = [
    (PhaseError(Phase.SEND, RESET), Phase.SEND, RESET),
    (PROXY_REFUSED, Phase.PROXY, PROXY_REFUSED),
    (aiohttp.InvalidURL("http://a b/"), Phase.RECEIVE, (UnsendableError, "http://a b/")),
    (aiohttp.NonHttpUrlClientError("ftp://a/"), Phase.RECEIVE, (UnsendableError, "ftp://a/")),
    (
        FINGERPRINT, Phase.CONNECT,
        (ssl.SSLCertVerificationError, str(ssl.SSLCertVerificationError(str(FINGERPRINT)))),
    ),
    (proxy_error(407, "Log in"), Phase.PROXY, (ProxyRefusedError, "407 Log in")),
    (proxy_error(503, ""), Phase.PROXY, (ProxyRefusedError, "503")),
    (caused(aiohttp.ClientProxyConnectionError(KEY, UNREACHABLE), UNREACHABLE), Phase.PROXY, UNREACHABLE),
    (caused(aiohttp.ClientConnectorError(KEY, UNREACHABLE), UNREACHABLE), Phase.CONNECT, UNREACHABLE),
    (aiohttp.ConnectionTimeoutError("slow"), Phase.CONNECT, (TimeoutError, "slow")),
    (REFUSED, Phase.CONNECT, REFUSED),
    (NO_NAME, Phase.CONNECT, NO_NAME),
    (caused(aiohttp.ClientError("a mock's"), REFUSED), Phase.CONNECT, REFUSED),
    (asyncio.TimeoutError("late"), Phase.RECEIVE, (TimeoutError, "late")),
    (aiohttp.ServerTimeoutError("late"), Phase.RECEIVE, (TimeoutError, "late")),
    (RESET, Phase.RECEIVE, RESET),
    (caused(aiohttp.ClientPayloadError("x"), RESET), Phase.RECEIVE, RESET),
    (during(aiohttp.ClientPayloadError("x"), RESET), Phase.RECEIVE, RESET),
    (aiohttp.ServerDisconnectedError(), Phase.RECEIVE, (ConnectionResetError, "closed without a response")),
    (aiohttp.ServerDisconnectedError(INFO), Phase.RECEIVE, (CutShortError, str(CUT))),
    (aiohttp.ClientPayloadError("x"), Phase.RECEIVE, (CutShortError, str(CUT))),
    (CUT, Phase.RECEIVE, CUT),
    (aiohttp.ClientResponseError(INFO, ()), Phase.RECEIVE, (NotHttpError, str(NotHttpError()))),
    (BadStatusLine("x"), Phase.RECEIVE, (NotHttpError, str(NotHttpError()))),
    (UnicodeError("x"), Phase.RECEIVE, (NotHttpError, str(NotHttpError()))),
    (aiohttp.ClientError("other"), Phase.RECEIVE, (ConnectionError, "other")),
]  # fmt: skip


def is_the_same(found: BaseException, expected: Any) -> bool:
    if isinstance(expected, BaseException):
        return found is expected
    return (type(found), str(found)) == expected


@each_row(("error", "phase", "expected"), MEANINGS, ids=lambda value: type(value).__name__)
@each_row("is_wrapped", [False, True], ids=["as it is", "not repeated"])
def test_an_error_has_one_meaning(
    error: BaseException, phase: Phase, expected: Any, is_wrapped: bool
) -> None:
    """Also where the request would have been repeated after it."""
    assert isinstance(error, ERRORS)
    found = translate_error(Phase.RECEIVE, NotRepeatedError(error) if is_wrapped else error)
    assert found[0] is phase
    assert is_the_same(found[1], expected)


@each_row("before", [Phase.SEND, Phase.CONNECT, Phase.PROXY])
@each_row(("error", "phase", "expected"), MEANINGS, ids=lambda value: type(value).__name__)
def test_an_error_that_knows_no_phase_has_that_of_the_exchange(
    error: BaseException, phase: Phase, expected: Any, before: Phase
) -> None:
    """A connection to a proxy that fails is the proxy's failure."""
    meant = before if phase is Phase.RECEIVE else phase
    if phase is Phase.CONNECT and error is not FINGERPRINT:
        meant = Phase.PROXY if before is Phase.PROXY else Phase.CONNECT
    found = translate_error(before, error)
    assert found[0] is meant
    assert is_the_same(found[1], expected)


@pytest.mark.parametrize(
    ("error", "phase"),
    [
        (aiohttp.ClientPayloadError("x"), Phase.RECEIVE),
        (aiohttp.ServerDisconnectedError(), Phase.RECEIVE),
        (aiohttp.ClientError("other"), Phase.RECEIVE),
        (RESET, Phase.RECEIVE),
        (REFUSED, Phase.CONNECT),
    ],
)
def test_the_error_of_the_connection_says_more_than_that_of_its_reader(
    error: BaseException, phase: Phase
) -> None:
    """It is what ended both."""
    assert translate_error(Phase.RECEIVE, error, OF_THE_CONNECTION) == (phase, OF_THE_CONNECTION)


def test_a_timeout_is_not_the_end_of_the_connection() -> None:
    """The connection was closed for it."""
    phase, found = translate_error(Phase.RECEIVE, asyncio.TimeoutError("late"), OF_THE_CONNECTION)
    assert (phase, type(found), str(found)) == (Phase.RECEIVE, TimeoutError, "late")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aiohttp.ClientOSError(errno.ECONNRESET, "x"), NotRepeatedError),
        (aiohttp.ServerDisconnectedError(), NotRepeatedError),
        (
            aiohttp.ClientConnectorError(SimpleNamespace(ssl=False, host="h", port=1), OSError(111, "x")),  # type: ignore[arg-type]
            aiohttp.ClientConnectorError,
        ),
        (aiohttp.ClientPayloadError(), aiohttp.ClientPayloadError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_aiohttp_repeats_no_request(error: Exception, expected: type[Exception]) -> None:
    """Only the errors after which it would are replaced; a response passes."""

    async def handler(request: Any) -> Any:
        raise error

    async def responds(request: Any) -> Any:
        return request

    with pytest.raises(expected) as raised:
        run_task(send_once(None, handler))
    assert type(raised.value) is expected
    assert run_task(send_once("response", responds)) == "response"
