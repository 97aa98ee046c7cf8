"""Callers of one token that come, are cancelled and run out of time at any instant: in virtual time, by interleavings."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    HttpRequest,
    HttpResponse,
    SentState,
    Timeout,
    TokenError,
)
from http_service_client.core.call import Call, CallOptions
from http_service_client.core.effects import Acquire, Plan, Send, Sleep, Start
from http_service_client.core.layers.tokens import Fetched, TokenNeeded, TokenRequests, Tokens, no_token
from http_service_client.core.machines.caching.token_cache import Token, TokenCache
from http_service_client.core.machines.limits.semaphore import FairSemaphore
from http_service_client.core.origins import OriginState
from http_service_client.core.outcomes import already_closed
from http_service_client.drivers.locks import ForkSafeLock
from http_service_client.drivers.simulator import Run, Simulator
from http_service_client.errors import DeadlineExceededError, Failure
from http_service_client.events import TokenAwaited
from kit.fakes import ORIGIN, URL
from kit.rows import each_row

FETCH = 1.0  # seconds


class Source:
    """Tokens that live for 10 s and take a second to get; the first `failures` fetches fail."""

    refresh_ahead = 2.0
    source_name = "the test"

    def __init__(self, simulator: Simulator, failures: int = 0) -> None:
        self.cache = TokenCache(lock=ForkSafeLock(), lease=20.0)
        self._simulator = simulator
        self.failures = failures
        self.fetches: list[float] = []
        self.running = self.most_running = 0

    def fetch(self, requests: TokenRequests, refused: str | None) -> Plan[Fetched | Failure]:
        self.fetches.append(self._simulator.clock())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            yield from Sleep(FETCH)
        finally:
            self.running -= 1
        if self.failures:
            self.failures -= 1
            return no_token(self, "the test says so")
        return Fetched(f"t{len(self.fetches)}", 10.0)


class Callers:
    """Callers of one source, in virtual time."""

    def __init__(self, failures: int = 0, clocks: Callable[[], float] | None = None) -> None:
        self.simulator = Simulator()
        self.source = Source(self.simulator, failures)
        now = self.simulator.clock
        self.tokens = Tokens(_no_requests, _no_requests, now, clocks or now, lambda: 0.5)  # type: ignore[arg-type]

    def call(self, deadline: float | None = None) -> Call:
        now = self.simulator.clock
        state = OriginState(None, None, FairSemaphore(9, lock=ForkSafeLock()))
        options = CallOptions(Timeout(total=None), 0, None, is_nested=False)
        at = None if deadline is None else now() + deadline
        return Call(HttpRequest("GET", URL), ORIGIN, state, None, options, now, at)

    def caller(self, after: float, deadline: float | None = None, refused: Token | None = None) -> Run[Any]:
        """One that needs a token after so many seconds."""

        def plan() -> Plan[Token | Failure]:
            yield from Sleep(after)
            call = self.call(deadline)
            return (yield from self.tokens.get(TokenNeeded(self.source, refused), call))

        return self.simulator.spawn(plan())

    def cancel(self, run: Run[Any], after: float) -> None:
        def plan() -> Plan[None]:
            yield from Sleep(after)
            self.simulator.cancel(run)

        self.simulator.spawn(plan())


def _no_requests(*_: object) -> Any:
    raise AssertionError("this source sends none")


@each_row("instant", [0.0, 0.25, 0.5, 0.999, 1.0, 1.5])
@each_row("victim", range(4))
def test_when_one_caller_is_cancelled_the_others_get_the_one_token(victim: int, instant: float) -> None:
    """At any instant, the one that began the fetch included."""
    callers = Callers()
    runs = [callers.caller(0.2 * number) for number in range(4)]
    callers.cancel(runs[victim], instant)
    callers.simulator.run()
    others = [run for number, run in enumerate(runs) if number != victim]
    assert {run.result.value for run in others} == {"t1"}
    assert len(callers.source.fetches) == 1


@pytest.mark.parametrize("deadline", [0.1, 0.5, 0.9])
def test_when_one_caller_runs_out_of_time_the_others_get_the_one_token(deadline: float) -> None:
    """Its wait ends at its deadline, and the fetch goes on."""
    callers = Callers()
    late, other = callers.caller(0.0, deadline), callers.caller(0.05)
    callers.simulator.run()
    assert (late.result.error_type, late.result.sent_state) == (DeadlineExceededError, SentState.NEVER_SENT)
    assert late.ended_at == pytest.approx(deadline)
    assert (other.result.value, other.ended_at, len(callers.source.fetches)) == ("t1", 1.0, 1)


def test_a_failed_fetch_fails_those_that_waited_and_no_later_one() -> None:
    """Each fetch is for those who come before its end."""
    callers = Callers(failures=1)
    waiting = [callers.caller(0.0), callers.caller(0.5)]
    later = callers.caller(1.1)
    callers.simulator.run()
    assert [run.result.error_type for run in waiting] == [TokenError] * 2
    assert later.result.value == "t2"


def test_nobody_waits_for_a_fetch_ahead_of_expiry() -> None:
    """With a jitter of a half it begins 1.5 s ahead; the old token is used meanwhile."""
    callers = Callers()
    callers.caller(0.0)
    runs = {after: callers.caller(after) for after in (8.4, 8.6, 8.9, 9.7)}
    callers.simulator.run()
    assert {after: run.result.value for after, run in runs.items()} == {
        8.4: "t1",
        8.6: "t1",
        8.9: "t1",
        9.7: "t2",
    }
    assert all(run.ended_at == after for after, run in runs.items())
    assert callers.source.fetches == [0.0, 8.6]


def test_a_fetch_ahead_of_expiry_may_fail() -> None:
    """The calls go on with the old token, and at its end a caller fetches again."""
    callers = Callers()
    callers.caller(0.0)
    callers.simulator.run(until=2.0)
    callers.source.failures = 1
    runs = [callers.caller(after - 2.0) for after in (7.0, 8.8, 9.9)]
    callers.simulator.run()
    assert [run.result.value for run in runs] == ["t1", "t1", "t3"]
    assert callers.source.fetches == pytest.approx([0.0, 8.8, 9.9])


def test_a_fetch_that_is_lost_is_taken_over_when_its_lease_ends() -> None:
    """Nobody waits for ever for an event loop that will not run again."""
    callers = Callers()
    callers.source.cache.look_up(0.0, 0.0)  # somebody began a fetch, and was never heard of again
    early, patient = callers.caller(1.0, deadline=5.0), callers.caller(1.0)
    callers.simulator.run()
    assert early.result.error_type is DeadlineExceededError
    assert (patient.result.value, patient.ended_at) == ("t1", 21.0)


def test_a_caller_whose_own_fetch_hangs_is_refused_when_its_lease_ends() -> None:
    """A function that blocks cannot be stopped. The next caller starts another fetch."""
    callers = Callers()

    def hangs(requests: TokenRequests, refused: str | None) -> Plan[Any]:
        yield from Sleep(1000.0)

    fetch, callers.source.fetch = callers.source.fetch, hangs  # type: ignore[method-assign]
    run = callers.caller(0.0)
    callers.simulator.run(until=20.0)
    assert (run.result.error_type, run.ended_at) == (TokenError, 20.0)
    assert run.result.message == "there is no token from the test: its fetch has not ended in time"
    callers.source.fetch = fetch  # type: ignore[method-assign]
    later = callers.caller(1.0)
    callers.simulator.run()
    assert (later.result.value, later.ended_at) == ("t1", 22.0)


def test_a_wall_clock_that_jumps_costs_one_fetch() -> None:
    """Forwards, the token may have expired; backwards, it has not."""
    offset = [0.0]
    callers = Callers()
    callers.tokens._wall_clock = lambda: callers.simulator.clock() + offset[0]
    first = callers.caller(0.0)
    callers.simulator.run()
    offset[0] = 3600.0
    second, third = callers.caller(1.0), callers.caller(2.5)
    callers.simulator.run()
    offset[0] = -3600.0
    fourth = callers.caller(1.0)
    callers.simulator.run()
    values = [run.result.value for run in (first, second, third, fourth)]
    assert values == ["t1", "t2", "t2", "t2"]


@each_row("seed", range(60))
def test_callers_that_come_and_go_at_random(seed: int) -> None:
    """There is one fetch at a time, nobody is left waiting, and a token is used that has not expired."""
    dice = random.Random(seed)
    callers = Callers(failures=dice.choice([0, 0, 1, 2]))
    runs = []
    for _ in range(40):
        after = dice.choice([0.0, dice.uniform(0, 40)])
        run = callers.caller(after, dice.choice([None, None, dice.uniform(0.01, 2)]))
        runs.append((after, run))
        if dice.random() < 0.3:
            callers.cancel(run, after + dice.choice([0.0, FETCH, dice.uniform(0, 2)]))
    callers.simulator.run()
    assert all(run.is_done for _, run in runs)
    assert callers.source.most_running == 1
    for after, run in runs:
        assert run.error is None
        assert run.ended_at <= after + 2 * FETCH + 1e-9
        if isinstance(run.result, Token):
            assert run.ended_at - run.result.began_at < 10.0
    # Each token lives for 9 s at least before the next fetch begins, but for those that failed.
    assert len(callers.source.fetches) <= 3 + 42 / 8.5


def test_an_exception_of_a_source_fails_those_that_wait() -> None:
    """It must not leave them waiting."""
    callers = Callers()

    def broken(requests: TokenRequests, refused: str | None) -> Plan[Any]:
        yield from Sleep(0.5)
        raise ZeroDivisionError

    callers.source.fetch = broken  # type: ignore[method-assign]
    runs = [callers.caller(0.0), callers.caller(0.1)]
    callers.simulator.run()
    for run in runs:
        assert run.result.error_type is TokenError
        assert isinstance(run.result.cause, ZeroDivisionError)


def test_a_simulated_fetch_may_send_requests() -> None:
    """`Start` runs it in virtual time, beside the call that needs it."""
    sent: list[float] = []

    def respond(request: HttpRequest, timeout: Timeout) -> tuple[float, HttpResponse]:
        sent.append(simulator.clock())
        return 2.0, HttpResponse(200)

    simulator = Simulator(respond)
    callers = Callers()
    callers.simulator = simulator
    callers.tokens._clock = simulator.clock
    callers.tokens._wall_clock = simulator.clock

    def fetch(requests: TokenRequests, refused: str | None) -> Plan[Any]:
        response: Any = yield Send(HttpRequest("POST", URL), Timeout())
        return Fetched(str(response.status_code), None)

    callers.source.fetch = fetch  # type: ignore[method-assign]
    run = callers.caller(1.0)
    simulator.run()
    assert (run.result.value, run.ended_at, sent) == ("200", 3.0, [1.0])


def test_a_caller_whose_token_was_refused_waits_for_another() -> None:
    """It was valid, and nobody would have fetched another."""
    callers = Callers()
    first = callers.caller(0.0)
    callers.simulator.run(until=2.0)
    first.result.is_accepted = True
    again = callers.caller(0.0, refused=first.result)
    callers.simulator.run()
    assert (again.result.value, again.ended_at) == ("t2", 3.0)


class Awaiting:
    """A caller that waits from 2.0 s on for a fetch, which somebody else began unless `is_own`, step by step."""

    def __init__(self, is_own: bool = False, deadline: float | None = None) -> None:
        self.callers = callers = Callers()
        callers.simulator.run(until=2.0)
        self.cache = callers.source.cache
        if not is_own:
            self.cache.look_up(2.0, 2.0)
        self.fetch: Any = self.cache._fetch
        self.call = callers.call(deadline)
        self.call.current.expires_at = 7.0
        self.plan: Any = callers.tokens.get(TokenNeeded(callers.source), self.call)
        self.effect = next(self.plan)
        if is_own:
            assert isinstance(self.effect, Start)
            self.fetch = self.cache._fetch
            self.effect = self.plan.send(True)
        assert isinstance(self.effect, Acquire)

    def end(self, was_woken: bool = True) -> Any:
        """What the caller gets when its wait ends now."""
        with pytest.raises(StopIteration) as ended:
            self.plan.send(was_woken)
        return ended.value.value

    @property
    def waits(self) -> list[tuple[float, str | None]]:
        """Those in the timeline."""
        return [(event.waited, event.error) for event in self.call.events if isinstance(event, TokenAwaited)]


CLOSED = already_closed()


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (Token("t", None, 0.0, 0.0, 0.0, 0.0), None),
        (Failure(TokenError, "no", SentState.NEVER_SENT), "TokenError"),
    ],
)
@pytest.mark.parametrize("is_own", [True, False])
def test_a_wait_is_recorded_whatever_came_of_it(is_own: bool, result: Any, error: str | None) -> None:
    """And the attempt does not pay for it."""
    one = Awaiting(is_own)
    one.callers.simulator.run(until=3.5)
    one.cache.finish(one.fetch, result, 3.5)
    assert one.end() is result
    assert one.waits == [(1.5, error)]
    assert one.call.current.expires_at == 8.5


def test_a_fetch_that_ended_with_another_client_is_begun_again() -> None:
    """Its caller is not closed, and gets a token: from a fetch of its own, or from one that was quicker."""
    one = Awaiting()
    one.cache.finish(one.fetch, CLOSED, 2.0)
    assert isinstance(one.plan.send(True), Start)
    one.plan.close()

    one = Awaiting()
    one.cache.finish(one.fetch, CLOSED, 2.0)
    _, other, _ = one.cache.look_up(2.0, 2.0)
    assert other is not None
    one.cache.finish(other, Token("t", None, 2.0, 2.0, 0.0, 0.0), 2.0)
    assert one.end().value == "t"
    assert one.waits == [(0.0, None)]


@pytest.mark.parametrize("is_own", [True, False])
def test_a_caller_that_its_own_client_s_end_wakes_gets_no_token(is_own: bool) -> None:
    """The fetch may go on for other clients. The caller leaves its queue."""
    one = Awaiting(is_own)
    outcome = one.end()
    assert (outcome.error_type, one.fetch.is_over._waiting) == (ClientClosedError, {})
    assert one.waits == [(0.0, "ClientClosedError")]


def test_a_fetch_that_the_end_of_its_client_cut_short_fails_its_own_caller() -> None:
    """It is not begun again: this client sends nothing any more."""
    one = Awaiting(is_own=True)
    one.cache.finish(one.fetch, CLOSED, 2.0)
    assert one.end() is CLOSED


@pytest.mark.parametrize(
    ("deadline", "error"), [(19.9, DeadlineExceededError), (20.0, TokenError), (20.1, TokenError)]
)
def test_a_wait_ends_with_the_lease_or_the_deadline(deadline: float, error: type) -> None:
    """Whichever is earlier is to blame; of both at once, the fetch."""
    one = Awaiting(is_own=True, deadline=deadline)
    assert one.effect.timeout == min(deadline, 20.0)
    assert one.end(was_woken=False).error_type is error


def test_a_fetch_whose_start_is_interrupted_is_for_others_to_begin() -> None:
    """They do not wait for its lease to end."""
    callers = Callers()
    plan = callers.tokens.get(TokenNeeded(callers.source), callers.call())
    assert isinstance(next(plan), Start)
    with pytest.raises(KeyboardInterrupt):
        plan.throw(KeyboardInterrupt())
    other = callers.caller(0.0)
    callers.simulator.run()
    assert (other.result.value, other.ended_at) == ("t1", FETCH)
