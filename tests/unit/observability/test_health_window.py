"""What a health summary says of the last minute, and of calls that take longer than usual."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
import requests

from http_service_client import CircuitOpenError, ConfigurationError
from http_service_client.integrations import ResilientAdapter
from http_service_client.observability import HealthSummary
from http_service_client.observability.explanation import _problems, is_calm
from kit.fakes import Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

ORIGIN = "https://api.example.com"
OTHER = "https://other.example.com"
DOWN = {
    "enable_retry_policy": False,
    "circuit_breaker_config": {"failure_threshold": 2, "recovery_timeout": 100.0},
}


def took(harness: Harness, seconds: float, status: int = 200) -> Any:
    """An entry of the script whose exchange takes this long."""

    def respond(request: Any) -> Any:
        harness.clock.now += seconds
        return (status, {})

    return respond


def take(harness: Harness, *durations: float, **options: Any) -> None:
    """Make a call for each duration."""
    for seconds in durations:
        harness.transport.script = [took(harness, seconds)]
        harness.request(**options)


def window_of(harness: Harness, **options: Any) -> Any:
    return harness.client.get_health_summary(**options)["window"]


def test_the_window_is_the_last_minute_and_the_totals_stay(front_end: FrontEnd) -> None:
    """An outage of an hour ago is in the totals, and no reason to look now."""
    harness = Harness(front_end, 500, 500, 200, enable_retry_policy=False)
    harness.request()
    harness.request()
    harness.clock.now += 3600.0
    harness.request()
    summary = harness.client.get_health_summary()
    assert (summary["total_requests"], summary["error_rate"]) == (3, pytest.approx(2 / 3))
    window = summary["window"]
    assert (window["total_requests"], window["error_rate"], window["seconds"]) == (1, 0.0, 60.0)
    assert summary.explain().splitlines()[:2] == [
        "3 calls, 33.3% succeeded; in the last 60 s 1 call, 100.0% succeeded; no origin needs attention",
        f"{ORIGIN}: 3 calls, 33.3% succeeded; in the last 60 s 1 call, 100.0% succeeded",
    ]
    assert summary.problems() == {}


def test_a_failure_of_now_is_not_hidden_by_a_good_past(front_end: FrontEnd) -> None:
    """One of 300 calls is little; all of the last minute's are not."""
    harness = Harness(front_end, 200, enable_retry_policy=False)
    for _ in range(300):
        harness.request()
    harness.clock.now += 100.0
    harness.transport.script = [500]
    harness.request()
    summary = harness.client.get_health_summary()
    assert summary["error_rate"] < 0.01
    assert summary.problems() == {
        ORIGIN: ["1 call failed; the errors are 500 (1); see error.explain() of one"]
    }


def test_without_a_call_in_the_window_the_text_says_so(front_end: FrontEnd) -> None:
    """And goes on with what is known since the start."""
    harness = Harness(front_end, 404)
    harness.request()
    harness.clock.now += 3600.0
    text = harness.client.get_health_summary().explain().splitlines()
    assert text[:4] == [
        "1 call, 0.0% succeeded; in the last 60 s none; no origin needs attention",
        f"{ORIGIN}: 1 call, 0.0% succeeded; in the last 60 s none",
        "  1.00 requests a call",
        "  the errors are 404 (1)",
    ]


def test_durations_are_those_of_each_origin(front_end: FrontEnd) -> None:
    """Percentiles over all names of calls, and the slowest call with its id."""
    harness = Harness(front_end)
    take(harness, *[0.1] * 94, *[1.0] * 5, name="charge")
    take(harness, 9.0)
    slowest = harness.events[-1].call_id
    take(harness, 0.003, url=OTHER)
    found = window_of(harness)["origins"]
    assert found[ORIGIN]["p50"] == pytest.approx(0.1, rel=0.045)
    assert found[ORIGIN]["p95"] == found[ORIGIN]["p99"] == pytest.approx(1.0, rel=0.045)
    assert (found[ORIGIN]["slowest"], found[ORIGIN]["slowest_call"]) == (9.0, slowest)
    assert found[OTHER]["p50"] == found[OTHER]["slowest"] == pytest.approx(0.003)
    text = harness.client.get_health_summary().explain()
    assert f"the slowest took 9 s (call {slowest})" in text


