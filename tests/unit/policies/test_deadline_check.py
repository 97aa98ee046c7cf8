"""The deadline check as an object: settings, copies, cancellation, and what it costs nobody."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    DeadlineCheckPolicy,
    DeadlineTooShortError,
    ResiliencePipeline,
    deadline,
)
from http_service_client.core.machines.deadline_check import DeadlineCheck
from http_service_client.testing import VirtualClock


def known(clock: VirtualClock, **settings: Any) -> DeadlineCheckPolicy:
    """A policy that knows that a function takes 1.8 s, and has made its probe."""
    policy = DeadlineCheckPolicy(**{"min_samples": 10, "probe_interval": 1e6, **settings}, clock=clock)
    for _ in range(10):
        policy.call(clock.sleep, 1.8)
    with deadline(0.9, clock=clock.monotonic), pytest.raises(ZeroDivisionError):
        policy.call(lambda: 1 / 0)
    return policy


def test_the_error_says_why() -> None:
    """And is a TimeoutError, with the numbers as attributes."""
    clock = VirtualClock()
    policy = known(clock, name="report")
    with deadline(0.9, clock=clock.monotonic), pytest.raises(TimeoutError) as raised:
        policy.call(clock.sleep, 1.8)
    error = raised.value
    assert isinstance(error, DeadlineTooShortError)
    assert str(error).startswith("p50 of report is 1.")
    assert (error.key, error.deadline_left) == ("report", pytest.approx(0.9))
    assert error.median == pytest.approx(1.8, rel=0.1)


@pytest.mark.parametrize(
    ("name", "key"), [("report", "report"), ("", "of the pipeline")], ids=["named", "unnamed"]
)
def test_a_refusal_has_the_name_of_its_policy(name: str, key: str) -> None:
    """Or that of the pipeline, where the policy has none."""
    clock = VirtualClock()
    pipeline = ResiliencePipeline(known(clock, name=name), name="of the pipeline", clock=clock)
    with (
        deadline(0.9, clock=clock.monotonic),
        pytest.raises(DeadlineTooShortError, match=f"^p50 of {key} is ") as raised,
    ):
        pipeline.call(clock.sleep, 1.8)
    assert raised.value.key == key


def test_time_that_just_suffices_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last moment of what is needed."""
    clock = VirtualClock()
    policy = known(clock)
    with deadline(0.9, clock=clock.monotonic) as limit:
        monkeypatch.setattr(DeadlineCheck, "time_needed", lambda check: limit.remaining())
        assert policy.call(lambda: 5) == 5


def test_a_copy_has_the_settings_and_knows_nothing() -> None:
    """So has a pickle; what the original knows stays there."""
    clock = VirtualClock()
    policy = known(clock, name="report")
    for twin in (copy.copy(policy), copy.deepcopy(policy)):
        assert twin == policy
        assert twin.settings == policy.settings
        with deadline(0.9, clock=clock.monotonic):
            assert twin.call(lambda: 5) == 5
    plain = DeadlineCheckPolicy(min_chance=0.1)
    assert pickle.loads(pickle.dumps(plain)) == plain
    assert plain != DeadlineCheckPolicy()


def test_a_wrong_setting_is_named() -> None:
    """When the policy is made, and when it is changed."""
    with pytest.raises(ConfigurationError, match="min_chance must be"):
        DeadlineCheckPolicy(min_chance=2)
    with pytest.raises(TypeError, match="it is called min_chance"):
        DeadlineCheckPolicy(quantile=0.1)  # type: ignore[call-arg]
    policy = DeadlineCheckPolicy()
    with pytest.raises(ConfigurationError, match="min_samples must be"):
        policy.reconfigure(min_samples=5)
    policy.reconfigure(min_samples=20)
    assert policy.settings.min_samples == 20


def test_a_cancelled_call_lasted_as_long_as_it_ran() -> None:
    """Its caller gave up: the function takes longer."""

    async def scenario() -> Any:
        clock = VirtualClock(start=1000.0)
        policy = DeadlineCheckPolicy(min_samples=10, clock=clock)
        pipeline = ResiliencePipeline(policy, clock=clock)
        task = asyncio.ensure_future(pipeline.call_async(asyncio.sleep, 3600))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.elapse(2.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return policy._check.latencies

    latencies = asyncio.run(scenario())
    assert latencies.count == 1
    assert latencies.time_needed(0.02, 1) == pytest.approx(2.0, rel=0.2), (
        "it lasted so long, and no more is known"
    )
