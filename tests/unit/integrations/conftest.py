"""Tests of neuroglia do not share its services."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """All builders share one collection; here each test has its own."""
    apps = pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)
    monkeypatch.setattr(apps.ApplicationBuilderBase, "services", apps.ServiceCollection())
    monkeypatch.setattr(apps.Interceptor, "made", 0)
