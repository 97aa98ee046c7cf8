"""Fixtures of the examples' tests: the local services, clients that reach them, and virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from examples.local_services import ClientMaker, LocalServices, Rerouted, VirtualClock
from examples.standins import importable_neuroglia
from http_service_client import HttpServiceClient

# The document's test class says `assert`, too: let its failures show the values.
pytest.register_assert_rewrite("testing")

# The services import neuroglia. From here on they are imported, also where neuroglia cannot be.
with importable_neuroglia():
    import delivery  # noqa: F401
    import notification  # noqa: F401
    import payment  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    """Make known the marker that the document's integration tests bear."""
    config.addinivalue_line("markers", "integration: the document's tests against a server of their own")


@pytest_asyncio.fixture
async def services() -> AsyncIterator[LocalServices]:
    """The server that plays every host of the document."""
    async with LocalServices() as running:
        yield running


@pytest.fixture
def clock() -> VirtualClock:
    """The time of the clients and, where a test says so, of the policies."""
    return VirtualClock()


@pytest_asyncio.fixture
async def new_client(services: LocalServices, clock: VirtualClock) -> AsyncIterator[ClientMaker]:
    """Makes clients that find every host at the local server and wait in virtual time.

    down=True: nobody listens there.   longest: cuts each attempt, in real seconds.
    Other arguments are HttpServiceClient's.
    """
    made: list[Any] = []

    def make(
        *arguments: Any, down: bool = False, longest: float | None = None, **options: Any
    ) -> HttpServiceClient:
        transport = Rerouted(None if down else services.url, longest)
        client = HttpServiceClient(*arguments, transport=transport, **{"clock": clock, **options})
        made.extend([client, transport])
        return client

    yield make
    for one in made:
        await one.close_async()
