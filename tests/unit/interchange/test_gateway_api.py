"""The Gateway API of Kubernetes: what the schema of its resources bounds, and which of them are read."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, RetryCondition
from http_service_client.interchange import Export, export, from_gateway_api
from kit.rows import each_row

RETRY, BUDGET = "retry_policy_config.", "retry_budget_config."


def exported(**settings: Any) -> Export:
    return export(HttpClientConfig(**settings), to="gateway-api")


def noted(document: Export) -> set[str]:
    return {note.name for note in document.notes}


def test_milliseconds_are_said_exactly() -> None:
    """And less than half of one becomes one, since "0s" is no limit."""
    document = exported(total_timeout=1.234, base_timeout=0.001)
    (rule,) = document.document["HTTPRoute"]["rules"]
    assert rule["timeouts"] == {"request": "1234ms", "backendRequest": "1ms"}
    assert not noted(document) & {"total_timeout", "base_timeout"}
    shorter = exported(base_timeout=0.0001)
    assert shorter.said["base_timeout"] == 0.001
    assert "base_timeout" in noted(shorter)


def test_codes_are_those_of_errors() -> None:
    """From 400 to 599; a rule cannot repeat others."""
    conditions = [RetryCondition.on_status_codes([399, 400, 599])]
    document = exported(retry_policy_config={"retry_conditions": conditions})
    (rule,) = document.document["HTTPRoute"]["rules"]
    assert rule["retry"]["codes"] == [400, 599]
    assert RETRY + "statuses[399]" in noted(document)


@each_row(
    ("rate", "said", "is_exact"),
    [
        (0.5, {"count": 1, "interval": "2s"}, True),
        (1 / 3600, {"count": 1, "interval": "1h"}, True),
        (1 / 3601, {"count": 1, "interval": "1h"}, False),
        (1_000_000.0, {"count": 1_000_000, "interval": "1s"}, True),
        (1_000_001.0, None, False),
        (0.0, None, False),
    ],
)
def test_a_least_rate_is_from_one_an_hour_to_a_million_a_second(
    rate: float, said: dict[str, Any] | None, is_exact: bool
) -> None:
    """By the schema of a retry constraint."""
    document = exported(retry_budget_config={"ratio": 0.2, "min_per_second": rate})
    constraint = document.document["XBackendTrafficPolicy"]["retryConstraint"]
    assert constraint.get("minRetryRate") == said
    assert (BUDGET + "min_per_second" not in noted(document)) is is_exact


@pytest.mark.parametrize("rule", [-1, 1])
def test_a_rule_is_counted_from_the_first(rule: int) -> None:
    """Not from the last."""
    route = {"HTTPRoute": {"rules": [{"timeouts": {"request": "1s"}}]}}
    assert from_gateway_api(route).config.total_timeout == 1.0
    with pytest.raises(ConfigurationError, match=rf"one of the 1 rules .*, not {rule}$"):
        from_gateway_api(route, rule=rule)


@pytest.mark.parametrize("document", [{}, [], {"items": []}])
def test_no_resources_set_nothing(document: Any) -> None:
    """A retry budget, for one, is not switched off."""
    assert from_gateway_api(document).said == {}
    assert from_gateway_api(document).config == HttpClientConfig()


ROUTE: dict[str, Any] = {"kind": "HTTPRoute", "spec": {"rules": [{"timeouts": {"request": "1s"}}]}}


@pytest.mark.parametrize("document", [ROUTE, [ROUTE], [{"kind": "List", "items": [ROUTE]}], [[[ROUTE]]]])
def test_resources_may_be_in_lists(document: Any) -> None:
    """Those of a file, and a `List` in it."""
    assert from_gateway_api(document).config.total_timeout == 1.0


@pytest.mark.parametrize(
    ("document", "shown"), [("text", "'text'"), (b"text", "b'text'"), ([["text"]], "'text'")]
)
def test_text_is_no_list_of_resources(document: Any, shown: str) -> None:
    """It is shown as a whole, and not by its letters."""
    with pytest.raises(ConfigurationError, match=f"must be a mapping or a list of resources, not {shown}$"):
        from_gateway_api(document)


def test_lists_that_are_too_deep_are_refused() -> None:
    """A document of somebody else has no way to exhaust the stack."""
    with pytest.raises(ConfigurationError, match="must be a mapping or a list of resources"):
        from_gateway_api([[[[ROUTE]]]])


def test_where_a_rule_sends_requests_is_no_setting() -> None:
    """It has no notes, in the rule that is read and in others."""
    rule = {name: [{}] for name in ("matches", "filters", "backendRefs")}
    rule |= {"name": "r", "sessionPersistence": {}, "retry": {}}  # type: ignore[dict-item]
    other = {name: value for name, value in rule.items() if name != "retry"}
    assert from_gateway_api({"HTTPRoute": {"rules": [rule, other]}}).notes == ()


def test_a_backoff_of_no_time_leaves_the_client_s() -> None:
    """It is the least wait, which may be longer."""
    route = {"HTTPRoute": {"rules": [{"retry": {"attempts": 2, "backoff": "0s"}}]}}
    assert RETRY + "initial_delay" not in from_gateway_api(route).said
