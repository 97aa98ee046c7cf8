"""What ends an exchange is freed once it is handled: a frame in its traceback would keep the request, and a connection.

The cycle collector is off, so only what nothing refers to is freed.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from http_service_client import EgressPolicy, HttpRequest, ReadTimeoutError, Timeout
from http_service_client.errors import Failure
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.transports.failures import Phase, PhaseError, source_failed
from http_service_client.transports.network.resolver import permitted
from http_service_client.transports.over_requests.aborts import OpenConnections
from http_service_client.transports.over_requests.errors import check_signals, failure_from
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from http_service_client.transports.over_requests.open_body import PooledBodySource

REQUEST = HttpRequest("GET", "https://api.test/")


class Lost(OSError):
    """It can be referred to weakly."""


class Invalid(NotHttpError):
    """So can this."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Nothing is freed by the cycle collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def is_freed_after(act: Callable[[], object]) -> bool:
    """Whether nothing of the error that this raises is left once it is handled."""
    try:
        act()
    except Exception as error:
        kept = weakref.ref(error)
    else:
        raise AssertionError("it raises nothing")
    return kept() is None


def caught(raise_it: Callable[[], object]) -> Exception:
    """The error that this raises, with its traceback."""
    try:
        raise_it()
    except Exception as raised:
        return raised
    raise AssertionError("it raises nothing")


def lose() -> None:
    raise Lost


def lose_by_signal() -> None:
    def handle(number: int, frame: FrameType) -> None:
        raise Lost

    handle(14, sys._getframe())


def wait() -> None:
    raise TimeoutError


def wrap() -> None:
    raise Lost(caught(wait))


def test_what_the_handler_of_a_signal_raised_is_freed() -> None:
    """Of the exchange that it ended, or of a phase of it. Any other error is left to become a failure."""
    assert is_freed_after(lambda: check_signals(caught(lose_by_signal)))
    phase = Phase.RECEIVE
    assert is_freed_after(lambda: check_signals(PhaseError(phase, caught(lose_by_signal))))
    for error in (caught(lose), PhaseError(phase, caught(lose))):
        check_signals(error)


def test_what_the_source_of_a_body_raised_is_freed() -> None:
    """It is raised as it is."""
    assert is_freed_after(lambda: source_failed(caught(lose)))


def test_a_refused_egress_is_freed() -> None:
    """The policy has raised it for each address; the first one is raised in the end."""
    refused = ["10.0.0.1", "10.0.0.2"]
    assert is_freed_after(lambda: permitted(refused, str, "api.test", 443, EgressPolicy()))


def test_a_failure_keeps_the_error_at_the_bottom_without_its_frames() -> None:
    """As it would be if nothing had wrapped it: what patches sockets may do so."""
    wrapped = caught(wrap)
    timeouts = ExchangeTimeouts(None, None, None, None)
    failure = failure_from(Phase.RECEIVE, wrapped, REQUEST, Timeout(), timeouts)
    assert failure.error_type is ReadTimeoutError
    assert isinstance(failure.cause, TimeoutError)
    assert (failure.cause.__traceback__, failure.cause.__context__) == (None, None)
    assert wrapped.__traceback__ is None


class BrokenBody:
    """A response that ends with this error, which it does not keep."""

    def __init__(self, error: Exception) -> None:
        self.errors = [error]

    def set_timeouts(self, timeouts: ExchangeTimeouts) -> None: ...

    def read(self, amount: int) -> bytes:
        raise self.errors.pop()


@pytest.mark.parametrize("error", [Lost, Invalid])
@pytest.mark.parametrize("is_of_phase", [False, True])
def test_what_breaks_a_body_is_freed_with_its_failure(error: type[Exception], is_of_phase: bool) -> None:
    """The failure is kept in a timeline. A hook in another library raises the error of a phase."""
    broken = error()
    kept = weakref.ref(broken)
    response: Any = BrokenBody(PhaseError(Phase.RECEIVE, broken) if is_of_phase else broken)
    del broken
    failure = PooledBodySource(REQUEST, response, OpenConnections()).read(Timeout())
    assert isinstance(failure, Failure)
    assert failure.error_type.__name__ == ("ConnectionLostError" if error is Lost else "ProtocolError")
    del failure, response
    assert kept() is None
