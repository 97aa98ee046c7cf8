"""What an error stems from: the innermost error of a library's, the chain, and what a copy without secrets leaves out."""

from __future__ import annotations

import socket
import ssl

import pytest

from http_service_client import ConnectError, HttpClientError, SentState, TokenError
from http_service_client.errors import Failure, chain, innermost


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


@pytest.mark.parametrize("implicitly", [False, True])
def test_a_context_is_what_an_error_wraps_only_where_it_is_said_so(implicitly: bool) -> None:
    """As other libraries raise theirs in the handler of what they met."""
    error, met = Wrapped("outer"), OSError("reset")
    error.__context__ = met
    assert innermost(error, implicitly=implicitly) is (met if implicitly else error)


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
