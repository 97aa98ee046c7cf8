"""A POST is repeated after a response that says that nothing was done, and after nothing else that is unsafe."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionLostError,
    ReadTimeoutError,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.core.machines.retry.other_backoffs import ConstantBackoff
from http_service_client.events import RetryScheduled, RetryStopped, StopReason
from kit.fakes import READ_TIMEOUT, RESET, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

BACKOFF = ConstantBackoff(1.0, jitter="none")
ON_503 = RetryCondition.on_status_codes([503], even_if_unsafe=True)
VOUCHED = RetryPolicy(3, BACKOFF, [*RetryCondition.defaults(), ON_503])


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_an_unsafe_request_is_repeated_after_a_vouched_for_status(front_end: FrontEnd, method: str) -> None:
    """The timeline says why."""
    harness = Harness(front_end, 503, 503, 201)
    response = harness.request(method, json={}, retry_policy=VOUCHED)
    assert (response.status_code, response.attempts, harness.sleeps) == (201, 3, [1.0, 1.0])
    assert "because of status 503, which the policy repeats even if unsafe" in response.timeline.explain()


@pytest.mark.parametrize(
    ("outcome", "error"), [(RESET, ConnectionLostError), (READ_TIMEOUT, ReadTimeoutError)]
)
def test_a_lost_connection_is_not_vouched_for(
    front_end: FrontEnd, outcome: Any, error: type[Exception]
) -> None:
    """Not even after a response that was: the second attempt may have been processed."""
    for script, sends in (([outcome], 1), ([503, outcome], 2)):
        harness = Harness(front_end, *script)
        harness.error(error, "POST", json={}, retry_policy=VOUCHED)
        assert harness.sends == sends
        assert [event.reason for event in harness.events if isinstance(event, RetryStopped)] == [
            StopReason.NOT_SAFE
        ]


def test_another_status_is_not_vouched_for(front_end: FrontEnd) -> None:
    """500 is worth a retry by the defaults, and not safe."""
    harness = Harness(front_end, 500, 200)
    assert harness.request("POST", json={}, retry_policy=VOUCHED).status_code == 500


def test_a_safe_request_is_repeated_without_a_word(front_end: FrontEnd) -> None:
    """The condition changes nothing for it."""
    harness = Harness(front_end, 503, 200)
    harness.request("PUT", json={}, retry_policy=VOUCHED)
    assert [event.cause for event in harness.events if isinstance(event, RetryScheduled)] == ["status 503"]


def test_a_result_can_be_vouched_for(front_end: FrontEnd) -> None:
    """An error in a 200, say. A predicate that raises vouches for nothing."""
    for predicate, attempts in ((lambda r: r.status_code == 200, 2), (lambda r: 1 / 0, 1)):
        condition = RetryCondition.on_result(predicate, even_if_unsafe=True)
        harness = Harness(front_end, 200, 201)
        policy = RetryPolicy(3, BACKOFF, [condition, RetryCondition.on_status_codes([200])])
        assert harness.request("POST", json={}, retry_policy=policy).attempts == attempts


@each_row(("hop", "attempts"), [(303, 1), (302, 1), (307, 2), (308, 2)])
def test_a_status_after_a_redirect_to_get_says_nothing_of_the_post(
    front_end: FrontEnd, hop: int, attempts: int
) -> None:
    """The server has processed the POST when it redirects to a GET. 307 and 308 pass the POST on."""
    harness = Harness(front_end, (hop, {"Location": "/next"}), 503, 200)
    assert harness.request("POST", json={}, retry_policy=VOUCHED).attempts == attempts


def test_a_body_that_is_consumed_is_not_repeated(front_end: FrontEnd) -> None:
    """Whatever the response says."""
    harness = Harness(front_end, 503, 200)
    assert harness.request("POST", data=iter([b"a"]), retry_policy=VOUCHED).status_code == 503


def test_around_a_function_the_condition_holds_as_any_other(front_end: FrontEnd) -> None:
    """Without the defaults, a guarded POST is repeated after a 503 and not after a timeout."""
    policy = RetryPolicy(3, BACKOFF, [ON_503], clock=Harness(front_end).clock)
    harness = Harness(front_end, 503, 200)
    assert front_end.run(policy.apply(harness.calling("POST", json={}))).status_code == 200
    timed_out = Harness(front_end, READ_TIMEOUT)
    with pytest.raises(ReadTimeoutError):
        front_end.run(policy.apply(timed_out.calling("POST", json={})))
    assert timed_out.sends == 1


def test_the_switch_is_checked() -> None:
    """By both constructors."""
    with pytest.raises(ConfigurationError, match="even_if_unsafe must be True or False, not 1"):
        RetryCondition.on_status_codes([503], even_if_unsafe=1)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="even_if_unsafe must be True or False, not 'yes'"):
        RetryCondition.on_result(bool, even_if_unsafe="yes")  # type: ignore[arg-type]
