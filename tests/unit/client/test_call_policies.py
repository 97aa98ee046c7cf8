"""The policies of one call, by keyword: the client's, one of its own, or none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
import urllib3

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    FallbackPolicy,
    HedgingPolicy,
    HttpResponse,
    RetryPolicy,
    Timeout,
)
from kit.fakes import Harness
from kit.front_ends import BlockingFrontEnd
from kit.hedged_calls import OK, Get, play

Options = dict[str, Any]
See = Callable[[pytest.MonkeyPatch, Options, Options], object]


def attempts(monkeypatch: pytest.MonkeyPatch, settings: Options, options: Options) -> int:
    return Harness(BlockingFrontEnd(), 503, **settings).request(**options).attempts


def requests_until_open(monkeypatch: pytest.MonkeyPatch, settings: Options, options: Options) -> int:
    """Of ten calls that fail."""
    harness = Harness(BlockingFrontEnd(), 500, enable_retry_policy=False, **settings)
    for _ in range(10):
        with suppress(CircuitOpenError):
            harness.request(**options)
    return harness.sends


def content(monkeypatch: pytest.MonkeyPatch, settings: Options, options: Options) -> bytes:
    return (
        Harness(BlockingFrontEnd(), HttpResponse(500, content=b"none"), **settings).request(**options).content
    )


def hedges(monkeypatch: pytest.MonkeyPatch, settings: Options, options: Options) -> str:
    """The instant of the hedge."""
    return play(
        "virtual", monkeypatch, [(9.0, OK), (9.0, OK)], Get(options=options), **settings
    ).story.partition(" ")[0]


class Policy(NamedTuple):
    """A keyword.

    settings: of a client that has a policy.   off: of a client that has none.   own: makes a call's.
    see: something that differs between a call with the client's policy, with its own, and with none, as follows.
    """

    settings: Options
    off: Options
    own: Callable[[], Any]
    see: See
    by_client: object
    by_call: object
    by_none: object


POLICIES = {
    "retry_policy": Policy(
        {"retry_policy_config": RetryPolicy(4)},
        {"enable_retry_policy": False},
        lambda: RetryPolicy(2),
        attempts,
        *(4, 2, 1),
    ),
    "circuit_breaker": Policy(
        {"circuit_breaker_config": CircuitBreakerPolicy(failure_threshold=4)},
        {"enable_circuit_breaker": False},
        lambda: CircuitBreakerPolicy(failure_threshold=2),
        requests_until_open,
        *(4, 2, 10),
    ),
    "fallback": Policy(
        {"fallback": FallbackPolicy(value="client")},
        {},
        lambda: FallbackPolicy(value="call"),
        content,
        *(b'"client"', b'"call"', b"none"),
    ),
    "hedging": Policy(
        {"hedging": HedgingPolicy(delay=4.0)},
        {"hedging": None},
        lambda: HedgingPolicy(delay=2.0),
        hedges,
        *("sent1@4", "sent1@2", ""),
    ),
}


@pytest.fixture(params=POLICIES)
def keyword(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.parametrize("is_given", [False, True], ids=["left out", "True"])
def test_a_call_has_the_policy_of_its_client(
    monkeypatch: pytest.MonkeyPatch, keyword: str, is_given: bool
) -> None:
    """Also if it asks for it, as a call of a view does that has none. A client without a policy has none to give."""
    policy = POLICIES[keyword]
    options = {keyword: True} if is_given else {}
    assert policy.see(monkeypatch, policy.settings, options) == policy.by_client
    assert policy.see(monkeypatch, policy.off, options) == policy.by_none


@pytest.mark.parametrize("with_policy", [True, False], ids=["client's", "no client's"])
def test_a_call_may_have_a_policy_of_its_own(
    monkeypatch: pytest.MonkeyPatch, keyword: str, with_policy: bool
) -> None:
    """In the place of the client's, and where the client has none."""
    policy = POLICIES[keyword]
    settings = policy.settings if with_policy else policy.off
    assert policy.see(monkeypatch, settings, {keyword: policy.own()}) == policy.by_call


@pytest.mark.parametrize("value", [False, None])
def test_a_call_may_have_none(monkeypatch: pytest.MonkeyPatch, keyword: str, value: bool | None) -> None:
    """False and None mean the same."""
    policy = POLICIES[keyword]
    assert policy.see(monkeypatch, policy.settings, {keyword: value}) == policy.by_none


def test_another_keyword_leaves_the_policies_of_the_client(
    monkeypatch: pytest.MonkeyPatch, keyword: str
) -> None:
    """A call that says something else about itself says nothing about them."""
    policy = POLICIES[keyword]
    assert policy.see(monkeypatch, policy.settings, {"name": "charge card"}) == policy.by_client


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        (5, "; write RetryPolicy(max_attempts=5)"),
        (1, "; write RetryPolicy(max_attempts=1)"),
        (0, ""),
        ("on", ""),
        ({"max_attempts": 2}, "; write {kind}(**settings)"),
        (Timeout, "; write Timeout(…)"),
        (urllib3.Retry(3), "; write RetryPolicy(max_attempts=4)"),
    ],
)
def test_anything_else_is_refused(keyword: str, wrong: object, remedy: str) -> None:
    """Numbers that equal True and False too. Nothing is sent, and the error says what a call takes, and what to write."""
    kind = type(POLICIES[keyword].own()).__name__
    if remedy.startswith("; write RetryPolicy") and kind != "RetryPolicy":
        remedy = ""
    harness = Harness(BlockingFrontEnd(), 200)
    error = harness.error(ConfigurationError, **{keyword: wrong})
    given = "Timeout" if wrong is Timeout else repr(wrong)
    assert (
        str(error)
        == f"{keyword} must be a {kind}, True, False or None, not {given}{remedy.format(kind=kind)}"
    )
    assert harness.sends == 0


@pytest.mark.parametrize(
    ("options", "attempts"),
    [({}, 2), ({"retry_budget": True}, 2), ({"retry_budget": False}, 3), ({"retry_budget": None}, 3)],
    ids=["left out", "True", "False", "None"],
)
def test_a_call_may_retry_without_the_budget(options: Options, attempts: int) -> None:
    """This one pays for a single retry."""
    budget = {"capacity": 5, "cost": 5}
    harness = Harness(BlockingFrontEnd(), 503, retry_budget_config=budget)
    assert harness.request(**options).attempts == attempts


@pytest.mark.parametrize("wrong", [5, 1, 0, "on", RetryPolicy()], ids=["5", "1", "0", "text", "policy"])
def test_the_budget_is_a_switch(wrong: object) -> None:
    """Calls share it, so none has one of its own."""
    harness = Harness(BlockingFrontEnd(), 200)
    error = harness.error(ConfigurationError, retry_budget=wrong)
    assert str(error).startswith(f"retry_budget must be True, False or None, not {wrong!r}")
    assert harness.sends == 0