def test_amplification_is_that_of_the_window(front_end: FrontEnd) -> None:
    """Retries of before do not count."""
    harness = Harness(front_end, 503, 503, 200)
    harness.request()
    harness.clock.now += 100.0
    harness.request()
    harness.request()
    summary = harness.client.get_health_summary()
    assert summary["amplification"][ORIGIN]["exchanges"] == 5
    window = summary["window"]
    assert (window["amplification"], window["origins"][ORIGIN]["retries"]) == (1.0, 0)
    assert "retries add much" not in summary.explain()


def test_refused_calls_have_no_duration(front_end: FrontEnd) -> None:
    """Zero milliseconds would make a service that is down look fast."""
    harness = Harness(front_end, **DOWN)
    harness.transport.script = [took(harness, 2.0, 500)]
    harness.request()
    harness.request()
    for _ in range(50):
        harness.error(CircuitOpenError)
    found = window_of(harness)["origins"][ORIGIN]
    assert (found["calls"], found["refused"], found["p50"]) == (52, 50, pytest.approx(2.0, rel=0.045))
    harness.clock.now += 80.0
    harness.error(CircuitOpenError)
    summary = harness.client.get_health_summary()
    assert summary["window"]["origins"][ORIGIN]["p50"] is None
    assert "p50" not in summary.explain()


def test_calls_that_take_longer_than_usual_are_named(front_end: FrontEnd) -> None:
    """By origin and name, against the same calls in the minutes before."""
    harness = Harness(front_end)
    take(harness, *[0.1] * 40, name="charge")
    take(harness, *[0.1] * 40, name="refund")
    harness.clock.now += 120.0
    take(harness, *[0.5] * 10, name="charge")
    take(harness, *[0.1] * 10, name="refund")
    (slow,) = window_of(harness)["slow"]
    assert (slow["origin"], slow["name"], slow["calls"]) == (ORIGIN, "charge", 10)
    assert slow["p50"] == pytest.approx(0.5, rel=0.045)
    assert slow["usual_p50"] == pytest.approx(0.1, rel=0.045)
    assert slow["times"] == pytest.approx(5.0, rel=0.1)
    (problem,) = harness.client.get_health_summary().problems()[ORIGIN]
    assert problem == (
        "'charge' takes longer than usual: p50 is 500 ms, and usually 98.1 ms, p95 is 500 ms, and usually 98.1 ms"
    )


def test_the_calls_that_are_slowed_down_most_stand_first(front_end: FrontEnd) -> None:
    """Whatever their names, and whichever were made first."""
    harness = Harness(front_end)
    for name in ("a", "b", "c"):
        take(harness, *[0.1] * 40, name=name)
    harness.clock.now += 120.0
    for name, seconds in (("a", 0.5), ("b", 2.0), ("c", 1.0)):
        take(harness, *[seconds] * 10, name=name)
    assert [slow["name"] for slow in window_of(harness)["slow"]] == ["b", "c", "a"]


def test_origins_with_most_calls_stand_first(front_end: FrontEnd) -> None:
    """Whichever was called first."""
    harness = Harness(front_end)
    for number, count in ((1, 1), (2, 3), (3, 2)):
        take(harness, *[0.1] * count, url=f"https://{number}.example.com/")
    assert [*window_of(harness)["origins"]] == [f"https://{number}.example.com" for number in (2, 3, 1)]


