"""Chaos for tests: a machine that decides about calls, and a client whose calls meet what it decides."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import Any, NamedTuple

from http_service_client.core.machines.chaos import Chaos
from http_service_client.core.machines.chaos_settings import ChaosSettings
from http_service_client.events import ChaosInjected
from kit.fakes import Harness
from kit.front_ends import FrontEnd

__all__ = ["ONCE", "Of", "chaos_of", "harness_of", "injected"]


class Of(NamedTuple):
    """A call."""

    call_id: str


def chaos_of(chaos: ChaosSettings, *, now: list[float] | None = None, seed: int = 0) -> Chaos:
    clock = now or [0.0]
    return Chaos(chaos, clock=lambda: clock[0], random=random.Random(seed).random, lock=nullcontext())


ONCE: dict[str, Any] = {"retry_policy": False}


def injected(harness: Harness) -> list[tuple[str, str]]:
    return [(event.kind, event.what) for event in harness.events if isinstance(event, ChaosInjected)]


def harness_of(front_end: FrontEnd, *script: Any, settings: Any = None, **chaos: Any) -> Harness:
    return Harness(front_end, *(script or (200,)), chaos=chaos, **(settings or {}))
