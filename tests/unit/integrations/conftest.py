"""A server for the tests of adapters; and tests of neuroglia do not share its services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from http_service_client.testing import LoopbackServer


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    """A scripted server on loopback."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture(autouse=True)
def _own_services(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All builders share one collection; here each test has its own."""
    if not request.path.name.startswith("test_neuroglia"):
        return
    apps = pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)
    monkeypatch.setattr(apps.ApplicationBuilderBase, "services", apps.ServiceCollection())
    monkeypatch.setattr(apps.Interceptor, "made", 0)
