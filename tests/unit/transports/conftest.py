"""The time and the waits of blocking connections."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.over_requests import connection, exchange_timeouts
from kit.connections import Waits


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An instant that a test sets."""
    made = SimpleNamespace(now=100.0)
    for module in (connection, exchange_timeouts):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    """The waits of the connections that a test makes."""
    return Waits(monkeypatch)
