"""A client whose calls meet chaos, and what was injected into them."""

from __future__ import annotations

from typing import Any

from http_service_client.events import ChaosInjected
from kit.fakes import Harness
from kit.front_ends import FrontEnd

__all__ = ["ONCE", "harness_of", "injected"]

ONCE: dict[str, Any] = {"retry_policy": False}


def injected(harness: Harness) -> list[tuple[str, str]]:
    return [(event.kind, event.what) for event in harness.events if isinstance(event, ChaosInjected)]


def harness_of(front_end: FrontEnd, *script: Any, settings: Any = None, **chaos: Any) -> Harness:
    return Harness(front_end, *(script or (200,)), chaos=chaos, **(settings or {}))
