"""`simulate`: the same seed gives the same report, wrong arguments are errors, and the core is the client's own."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    HedgingPolicy,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    Timeout,
    deadline,
)
from http_service_client.simulation import (
    NO_CLIENT,
    Bursts,
    Empirical,
    Errors,
    Flapping,
    LogNormal,
    Outage,
    Poison,
    RateLimit,
    Service,
    Slowdown,
    Uniform,
    simulate,
)
from kit.rows import each_row
from kit.sources import INSTALLED

SICK = Service(workers=10, faults=[Errors(rate=0.3), Outage(start=20, seconds=10)])

PROGRAM = """
from http_service_client.simulation import *
faults = [Errors(rate=0.3), Bursts(good=5, bad=2), RateLimit(per_second=15), Outage(start=20, seconds=5)]
report = simulate(None, Service(workers=2, faults=faults), clients=5, rate=4, seconds=30, seed=7)
print(repr(report))
"""


def test_a_seed_decides_the_report() -> None:
    """The same seed gives the same report to the last digit, another seed gives another one."""
    first, again, other = (simulate(None, SICK, rate=20, seconds=40, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_report_does_not_depend_on_the_hash_seed() -> None:
    """Python scatters sets and dictionaries of text by a number of each process."""

    def output(hash_seed: str) -> str:
        env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(INSTALLED.parent)}
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout

    assert output("1") == output("2") != ""


def test_the_rate_is_that_of_each_client() -> None:
    """In the mean: calls come at random, so their number scatters by its square root."""
    report = simulate(NO_CLIENT, Service(), clients=20, rate=5, seconds=40)
    assert report.calls == pytest.approx(4000, abs=4 * 4000**0.5)


def test_a_rate_of_zero_makes_no_calls() -> None:
    """The figures of such a report are defined."""
    report = simulate(None, Service(), rate=0, seconds=10)
    assert (report.calls, report.success_share, report.amplification, report.p50_call) == (0, 1.0, 0.0, None)
    assert report.seconds == 10
    assert "calls" in str(report)


@pytest.mark.parametrize(("seconds", "span", "count"), [(10.0, 0.25, 41), (240.0, 1.0, 241)])
def test_the_time_of_a_report_is_divided_into_240_moments(seconds: float, span: float, count: int) -> None:
    """Of a quarter of a second at least; and one that begins with the end."""
    moments = simulate(None, Service(), rate=0, seconds=seconds).moments
    assert (moments[1].at, len(moments)) == (span, count)


def test_calls_that_are_under_way_at_the_end_are_finished() -> None:
    """None is lost, and the report's time goes on until the last one has ended."""
    report = simulate(NO_CLIENT, Service(latency=5.0), rate=10, seconds=2)
    assert report.succeeded == report.calls > 0
    assert 5 < report.seconds < 7.1
    assert sum(moment.calls for moment in report.between(0, 2)) == report.calls


def test_a_call_without_a_timeout_may_never_end() -> None:
    """Nothing ends the wait for a silent service: the report counts the calls that it would hold for ever."""
    service = Service(faults=[Outage(how="silent", start=5, seconds=5)])
    config = HttpClientConfig(enable_retry_policy=False, enable_circuit_breaker=False)
    report = simulate(config, service, rate=4, seconds=20, options={"timeout": Timeout(pool=1.0)})
    assert report.unfinished == report.calls - report.succeeded - report.failed > 10
    assert "never ended" in str(report)


def test_each_client_has_circuits_and_connections_of_its_own() -> None:
    """A dead service opens as many circuits as there are clients."""
    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 60})
    report = simulate(config, Service(faults=[Outage()]), clients=7, rate=10, seconds=20)
    assert report.openings == 7
    assert report.moments[-1].open_circuits == 7


def test_one_client_may_use_up_its_connections() -> None:
    """They limit how many exchanges it has at once, as they do in reality."""
    service = Service(latency=1.0)
    config = HttpClientConfig(max_connections_per_host=2)
    report = simulate(config, service, rate=10, seconds=30, options={"timeout": Timeout(total=10, pool=0.5)})
    assert set(report.errors) == {"PoolTimeoutError"} == set(report.refusals)
    assert report.succeeded == pytest.approx(2 * 30, rel=0.2)


def test_a_deadline_around_a_simulation_is_not_a_deadline_in_it() -> None:
    """It is an instant of another clock."""
    with deadline(0.001):
        report = simulate(None, Service(latency=1.0), rate=1, seconds=20)
    assert report.succeeded == report.calls > 0


