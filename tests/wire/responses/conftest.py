"""What the tables of responses share. Each module has a front end of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing import LoopbackServer
from kit.front_ends import FrontEnd
from wire.responses.table_contents import LIMIT


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackServer]:
    """One server for the whole table."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(front_end: FrontEnd) -> HttpServiceClient:
    """One client for the whole table. It makes one attempt."""
    return front_end.client(
        max_response_size=LIMIT, enable_retry_policy=False, enable_circuit_breaker=False, base_timeout=10.0
    )
