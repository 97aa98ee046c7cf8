"""The asyncio front end through aiohttp, as if a library had hooked in there."""

from __future__ import annotations

import functools
from typing import Any

import aiohttp
import pytest

__all__ = ["go_through_aiohttp"]


def go_through_aiohttp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrap `ClientSession._request`, as instrumentation does, in a function that changes nothing."""
    real: Any = aiohttp.ClientSession._request

    @functools.wraps(real)
    async def noting(*arguments: Any, **options: Any) -> Any:
        return await real(*arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", noting)
