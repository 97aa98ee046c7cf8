"""The service behind the examples, and their modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from http_service_client.testing import LoopbackServer

Load = Callable[..., ModuleType]


@pytest.fixture
def stock() -> Iterator[LoopbackServer]:
    """The service that every example asks."""
    with LoopbackServer() as server:
        yield server


@pytest.fixture
def load(stock: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports an example, which finds the service by its environment; skips the test where a package is missing."""
    monkeypatch.setenv("STOCK_URL", stock.url)

    def load(name: str, *packages: str) -> Any:
        for package in packages:
            pytest.importorskip(package)
        if name != "django_orders":
            sys.modules.pop(f"frameworks.{name}", None)
            return importlib.import_module(f"frameworks.{name}")
        module = importlib.import_module(f"frameworks.{name}")  # once: its settings are those of the process
        monkeypatch.setattr(module.settings, "STOCK_URL", stock.url)
        module.stock.cache_clear()
        return module

    return load
