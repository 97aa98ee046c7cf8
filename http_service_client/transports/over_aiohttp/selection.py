"""Chooses the connector: the one that needs aiohttp's private parts if they are as expected, else the public one."""

from __future__ import annotations

from typing import Any

from .compatibility import AIOHTTP, collisions

__all__ = ["IS_AS_EXPECTED", "Connector"]

Connector: Any
if not AIOHTTP.gone:
    from .connector import CheckedConnector
    from .protocol import StrictResponseHandler

    Connector = CheckedConnector
    AIOHTTP.add(collisions(CheckedConnector, StrictResponseHandler))

IS_AS_EXPECTED = not AIOHTTP.gone
if not IS_AS_EXPECTED:
    from .public_connector import PublicConnector

    Connector = PublicConnector
