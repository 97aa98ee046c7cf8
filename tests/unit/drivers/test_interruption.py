"""What ends the waits of a branch from another thread, without threads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from http_service_client.drivers.interruption import INTERRUPTION, Interruption, interruptible


@contextmanager
def in_a_branch(interruption: Interruption) -> Iterator[None]:
    """As code that is a part of the branch."""
    token = INTERRUPTION.set(interruption)
    try:
        yield
    finally:
        INTERRUPTION.reset(token)


def test_an_interruption_ends_all_waits_that_go_on() -> None:
    """One that has just ended by itself, and raises, does not keep it from the others."""
    interruption, ended = Interruption(), []

    def fail() -> None:
        ended.append("first")
        raise OSError

    interruption.add(fail)
    interruption.add(lambda: ended.append("second"))
    assert not interruption.is_set
    interruption.set()
    assert interruption.is_set
    assert ended == ["first", "second"]


def test_a_wait_that_is_over_is_not_ended() -> None:
    """Its socket may belong to another call by then. It may be over twice."""
    interruption, ended = Interruption(), []

    def end() -> None:
        ended.append("ended")

    interruption.add(end)
    for _ in range(2):
        interruption.remove(end)
    interruption.set()
    assert ended == []


def test_no_wait_begins_after_the_interruption() -> None:
    """It is raised there instead, and nothing is kept."""
    interruption, ended = Interruption(), []
    interruption.set()
    with pytest.raises(asyncio.CancelledError):
        interruption.add(lambda: ended.append("ended"))
    interruption.set()
    assert ended == []


def test_a_block_that_waits_is_ended_while_it_waits() -> None:
    """Not before, not after, and not outside of a branch."""
    interruption, ended = Interruption(), []
    with interruptible(lambda: ended.append("outside")):
        interruption.set()
    interruption = Interruption()
    with in_a_branch(interruption), interruptible(lambda: ended.append("before")):
        pass
    interruption.set()
    assert ended == []
    interruption = Interruption()
    with (
        pytest.raises(asyncio.CancelledError),
        in_a_branch(interruption),
        interruptible(lambda: ended.append("inside")),
    ):
        interruption.set()
        assert ended == ["inside"]
    interruption.set()
    assert ended == ["inside"]


@pytest.mark.parametrize("error", [OSError, None])
def test_a_wait_that_was_interrupted_is_cancelled_whatever_it_came_to(error: type[Exception] | None) -> None:
    """A socket that was shut down has an error of its own, which is not the reason."""
    interruption = Interruption()
    with pytest.raises(asyncio.CancelledError) as caught, in_a_branch(interruption), interruptible(int):
        interruption.set()
        if error is not None:
            raise error
    assert caught.value.__suppress_context__


def test_an_error_of_a_wait_that_was_not_interrupted_is_raised() -> None:
    """As it is."""
    with pytest.raises(OSError, match="its own"), in_a_branch(Interruption()), interruptible(int):
        raise OSError("its own")
