"""A limit that is over soon, and a function that takes longer."""

from __future__ import annotations

import asyncio

__all__ = ["TIGHT", "hang"]

TIGHT = 0.02


async def hang() -> None:
    await asyncio.sleep(60)
