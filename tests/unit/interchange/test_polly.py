"""The options of Polly: what its handlers bound, and which of them a document is of."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientConfig
from http_service_client.interchange import Export, export, from_polly
from kit.rows import each_row

RETRY, CIRCUIT = "retry_policy_config.", "circuit_breaker_config."


def exported(**settings: Any) -> Export:
    return export(HttpClientConfig(**settings), to="polly")


def noted(document: Export) -> set[str]:
    return {note.name for note in document.notes}


@pytest.mark.parametrize(("retries", "sections"), [(True, {"Retry"}), (False, {"Hedging", "Endpoint"})])
def test_a_handler_has_retries_or_hedges(retries: bool, sections: set[str]) -> None:
    """Retries where both are set, and a note that there are no hedges."""
    document = exported(enable_retry_policy=retries, hedging={"delay": 0.5})
    assert document.document.keys() & {"Retry", "Hedging", "Endpoint"} == sections
    assert ("hedging.delay" in noted(document)) is retries


@pytest.mark.parametrize(("limit", "is_noted"), [(4.999, False), (5.0, False), (5.001, True)])
def test_an_attempt_may_take_as_long_as_the_call(limit: float, is_noted: bool) -> None:
    """And no longer."""
    document = exported(base_timeout=limit, total_timeout=5.0)
    assert document.said["base_timeout"] == min(limit, 5.0)
    assert ("base_timeout" in noted(document)) is is_noted


@pytest.mark.parametrize(
    ("jitter", "uses_jitter", "is_said"),
    [("full", True, True), ("equal", True, False), ("none", False, True)],
)
def test_polly_has_one_kind_of_jitter(jitter: str, uses_jitter: bool, is_said: bool) -> None:
    """It is full jitter when it is read again."""
    document = exported(retry_policy_config={"jitter": jitter})
    assert document.document["Retry"]["UseJitter"] is uses_jitter
    assert (RETRY + "jitter" in document.said) is is_said
    assert (RETRY + "jitter" in noted(document)) is not is_said


@pytest.mark.parametrize(
    ("options", "paths"),
    [({}, []), ({"BackoffType": "EXPONENTIAL"}, []), ({"BackoffType": "Odd"}, ["Retry.BackoffType"])],
)
def test_a_kind_of_backoff_that_is_not_known_is_noted(options: dict[str, Any], paths: list[str]) -> None:
    """It is taken for that which Polly has by default."""
    imported = from_polly({"Retry": options})
    assert imported.said[RETRY + "backoff_factor"] == 2.0
    assert [note.name for note in imported.notes] == paths


@each_row(
    ("section", "options", "said"),
    [
        ("TotalRequestTimeout", {"Timeout": "00:00:07"}, {"total_timeout": 7.0}),
        ("Retry", {"MaxRetryAttempts": 4}, {RETRY + "max_attempts": 5}),
        ("CircuitBreaker", {"BreakDuration": "00:00:07"}, {CIRCUIT + "recovery_timeout": 7.0}),
        ("AttemptTimeout", {"Timeout": "00:00:07"}, {"base_timeout": 7.0}),
        ("RateLimiter", {"DefaultRateLimiterOptions": {"PermitLimit": 7}}, {"bulkhead.max_concurrent": 7}),
        ("Hedging", {"MaxHedgedAttempts": 1, "Delay": "00:00:07"}, {"hedging.delay": 7.0}),
    ],
)
@each_row("is_wrapped", [False, True])
def test_one_section_makes_a_document(
    section: str, options: dict[str, Any], said: dict[str, Any], is_wrapped: bool
) -> None:
    """As itself, or under one key of any name."""
    document = {section: options}
    imported = from_polly({"Resilience": document} if is_wrapped else document)
    assert imported.said.items() >= said.items()
