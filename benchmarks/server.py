"""The server of the benchmarks, in a separate process: it does as little work per request as possible.

GET  anything            57 bytes of JSON
GET  /bytes/N            N bytes, with a Content-Length
POST anything            reads the body, by Content-Length or in chunks, then the same JSON
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

JSON = b'{"id": 42, "status": "shipped", "carrier": "ACME Parcel"}'
_HEAD = b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\nServer: benchmark\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
_ANSWER = _HEAD % (b"application/json", len(JSON)) + JSON
_BYTES = re.compile(rb"GET /bytes/(\d+) ").match
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE).search
_PIECE = bytes(256 * 1024)


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
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
        match = _BYTES(head)
        if match is None:
            self._transport.write(_ANSWER)
            return
        self._to_send = int(match[1])
        self._transport.write(_HEAD % (b"application/octet-stream", self._to_send))
        self._send_on()

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


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the process that started this one closes it
    server.close()


@contextmanager
def running_server() -> Iterator[str]:
    """A server in its own process; its base URL."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve())
