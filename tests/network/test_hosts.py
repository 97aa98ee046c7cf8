"""Alternate hosts on real sockets: one that refuses connections, one that breaks off, one that serves."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from http_service_client.testing import LoopbackServer, answer, respond
from kit.front_ends import FrontEnd
from network.test_downloads import CONTENT, QUICK, SHA, File


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def test_a_call_moves_from_a_host_that_refuses_connections(front_end: FrontEnd) -> None:
    """To the one that serves, with its credentials, body and key; a second call reuses the connection there."""
    received: list[Any] = []

    def serve(request: Any) -> Any:
        received.append((request.method, request.header("Authorization"), request.body))
        return respond(200, body=b"ok")

    with LoopbackServer() as server:
        server.script("/items", answer(serve))
        client = front_end.client(
            base_url=f"http://127.0.0.1:{closed_port()}/v1", alternate_urls=[server.url], auth="token"
        )
        for _ in range(2):
            response = front_end.request(client, "POST", "items", json=[1])
            assert (response.content, response.attempts) == (b"ok", 2)
            assert response.url == f"{server.url.rstrip('/')}/items"
    assert received == [("POST", "Bearer token", b"[1]")] * 2


def test_a_download_goes_on_at_another_host(front_end: FrontEnd, tmp_path: Path) -> None:
    """Where it broke off, if both have the same version of the file."""
    first, second = File(CONTENT, 300_000), File()
    with LoopbackServer() as one, LoopbackServer() as other:
        one.script("/file", answer(first))
        other.script("/file", answer(second))
        client = front_end.client(base_url=one.url, alternate_urls=[other.url], **QUICK)
        front_end.download(client, "file", tmp_path / "file", checksum=SHA)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert first.ranges == [None]
    assert second.ranges == ["bytes=300000-"]


def test_a_download_begins_again_where_the_file_is_another_one(front_end: FrontEnd, tmp_path: Path) -> None:
    """Another version of it, by its validator: no file is made of two."""
    first, second = File(b"x" * 500_000, 300_000, etag='"old"'), File()
    with LoopbackServer() as one, LoopbackServer() as other:
        one.script("/file", answer(first))
        other.script("/file", answer(second))
        client = front_end.client(base_url=one.url, alternate_urls=[other.url], **QUICK)
        front_end.download(client, "file", tmp_path / "file", checksum=SHA)
    assert (tmp_path / "file").read_bytes() == CONTENT
