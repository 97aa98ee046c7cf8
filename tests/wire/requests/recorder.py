"""A server that records the raw bytes of every request, and has a strict parser judge them.

It listens at two addresses of loopback, so that a redirect can lead to another origin. h11 finds the end of each
request. A request that h11 rejects is recorded with the reason, and gets a 400. Responses come from a script,
one for each request. Without a script, and after its end, every request gets a 200, but CONNECT a 403.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import h11

__all__ = ["Recorded", "Recorder", "ScriptedResponse"]


@dataclass(frozen=True)
class ScriptedResponse:
    """One response."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""


@dataclass
class Recorded:
    """One request.

    to: the origin that received it, "here" or "there".   raw: every byte of it.
    body: as h11 decoded it, its chunks joined.   rejected: why h11 rejected it, or None.
    """

    to: str
    raw: bytes = b""
    body: bytes = b""
    rejected: str | None = None


@dataclass
class _Peer:
    """One connection."""

    to: str
    parser: h11.Connection = field(
        default_factory=lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=2**21)
    )
    request: Recorded = field(init=False)

    def __post_init__(self) -> None:
        self.request = Recorded(self.to)


class Recorder:
    """The server: one thread for all connections, until the end of the `with` block.

    ports: by name, "here" and "there".
    """

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self._script: list[ScriptedResponse] = []
        self._log: list[Recorded] = []
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake, woken = socket.socketpair()
        self._selector.register(woken, selectors.EVENT_READ)
        for name in ("here", "there"):
            listener = socket.create_server(("127.0.0.1", 0))
            self.ports[name] = listener.getsockname()[1]
            self._selector.register(listener, selectors.EVENT_READ, name)
        self._thread = threading.Thread(target=self._run, name="Recorder", daemon=True)
        self._thread.start()

    def reset(self, responses: Sequence[ScriptedResponse] = ()) -> None:
        """Forget the recorded requests, and take the next responses from this script."""
        with self._lock:
            self._script, self._log = list(responses), []

    @property
    def requests(self) -> list[Recorded]:
        """The requests since `reset`, in order."""
        with self._lock:
            return list(self._log)

    def with_ports(self, text: str) -> str:
        """The text with real addresses in place of ``http://here`` and ``http://there``."""
        for name, port in self.ports.items():
            text = re.sub(f"(?i)(http://){name}(?![a-z.])", rf"\g<1>127.0.0.1:{port}", text)
            text = text.replace(f":{name}", f":{port}")
        return text

    def without_ports(self, raw: bytes) -> bytes:
        """The bytes with the names ``here`` and ``there`` in place of the addresses; other hosts as ``h:here``."""
        for name, port in self.ports.items():
            raw = raw.replace(b"127.0.0.1:%d" % port, name.encode()).replace(
                b":%d" % port, f":{name}".encode()
            )
        return raw

    def _run(self) -> None:
        with self._selector:
            while True:
                for key, _ in self._selector.select():
                    sock: Any = key.fileobj
                    if isinstance(key.data, str):
                        accepted, _ = sock.accept()
                        accepted.settimeout(5)
                        self._selector.register(accepted, selectors.EVENT_READ, _Peer(key.data))
                    elif isinstance(key.data, _Peer):
                        if not self._serve(sock, key.data):
                            self._selector.unregister(sock)
                            sock.close()
                    else:
                        for open_key in list(self._selector.get_map().values()):
                            open_key.fileobj.close()  # type: ignore[union-attr]  # they are all sockets
                        return

    def _serve(self, sock: socket.socket, peer: _Peer) -> bool:
        """Read what has arrived. Returns whether the connection stays open."""
        try:
            data = sock.recv(1024 * 1024)
            if not data:
                return False
            peer.request.raw += data
            return self._read(sock, peer, data)
        except OSError:  # the client has gone
            return False
        except Exception as error:  # a mistake of ours: the record shows it, and the next request is served
            with self._lock:
                self._log.append(Recorded(peer.to, peer.request.raw, rejected=repr(error)))
            return False

    def _read(self, sock: socket.socket, peer: _Peer, data: bytes) -> bool:
        try:
            peer.parser.receive_data(data)
            while not isinstance(event := peer.parser.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    return True
                if isinstance(event, h11.Data):
                    peer.request.body += event.data
        except h11.RemoteProtocolError as error:
            peer.request.rejected = str(error)
        request, peer.request = peer.request, Recorded(peer.to)
        with self._lock:
            self._log.append(request)
            # After a 200 to CONNECT no HTTP would follow.
            usual = ScriptedResponse(403 if request.raw.startswith(b"CONNECT ") else 200)
            response = self._script.pop(0) if self._script else usual
        if request.rejected:
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        return self._respond(sock, peer.parser, response)

    def _respond(self, sock: socket.socket, parser: h11.Connection, response: ScriptedResponse) -> bool:
        # h11 keeps the state. It would not send everything that a server may send, so the bytes are our own.
        parser.send(h11.Response(status_code=response.status, headers=[]))
        parser.send(h11.EndOfMessage())
        fields = [*response.headers, ("Content-Length", str(len(response.body)))]
        lines = [f"HTTP/1.1 {response.status} As scripted", *(f"{name}: {value}" for name, value in fields)]
        sock.sendall("\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + response.body)
        if parser.our_state is not h11.DONE or parser.their_state is not h11.DONE:
            return False
        parser.start_next_cycle()
        return True

    def close(self) -> None:
        """End the thread and every connection."""
        self._wake.send(b"!")
        self._thread.join(10)
        self._wake.close()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
