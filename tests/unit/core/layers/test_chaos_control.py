"""Which calls meet chaos, how many and when; how it is switched off and reloaded, and where it is reported."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import ChaosPolicy, ConnectError, HttpClientConfig, HttpServiceClient
from http_service_client.events import Timeline
from kit.chaos import ONCE, harness_of, injected
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd


def test_it_is_bounded_in_calls(front_end: FrontEnd) -> None:
    """However many attempts they make; then nothing is injected."""
    harness = harness_of(front_end, errors=[ConnectError], error_rate=1, max_calls=2)
    outcomes = [harness.calling() for _ in range(2)]
    for each in outcomes:
        with pytest.raises(ConnectError):
            front_end.run(each)
    assert len(injected(harness)) == 6
    assert harness.request().status_code == 200
    summary = harness.client.get_health_summary()["chaos"]
    assert (summary["calls"], summary["injections"], summary["is_on"]) == (2, 6, False)


def test_it_has_a_scope(front_end: FrontEnd) -> None:
    """Origins and routes, below any base URL; each hop of a redirect is judged by its own URL."""
    harness = harness_of(
        front_end,
        statuses=[503],
        status_rate=1,
        origins=["*.example.com"],
        routes=["GET /orders/{id}", "DELETE *"],
    )
    for method, url, status in [
        ("GET", f"{ORIGIN}/v1/orders/7?x=1", 503),
        ("DELETE", f"{ORIGIN}/anything", 503),
        ("GET", f"{ORIGIN}/orders", 200),
        ("POST", f"{ORIGIN}/orders/7", 200),
        ("GET", "https://other.test/orders/7", 200),
    ]:
        assert harness.request(method, url, **ONCE).status_code == status
    harness.transport.script[:] = [(302, {"Location": "/orders/7"}), 200]
    assert harness.request("GET", f"{ORIGIN}/start", **ONCE).status_code == 503


def test_a_time_window(front_end: FrontEnd) -> None:
    """Nothing before it, nothing after it."""
    harness = Harness(front_end, 200)
    policy = ChaosPolicy(statuses=[503], status_rate=1, begins_after=10, ends_after=20, clock=harness.clock)
    harness.client.reconfigure(HttpClientConfig(chaos=policy))
    found = []
    for _ in range(5):
        found.append(harness.request(**ONCE).status_code)
        harness.clock.now += 5
    assert found == [200, 200, 503, 503, 200]


def test_it_is_loud(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """At the start, for each fault, in the timeline, in the metrics and in the summary."""
    with caplog.at_level(logging.WARNING, "http_service_client.chaos"):
        harness = harness_of(front_end, statuses=[503], status_rate=1, max_calls=5)
        response = harness.request(**ONCE)
    first, line = (record.getMessage() for record in caplog.records)
    assert first == "a client: chaos is on; it injects status 503 at a rate of 1; in 5 calls at most"
    assert line == f"{ORIGIN}: attempt 1: chaos injected status 503"
    assert isinstance(response.timeline, Timeline)
    assert "attempt 1: chaos injected status 503" in response.timeline.explain()
    metrics = harness.client.metrics
    assert metrics.total("http_chaos_injections_total", {"service": ORIGIN, "kind": "status"}) == 1
    summary = harness.client.get_health_summary()
    assert "! chaos is on; it injects status 503" in summary.explain()
    assert "1 fault in 1 call so far" in summary.explain()


@pytest.mark.parametrize(
    ("of_keyword", "of_config", "name"),
    [
        (None, None, "a client"),
        (None, "https://config.test", "https://config.test"),
        ("https://keyword.test", None, "https://keyword.test"),
        ("https://keyword.test", "https://config.test", "https://keyword.test"),
    ],
)
@pytest.mark.parametrize("is_reload", [False, True], ids=["from the start", "by a reload"])
def test_the_log_names_the_client_by_its_base_url(
    caplog: pytest.LogCaptureFixture, of_keyword: Any, of_config: Any, name: str, is_reload: bool
) -> None:
    """Whenever the chaos comes."""
    config = HttpClientConfig(base_url=of_config, chaos={"statuses": [503], "status_rate": 1.0})
    with caplog.at_level(logging.WARNING, "http_service_client.chaos"):
        first = replace(config, chaos=None) if is_reload else config
        with HttpServiceClient(first, base_url=of_keyword) as client:
            assert len(caplog.records) == (0 if is_reload else 1)
            client.reconfigure(config)
    (record,) = caplog.records
    assert record.getMessage() == f"{name}: chaos is on; it injects status 503 at a rate of 1"


@pytest.mark.parametrize("word", ["off", "OFF", "0", "false", "stop!"])
def test_the_kill_switch(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, word: str
) -> None:
    """Whatever is not clearly on switches all chaos off, and the log says so."""
    monkeypatch.setenv("HTTP_SERVICE_CLIENT_CHAOS", word)
    harness = harness_of(front_end, statuses=[503], status_rate=1)
    assert harness.request().status_code == 200
    assert "off now: HTTP_SERVICE_CLIENT_CHAOS switches it off" in caplog.text
    monkeypatch.setenv("HTTP_SERVICE_CLIENT_CHAOS", "on")
    assert harness_of(front_end, statuses=[503], status_rate=1).request(**ONCE).status_code == 503


def test_a_reload_goes_on_with_the_count_and_the_switch(front_end: FrontEnd) -> None:
    """A configuration that is made again from its file is no new experiment."""
    settings = {"statuses": [503], "status_rate": 1.0, "max_calls": 1}
    harness = harness_of(front_end, **settings)
    harness.request(**ONCE)
    harness.client.reconfigure(HttpClientConfig(chaos=settings))
    assert harness.request(**ONCE).status_code == 200
    harness.client.reconfigure(HttpClientConfig(chaos={**settings, "max_calls": 9}))
    assert harness.request(**ONCE).status_code == 503
    policy = harness.client.config.chaos
    assert isinstance(policy, ChaosPolicy)
    policy.disable()
    harness.client.reconfigure(HttpClientConfig(chaos={**settings, "max_calls": 9}))
    assert harness.request(**ONCE).status_code == 200
    harness.client.reconfigure(HttpClientConfig())
    assert harness.client.get_health_summary()["chaos"] is None


def test_a_reload_brings_a_policy_in_use_along_as_it_is(front_end: FrontEnd) -> None:
    """It has a count of its own, which the one before must not replace."""
    settings: dict[str, Any] = {"statuses": [503], "status_rate": 1.0, "max_calls": 1}
    shared = ChaosPolicy(**settings)
    harness, other = harness_of(front_end, **settings), Harness(front_end, 200, chaos=shared)
    assert other.request(**ONCE).status_code == 503
    harness.client.reconfigure(HttpClientConfig(chaos=shared))
    assert harness.request(**ONCE).status_code == 200


def test_clients_that_share_a_policy_share_its_bound(front_end: FrontEnd) -> None:
    """It is live, as a jar is."""
    policy = ChaosPolicy(statuses=[503], status_rate=1, max_calls=1)
    one, other = Harness(front_end, 200, chaos=policy), Harness(front_end, 200, chaos=policy)
    assert [each.request(**ONCE).status_code for each in (one, other)] == [503, 200]


def test_a_seed_repeats_the_faults(front_end: FrontEnd) -> None:
    """And another rate of one kind does not shift the others."""

    def kinds(**changes: Any) -> list[int]:
        settings = {"statuses": [503], "status_rate": 0.3, "seed": 5, **changes}
        harness = harness_of(front_end, **settings)
        return [harness.request(**ONCE).status_code for _ in range(30)]

    assert kinds() == kinds() == kinds(latency=1, latency_rate=0.5)
    assert 503 in kinds()
    assert 200 in kinds()
    assert kinds(seed=6) != kinds()
