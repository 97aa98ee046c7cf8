"""The chaos policy: around functions, and as a value."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from typing import Any

import pytest

from http_service_client import (
    ChaosPolicy,
    ConfigurationError,
    ConnectError,
    HttpClientConfig,
    ReadTimeoutError,
    ResiliencePipeline,
    RetryPolicy,
    SentState,
)
from http_service_client.policies import ChaosSettings
from kit.front_ends import FrontEnd


def failing(**settings: Any) -> ChaosPolicy:
    return ChaosPolicy(errors=[ConnectError], error_rate=1, **settings)


def test_it_guards_plain_and_async_functions(front_end: FrontEnd) -> None:
    """The error says that it was injected."""
    called: list[int] = []
    function = failing().apply(front_end.function(called.append))
    with pytest.raises(ConnectError, match="ConnectError injected by chaos") as error:
        front_end.run(function, 1)
    assert (called, error.value.sent_state) == ([], SentState.NEVER_SENT)


def test_what_comes_after_the_function_may_have_been_processed(front_end: FrontEnd) -> None:
    """So a retry does not repeat what is not safe to repeat."""
    called: list[int] = []
    policy = ChaosPolicy(errors=["ReadTimeoutError"], error_rate=1)
    function = policy.apply(front_end.function(called.append))
    with pytest.raises(ReadTimeoutError) as error:
        front_end.run(function, 1)
    assert (called, error.value.sent_state) == ([1], SentState.MAYBE_PROCESSED)


def test_what_only_a_call_has_is_refused_around_a_function() -> None:
    """At the first call, with what is possible."""
    for settings in (
        {"statuses": [503], "status_rate": 1.0},
        {"truncation_rate": 1.0},
        {"errors": [OSError], "error_rate": 1.0, "origins": ["a.test"]},
        {"errors": [OSError], "error_rate": 1.0, "routes": ["GET *"]},
    ):
        with pytest.raises(ConfigurationError, match="a guarded function has none; use latency and errors"):
            ChaosPolicy(**settings).call(int)


def test_it_warns_once_and_at_each_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A program that is disturbed on purpose says so."""
    policy = failing(name="orders")
    with caplog.at_level(logging.WARNING, "http_service_client.chaos"):
        for _ in range(2):
            with pytest.raises(ConnectError):
                policy.call(int)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "guarded functions (orders): chaos is on; it injects ConnectError at a rate of 1",
        "orders: attempt 1: chaos injected ConnectError",
        "orders: attempt 1: chaos injected ConnectError",
    ]


def test_it_stands_innermost() -> None:
    """A pipeline with something inside it is unusual."""
    with pytest.warns(UserWarning, match="RetryPolicy inside ChaosPolicy is an unusual order"):
        ResiliencePipeline(failing(), RetryPolicy())


def test_a_copy_or_a_pickle_starts_again() -> None:
    """With the same settings, by which it is equal."""
    policy = failing(max_calls=1, seed=3, name="n")
    with pytest.raises(ConnectError):
        policy.call(int)
    policy.disable()
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert (twin, hash(twin)) == (policy, hash(policy))
        assert twin.snapshot().calls == 0
        with pytest.raises(ConnectError):
            twin.call(int)
    assert policy != failing(max_calls=2, seed=3, name="n")


def test_a_wrong_change_changes_nothing() -> None:
    """Nor does one that would leave nothing to inject; `disable` is for that."""
    policy = failing()
    for changes in ({"error_rate": 2}, {"error_rate": 0.0}, {"errors": [], "error_rate": 0.0}):
        with pytest.raises(ConfigurationError):
            policy.reconfigure(**changes)
    with pytest.raises(TypeError, match="no argument 'rate'"):
        policy.reconfigure(rate=1)
    assert policy.settings == ChaosSettings(errors=[ConnectError], error_rate=1)


@pytest.mark.parametrize("wrong", [5, asyncio.sleep])
def test_chance_is_a_plain_function(wrong: Any) -> None:
    """The error names the argument."""
    with pytest.raises(ConfigurationError, match=r"^random must be a (plain )?function, not "):
        failing(random=wrong)


def test_a_seed_repeats_the_faults() -> None:
    """Of each policy with it, from its beginning."""

    def outcomes(**settings: Any) -> list[str]:
        policy = ChaosPolicy(errors=[ConnectError], error_rate=0.5, **settings)
        found = []
        for _ in range(40):
            try:
                found.append(str(policy.call(int)))
            except ConnectError:
                found.append("error")
        return found

    assert outcomes(seed=1) == outcomes(seed=1) != outcomes(seed=2)
    assert outcomes(random=lambda: 0.9) == ["0"] * 40


def test_an_unknown_argument_names_the_right_one() -> None:
    """Also in a mapping, and in a file."""
    with pytest.raises(TypeError, match="each fault has a rate of its own"):
        ChaosPolicy(rate=0.1)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="chaos has the unknown key 'delay'; it is called latency"):
        HttpClientConfig(chaos={"delay": 1})


def test_it_can_be_written_in_a_file(tmp_path: Any) -> None:
    """With names of errors, tables for statuses, and units for durations."""
    path = tmp_path / "clients.toml"
    path.write_text(
        """
        [clients.default.chaos]
        latency = "250ms"
        latency_rate = 0.1
        errors = ["ConnectError", "ReadTimeoutError"]
        error_rate = 0.01
        statuses = [503, {status = 429, headers = {Retry-After = "2"}}]
        status_rate = 0.02
        origins = ["*.staging.example.com"]
        routes = ["POST /charges"]
        ends_after = "10m"
        max_calls = 100
        """
    )
    config = HttpClientConfig.from_file(path)
    assert isinstance(config.chaos, ChaosPolicy)
    assert config.chaos.settings == ChaosSettings(
        latency=0.25,
        latency_rate=0.1,
        errors=[ConnectError, ReadTimeoutError],
        error_rate=0.01,
        statuses=[503, (429, {"Retry-After": "2"})],
        status_rate=0.02,
        origins=["*.staging.example.com"],
        routes=["POST /charges"],
        ends_after=600,
        max_calls=100,
    )
    assert pickle.loads(pickle.dumps(config)) == config == HttpClientConfig.from_file(path)
    assert HttpClientConfig(chaos=config.chaos.settings) == config
