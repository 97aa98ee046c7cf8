"""Errors that user code keeps, or that refuse to be looked at: a policy never replaces them by another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConnectError,
    ConnectionLostError,
    ConstantBackoff,
    HttpClientError,
    RetryPolicy,
    SentState,
)
from http_service_client.errors import chain, errors_behind, innermost
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.rows import each_row

NEVER, MAYBE = SentState.NEVER_SENT, SentState.MAYBE_PROCESSED


def retries(attempts: int = 2) -> RetryPolicy:
    """Retries at once."""
    return RetryPolicy(attempts, ConstantBackoff(0.0), clock=FakeClock())


def raising(*errors: BaseException) -> Callable[[], None]:
    """A function that raises one error after the other."""
    left = list(errors)

    def function() -> None:
        raise left.pop(0)

    return function


def caught(front_end: FrontEnd, policy: Any, *errors: BaseException) -> Any:
    """The error that comes out of a guarded function that raises these."""
    with pytest.raises(type(errors[-1])) as raised:
        front_end.run(policy.apply(front_end.function(raising(*errors))))
    return raised.value


def lost(state: SentState = MAYBE) -> ConnectionLostError:
    return ConnectionLostError("reset", sent_state=state)


def test_a_cached_error_brings_nothing_into_another_operation(front_end: FrontEnd) -> None:
    """One operation may have sent something. The other sent nothing, and its own error says so."""
    cached = ConnectError("down")
    assert caught(front_end, retries(2), lost(), cached).sent_state is MAYBE
    fresh = ConnectError("down")
    assert caught(front_end, retries(2), cached, fresh).sent_state is NEVER


def test_what_a_cached_error_admits_never_improves(front_end: FrontEnd) -> None:
    """The catcher of the first operation may still hold it, and would charge again."""
    cached = ConnectError("down")
    caught(front_end, retries(2), lost(), cached)
    assert caught(front_end, retries(1), cached).sent_state is MAYBE


def test_the_members_of_a_group_admit_what_came_before_them(front_end: FrontEnd) -> None:
    """The attempt before, but not each other's requests: one was sent, one was not."""

    class Group(ConnectionError):
        exceptions = (ConnectError("down"), lost())

    down, reset = Group.exceptions
    caught(front_end, retries(1), Group())
    assert (down.sent_state, reset.sent_state) == (NEVER, MAYBE)
    caught(front_end, retries(2), lost(SentState.ANSWERED), Group())
    assert (down.sent_state, reset.sent_state) == (SentState.ANSWERED, MAYBE)
    last = ConnectError("down")
    caught(front_end, retries(2), Group(), last)
    assert last.sent_state is MAYBE


class OrderError(ConnectError):
    """A user's own, which decides for itself."""

    @property
    def sent_state(self) -> SentState:  # type: ignore[override]
        return NEVER


class Unreadable(ConnectError):
    @property
    def sent_state(self) -> SentState:  # type: ignore[override]
        raise LookupError("no order")


class Misspelt(ConnectError):
    sent_state: Any = "sent, perhaps"


@each_row("error_type", [OrderError, Unreadable, Misspelt])
@each_row("make_policy", [retries, CircuitBreakerPolicy], ids=["retry", "breaker"])
def test_an_error_with_a_sent_state_of_its_own_comes_out(
    front_end: FrontEnd, make_policy: Any, error_type: type[ConnectError]
) -> None:
    """And not an AttributeError of ours."""
    errors = [lost(), error_type()] if make_policy is retries else [error_type()]
    assert caught(front_end, make_policy(), *errors) is errors[-1]


@pytest.mark.parametrize("error_type", [Unreadable, Misspelt])
def test_a_sent_state_that_cannot_be_read_may_be_the_worst(
    front_end: FrontEnd, error_type: type[ConnectError]
) -> None:
    """Nobody knows what became of that request, and the operation admits it."""
    assert caught(front_end, retries(2), error_type(), ConnectError()).sent_state is MAYBE


class Nosy(ConnectionError):
    """Its attributes raise."""

    @property
    def exceptions(self) -> Any:
        raise RuntimeError("do not look")

    reason = exceptions


@pytest.mark.parametrize("make_policy", [retries, CircuitBreakerPolicy], ids=["retry", "breaker"])
def test_an_error_whose_attributes_raise_comes_out(front_end: FrontEnd, make_policy: Any) -> None:
    """It has no members then, and is judged by itself."""
    errors = [Nosy(), Nosy()] if make_policy is retries else [Nosy()]
    assert caught(front_end, make_policy(), *errors) is errors[-1]
    assert isinstance(innermost(Nosy()), Nosy)


class Endless(ConnectionError):
    """Each look at it makes another one."""

    @property
    def exceptions(self) -> Any:
        kept.append(Endless())
        return [kept[-1]]


kept: list[BaseException] = []


@pytest.mark.parametrize("look", [chain, errors_behind])
def test_an_error_without_end_is_looked_at_for_a_while(
    look: Callable[[BaseException], Any],
) -> None:
    """A thousand links, and no more."""
    kept.clear()
    assert all(isinstance(each, (Endless, HttpClientError)) for each in look(Endless()))
    assert len(kept) == 1000
