"""Retries, the throttle gate and the quota of a client, compared with a plain account of what they should do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import ConstantBackoff, ThrottledError, TransportError
from http_service_client.core.machines.limits.throttle_gate import ThrottleGate
from http_service_client.policies import RetryPolicy
from kit.fakes import RESET, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd

TIMEOUT = 10.0
RESPONSES: dict[str, Any] = {
    "success": 200,
    "not found": 404,
    "failure": 500,
    "reset": RESET,
    "throttled": 429,
    **{f"throttled for {seconds}": (429, {"Retry-After": str(seconds)}) for seconds in (1, 3, 6, 20, 900)},
}
# Responses of the same kinds, just before which another caller was asked for a pause of so many seconds.
MEANWHILE = {
    "failure, 4": (500, 4.0),
    "failure, 20": (500, 20.0),
    "throttled for 3, 20": (RESPONSES["throttled for 3"], 20.0),
}


@dataclass
class Account:
    """Simple rather than fast; one call at a time, and no jitter.

    tokens: of the quota: two at first.   opens_at: the gate.
    """

    now: float
    tokens: float = 2.0
    opens_at: float = 0.0
    sends: int = 0

    def call(self, script: list[str], attempts: int, pays: bool) -> str:
        """The last response that the caller gets, or "refused"."""
        result, price = "refused", 0.0
        for attempt, response in enumerate(script, 1):
            if not self.passes_gate():
                self.earn(price)
                return result
            self.sends += 1
            result, _, meanwhile = response.partition(", ")
            response = result
            self.pause(float(meanwhile or 0.0))
            seconds = float(response.rpartition(" ")[2]) if "for" in response else 0.0
            self.pause(seconds)
            if response in ("success", "not found"):
                self.earn((price or 0.5) if pays else 0.0)
                return result
            if attempt == attempts or seconds > TIMEOUT:
                return result
            price = (0.5 if "throttled" in response else 1.0) if pays else 0.0
            if price > self.tokens:
                return result
            self.tokens -= price
            self.now += max(2.0, seconds)
        raise AssertionError(script)

    def pause(self, seconds: float) -> None:
        if seconds > 1.0:
            self.opens_at = max(self.opens_at, self.now + min(seconds, 300.0))

    def passes_gate(self) -> bool:
        left = self.opens_at - self.now
        if left > TIMEOUT / 2:
            return False
        self.now += max(0.0, left)
        return True

    def earn(self, tokens: float) -> None:
        self.tokens += tokens


def scripted(harness: Harness, name: str) -> Any:
    if name in RESPONSES:
        return RESPONSES[name]
    response, seconds = MEANWHILE[name]

    def respond(request: object) -> Any:
        state = harness.state
        state.gate = state.gate or ThrottleGate(harness.clock.monotonic)
        state.gate.close(seconds)
        return response

    return respond


def outcome_of(harness: Harness, **options: Any) -> str:
    try:
        response = harness.request(**options)
    except ThrottledError:
        return "refused"
    except TransportError:
        return "reset"
    return str(response.status_code)


def shown(result: str) -> str:
    given = RESPONSES.get(result)
    status = given[0] if isinstance(given, tuple) else given
    return str(status) if isinstance(status, int) else result


CALLS = st.tuples(
    st.lists(st.sampled_from([*RESPONSES, *MEANWHILE]), min_size=3, max_size=3),
    st.integers(1, 3),
    st.sampled_from([True, True, False]),
)
STEPS = st.lists(st.one_of(CALLS, CALLS, st.sampled_from([0.5, 3.0, 5.0, 60.0, 300.0])), max_size=25)


@pytest.mark.parametrize("front_end", [BlockingFrontEnd(), AsyncioFrontEnd()], ids=["blocking", "asyncio"])
@settings(max_examples=60)
@given(steps=STEPS)
def test_a_client_keeps_the_account(front_end: FrontEnd, steps: list[Any]) -> None:
    """Outcomes, requests sent, the time that calls take and the tokens that are left, after any calls and waits."""
    harness = Harness(
        front_end,
        random=lambda: 0.0,
        base_timeout=TIMEOUT,
        retry_budget_config={"capacity": 100.0, "earned": 0.5},
        enable_circuit_breaker=False,
    )
    account = Account(harness.clock.now)
    for _ in range(98):  # far below the capacity, where nothing is forgotten
        assert harness.state.budget.try_withdraw() is not None
    for step in steps:
        if isinstance(step, float):
            harness.clock.now += step
            account.now += step
            continue
        script, attempts, pays = step
        harness.transport.script = [scripted(harness, name) for name in script]
        policy = RetryPolicy(attempts, ConstantBackoff(2.0, jitter="none"))
        found = outcome_of(harness, retry_policy=policy, retry_budget=pays)
        assert found == shown(account.call(script, attempts, pays))
        quota = harness.state.budget
        assert quota.balance == int(account.tokens)
        assert (harness.sends, harness.clock.now, quota._tokens) == (
            account.sends,
            account.now,
            account.tokens,
        )
