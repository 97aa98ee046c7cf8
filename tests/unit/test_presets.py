"""`http_service_client.presets`: configurations, and pipelines for functions."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from http_service_client import (
    AdaptiveLimitPolicy,
    CircuitBreakerPolicy,
    ConfigurationError,
    ConnectionPoolConfig,
    ExponentialBackoff,
    HttpClientConfig,
    HttpServiceClient,
    RateLimitPolicy,
    RetryPolicy,
    TimeoutPolicy,
    presets,
)
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd
from kit.rows import each_row

NAMES = ["standard", "gentle", "aggressive", "llm", "batch"]
FUNCTIONS = [name for name in NAMES if name != "llm"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_configuration(name: str) -> None:
    """Equal each time, with a pickle and a client."""
    config = getattr(presets, name)()
    assert isinstance(config, HttpClientConfig)
    assert config == getattr(presets, name)() == pickle.loads(pickle.dumps(config))
    assert config != HttpClientConfig()
    with HttpServiceClient(config) as client:
        assert client.config is config


@pytest.mark.parametrize("name", NAMES)
def test_changes_replace_settings(name: str) -> None:
    """As a whole, and nothing else."""
    make = getattr(presets, name)
    config = make(base_timeout=1.5, base_url="https://api.test", retry_policy_config={"max_attempts": 4})
    assert (config.base_timeout, config.base_url) == (1.5, "https://api.test")
    assert config.retry == RetryPolicy(max_attempts=4)
    assert config.total_timeout == make().total_timeout
    assert config.budget == make().budget


def test_what_a_pool_sets_comes_first() -> None:
    """The preset's own setting of the same meaning would contradict it."""
    pool = ConnectionPoolConfig(request_timeout=3.0, max_connections_per_host=7)
    assert presets.standard(connection_pool=pool).resolved.timeout.total == 3.0
    config = presets.llm(connection_pool=pool)
    assert (config.pool.max_connections_per_host, config.pool.max_connections) == (7, 400)
    with pytest.raises(ConfigurationError, match="conflicts with connection_pool"):
        presets.standard(connection_pool=pool, base_timeout=4.0)


def test_a_wrong_change_is_an_error_as_of_the_configuration() -> None:
    """By name."""
    with pytest.raises(TypeError, match="set base_timeout in HttpClientConfig"):
        presets.gentle(timeout=5)
    with pytest.raises(ConfigurationError, match="base_timeout must be a positive"):
        presets.gentle(base_timeout=-1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_pipeline_has_the_numbers_of_its_configuration(name: Any) -> None:
    """Attempts, waits, quota and times."""
    config, strategies = getattr(presets, name)(), presets.pipeline(name, name="n").strategies
    retry = next(each for each in strategies if isinstance(each, RetryPolicy))
    assert config.retry is not None
    assert (retry.max_attempts, retry.backoff_strategy) == (
        config.retry.max_attempts,
        config.retry.backoff_strategy,
    )
    assert retry.budget == config.budget
    times = [each.settings.seconds for each in strategies if isinstance(each, TimeoutPolicy)]
    assert times == [config.total_timeout, config.base_timeout]
    has_circuit = any(isinstance(each, CircuitBreakerPolicy) for each in strategies)
    assert has_circuit is (config.resolved.circuit_breaker is not None)
    limits = [each.settings for each in strategies if isinstance(each, AdaptiveLimitPolicy)]
    assert limits == ([] if config.adaptive_limit is None else [config.adaptive_limit])


@each_row("name", FUNCTIONS)
def test_a_pipeline_repeats_what_is_worth_it(front_end: FrontEnd, name: Any) -> None:
    """The exceptions that are named; others are raised at once. Each pipeline has a state of its own."""
    clock = VirtualClock()
    calls: list[int] = []

    def failing(error: Any) -> str:
        calls.append(1)
        if len(calls) == 1:
            raise error
        return "ok"

    pipeline = presets.pipeline(name, name="n", retry_on=[OSError], clock=clock)
    assert front_end.run(pipeline.apply(front_end.function(failing)), OSError()) == "ok"
    assert len(calls) == 2
    calls.clear()
    with pytest.raises(KeyError):
        front_end.run(pipeline.apply(front_end.function(failing)), KeyError())
    assert presets.pipeline(name).strategies[1] is not pipeline.strategies[1]


REMEDIES = {
    "llm": r"llm\(\) is for clients alone, since it is about streams",
    "gentel": "did you mean 'gentle'[?]",
    5: "write one of these as text",
}


@pytest.mark.parametrize("name", REMEDIES)
def test_an_unknown_preset_names_the_known_ones(name: Any) -> None:
    """And the one that may be meant."""
    remedy = REMEDIES[name]
    with pytest.raises(
        ConfigurationError, match=rf"^preset must be one of 'standard', 'gentle'.*; {remedy}$"
    ):
        presets.pipeline(name)


def test_one_exception_class_is_no_list_of_them() -> None:
    """The error says how to write it."""
    words = r"^retry_on must be a list of exception classes, not OSError; write \[OSError\] for one$"
    with pytest.raises(ConfigurationError, match=words):
        presets.pipeline("gentle", retry_on=OSError)  # type: ignore[arg-type]  # that is the point


def test_a_model_may_take_minutes_and_limit_the_rate() -> None:
    """What a client of one relies on: each reason of the preset's is a number of its configuration."""
    config = presets.llm()
    assert config.base_timeout == 600.0  # a long completion
    assert config.auto_idempotency_key
    assert (config.max_connections_per_host, config.max_connections) == (200, 400)
    assert config.max_response_size == 64 * 2**20  # images in JSON
    assert config.retry is not None
    assert config.retry.max_attempts == 5
    assert config.retry.backoff_strategy == ExponentialBackoff(initial_delay=1.0, max_delay=30.0)
    assert config.resolved.circuit_breaker is not None
    assert config.resolved.circuit_breaker.trial_lease == 660.0  # above that of any attempt
    assert config.rate_limit == RateLimitPolicy(follow_headers=True, adaptive="aimd", max_wait=120.0).settings


def test_hedges_of_calls_that_must_succeed_are_few() -> None:
    """A tenth of the calls at most."""
    hedging = presets.aggressive().resolved.hedging
    assert hedging is not None
    assert (hedging.quantile, hedging.max_share) == (0.95, 0.1)
