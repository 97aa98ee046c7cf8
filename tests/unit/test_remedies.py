"""What a remedy tells people to write exists: else they would be sent from one wrong keyword to the next."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import http_service_client
from http_service_client import policies, simulation
from kit.rows import each_row
from unit.test_names_of_other_libraries import KEYWORDS, OF_CALLS, OF_VIEWS, pairs
from unit.test_other_keywords import KINDS, REMEDIES

ROWS: list[tuple[Any, list[tuple[str, str]]]] = [
    *((kind, pairs(remedies)) for kind, remedies in KEYWORDS),
    *((kind, [*REMEDIES[kind.__name__].items()]) for kind in KINDS),
]
# The settings of a client whose value is a policy: what is set "in" them is a keyword of it.
IN_SETTINGS = {
    "retry_policy_config": ["RetryPolicy"],
    "circuit_breaker_config": ["CircuitBreakerPolicy"],
    "retry_budget_config": ["RetryBudgetSettings", "RetryQuotaSettings"],
    "backoff_strategy": ["ExponentialBackoff"],
}


def public(name: str) -> Any:
    """A class or function by its name; None if there is none."""
    homes = (http_service_client, policies, simulation)
    return next((found for home in homes if (found := getattr(home, name, None)) is not None), None)


def takes(kind: Any, name: str) -> bool:
    """Whether it is a keyword of the class."""
    return name in inspect.signature(kind).parameters


def is_known(kind: Any, name: str) -> bool:
    """Whether it is a keyword of the class, or of another library with a remedy there."""
    if takes(kind, name):
        return True
    with pytest.raises(TypeError) as caught:
        kind(**{name: 1})
    return f"takes no keyword {name!r}; " in str(caught.value)


@each_row(("kind", "rows"), ROWS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_remedy_names_a_keyword_of_the_class(kind: Any, rows: list[tuple[str, str]]) -> None:
    """Where it says what the keyword is called."""
    for _, remedy in rows:
        if called := re.match(r"it is called (\w+)", remedy):
            assert takes(kind, called[1]), remedy


@each_row(("kind", "rows"), ROWS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_remedy_names_a_keyword_of_the_class_where_it_is_set(
    kind: Any, rows: list[tuple[str, str]]
) -> None:
    """Or a policy with a remedy of its own for it, as the backoff has for the names of its parts."""
    for name, remedy in rows:
        placed = re.match(r"set (it|[a-z_]+(?: (?:and|or) [a-z_]+)?) in (\w+)", remedy)
        if placed is None:
            continue
        homes = IN_SETTINGS.get(placed[2], [placed[2]])
        for keyword in re.split(" and | or ", placed[1]):
            found = [
                is_known(public(home), name) if keyword == "it" else takes(public(home), keyword)
                for home in homes
                if home[0].isupper()
            ]
            assert any(found) or not found, (name, remedy)


@each_row(
    "remedies",
    [*(rows for _, rows in ROWS), pairs(OF_CALLS), pairs(OF_VIEWS)],
    ids=[*(kind.__name__ for kind, _ in ROWS), "calls", "views"],
)
def test_a_remedy_names_public_classes(remedies: list[tuple[str, str]]) -> None:
    """With keywords that they take."""
    for _, remedy in remedies:
        for name, keyword in re.findall(r"\b([A-Z][a-z]+[A-Z]\w+)\b(?:\((\w+)=)?", remedy):
            if name != "AsyncHTTPTransport":  # httpx's
                found = public(name)
                assert found is not None, remedy
                assert not keyword or takes(found, keyword), remedy
