"""What may be set of a rate limiter, and how long a call may wait for its turn."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.limits.rate_limit_settings import LateTurn, RateLimitSettings
from http_service_client.errors import ConfigurationError
from kit.rows import each_row


@each_row(
    ("given", "per_second"),
    [
        ({"rate": 1e-6}, 1e-6),
        ({"rate": 1e9}, 1e9),
        ({"rate": 100, "per": 50}, 2.0),
        ({"rate": 2e9, "per": 2}, 1e9),
        ({"follow_headers": True}, None),
        ({"adaptive": "aimd"}, None),
        ({"adaptive": "cubic"}, None),
    ],
)
def test_calls_a_second(given: dict[str, Any], per_second: float | None) -> None:
    """From one in eleven days to a billion; none where the service says what it admits."""
    assert RateLimitSettings(**given).per_second == per_second


@each_row(
    ("given", "message"),
    [
        ({}, "rate must be a number of calls, such as rate=10 for ten a second, not None; "),
        ({"rate": 9e-7}, "rate=9e-07 in per=1.0 s is 9e-07 a second, and must be from 1e-06 to 1e+09"),
        (
            {"rate": 1e9, "per": 0.9},
            "rate=1000000000.0 in per=0.9 s is 1.11111e+09 a second, and must be from",
        ),
        ({"rate": 0}, "rate=0 in per=1.0 s is 0 a second"),
        ({"adaptive": "bbr"}, "adaptive must be 'aimd', 'cubic' or None, not 'bbr'"),
        ({"rate": 1, "key": 5}, "key must be a function, not 5"),
    ],
)
def test_a_wrong_setting_is_refused(given: dict[str, Any], message: str) -> None:
    """With the field, the value and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        RateLimitSettings(**given)
    assert str(caught.value).startswith(message)


@each_row(
    ("waited", "max_wait", "remaining", "expected"),
    [
        (1.0, None, None, (None, False)),
        (1.0, 6.0, None, (5.0, False)),
        (9.0, 6.0, None, (0.0, False)),
        (1.0, None, 2.0, (2.0 - 1e-6, True)),
        (1.0, 6.0, 5.0, (5.0 - 1e-6, True)),
        (1.0, 6.0, 5.000002, (5.0, False)),
        (1.0, None, 0.0, (0.0, True)),
    ],
)
def test_how_long_a_call_may_wait(
    waited: float, max_wait: float | None, remaining: float | None, expected: tuple[float | None, bool]
) -> None:
    """Until `max_wait` is over, or the deadline, which leaves a microsecond for the call; and which of them it is."""
    assert LateTurn(9.0, waited, max_wait, remaining).longest() == expected
