"""When the collector is asked for slots that garbage holds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from http_service_client.drivers import garbage


def test_garbage_is_collected_at_once_and_then_each_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many callers wait for a slot: nothing else runs during a collection."""
    now, collections = [100.0], list[float]()
    monkeypatch.setattr(garbage, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(garbage, "gc", SimpleNamespace(collect=lambda: collections.append(now[0])))
    monkeypatch.setattr(garbage, "_last_at", None)
    for instant in (100.0, 100.0, 129.9, 130.0, 159.9, 160.0, 500.0):
        now[0] = instant
        garbage.collect_garbage()
    assert collections == [100.0, 130.0, 160.0, 500.0]