def test_calls_without_a_name_are_known_by_their_template(front_end: FrontEnd) -> None:
    """Which is one kind of calls, as a URL is not."""
    harness = Harness(front_end)
    url = f"{ORIGIN}/orders/{{order_id}}"
    take(harness, *[0.1] * 20, url=url, path_params={"order_id": "7"})
    harness.clock.now += 120.0
    take(harness, *[0.5] * 10, url=url, path_params={"order_id": "8"})
    (slow,) = window_of(harness)["slow"]
    assert (slow["origin"], slow["name"]) == (ORIGIN, "/orders/{order_id}")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param([0.1] * 40, [0.15] * 20, id="less than twice"),
        pytest.param([0.1] * 40, [0.5] * 9, id="too few calls"),
        pytest.param([0.1] * 19, [0.5] * 10, id="nothing is usual yet"),
        pytest.param([0.001] * 40, [0.005] * 20, id="a few milliseconds"),
        pytest.param([0.0005] * 40, [0.0095] * 20, id="nine milliseconds"),
        pytest.param([0.5] * 40, [0.1] * 20, id="faster"),
        pytest.param([0.1] * 40, [*[0.1] * 30, *[3.0] * 3], id="p95 of a few calls"),
    ],
)
def test_what_may_be_chance_is_not_called_slow(
    front_end: FrontEnd, before: list[float], now: list[float]
) -> None:
    """A hint that is often wrong is not read."""
    harness = Harness(front_end, enable_circuit_breaker=False)
    take(harness, *before)
    harness.clock.now += 120.0
    take(harness, *now)
    assert window_of(harness)["slow"] == []


def test_a_slow_tail_is_named_too(front_end: FrontEnd) -> None:
    """With enough calls, p95 counts, whatever the median."""
    harness = Harness(front_end)
    take(harness, *[0.1] * 100)
    harness.clock.now += 120.0
    take(harness, *[0.1] * 46, *[2.0] * 4)
    (slow,) = window_of(harness)["slow"]
    assert (slow["name"], slow["times"]) == (None, pytest.approx(20.0, rel=0.1))
    (problem,) = harness.client.get_health_summary().problems()[ORIGIN]
    assert problem.startswith(
        "the calls take longer than usual: p50 is 98.1 ms, and usually 98.1 ms, p95 is 2 s"
    )


