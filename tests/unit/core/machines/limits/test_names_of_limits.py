"""The name of a limit, which its errors and its events bear."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.core.machines.limits.adaptive_limit import AdaptiveLimit, AdaptiveLimitSettings
from http_service_client.core.machines.limits.bulkhead import Bulkhead
from http_service_client.core.machines.limits.bulkhead_settings import BulkheadSettings
from http_service_client.core.machines.limits.load_shedding import LoadShedder, LoadSheddingSettings


def clock() -> float:
    return 1000.0


def bulkhead(**given: Any) -> Bulkhead:
    return Bulkhead(BulkheadSettings(max_concurrent=1), lock=threading.RLock(), **given)


def adaptive_limit(**given: Any) -> AdaptiveLimit:
    return AdaptiveLimit(
        AdaptiveLimitSettings(), clock=clock, wall_clock=clock, lock=threading.RLock(), **given
    )


def permits(**given: Any) -> Bulkhead:
    return adaptive_limit(**given).permits


def load_shedder(**given: Any) -> LoadShedder:
    return LoadShedder(
        LoadSheddingSettings(), clock=clock, random=lambda: 0.0, lock=threading.RLock(), **given
    )


@pytest.mark.parametrize("make", [bulkhead, adaptive_limit, permits, load_shedder])
def test_a_limit_has_the_name_that_it_is_given(make: Callable[..., Any]) -> None:
    """Or none."""
    assert make(key="payments").key == "payments"
    assert make().key == ""
