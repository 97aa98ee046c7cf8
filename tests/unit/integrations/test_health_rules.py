"""What a health endpoint says of several clients, how long it keeps a report, and what it logs."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.integrations import health as module
from http_service_client.integrations.health import HealthReport
from http_service_client.testing import ScriptedTransport


def client(status: int = 200, calls: int = 1) -> HttpServiceClient:
    """One that has called a service, which is taken to be down after a failure."""
    config = HttpClientConfig(enable_retry_policy=False, circuit_breaker_config={"failure_threshold": 1})
    made = HttpServiceClient(config, transport=ScriptedTransport([HttpResponse(status)]))
    for _ in range(calls):
        made.get("https://stock.internal/")
    return made


def closed() -> HttpServiceClient:
    made = client()
    made.close()
    return made


def missing() -> Any:
    raise LookupError("not yet")


def said(clients: dict[str, Any], **settings: Any) -> tuple[int, str, dict[str, str]]:
    """The status, the status in words, and that of each client."""
    response = HealthReport(clients, **settings).respond()
    content = json.loads(response.body)
    return (
        response.status,
        content["status"],
        {name: each["status"] for name, each in content["clients"].items()},
    )


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("other", "status", "word", "of_other"),
    [
        (client, 200, "ok", "ok"),
        (lambda: client(500), 200, "degraded", "degraded"),
        (closed, 503, "unavailable", "closed"),
        (lambda: missing, 503, "unavailable", "missing"),
    ],
    ids=["well", "down", "closed", "missing"],
)
def test_the_worst_client_decides(turn: int, other: Any, status: int, word: str, of_other: str) -> None:
    """Wherever it stands; and all of them are shown."""
    clients = dict([("stock", client()), ("mail", other())][::turn])
    assert said(clients) == (status, word, {"stock": "ok", "mail": of_other})


def test_a_rule_of_ones_own_sees_the_clients_that_are_there() -> None:
    """It decides whether one that is missing matters."""
    seen: list[list[str]] = []

    def is_ready(summaries: Any) -> bool:
        seen.append(list(summaries))
        return True

    found = said({"mail": missing, "stock": client()}, is_ready=is_ready)
    assert found == (200, "degraded", {"mail": "missing", "stock": "ok"})
    assert seen == [["stock"]]


@pytest.mark.parametrize(
    ("instants", "counts"),
    [
        # Made in 0.125 s, it is kept for 2.5 s, and made again at their end.
        ([0.0, 0.125, 2.62, 2.625, 2.8], [1, 1, 3]),
        # What took a little more than 0.05 s is kept, too.
        ([0.0, 0.0625, 1.3], [1, 1]),
        # What is made in 0.05 s is not kept.
        ([0.0, 0.05, 0.06, 0.06], [1, 2]),
        # Nothing is kept for longer than 5 s.
        ([0.0, 9.0, 13.9, 14.0, 14.0], [1, 1, 3]),
    ],
)
def test_a_report_is_kept_twenty_times_as_long_as_it_took(
    instants: list[float], counts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If that was above 0.05 s."""
    called = client(calls=0)
    report, passing = HealthReport(called), iter(instants)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(passing)))
    found = []
    for _ in counts:
        called.get("https://stock.internal/")
        found.append(json.loads(report.respond().body)["clients"]["client"]["total_requests"])
    assert found == counts
    assert list(passing) == []


def test_a_request_without_a_path_is_for_the_endpoint() -> None:
    """A framework may have routed it."""
    report = HealthReport(client(), path="/health")
    assert [report.respond("GET", *paths).status for paths in ((), ("/health",), ("/x",), ("/x", "/health"))] == [
        200, 200, 404, 200
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/status/UX", "/X", "/health/"])
def test_a_path_may_end_with_a_slash_and_nothing_else(path: str) -> None:
    """Whatever letters it has."""
    plain = path.rstrip("/")
    report = HealthReport(client(), path=path)
    assert [report.respond("GET", asked).status for asked in (plain, plain + "/", plain[:-1], plain + "X")] == [
        200, 200, 404, 404
    ]  # fmt: skip


def test_a_client_that_is_not_there_is_in_the_log_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """With its name and the reason."""
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        HealthReport({"mail": missing}).respond()
        HealthReport({"mail": lambda: None}).respond()
    first, second = caplog.records
    assert (first.levelno, first.name, vars(first)["http_event"]) == (
        logging.DEBUG, "http_service_client.health", "client_missing"
    )  # fmt: skip
    assert first.getMessage() == "the health endpoint found no client 'mail': LookupError('not yet')"
    assert "expected an HttpServiceClient, not None" in second.getMessage()


def test_a_bug_of_the_endpoint_is_in_the_log_with_its_event(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an alarm can look for it."""
    broken = client()
    monkeypatch.setattr(type(broken), "get_health_summary", lambda self, window: 1 / 0)
    assert HealthReport(broken).respond().status == 200
    (record,) = caplog.records
    assert (record.levelno, vars(record)["http_event"]) == (logging.ERROR, "health_failed")


def test_the_size_is_bounded_when_all_that_is_behind_is_down() -> None:
    """Of each part of the report."""
    made = client(500, calls=0)
    for number in range(20):
        made.get(f"https://host-{number}.internal/")
    (found,) = json.loads(HealthReport(made, max_origins=5).respond().body)["clients"].values()
    assert found["origins_left_out"] == 15
    for part in ("problems", "amplification", "errors", "origins", "circuit_breaker_states"):
        assert len(found[part]) == 5
    assert len(found["window"]["origins"]) == 5
