"""What a breaker counts, apart from the breaker."""

from __future__ import annotations

from http_service_client.core.machines.windows import ConsecutiveFailures


def test_failures_in_a_row_reach_the_threshold() -> None:
    """Not before it, and with a reason for people."""
    window = ConsecutiveFailures(3)
    assert [window.failed() for _ in range(3)] == [None, None, "3 consecutive failures"]
    assert ConsecutiveFailures(1).failed() == "1 consecutive failure"


def test_a_success_forgets_the_failures_before_it() -> None:
    """They were not in a row."""
    window = ConsecutiveFailures(2)
    window.failed()
    window.succeeded()
    assert (window.failed(), window.count) == (None, 1)


def test_it_is_clear_when_a_success_would_change_nothing() -> None:
    """So a call that succeeds may skip the lock."""
    window = ConsecutiveFailures(5)
    seen = [window.is_clear]
    for step in (window.failed, window.succeeded, window.failed, window.clear):
        step()
        seen.append(window.is_clear)
    assert seen == [True, False, True, False, True]
