"""What an error stems from: the innermost error of a library's, the chain, and what a copy without secrets leaves out."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from http_service_client import ConnectError, HttpClientError, SentState, TokenError
from http_service_client.errors import Failure, chain, errors_behind, innermost


class Wrapped(Exception):
    """Of another library."""


def wrapping(error: BaseException) -> Wrapped:
    wrapped = Wrapped("outer")
    wrapped.__cause__ = error
    return wrapped


@pytest.mark.parametrize("error", [OSError("reset"), ssl.SSLError("record"), socket.gaierror("unknown")])
def test_errors_of_python_s_own_modules_are_innermost(error: OSError) -> None:
    """Of the network, of TLS and of names."""
    assert innermost(wrapping(wrapping(error))) is error


def test_the_innermost_is_at_the_bottom_whatever_is_beside_the_way() -> None:
    """It stands alone then, without what it stems from itself."""
    bottom = OSError("reset")
    bottom.__cause__ = Wrapped("of its own")
    outer = Wrapped(wrapping(bottom))
    outer.__cause__ = ValueError("beside")
    assert innermost(outer) is bottom
    assert (bottom.__cause__, bottom.__context__) == (None, None)


@pytest.mark.parametrize("said", [{}, {"implicitly": False}, {"implicitly": True}])
def test_a_context_is_what_an_error_wraps_only_where_it_is_said_so(said: dict[str, bool]) -> None:
    """As other libraries raise theirs in the handler of what they met."""
    error, met = Wrapped("outer"), OSError("reset")
    error.__context__ = met
    assert innermost(error, **said) is (met if said.get("implicitly") else error)


def test_the_states_of_a_request_are_called_as_in_code() -> None:
    """In logs and metrics."""
    assert [state.value for state in SentState] == [state.name.lower() for state in SentState]


def test_a_cause_is_innermost_rather_than_a_context_as_deep() -> None:
    """The context is what was being handled, and may be of something else."""
    error, cause, context = Wrapped(), OSError("cause"), OSError("context")
    error.__cause__, error.__context__ = cause, context
    assert innermost(error, implicitly=True) is cause


def test_what_the_caller_handles_is_not_what_an_error_wraps() -> None:
    """Python has made it the context of all that is raised meanwhile."""
    try:
        raise ValueError("of the caller")
    except ValueError as handled:
        error = Wrapped("outer")
        error.__context__ = handled
        assert innermost(error, implicitly=True) is error


def test_a_cause_comes_before_a_context() -> None:
    """Also where the context was not suppressed."""
    error, cause, context = Wrapped(), OSError("cause"), OSError("context")
    error.__cause__, error.__context__ = cause, context
    error.__suppress_context__ = False
    assert list(chain(error)) == [error, cause]


class Group(Exception):
    """As an `ExceptionGroup`, which Python 3.10 has not."""

    def __init__(self, *members: object) -> None:
        super().__init__("several")
        self.exceptions = members


def test_the_members_of_a_group_come_before_its_cause() -> None:
    """One after the other, each with what it stems from."""
    behind, first, second, cause = OSError(), Wrapped("1"), Wrapped("2"), Wrapped("cause")
    first.__cause__ = behind
    group = Group(first, "no error", second)
    group.__cause__ = cause
    assert list(chain(group)) == [group, first, behind, second, cause]
    group.exceptions = "no members"  # type: ignore[assignment]  # of another library
    assert list(chain(group)) == [group, cause]


def test_an_error_that_several_stem_from_is_there_once() -> None:
    """Also if it stems from itself in the end."""
    shared, first, second = OSError(), Wrapped("1"), Wrapped("2")
    first.__cause__ = second.__cause__ = shared
    group = Group(first, second)
    shared.__cause__ = group
    assert list(islice(chain(group), 9)) == [group, first, shared, second]


@pytest.mark.parametrize("behind", [chain, errors_behind])
def test_a_context_counts_where_python_would_show_it(behind: Callable[..., Iterator[Any]]) -> None:
    """Not after `raise … from None`, and not what was being handled when the function was called."""
    error, context = Wrapped(), ConnectError("context")
    error.__context__ = context
    assert list(behind(error))[-1:] == [context]
    assert context not in behind(error, context)
    error.__suppress_context__ = True
    assert context not in behind(error)


def test_of_each_branch_the_nearest_error_of_this_package_counts() -> None:
    """Not what it stems from itself."""
    near, far = HttpClientError("near"), HttpClientError("far")
    near.__cause__ = far
    other = ConnectError("of another branch")
    assert list(errors_behind(Group(wrapping(near), wrapping(OSError()), other))) == [near, other]
    assert list(errors_behind(near)) == [near]


class Endless(Exception):
    """Its members are made each time that one looks."""

    def __init__(self, looks: list[Exception], is_circular: bool = False) -> None:
        super().__init__("as ever")
        self.looks = looks
        self.is_circular = is_circular

    @property
    def exceptions(self) -> list[Exception]:
        if len(self.looks) > 2000:
            pytest.fail("it goes on and on")
        self.looks.append(self if self.is_circular else Endless(self.looks))
        return self.looks[-1:]


@pytest.mark.parametrize("behind", [chain, errors_behind])
@pytest.mark.parametrize(("is_circular", "most"), [(True, 1), (False, 1000)])
def test_a_chain_without_an_end_is_followed_for_a_while(
    behind: Callable[..., Iterator[Any]], is_circular: bool, most: int
) -> None:
    """Until an error has been seen before, or for a thousand links."""
    looks: list[Exception] = []
    for _ in behind(Endless(looks, is_circular)):
        pass
    assert len(looks) == most


class Broken(Exception):
    @property
    def exceptions(self) -> list[Exception]:
        raise OSError("not now")


def test_looking_at_an_error_does_not_replace_it() -> None:
    """Whatever its attributes do."""
    error = Broken()
    error.__cause__ = cause = ConnectError()
    assert list(chain(error)) == [error, cause]
    assert list(errors_behind(error)) == [cause]


def test_a_failure_has_the_innermost_cause_but_of_a_token() -> None:
    """That one is the user's own, or of a call of its own, and is shown as it is."""
    bottom = OSError("reset")
    assert Failure(ConnectError, "no", SentState.NEVER_SENT, wrapping(bottom)).cause is bottom
    wrapped = wrapping(bottom)
    assert Failure(TokenError, "no", SentState.NEVER_SENT, wrapped).cause is wrapped


def test_an_error_reads_as_its_message() -> None:
    """Whatever else a subclass has among its arguments."""
    error = HttpClientError("the message")
    error.args = ("the message", 5)
    assert str(error) == "the message"
    error.args = ()
    assert str(error) == ""


def test_a_copy_without_secrets_has_no_data_of_a_body() -> None:
    """As it has no body."""
    error = HttpClientError("not as expected", data={"password": "hunter2"})
    assert not hasattr(error.redacted(), "data")
    assert error.data == {"password": "hunter2"}  # type: ignore[attr-defined]  # of some errors
