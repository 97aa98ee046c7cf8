"""The server of the benchmarks, in a separate process: it does as little work per request as possible.

GET  anything            57 bytes of JSON
GET  /bytes/N            N bytes, with a Content-Length
GET  /json/N             a list of orders as JSON, of N bytes or a few more
GET  /wait/MS            the 57 bytes, so many milliseconds later
GET  /trickle            30 bytes, one every 0.1 s
GET  /close              {"resumed": whether the TLS session was resumed}; then the connection is closed
POST anything            reads the body, by Content-Length or in chunks, then the 57 bytes

It runs on uvloop where that is installed, so that it is not the bottleneck.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import cast

JSON = b'{"id": 42, "status": "shipped", "carrier": "ACME Parcel"}'
_HEAD = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nServer: benchmark\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
_CLOSING = _HEAD.replace(b"Server:", b"Connection: close\r\nServer:")
_ANSWER = _HEAD % (b"application/json", len(JSON)) + JSON
_SPECIAL = re.compile(rb"GET /(bytes|json|wait|trickle|close)(?:/(\d+))? ").match
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search
_PIECE = bytes(256 * 1024)


@lru_cache
def _orders(size: int) -> bytes:
    """A list of orders, with numbers, text, flags and nested lists, of about so many bytes."""
    order = {
        "customer": "Zoë Müller",
        "is_paid": True,
        "discount": None,
        "lines": [{"article": f"A-{number:05}", "quantity": number, "price": number * 1.25} for number in range(5)],
    }  # fmt: skip
    count = size // len(json.dumps({"id": 100_000, **order})) + 1
    return json.dumps([{"id": 100_000 + number, **order} for number in range(count)]).encode()


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        self._data = b""
        self._left = 0  # bytes of the request's body to come, or -1 until the last chunk
        self._to_send = 0  # bytes of the response's body
        self._may_write = True

    def data_received(self, data: bytes) -> None:
        if self._left > 0:
            self._left -= len(data)
            if not self._left:
                self._transport.write(_ANSWER)
            return
        if self._left < 0:
            self._data = self._data[-5:] + data
            if self._data.endswith(b"0\r\n\r\n"):
                self._left, self._data = 0, b""
                self._transport.write(_ANSWER)
            return
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._data[: end + 4], self._data[end + 4 :]
        self._data = b""
        if head.startswith(b"GET"):
            self._get(head)
        elif (length := _LENGTH(head)) is not None:
            self._left = int(length[1])
            if self._left:
                self._receive_rest(rest)
            else:
                self._transport.write(_ANSWER)
        else:
            self._left = -1
            self._receive_rest(rest)

    def _receive_rest(self, rest: bytes) -> None:
        if rest:
            self.data_received(rest)

    def _get(self, head: bytes) -> None:
        special = _SPECIAL(head)
        if special is None:
            self._transport.write(_ANSWER)
            return
        kind, number = special[1], int(special[2] or 0)
        if kind == b"bytes":
            self._to_send = number
            self._transport.write(_HEAD % (b"application/octet-stream", number))
            self._send_on()
        elif kind == b"json":
            content = _orders(number)
            self._transport.write(_HEAD % (b"application/json", len(content)) + content)
        elif kind == b"wait":
            asyncio.get_running_loop().call_later(number / 1000, self._transport.write, _ANSWER)
        elif kind == b"trickle":
            self._transport.write(_HEAD % (b"text/plain", 30))
            self._trickle(30)
        else:
            secured = self._transport.get_extra_info("ssl_object")
            content = json.dumps({"resumed": bool(secured and secured.session_reused)}).encode()
            self._transport.write(_CLOSING % (b"application/json", len(content)) + content)
            self._transport.close()

    def _trickle(self, count: int) -> None:
        if count and not self._transport.is_closing():
            self._transport.write(b".")
            asyncio.get_running_loop().call_later(0.1, self._trickle, count - 1)

    def _send_on(self) -> None:
        while self._to_send and self._may_write:
            piece = _PIECE if self._to_send >= len(_PIECE) else _PIECE[: self._to_send]
            self._to_send -= len(piece)
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._send_on()


async def _serve(certificate: str | None) -> None:
    loop = asyncio.get_running_loop()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=2048, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the process that started this one closes it
    server.close()


@contextmanager
def running_server() -> Iterator[str]:
    """A server in its own process; its base URL."""
    with _running([]) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running_tls_server() -> Iterator[tuple[str, str]]:
    """A server that speaks TLS, in its own process; its base URL, and the file of the authority to trust."""
    import trustme

    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        trusted, own = Path(folder, "authority.pem"), Path(folder, "server.pem")
        authority.cert_pem.write_to_path(str(trusted))
        # With an intermediate authority, as on the internet.
        issuer = authority.create_child_ca()
        issuer.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(own))
        with _running([str(own)]) as port:
            yield f"https://localhost:{port}", str(trusted)


@contextmanager
def _running(arguments: list[str]) -> Iterator[int]:
    command = [sys.executable, "-m", __name__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def raise_file_limit() -> None:
    """A thousand connections by each of several clients need more files than most systems allow at first."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = 16_384 if most == resource.RLIM_INFINITY else min(most, 16_384)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


if __name__ == "__main__":
    raise_file_limit()
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    run(_serve(sys.argv[1] if len(sys.argv) > 1 else None))
