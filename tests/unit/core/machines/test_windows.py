"""The failure count of a breaker, tested apart from the breaker."""

from __future__ import annotations

from http_service_client.core.machines.windows import ConsecutiveFailures


def test_the_threshold_is_reached_by_failures_in_a_row() -> None:
    """The failure that reaches the threshold, and no earlier one, returns a readable reason."""
    window = ConsecutiveFailures(3)
    assert [window.failed() for _ in range(3)] == [None, None, "3 consecutive failures"]
    assert ConsecutiveFailures(1).failed() == "1 consecutive failure"


def test_a_success_resets_the_count_of_failures() -> None:
    """Failures before a success and after it are not consecutive."""
    window = ConsecutiveFailures(2)
    window.failed()
    window.succeeded()
    assert (window.failed(), window.count) == (None, 1)


def test_a_window_is_clear_when_a_success_would_change_nothing() -> None:
    """`is_clear` is True without failures, so that a successful call may skip the lock."""
    window = ConsecutiveFailures(5)
    seen = [window.is_clear]
    for step in (window.failed, window.succeeded, window.failed, window.clear):
        step()
        seen.append(window.is_clear)
    assert seen == [True, False, True, False, True]
