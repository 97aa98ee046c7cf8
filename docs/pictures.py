"""Draws the pictures of docs/simulation.md, choosing.md and presets.md into docs/_static: `python docs/pictures.py`.

It takes two minutes, and needs the extra `simulation`. Run it again when a default changes; the same code draws the same files.
Tests compare the figures in docs/choosing.md with those of `CASES`, and in docs/presets.md with those of `PRESETS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from http_service_client import (
    ConnectionPoolConfig,
    ExponentialBackoff,
    HttpClientConfig,
    RetryPolicy,
    presets,
)
from http_service_client.simulation import (
    NO_CLIENT,
    Comparison,
    Errors,
    LogNormal,
    Outage,
    RateLimit,
    Scenario,
    Service,
    Slowdown,
    compare,
)

_STATIC = Path(__file__).resolve().parent / "_static"

# Three attempts whatever happens, as a loop around a plain HTTP library makes them.
NAIVE = HttpClientConfig(enable_circuit_breaker=False, enable_retry_budget=False, enable_throttle_gate=False)
DEFAULTS = HttpClientConfig()


class Case(NamedTuple):
    """A picture: its title, two configurations, and what is called."""

    title: str
    configs: Mapping[str, HttpClientConfig]
    scenario: Scenario

    def compared(self) -> Comparison:
        """The simulations of this case."""
        return compare(self.configs, {self.title: self.scenario})


def _case(
    title: str,
    configs: Mapping[str, HttpClientConfig],
    latency: LogNormal,
    fault: Any,
    *,
    workers: int | None = None,
    **how: Any,
) -> Case:
    service = Service(latency=latency, workers=workers, faults=[fault])
    return Case(title, configs, Scenario(service=service, **how))


_FAST = LogNormal(median=0.05, p99=0.25)

CASES = {
    "payment": _case(
        "a payment API: 30 % of its requests get no response for 90 s",
        {
            "defaults": DEFAULTS,
            "with a key, 8 s an attempt": HttpClientConfig(
                auto_idempotency_key=True, base_timeout=8.0, total_timeout=30.0
            ),
        },
        LogNormal(median=0.4, p99=1.5),
        Outage(how="silent", share=0.3, start=60, seconds=90),
        clients=10,
        rate=1,
        seconds=240,
        method="POST",
    ),
    "partner": _case(
        "a partner takes 10 requests a second, and gets 12",
        {"naive retries": NAIVE, "defaults": DEFAULTS},
        _FAST,
        RateLimit(per_second=10, burst=50, retry_after=5, start=30, seconds=60),
        clients=1,
        rate=12,
        seconds=120,
    ),
    "slow": _case(
        "a service stops responding for two minutes",
        {
            "defaults, 60 s an attempt": HttpClientConfig(base_timeout=60.0),
            "with a slow-call rate": HttpClientConfig(
                base_timeout=60.0,
                circuit_breaker_config={
                    "slow_call_rate": 0.8,
                    "slow_call_duration": 5.0,
                    "failure_threshold": 30,
                    "failure_duration": 10.0,
                },
            ),
        },
        LogNormal(median=0.5, p99=2.0),
        Outage(how="silent", start=60, seconds=120),
        clients=1,
        rate=5,
        seconds=300,
    ),
    "web": _case(
        "a web service, behind it one that slows down",
        {
            "defaults": DEFAULTS,
            "within 2 s": HttpClientConfig(
                connection_pool=ConnectionPoolConfig(pool_timeout=0.5), base_timeout=2.0, total_timeout=2.0
            ),
        },
        _FAST,
        Slowdown(factor=8, start=30, seconds=60),
        workers=20,
        clients=1,
        rate=100,
        seconds=180,
    ),
    "internal": _case(
        "an internal service: 2 % of its requests hang for a minute",
        {
            "defaults": DEFAULTS,
            "2 s, 100 connections": HttpClientConfig(base_timeout=2.0, max_connections_per_host=100),
        },
        LogNormal(median=0.02, p99=0.1),
        Outage(how="silent", share=0.02, start=30, seconds=60),
        clients=1,
        rate=150,
        seconds=150,
    ),
    "batch": _case(
        "a nightly batch, and a service that is down for a minute",
        {
            "defaults": DEFAULTS,
            "eight attempts, nothing else": HttpClientConfig(
                retry_policy_config=RetryPolicy(
                    max_attempts=8, backoff_strategy=ExponentialBackoff(jitter="equal")
                ),
                total_timeout=600.0,
                enable_retry_budget=False,
                enable_circuit_breaker=False,
            ),
        },
        LogNormal(median=0.2, p99=1.0),
        Outage(start=60, seconds=60),
        clients=1,
        rate=2,
        seconds=240,
    ),
    "legacy": _case(
        "a legacy system fails 70 % of its requests for three minutes",
        {
            "failure_rate=0.5": HttpClientConfig(
                circuit_breaker_config={"failure_rate": 0.5, "minimum_calls": 20}
            ),
            "defaults": DEFAULTS,
        },
        _FAST,
        Errors(rate=0.7, start=60, seconds=180),
        clients=1,
        rate=10,
        seconds=300,
    ),
}
"""The pictures of docs/choosing.md, by the ends of their names."""


PRESETS: dict[str, HttpClientConfig] = {
    "standard": presets.standard(),
    "gentle": presets.gentle(),
    "aggressive": presets.aggressive(),
    "llm": presets.llm(),
    "batch": presets.batch(),
}

_WIDE = {"max_connections": 400, "max_connections_per_host": 200}
_MANY: dict[str, Any] = {"clients": 3, "rate": 1.0, "seconds": 240.0}

TROUBLES: dict[str, Scenario] = {
    "30 % fail": Scenario(service=Service(latency=_FAST, faults=[Errors(rate=0.3)]), **_MANY),
    "70 % fail": Scenario(service=Service(latency=_FAST, faults=[Errors(rate=0.7)]), **_MANY),
    "down for 60 s": Scenario(service=Service(latency=_FAST, faults=[Outage(start=60, seconds=60)]), **_MANY),
    "silent for 60 s": Scenario(
        service=Service(latency=_FAST, faults=[Outage(how="silent", start=60, seconds=60)]), **_MANY
    ),
    "too slow for 60 s": Scenario(
        service=Service(
            latency=_FAST, workers=1, queue=50, faults=[Slowdown(factor=10, start=60, seconds=60)]
        ),
        **_MANY,
    ),
    "half of the rate for 120 s": Scenario(
        service=Service(
            latency=_FAST, faults=[RateLimit(per_second=1.5, burst=5, retry_after=5, start=60, seconds=120)]
        ),
        **_MANY,
    ),
}
"""What the presets are compared in, by the heads of the table in docs/presets.md."""

PRESET_CASES = {
    "standard": _case(
        "a service stops responding for a minute",
        {"defaults": DEFAULTS, "standard": PRESETS["standard"]},
        _FAST,
        Outage(how="silent", start=60, seconds=60),
        clients=5,
        rate=1,
        seconds=240,
    ),
    "gentle": _case(
        "a service is down for two minutes",
        {"naive retries": NAIVE, "gentle": PRESETS["gentle"]},
        _FAST,
        Outage(start=60, seconds=120),
        clients=5,
        rate=2,
        seconds=240,
    ),
    "aggressive": _case(
        "30 % of the requests fail, each by chance",
        {"defaults": DEFAULTS, "aggressive": PRESETS["aggressive"]},
        _FAST,
        Errors(rate=0.3, start=30),
        clients=5,
        rate=2,
        seconds=180,
    ),
    "llm": _case(
        "a model API takes 5 requests a second, and gets 10",
        {
            "naive retries": replace(NAIVE, base_timeout=600.0, auto_idempotency_key=True, **_WIDE),
            "llm": PRESETS["llm"],
        },
        LogNormal(median=4.0, p99=20.0),
        RateLimit(per_second=5, burst=25, retry_after=5, start=20, seconds=160),
        clients=1,
        rate=10,
        seconds=240,
        method="POST",
    ),
    "batch": _case(
        "a service is down for a minute",
        {"defaults": DEFAULTS, "batch": PRESETS["batch"]},
        LogNormal(median=0.2, p99=1.0),
        Outage(start=60, seconds=60),
        clients=1,
        rate=2,
        seconds=300,
    ),
}
"""The pictures of docs/presets.md, by the presets that they show."""


def main() -> None:
    """Simulate, and write the files."""
    storm = compare({"naive retries": NAIVE, "defaults": DEFAULTS}, ["retry-storm"])
    storm.plot(_STATIC / "retry-storm.svg")
    print(storm)
    outage = compare({"no client": NO_CLIENT, "defaults": DEFAULTS}, ["outage-refused"])
    outage.plot(_STATIC / "outage-refused.svg")
    print(outage)
    for name, case in CASES.items():
        comparison = case.compared()
        comparison.plot(_STATIC / f"choosing-{name}.svg")
        print(comparison)
    draw_presets()


def draw_presets() -> None:
    """Write the files of docs/presets.md alone."""
    for name, case in PRESET_CASES.items():
        comparison = case.compared()
        comparison.plot(_STATIC / f"preset-{name}.svg")
        print(comparison)


if __name__ == "__main__":
    main()
