"""The service config of gRPC: what its codes, attempts and tokens can say, and what a method has beside others."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectError,
    ConnectTimeoutError,
    ConstantBackoff,
    HttpClientConfig,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.interchange import Export, export, from_grpc_service_config
from kit.rows import each_row

RETRY, BUDGET = "retry_policy_config.", "retry_budget_config."
LOST = {
    "all": [RetryCondition.defaults()[0]],
    "unsent": [RetryCondition.on_exceptions([ConnectError, ConnectTimeoutError])],
    "none": [],
}


def exported(**settings: Any) -> Export:
    return export(HttpClientConfig(**settings), to="grpc")


def noted(document: Export) -> set[str]:
    return {note.name for note in document.notes}


@pytest.mark.parametrize(
    ("lost", "statuses", "codes", "is_said"),
    [
        ("all", [503], ["UNAVAILABLE"], True),
        ("all", [504], ["UNAVAILABLE", "DEADLINE_EXCEEDED"], False),
        ("unsent", [503, 504], ["UNAVAILABLE", "DEADLINE_EXCEEDED"], False),
        ("none", [503], ["UNAVAILABLE"], False),
        ("none", [504], ["DEADLINE_EXCEEDED"], False),
    ],
)
def test_unavailable_is_both_503_and_a_lost_connection(
    lost: str, statuses: list[int], codes: list[str], is_said: bool
) -> None:
    """It is among the codes for either of them, with a note unless both are meant."""
    conditions = [*LOST[lost], RetryCondition.on_status_codes(statuses)]
    document = exported(retry_policy_config={"retry_conditions": conditions})
    (method,) = document.document["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == codes
    assert (RETRY + "lost_connections" not in noted(document)) is is_said
    assert document.said.get(RETRY + "lost_connections") == ("all" if "UNAVAILABLE" in codes else None)


@pytest.mark.parametrize(("attempts", "is_noted"), [(1, False), (2, True), (3, True)])
def test_a_backoff_that_grpc_does_not_have_is_noted_where_there_are_retries(
    attempts: int, is_noted: bool
) -> None:
    """One attempt never waits."""
    document = exported(retry_policy_config=RetryPolicy(attempts, ConstantBackoff(0.5)))
    assert "retryPolicy" not in document.document["methodConfig"][0]
    assert (document.notes[0].why == "gRPC has an exponential backoff only, so that nothing is retried") is (
        is_noted
    )


@each_row(
    ("service", "method", "timeout"),
    [
        ("", "", 9.0),
        ("reports", "", 9.0),
        ("reports", "Charge", 9.0),
        ("payments", "", 2.0),
        ("payments", "Refund", 2.0),
        ("payments", "Charge", 1.0),
    ],
)
def test_a_method_comes_before_its_service_and_that_before_all(
    service: str, method: str, timeout: float
) -> None:
    """Wherever the entries are; an empty name is that of all methods."""
    names: list[tuple[dict[str, str], str]] = [
        ({}, "9s"),
        ({"service": "payments", "method": "Charge"}, "1s"),
        ({"service": "payments"}, "2s"),
    ]
    for entries in (names, names[::-1]):
        document = {"methodConfig": [{"name": [name], "timeout": limit} for name, limit in entries]}
        imported = from_grpc_service_config(document, service=service, method=method)
        assert imported.config.total_timeout == timeout
        assert {note.why for note in imported.notes} == {"it is for other methods"}


def test_the_only_entry_is_read_unless_another_service_is_meant() -> None:
    """Whichever service it is for."""
    document = {"methodConfig": [{"name": [{"service": "payments"}], "timeout": "1s"}]}
    assert from_grpc_service_config(document).config.total_timeout == 1.0
    with pytest.raises(ConfigurationError, match="no entry for service='reports', method=''"):
        from_grpc_service_config(document, service="reports")


@pytest.mark.parametrize(
    ("policy", "hedges"),
    [({}, 1), ({"maxAttempts": 1}, 1), ({"maxAttempts": 2}, 1), ({"maxAttempts": 6}, 4)],
)
def test_a_hedged_method_has_from_one_to_four_hedges(policy: dict[str, Any], hedges: int) -> None:
    """gRPC makes five attempts at most, and two at least."""
    imported = from_grpc_service_config(
        {"methodConfig": [{"hedgingPolicy": {"hedgingDelay": "1s", **policy}}]}
    )
    assert imported.said["hedging.max_hedges"] == hedges


@pytest.mark.parametrize("code", [-1, 0, 17, True, "NO_SUCH_CODE"])
def test_a_code_that_stands_for_no_status_is_noted(code: Any) -> None:
    """OK, and what is no code at all."""
    policy = {"maxAttempts": 2, "retryableStatusCodes": [14, code]}
    imported = from_grpc_service_config({"methodConfig": [{"retryPolicy": policy}]})
    assert imported.said[RETRY + "statuses"] == (503,)
    assert [note.why for note in imported.notes] == [f"{code} has no status of HTTP"]
