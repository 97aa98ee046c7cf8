"""The order of idle connections: how many are kept, and which is closed first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.transports.idle import IdleConnections
from http_service_client.transports.lifetime import Lifetime
from kit.threads import run_threads


def kept(idle: IdleConnections, closed: list[str], *names: str) -> list[str]:
    """The names that stay open when they become idle one after the other."""
    for instant, name in enumerate(names):
        idle.discard(name)
        idle.add(name, float(instant), closed.append)
    return [name for name in dict.fromkeys(names) if name not in closed]


def test_the_least_recently_used_is_closed_first() -> None:
    """Using one again makes it the most recent."""
    closed: list[str] = []
    assert kept(IdleConnections(2), closed, "a", "b", "a", "c", "d") == ["c", "d"]
    assert closed == ["b", "a"]


def test_a_hundred_are_kept_unless_another_limit_is_set() -> None:
    names = [str(number) for number in range(101)]
    assert kept(IdleConnections(), [], *names) == names[1:]


def test_none_is_kept_where_none_may_be() -> None:
    """A limit of 0 switches keep-alive off."""
    assert kept(IdleConnections(0), [], "a", "b") == []


def test_one_in_use_does_not_count() -> None:
    """It is discarded when it is acquired, or closed by its server."""
    idle, closed = IdleConnections(1), list[str]()
    kept(idle, closed, "a")
    idle.discard("a")
    idle.discard("never seen")
    kept(idle, closed, "b")
    assert (len(idle), closed) == (1, [])


def test_those_that_were_idle_for_too_long_are_closed() -> None:
    """Those from the instant itself on stay."""
    idle, closed = IdleConnections(9), list[str]()
    kept(idle, closed, "a", "b", "c")
    idle.close_older_than(1.0)
    assert (len(idle), closed) == (2, ["a"])
    idle.close_older_than(9.0)
    idle.close_older_than(9.0)
    assert (len(idle), closed) == (0, ["a", "b", "c"])


def test_one_that_becomes_idle_has_those_closed_that_were_so_for_too_long() -> None:
    """After a burst, the calls that follow use the latest connection only: nobody would look at the others."""
    idle, closed = IdleConnections(9, max_idle=4.0), list[str]()
    for name in ("a", "b", "c"):
        idle.add(name, 1.0, closed.append)
    for instant in (2.0, 4.5, 5.0, 6.5):
        idle.discard("c")
        idle.add("c", instant, closed.append)
    assert (len(idle), closed) == (1, ["a", "b"])


def test_the_others_are_looked_at_four_times_while_one_may_be_idle() -> None:
    """Not at each exchange; and not at all where there is no other."""
    looks: list[float] = []

    class Watched(IdleConnections):
        def close_older_than(self, instant: float) -> None:
            looks.append(instant)
            super().close_older_than(instant)

    idle = Watched(9, max_idle=4.0)
    for instant in (0.0, 0.25):
        idle.discard("a")
        idle.add("a", instant, print)
    assert looks == []
    for eighth in range(4, 29):
        idle.discard("b")
        idle.add("b", eighth / 8, print)
    assert [instant + 4.0 for instant in looks] == [0.5, 1.5, 2.5, 3.5]


def test_one_that_changes_meanwhile_is_left_to_the_thread_that_changed_it() -> None:
    """It looks at them itself."""

    class Changed(OrderedDict[Any, Any]):
        def items(self) -> Any:
            yield from map(self._change, [None])

        def _change(self, _: None) -> Any:
            raise RuntimeError("OrderedDict mutated during iteration")

    idle, closed = IdleConnections(9), list[str]()
    kept(idle, closed, "a", "b")
    idle._connections = Changed(idle._connections)
    idle.close_older_than(9.0)
    assert (closed, len(idle)) == ([], 2)


def test_a_connection_that_closes_another_one_does_no_harm() -> None:
    """Closing runs code of the transports, which may discard others."""
    idle, closed = IdleConnections(9), list[str]()

    def close_both(name: str) -> None:
        closed.append(name)
        idle.discard("b")

    for name in ("a", "b", "c"):
        idle.add(name, 0.0, close_both)
    idle.close_older_than(1.0)
    assert closed == ["a", "c"]


def test_all_are_retired_and_closed_at_once() -> None:
    """The most recent first; one that only its own loop may close serves no other exchange meanwhile."""

    class Connection:
        lifetime: Any

    idle, closed, connections = IdleConnections(9), list[Connection](), [Connection() for _ in range(3)]
    for connection in connections:
        connection.lifetime = Lifetime(60.0, 100, None)
        idle.add(connection, 0.0, closed.append)
    assert idle.drop_all() == 3
    assert closed == connections[::-1]
    assert [connection.lifetime.is_over(0) for connection in connections] == [True] * 3
    assert (len(idle), idle.drop_all()) == (0, 0)


def test_one_that_another_thread_took_is_its_to_close() -> None:
    """It may take the last one between the look and the step."""

    class Taken(OrderedDict[Any, Any]):
        def popitem(self, last: bool = True) -> Any:
            self.clear()
            raise KeyError

    idle, closed = IdleConnections(2), list[str]()
    kept(idle, closed, "a", "b")
    idle._connections = Taken(idle._connections)
    idle.add("c", 0.0, closed.append)
    assert (closed, len(idle)) == ([], 0)


def test_a_smaller_limit_closes_those_that_are_too_many() -> None:
    """At once; a larger one closes none."""
    idle, closed = IdleConnections(3), list[str]()
    kept(idle, closed, "a", "b", "c")
    idle.resize(5)
    assert closed == []
    idle.resize(1)
    assert (closed, len(idle)) == (["a", "b"], 1)


def test_a_forked_child_closes_none_of_its_parent() -> None:
    """It forgets them."""
    idle, closed = IdleConnections(3), list[str]()
    kept(idle, closed, "a", "b")
    idle.reset_after_fork()
    assert (len(idle), closed) == (0, [])


@pytest.mark.parametrize(
    "expire", [lambda idle: None, lambda idle: idle.close_older_than(1e9)], ids=["", "expire"]
)
def test_each_connection_is_closed_once_among_threads(expire: Callable[[IdleConnections], None]) -> None:
    """Whoever takes it out closes it."""
    idle, closed = IdleConnections(3), list[str]()

    def work(thread: int) -> None:
        for number in range(300):
            idle.add(f"{thread} {number}", 0.0, closed.append)
            expire(idle)

    run_threads(work, 4)
    assert len(closed) + len(idle) == 1200
    assert len(set(closed)) == len(closed)
    assert len(idle) <= 3
