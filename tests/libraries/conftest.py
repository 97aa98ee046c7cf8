"""What the tests of the mocking libraries share: a repaired aioresponses, and a server for requests that pass through."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client.testing import LoopbackServer, mend_aioresponses
from network.faults import Certificates

mend_aioresponses()


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A scripted server on loopback."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that only these tests trust."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
