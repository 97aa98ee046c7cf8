"""Envoy: which part of its configuration a document is, and what the fields of a part mean beside each other."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientConfig
from http_service_client.interchange import Import, export, from_envoy

RETRY, CIRCUIT, BUDGET = "retry_policy_config.", "circuit_breaker_config.", "retry_budget_config."


def noted(imported: Import) -> list[str]:
    """The paths of what has no exact equal, but for the note about each POST."""
    return [note.name for note in imported.notes if "a POST, too" not in note.why]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"connect_timeout": "0.5s"}, {"connection_timeout": 0.5, "enable_circuit_breaker": False}),
        ({"cluster": {"connect_timeout": "0.5s"}}, {"connection_timeout": 0.5, "enable_circuit_breaker": False}),
        ({"timeout": "3s"}, {"total_timeout": 3.0, "enable_retry_policy": False}),
        ({"route": {"timeout": "3s"}}, {"total_timeout": 3.0, "enable_retry_policy": False}),
    ],
)  # fmt: skip
def test_a_part_is_known_by_a_single_field(document: dict[str, Any], said: dict[str, Any]) -> None:
    """A cluster by its timeout, for one."""
    assert from_envoy(document).said == said


@pytest.mark.parametrize("field", [{"num_retries": 2}, {"numRetries": 2}])
def test_a_retry_policy_is_known_by_its_retries(field: dict[str, Any]) -> None:
    """It says nothing of the timeout of a route, and without `retry_on` nothing is retried."""
    said = from_envoy(field).said
    assert "total_timeout" not in said
    assert (said[RETRY + "max_attempts"], said[RETRY + "statuses"]) == (3, ())


@pytest.mark.parametrize(
    "detection",
    [
        {"consecutive_5xx": 7, "enforcing_consecutive_5xx": 100, "base_ejection_time": "9s"},
        {"consecutive5xx": 7, "enforcingConsecutive5xx": 100, "baseEjectionTime": "9s"},
    ],
)
def test_a_field_may_be_in_camel_case(detection: dict[str, Any]) -> None:
    """As the JSON of protobuf has it, which drops the underscore before a digit."""
    imported = from_envoy({"outlier_detection": detection})
    assert imported.said == {CIRCUIT + "failure_threshold": 7, CIRCUIT + "recovery_timeout": 9.0}
    assert noted(imported) == []


def test_causes_after_one_that_has_no_equal_are_read() -> None:
    """It has a note, and they are retried."""
    imported = from_envoy({"retry_on": "unavailable,gateway-error, retriable-4xx"})
    assert imported.said[RETRY + "statuses"] == (409, 502, 503, 504)
    assert noted(imported) == ["retry_on"]


@pytest.mark.parametrize("retry_on", ["", " , "])
def test_no_causes_and_no_statuses_have_no_notes(retry_on: str) -> None:
    """Nothing is lost: they ask for nothing."""
    imported = from_envoy({"retry_on": retry_on, "retriable_status_codes": []})
    assert noted(imported) == []
    assert (imported.said[RETRY + "statuses"], imported.said[RETRY + "lost_connections"]) == ((), "none")


@pytest.mark.parametrize("is_hedged", [True, False])
def test_an_attempt_of_no_time_has_no_limit(is_hedged: bool) -> None:
    """Zero is none in Envoy: no hedge begins, either."""
    policy = {"retry_on": "5xx", "per_try_timeout": "0s"}
    imported = from_envoy({"retry_policy": policy, "hedge_policy": {"hedge_on_per_try_timeout": is_hedged}})
    assert not {"base_timeout", "hedging.delay"} & imported.said.keys()
    assert imported.config.hedging is None


@pytest.mark.parametrize("headers", [["Retry-After"], [{"format": "SECONDS"}], [None, {"name": 5}]])
def test_headers_that_are_not_as_envoy_has_them_are_noted(headers: list[Any]) -> None:
    """Only a mapping with the name of a header is one."""
    document = {"retry_on": "5xx", "rate_limited_retry_back_off": {"reset_headers": headers}}
    assert "rate_limited_retry_back_off.reset_headers" in noted(from_envoy(document))


@pytest.mark.parametrize("default", [{}, {"priority": "DEFAULT"}, {"priority": 0}])
def test_the_thresholds_of_the_default_priority_are_read_wherever_they_are(default: dict[str, Any]) -> None:
    """Envoy takes the first of each priority."""
    thresholds = [{"priority": "HIGH", "max_connections": 9}, {**default, "max_connections": 5}]
    thresholds.append({"max_connections": 7})
    imported = from_envoy({"circuit_breakers": {"thresholds": thresholds}})
    assert imported.said["max_connections_per_host"] == 5
    assert noted(imported) == ["circuit_breakers.thresholds[0]", "circuit_breakers.thresholds[2]"]


@pytest.mark.parametrize("rate", [0.01, 0.29, 0.5, 0.9, 1.0])
def test_a_failure_rate_in_whole_percent_is_said_exactly(rate: float) -> None:
    """Without a note."""
    exported = export(HttpClientConfig(circuit_breaker_config={"failure_rate": rate}), to="envoy")
    detection = exported.document["cluster"]["outlier_detection"]
    assert detection["failure_percentage_threshold"] == round(100 * rate)
    assert exported.said[CIRCUIT + "failure_rate"] == rate
    assert CIRCUIT + "failure_rate" not in [note.name for note in exported.notes]


@pytest.mark.parametrize(("ratio", "percent"), [(0.2, 20.0), (1.0, 100.0)])
def test_a_budget_of_up_to_all_calls_is_said(ratio: float, percent: float) -> None:
    """Above that, Envoy has no share of the requests in flight."""
    exported = export(HttpClientConfig(retry_budget_config={"ratio": ratio}), to="envoy")
    (threshold,) = exported.document["cluster"]["circuit_breakers"]["thresholds"]
    assert threshold["retry_budget"] == {"budget_percent": {"value": percent}}
    more = export(HttpClientConfig(retry_budget_config={"ratio": 1.01}), to="envoy")
    assert BUDGET + "ratio" not in more.said
