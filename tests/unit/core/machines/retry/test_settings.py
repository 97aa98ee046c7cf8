"""What the settings of a retry policy say of their conditions, and which settings are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import requests

from http_service_client.core.machines.retry.backoff import ExponentialBackoff
from http_service_client.core.machines.retry.conditions import RetryCondition
from http_service_client.core.machines.retry.settings import RetrySettings, _Judged
from http_service_client.errors import ConfigurationError, ConnectError, Failure
from http_service_client.http.messages import HttpResponse
from kit.rows import each_row


class OnBusy(RetryCondition):
    """A user's own class: it holds for some of the responses with its statuses, and for another one."""

    def holds_for(self, outcome: Any) -> bool:
        return getattr(outcome, "content", b"") == b"busy"


def on_status(*codes: int) -> RetryCondition:
    return RetryCondition.on_status_codes(codes)


ON_ERRORS = RetryCondition.on_exceptions([ConnectError])
ON_RESULT = RetryCondition.on_result(lambda response: getattr(response, "content", b"") == b"again")
OWN = OnBusy("busy", statuses=frozenset({503}))


@each_row(
    ("conditions", "may_repeat_successes", "judges_results"),
    [
        ([], False, False),
        ([ON_ERRORS], False, False),
        ([on_status(400, 503)], False, False),
        ([on_status(399)], True, False),
        ([on_status(399, 503)], True, False),
        ([ON_RESULT], True, True),
        ([on_status(503), OWN], True, True),
        (None, False, False),
    ],
)
def test_which_conditions_may_hold_for_a_success_or_for_any_result(
    conditions: Any, may_repeat_successes: bool, judges_results: bool
) -> None:
    """Where none may, results are not looked at."""
    settings = RetrySettings(retry_conditions=conditions)
    assert settings.may_repeat_successes is may_repeat_successes
    assert settings.judges_results is judges_results


@each_row("header", [None, "true", "false"])
@each_row(
    ("conditions", "status", "content", "holds"),
    [
        ([on_status(503)], 503, b"", True),
        ([on_status(503)], 500, b"", False),
        ([ON_RESULT], 500, b"again", True),
        ([ON_RESULT], 500, b"", False),
        ([ON_RESULT, on_status(503)], 503, b"", True),
        ([ON_ERRORS], 503, b"", False),
        ([OWN], 503, b"", False),
        ([OWN], 500, b"busy", True),
    ],
)
def test_a_condition_holds_whatever_the_server_says(
    header: str | None, conditions: Any, status: int, content: bytes, holds: bool
) -> None:
    """The server decides whether there is a retry; an explanation says what the conditions would have done."""
    headers = {} if header is None else {"x-should-retry": header}
    response = HttpResponse(status, headers=headers, content=content)
    settings = RetrySettings(retry_conditions=conditions)
    assert settings.has_condition_for(response) is holds
    assert settings.is_worth_it(response) is (holds if header is None else header == "true")


@pytest.mark.parametrize(
    ("condition", "vouches"),
    [
        (RetryCondition.on_result(lambda response: True), False),
        (RetryCondition.on_result(lambda response: True, even_if_unsafe=True), True),
        (on_status(503), False),
    ],
)
def test_a_condition_vouches_only_where_it_says_so(condition: RetryCondition, vouches: bool) -> None:
    """A request that is not safe to repeat is repeated for no other."""
    assert RetrySettings(retry_conditions=[condition]).is_vouched_for(HttpResponse(503)) is vouches


@pytest.mark.parametrize(
    ("kind", "is_judged"),
    [(HttpResponse, True), (Failure, True), (KeyError, True), (requests.Response, True), (dict, False)],
)
def test_which_results_say_anything_of_an_outcome(kind: type, is_judged: bool) -> None:
    """Responses, ours and those of other libraries, and errors."""
    judged = _Judged()
    assert judged[kind] is is_judged
    assert judged == {kind: is_judged}


def test_the_types_that_are_remembered_are_bounded() -> None:
    """A program may make classes without end: after 1024 it begins anew."""
    judged = _Judged()
    judged.update({type(f"Kind{number}", (), {}): False for number in range(1023)})
    assert not judged[int]
    assert len(judged) == 1024
    assert not judged[str]
    assert judged == {str: False}


class AsyncStrategy:
    """Its delays are none that a `for` loop could take."""

    async def delays(self) -> AsyncIterator[float]:
        yield 1.0

    def __repr__(self) -> str:
        return "AsyncStrategy()"


@each_row(
    ("settings", "message"),
    [
        (
            {"backoff_strategy": None},
            "backoff_strategy must be a strategy such as ExponentialBackoff(), not None",
        ),
        (
            {"backoff_strategy": ExponentialBackoff},
            "backoff_strategy must be a strategy such as ExponentialBackoff(), not ExponentialBackoff; write "
            "ExponentialBackoff(…)",
        ),
        (
            {"throttled_backoff": 5.0},
            "throttled_backoff must be a strategy such as ExponentialBackoff(), not 5.0",
        ),
        (
            {"throttled_backoff": AsyncStrategy()},
            "delays of throttled_backoff must be a plain generator, not the async one of AsyncStrategy()",
        ),
        (
            {"retry_conditions": [on_status(503), 503]},
            "retry_conditions must be a list of RetryCondition, not [<RetryCondition status 503>, 503]; write for example "
            "[RetryCondition.on_status_codes([503]), RetryCondition.on_exceptions([ConnectionError])]",
        ),
        (
            {"retry_conditions": on_status(503)},
            "retry_conditions must be a list of RetryCondition, not <RetryCondition status 503>; write it in a list",
        ),
    ],
)
def test_a_wrong_setting_is_named_with_a_remedy(settings: dict[str, Any], message: str) -> None:
    """The message shows what was given, and what to write."""
    with pytest.raises(ConfigurationError) as raised:
        RetrySettings(**settings)
    assert str(raised.value) == message


def test_the_waits_after_throttling_may_be_those_of_any_strategy() -> None:
    """None is for the same ones as otherwise."""
    for strategy in (None, ExponentialBackoff(5.0)):
        assert RetrySettings(throttled_backoff=strategy).throttled_backoff is strategy


@pytest.mark.parametrize(
    ("conditions", "error", "is_worth_it"),
    [
        ([ON_ERRORS], ConnectError("x"), True),
        ([ON_ERRORS], KeyError("x"), False),
        ([on_status(503), ON_ERRORS], ConnectError("x"), True),
        ([on_status(503)], ConnectError("x"), False),
        ([], ConnectError("x"), False),
    ],
)
def test_an_error_is_worth_a_retry_where_a_condition_holds(
    conditions: Any, error: Exception, is_worth_it: bool
) -> None:
    """Any of them."""
    assert RetrySettings(retry_conditions=conditions).is_worth_it(error) is is_worth_it
