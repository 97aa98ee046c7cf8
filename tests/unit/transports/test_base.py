"""What the transports have in common."""

from __future__ import annotations

import pytest

from http_service_client.transports.base import smaller


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [(1, 2, 1), (2, 1, 1), (None, 2, 2), (1, None, 1), (0, None, 0), (None, None, None)],
)
def test_the_smaller_of_two_limits(one: int | None, other: int | None, least: int | None) -> None:
    """None is no limit; 0 is one."""
    assert smaller(one, other) == least