def test_the_total_timeout_of_a_configuration_holds_in_virtual_time() -> None:
    """It bounds each call from its own beginning."""
    config = HttpClientConfig(total_timeout=1.5)
    report = simulate(config, Service(latency=2.0), rate=5, seconds=20)
    assert report.worst_call == pytest.approx(1.5)
    assert set(report.errors) == {"DeadlineExceededError"}


def test_interceptors_and_private_files_are_left_out() -> None:
    """They are code and files of the user; a simulation neither runs nor reads them."""

    class Loud:
        def intercept_request(self, request: Any, context: Any) -> Any:
            raise AssertionError("it ran")

    config = HttpClientConfig(request_interceptors=[Loud], netrc="/no/such/file", cookies=True)
    assert simulate(config, Service(), rate=5, seconds=2).failed == 0


def test_listeners_of_a_policy_are_not_called(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody wants alarms of a circuit that opened in a simulation; the log stays quiet too."""
    changes: list[Any] = []
    config = HttpClientConfig(circuit_breaker_config=CircuitBreakerPolicy(5, 60, on_change=changes.append))
    assert simulate(config, Service(faults=[Outage()]), rate=10, seconds=10).openings == 1
    assert changes == []
    assert caplog.records == []


def test_the_policy_of_a_call_may_be_set() -> None:
    """By the options of the calls, as for a real one."""
    service = Service(faults=[Errors(rate=1.0)])
    options = {"retry_policy": RetryPolicy(max_attempts=2), "circuit_breaker": False}
    report = simulate(
        HttpClientConfig(enable_retry_budget=False), service, rate=5, seconds=20, options=options
    )
    assert report.amplification == 2.0
    assert report.stops == {"that was the last attempt": report.calls}


def test_an_error_of_the_user_s_code_ends_the_simulation() -> None:
    """A backoff that raises is a bug, and no figure is worth anything then."""

    class Broken:
        def delays(self, random: Any) -> Any:
            raise ZeroDivisionError

    config = HttpClientConfig(retry_policy_config=RetryPolicy(backoff_strategy=Broken()))
    with pytest.raises(ZeroDivisionError):
        simulate(config, SICK, rate=20, seconds=10)


@pytest.mark.parametrize("is_on", [True, False])
def test_garbage_is_collected_after_a_simulation_as_before_it(is_on: bool) -> None:
    """And not during it, which would take time."""
    was_on = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        simulate(None, Service(), rate=1, seconds=1)
        assert gc.isenabled() is is_on
        with pytest.raises(ConfigurationError):
            simulate(lambda environment: 5, Service())  # type: ignore[arg-type, return-value]  # the mistake
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if was_on else gc.disable)()


@each_row(
    ("arguments", "part"),
    [
        ({"service": 5}, "service must be a Service"),
        ({"config": {"max_attempts": 3}}, "config must be"),
        ({"config": asyncio.sleep}, r"config must be a plain function, not the async <function sleep"),
        ({"clients": 0}, "clients must be a whole number of 1 or more, not 0"),
        ({"rate": -1}, "rate must be a finite number of calls a second of 0 or more, not -1"),
        ({"seconds": 0}, "seconds must be a positive, finite number"),
        ({"seconds": None}, "seconds must be a positive, finite number"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"method": "GE T"}, "GE T"),
        ({"options": {"timeout": -1}}, "timeout must be a positive"),
        ({"options": {"circuit_breaker": CircuitBreakerPolicy()}}, "set it in the configuration"),
        ({"options": {"hedging": HedgingPolicy()}}, "set it in the configuration"),
        ({"options": {"progress": print}}, "set it in the configuration"),
        ({"options": {"auth": print}}, "a simulation takes no auth in options; set it in the configuration"),
        ({"options": 5}, "options must be a mapping"),
        ({"alternates": 5}, "alternates must be a list of services, not 5"),
        ({"alternates": [Service(), 5]}, "alternates must be a list of services"),
        ({"seed": True}, "seed must be a whole number, not True"),
        (
            {"config": lambda environment: None, "options": {"timeout": 1}},
            "pass them on in the guarded function",
        ),
    ],
)
def test_a_wrong_argument_is_an_error_that_names_it(arguments: dict[str, Any], part: str) -> None:
    """Before anything is simulated."""
    settings: dict[str, Any] = {"config": None, "service": Service()} | arguments
    with pytest.raises(ValueError, match=part):
        simulate(settings.pop("config"), settings.pop("service"), **settings)


def test_an_unknown_option_is_an_error_with_a_hint() -> None:
    """As for a call."""
    with pytest.raises(TypeError, match=r"timout.*did you mean 'timeout'"):
        simulate(None, Service(), options={"timout": 1})


@each_row(
    ("make", "part"),
    [
        (lambda: Service(latency=0), "latency must be a positive"),
        (lambda: Service(latency="fast"), r"latency must be seconds or a distribution such as LogNormal"),
        (lambda: Service(latency=Uniform), "latency must be seconds or a distribution"),
        (lambda: Service(workers=0), "workers must be a whole number"),
        (lambda: Service(queue=5), "queue needs workers"),
        (lambda: Service(workers=5, queue=-1), "queue must be a whole number of 0 or more"),
        (lambda: Service(network=-1), "network must be a finite number of seconds from 0 to 10"),
        (lambda: Service(stops_abandoned_work=1), "stops_abandoned_work must be True or False"),
        (lambda: Service(faults=Outage()), "faults must be a list .*; write it in a list$"),
        (lambda: Service(faults=5), "faults must be a list .*, not 5$"),
        (lambda: simulate(HttpServiceClient(), Service()), "not <HttpServiceClient>; pass its config$"),
        (lambda: Service(faults=[Outage]), "which is no fault"),
        (lambda: Outage(how="slow"), "how must be a status from 400 to 599, or one of refused"),
        (lambda: Outage(how=200), "how must be a status"),
        (lambda: Outage(share=1.5), "share must be a finite number from 0 to 1"),
        (lambda: Outage(start=-1), "start must be a finite number of seconds of 0 or more"),
        (lambda: Outage(seconds=0), "seconds must be a positive.*use None for a fault that stays"),
        (lambda: Outage(retry_after=5), "retry_after needs a response"),
        (lambda: Errors(rate=2), "rate must be a finite number from 0 to 1"),
        (lambda: Errors(rate=0.5, status=302), "status must be a whole number from 400 to 599"),
        (lambda: Slowdown(factor=0), "factor must be"),
        (lambda: Poison(share=0.1, work=0), "work must be a positive"),
        (lambda: Flapping(up=0, down=1), "up must be a positive"),
        (lambda: Bursts(good=1, bad=0), "bad must be a positive"),
        (lambda: RateLimit(per_second=0), "per_second must be a positive"),
        (lambda: RateLimit(per_second=1, burst=0), "burst must be a whole number"),
        (lambda: RateLimit(per_second=1, retry_after=-1), "retry_after must be"),
        (lambda: Uniform(2, 1), "most=1 is below least=2"),
        (lambda: LogNormal(median=2, p99=1), "p99=1 is below median=2"),
        (lambda: Empirical([]), "samples must be a list of seconds"),
        (lambda: Empirical([1, 0]), r"samples\[1\] must be a positive"),
    ],
)
def test_a_wrong_setting_of_a_model_is_an_error_that_names_it(make: Any, part: str) -> None:
    """A ConfigurationError, with the field, its value and the remedy."""
    with pytest.raises(ConfigurationError, match=part):
        make()


@each_row(
    ("make", "part"),
    [
        (lambda: Service(capacity=5), "set workers"),
        (lambda: Service(workrs=5), "did you mean 'workers'"),
        (lambda: Service(error_rate=0.1), r"write faults=\[Errors"),
        (lambda: Outage(duration=5), "it is called seconds"),
        (lambda: Errors(share=0.1), "it is called rate"),
        (lambda: RateLimit(rate=5), "it is called per_second"),
    ],
)
def test_a_misspelt_keyword_of_a_model_is_an_error_with_a_hint(make: Any, part: str) -> None:
    """Names that another class here has are among the hints."""
    with pytest.raises(TypeError, match=part):
        make()


def test_no_client_is_what_a_plain_library_does() -> None:
    """It repeats nothing, refuses nothing and waits for nothing."""
    config = NO_CLIENT
    flags = (config.enable_retry_policy, config.enable_circuit_breaker, config.enable_retry_budget)
    assert (*flags, config.enable_throttle_gate) == (False, False, False, False)


def test_the_arguments_have_defaults() -> None:
    """One client, a call a second, for ten minutes; a seed, so that two people see the same."""
    parameters = inspect.signature(simulate).parameters.values()
    assert {each.name: each.default for each in parameters if each.default is not each.empty} == {
        "clients": 1,
        "rate": 1.0,
        "seconds": 600.0,
        "seed": 0,
        "alternates": (),
        "method": "GET",
        "options": None,
    }
