"""Equal requests of a cache that are in flight: who leads, who waits, and what is left behind."""

from __future__ import annotations

import threading

from http_service_client.core.machines.caching.flights import Flights


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
