"""A server, and the flag of each front end: every law of a command holds for both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client.testing import LoopbackServer


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        yield running


@pytest.fixture(params=[[], ["--asyncio"]], ids=["blocking", "asyncio"])
def front_end_flag(request: pytest.FixtureRequest) -> list[str]:
    """The arguments that choose a front end."""
    flag: list[str] = request.param
    return flag