def test_another_window_may_be_chosen(front_end: FrontEnd) -> None:
    """Up to ten minutes."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.clock.now += 500.0
    harness.request()
    assert window_of(harness, window=5)["total_requests"] == 1
    assert window_of(harness, window=600)["total_requests"] == 2
    assert window_of(harness, window=600)["seconds"] == 500.0


@each_row("window", [0, -1, 601, float("nan"), float("inf"), "60", None, True])
def test_a_wrong_window_is_an_error(front_end: FrontEnd, window: Any) -> None:
    """That names it."""
    with pytest.raises(ConfigurationError, match="window must be"):
        window_of(Harness(front_end), window=window)


def test_a_view_has_the_window_of_its_client(front_end: FrontEnd) -> None:
    """As it has its metrics."""
    harness = Harness(front_end, 200)
    harness.request()
    view = harness.client.with_options(timeout=3)
    assert view.get_health_summary()["window"]["total_requests"] == 1


def test_calls_of_an_adapter_are_in_the_window(front_end: FrontEnd) -> None:
    """An adapter that shares a client shares its health, too."""
    harness = Harness(front_end)
    with requests.Session() as session:
        session.mount("https://", ResilientAdapter(client=harness.client))
        with pytest.raises(requests.RequestException):
            session.get("https://127.0.0.1:9/", timeout=5)
    (found,) = window_of(harness)["origins"].values()
    assert (found["calls"], sum(found["errors"].values())) == (1, 1)


def test_a_cancelled_call_is_no_failure_of_the_service(front_end: FrontEnd) -> None:
    """It counts as an error, as in the totals, and needs no attention."""
    harness = Harness(front_end, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        harness.client.get(f"{ORIGIN}/")
    summary = harness.client.get_health_summary()
    assert summary["window"]["origins"][ORIGIN]["errors"] == {"KeyboardInterrupt": 1}
    assert summary.problems() == {}


def test_calls_that_wait_for_a_connection_are_seen(front_end: FrontEnd) -> None:
    """Of the limit of the client, too, which belongs to no origin."""
    summary = Harness(front_end, max_connections=7).client.get_health_summary()
    assert summary["connections"] == {"in_use": 0, "awaited": 0, "limit": 7}
    summary["connections"] = {"in_use": 7, "awaited": 3, "limit": 7}
    summary["amplification"] = {ORIGIN: {"calls": 0}}
    assert (
        summary.explain()
        .splitlines()[1]
        .startswith("! 3 calls wait for one of the 7 connections of the client")
    )


def test_the_text_of_a_summary_that_was_kept_is_the_same(front_end: FrontEnd) -> None:
    """JSON keeps the window; a summary of an earlier release, which has none, is explained as well."""
    harness = Harness(front_end, 503, 200)
    harness.request()
    summary = harness.client.get_health_summary()
    kept = HealthSummary(json.loads(json.dumps(summary)))
    assert kept == summary
    del kept["window"]
    assert "requests a call" in kept.explain()
    assert "p50" not in kept.explain()


def test_keys_can_be_left_out(front_end: FrontEnd) -> None:
    """They may be users. The worst of their states is that of the origin."""
    harness = Harness(front_end, 200, 200, 500, 500, 500, **DOWN)
    harness.request()
    for _ in range(2):
        harness.request(key="alice")
        harness.request(key="bob")
    summary = harness.client.get_health_summary()
    anonymous = summary.without_keys()
    assert "alice" in str(summary)
    assert "alice" not in str(anonymous) + anonymous.explain()
    assert anonymous["circuit_breaker_states"] == {ORIGIN: "open"}
    state = anonymous["origins"][ORIGIN]
    assert (state["circuit"]["state"], state["keys"], state["keys_in_trouble"]) == ("open", 2, 1)
    assert "2 keys, of which 1 have no closed circuit" in anonymous.explain()
    assert set(summary["origins"]) == {ORIGIN, f"{ORIGIN} (alice)", f"{ORIGIN} (bob)"}  # unchanged


def test_unavailable_origins_are_those_to_which_nothing_is_sent(front_end: FrontEnd) -> None:
    """Not one whose trial is due: only a call can find out, so such a service must get calls."""
    harness = Harness(front_end, 500, **DOWN)
    harness.request()
    assert harness.client.get_health_summary().unavailable() == []
    harness.request()
    assert harness.client.get_health_summary().unavailable() == [ORIGIN]
    harness.clock.now += 100.0
    assert harness.client.get_health_summary().unavailable() == []
    circuit = harness.client.get_circuit_breaker(ORIGIN)
    assert circuit is not None
    circuit.isolate()
    assert harness.client.get_health_summary().unavailable() == [ORIGIN]


def test_an_origin_is_available_while_a_key_of_it_is(front_end: FrontEnd) -> None:
    """One tenant's circuit is not the service's."""
    harness = Harness(front_end, 500, 500, 200, **DOWN)
    harness.request(key="alice")
    harness.request(key="alice")
    harness.request(key="bob")
    assert harness.client.get_health_summary().unavailable() == []


@each_row("state", ["closed", "open", "half_open"])
@each_row("is_isolated", [False, True])
@each_row("is_metrics_only", [False, True])
def test_no_problem_is_passed_over(state: str, is_isolated: bool, is_metrics_only: bool) -> None:
    """The quick look at a state finds each one that has problems, and no other."""
    circuit = {"state": state, "is_isolated": is_isolated, "is_metrics_only": is_metrics_only}
    for each in (circuit, None):
        for left, pause, awaited, attempts in product((None, 0, 3), (0.0, 1.0), (0, 2), (None, 1, 2)):
            values = {
                "circuit": each,
                "retries_left": left,
                "pause_left": pause,
                "connections_awaited": awaited,
                "connections_in_use": 1,
                **({} if attempts is None else {"proxy_attempts": attempts}),
            }
            assert is_calm(values) == (not list(_problems(values)))


def test_a_closed_client_says_so(front_end: FrontEnd) -> None:
    """And still reports what it did."""
    harness = Harness(front_end, 200)
    harness.request()
    harness.client.close()
    summary = harness.client.get_health_summary()
    assert summary["is_closed"] is True
    assert summary.explain().startswith("the client is closed; 1 call, 100.0% succeeded")
