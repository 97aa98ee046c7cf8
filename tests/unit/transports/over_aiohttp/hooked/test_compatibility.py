"""What is asked of an installed aiohttp."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.over_aiohttp.hooked import compatibility


@pytest.mark.parametrize(
    ("owner", "has"),
    [
        (SimpleNamespace(transport=1, close=2, other=3), True),
        (SimpleNamespace(transport=1), False),
        (SimpleNamespace(close=2), False),
        (None, False),
    ],
)
def test_a_part_is_there_if_all_that_is_used_of_it_is(owner: Any, has: bool) -> None:
    """None stands for a class that is gone as a whole."""
    assert compatibility._has(owner, "transport", "close") is has
