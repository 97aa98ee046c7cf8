"""Equal requests of a cache that are in flight: who leads, who waits, and what is left behind."""

from __future__ import annotations

import contextvars
import threading

import pytest

from http_service_client.core.machines.caching.flights import (
    Flight,
    Flights,
    begin_wait,
    end_wait,
    enter,
    leave,
)


def flights() -> Flights[str]:
    return Flights(threading.RLock)


def test_the_first_caller_of_a_key_leads() -> None:
    """Others join its flight until it lands; each other key has a flight of its own."""
    made = flights()
    first, leads = made.join("k", "s")
    assert leads
    assert made.join("k", "s") == (first, False)
    other, leads = made.join("l", "s")
    assert (leads, other is first) == (True, False)
    made.land(first, "result")
    assert (first.result, first.has_landed, made.landings) == ("result", True, 1)
    again, leads = made.join("k", "s")
    assert (leads, again is first) == (True, False)


def test_those_who_wait_are_granted_when_it_lands() -> None:
    """All at once, so that one that does not go on holds up no other."""
    made = flights()
    flight, _ = made.join("k", "s")
    waiters = [flight.wait() for _ in range(2)]
    assert [waiter.is_granted for waiter in waiters] == [False, False]
    made.land(flight, None)
    assert [waiter.is_granted for waiter in waiters] == [True, True]


def test_a_flight_lands_once() -> None:
    """The first result counts; a later flight of its key is left alone."""
    made = flights()
    flight, _ = made.join("k", "s")
    made.land(flight, "first")
    later, _ = made.join("k", "s")
    made.land(flight, "second")
    assert flight.result == "first"
    assert made.join("k", "s") == (later, False)


def test_nobody_joins_a_flight_that_is_alone_or_overtaken() -> None:
    """What is on its way is out of date when its subject changes; flights of other subjects are not."""
    made = flights()
    alone, (shared, _), (other, _) = made.fly_alone("s"), made.join("k", "s"), made.join("l", "t")
    assert made.join(None, "t")[1]
    made.overtake("s")
    made.overtake("unknown")
    assert [flight.is_overtaken for flight in (alone, shared, other)] == [True, True, False]
    assert made.join("k", "s")[1]
    assert made.join("l", "t") == (other, False)


def test_one_flight_alone_is_overtaken_by_its_key() -> None:
    """Its followers wait on; callers that come later lead another one."""
    made = flights()
    (one, _), (other, _) = made.join("k", "s"), made.join("l", "s")
    follower = one.wait()
    made.overtake_key("k")
    made.overtake_key("unknown")
    assert (one.is_overtaken, other.is_overtaken, follower.is_granted) == (True, False, False)
    assert made.join("k", "s")[1]
    assert made.join("l", "s") == (other, False)
    made.land(one, "result")
    assert (one.result, follower.is_granted) == ("result", True)


def test_nobody_waits_for_a_flight_that_was_abandoned() -> None:
    """Its followers go on without it, and what it brings later is of no use."""
    made = flights()
    flight, _ = made.join("k", "s")
    follower = flight.wait()
    made.abandon(flight)
    assert (flight.is_overtaken, follower.is_granted) == (True, True)
    later, leads = made.join("k", "s")
    assert leads
    made.land(flight, "late")
    assert (flight.result, made.join("k", "s")) == (None, (later, False))


def test_flights_that_have_landed_are_forgotten() -> None:
    """Of subjects and of keys."""
    made = flights()
    for key in ("k", "l"):
        flight, _ = made.join(key, "s")
        made.overtake("s")
        made.land(flight, None)
    made.land(made.fly_alone("s"), None)
    assert (made._shared, made._by_subject, made.landings) == ({}, {}, 3)
    flight, _ = made.join("k", "s")
    made.reset_after_fork()
    assert (made._shared, made._by_subject) == ({}, {})
    made.land(flight, None)  # of the parent: it leaves nothing
    assert (made._shared, made._by_subject) == ({}, {})


class Caller:
    """Code in a context of its own, which leads flights and waits for others."""

    def __init__(self) -> None:
        self._context = contextvars.copy_context()

    def leads(self, *those: Flight[str]) -> Caller:
        for flight in those:
            self._context.run(enter, flight)
        return self

    def may_wait_for(self, flight: Flight[str]) -> bool:
        return self._context.run(begin_wait, flight) is not None


@pytest.fixture
def four() -> list[Flight[str]]:
    made = flights()
    return [made.join(key, "s")[0] for key in "abcd"]


def test_code_outside_of_flights_may_wait_for_any(four: list[Flight[str]]) -> None:
    """Nobody waits for it."""
    assert Caller().may_wait_for(four[0])
    assert four[0].awaited == []


@pytest.mark.parametrize("which", [0, 1])
def test_code_does_not_wait_for_the_flights_that_it_is_in(four: list[Flight[str]], which: int) -> None:
    """Neither for the innermost one, nor for one around that."""
    caller = Caller().leads(four[0], four[1])
    assert not caller.may_wait_for(four[which])
    assert caller.may_wait_for(four[2])


def test_callers_do_not_wait_for_each_other_in_a_circle(four: list[Flight[str]]) -> None:
    """However many are between: the one that would close it does without."""
    a, b, c, d = four
    assert Caller().leads(a).may_wait_for(b)
    assert Caller().leads(d, b).may_wait_for(c)
    last = Caller().leads(c)
    assert not last.may_wait_for(a)
    assert c.awaited == []  # it does not wait
    assert Caller().may_wait_for(a)


def test_what_has_landed_is_waited_for_by_nobody(four: list[Flight[str]]) -> None:
    """Its leader goes on, so what it waited for before closes no circle."""
    a, b, _, _ = four
    flights().land(b, "result")
    assert Caller().leads(a).may_wait_for(b)
    b.awaited.append(a)
    assert Caller().leads(a).may_wait_for(b)


def test_what_has_landed_hides_no_circle(four: list[Flight[str]]) -> None:
    """A flight may wait for several: one that has landed says nothing about the others."""
    a, b, c, d = four
    flights().land(c, "result")
    flights().land(d, "result")
    b.awaited += [d, a, c]
    assert not Caller().leads(a).may_wait_for(b)


def test_a_wait_that_has_ended_closes_no_circle(four: list[Flight[str]]) -> None:
    """The flights around may be waited for again."""
    a, b, _, _ = four
    token = enter(a)
    around = begin_wait(b)
    assert around is not None
    end_wait(around, b)
    leave(token)
    assert a.awaited == []
    assert Caller().leads(b).may_wait_for(a)


def test_a_flight_that_is_left_elsewhere_stays_as_it_is(four: list[Flight[str]]) -> None:
    """A plan may be closed in another context, as that of an abandoned generator is."""
    token = contextvars.copy_context().run(enter, four[0])
    leave(token)
    assert begin_wait(four[0]) == ()
