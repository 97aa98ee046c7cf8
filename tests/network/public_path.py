"""The asyncio front end over aiohttp's public interface alone."""

from __future__ import annotations

import pytest

from http_service_client.transports.over_aiohttp import (
    open_body,
    public_connector,
    selection,
    session_exchange,
    sessions,
    transport,
)
from http_service_client.transports.over_aiohttp.compatibility import AIOHTTP


def use_public_connector(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a private part of aiohttp were gone."""
    monkeypatch.setattr(AIOHTTP, "gone", ("TCPConnector._conns",))
    monkeypatch.setattr(sessions, "Connector", public_connector.PublicConnector)
    for module in (open_body, selection, session_exchange, sessions, transport):
        monkeypatch.setattr(module, "IS_AS_EXPECTED", False)
