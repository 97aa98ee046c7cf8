"""Settings, events, snapshots and other records: threads, calls and caches share them, so none can be changed."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import http_service_client


def records() -> Iterator[type]:
    """All dataclasses of the package, but those of modules whose extra is not installed."""
    for about in pkgutil.walk_packages(http_service_client.__path__, "http_service_client."):
        if about.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(about.name)
        except ImportError:
            continue
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == about.name and dataclasses.is_dataclass(kind):
                yield kind


def test_no_record_can_be_changed() -> None:
    """Use `dataclasses.replace`, or the method of a setting that makes another one."""
    kinds = list(records())
    assert [kind.__qualname__ for kind in kinds if not kind.__dataclass_params__.frozen] == []  # type: ignore[attr-defined]
    assert len(kinds) > 50
