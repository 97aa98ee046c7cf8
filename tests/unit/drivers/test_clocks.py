"""The system's clock in tasks: it waits by the library that runs the task."""

from __future__ import annotations

import asyncio
import sys

import pytest

from http_service_client.drivers.clocks import SystemClock, is_in_trio
from kit.front_ends import run_task


@pytest.mark.parametrize("is_imported", [False, True])
def test_a_task_of_asyncio_waits_by_asyncio(is_imported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether some other code of the program has imported trio or not."""
    if is_imported:
        pytest.importorskip("trio", reason="the extra trio is not installed")
    else:
        monkeypatch.delitem(sys.modules, "trio", raising=False)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)

    async def main() -> None:
        assert not is_in_trio()
        await SystemClock.sleep_async(0.25)

    run_task(main())
    assert slept == [0.25]


def test_a_task_of_trio_waits_by_trio() -> None:
    """Asyncio's would fail there."""
    trio = pytest.importorskip("trio", reason="the extra trio is not installed")

    async def main() -> None:
        assert is_in_trio()
        await SystemClock.sleep_async(0.0)

    trio.run(main)
    assert not is_in_trio()
