"""What tests of HTTP/2 share: the server of one connection, and servers in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kit.http2_frames import FrameServer
    from kit.http2_network import Http2Network


@pytest.fixture
def server() -> FrameServer:
    """The server of an HTTP/2 connection, frame by frame."""
    from kit.http2_frames import FrameServer  # it needs an extra

    return FrameServer()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Http2Network]:
    """Servers of HTTP/2 in memory, and one side that calls them."""
    from kit.http2_network import Http2Network  # it needs an extra

    network = Http2Network(monkeypatch)
    yield network
    network.close()
