"""Over TLS too, both front ends send the same: the ClientHello and the request."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from kit.front_ends import FRONT_ENDS
from network.faults import Certificates, served
from wire.requests.rows import sent
from wire.requests.runner import all_names_are_loopback

Hello = tuple["str | None", "str | None", list[tuple[str, str, int]], bytes]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Certificates that only this test trusts."""
    return Certificates(tmp_path)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST", "localhost"),
        ("api.test.", "api.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("127.0.0.1", None),
    ],
)
def test_both_front_ends_send_the_same_hello(
    host: str, name: str | None, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server name (RFC 6066 3: no dot at its end, no address), the protocol, the ciphers, the request."""
    monkeypatch.setattr(socket, "getaddrinfo", all_names_are_loopback(socket.getaddrinfo))
    names: list[str | None] = []
    context = certificates.server_context("localhost", "api.test", "xn--bcher-kva.test", "127.0.0.1")
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = lambda _, name, __: names.append(name)
    hellos: list[Hello] = []

    def serve(accepted: Any, is_over: threading.Event) -> None:
        assert isinstance(accepted, ssl.SSLSocket)
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += accepted.recv(65536)
        ciphers = accepted.shared_ciphers() or []
        hellos.append((names[-1], accepted.selected_alpn_protocol(), ciphers, request))
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        is_over.wait(10)

    with served(serve, tls=context) as address:
        port = address.partition(":")[2]
        for kind in FRONT_ENDS:
            with kind() as front_end:
                client = front_end.client(connection_pool=certificates.pool())
                assert front_end.request(client, "GET", f"https://{host}:{port}/").status_code == 200
    blocking, tasks = hellos
    assert blocking == tasks
    assert blocking[:2] == (name, "http/1.1")
    sent_host = {"bücher.test": "xn--bcher-kva.test"}.get(host, host.lower())
    assert blocking[3] == sent("GET /", host=f"{sent_host}:{port}")
