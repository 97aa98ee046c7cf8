"""A scripted HTTP/1.1 server on loopback: it does exactly what it was told, badly if told so.

    with LoopbackServer() as server:
        server.script("/charges", respond(503), reset(), respond(json={"ok": True}))
        client.post(server.url + "/charges", json=order, idempotent=True)
        assert len(server.received("/charges")) == 3

It works on raw sockets, so it can say what no honest server says: half a header, a length that lies,
a reset in mid-body. Each connection has a thread; every wait ends when the server is closed, so a test
never sits out the stall that it provoked.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType

from .actions import (
    Action,
    Received,
    answer,
    checked,
    drip,
    hang_up,
    raw,
    reset,
    respond,
    stall,
    stall_reading,
)
from .server_connection import Connection, Over

__all__ = [
    "Action",
    "LoopbackServer",
    "Received",
    "answer",
    "drip",
    "hang_up",
    "raw",
    "reset",
    "respond",
    "stall",
    "stall_reading",
]

_PATIENCE = 10.0  # seconds to wait for a thread that is being ended


class LoopbackServer:
    """A server on a free port of 127.0.0.1, listening from the start. Thread-safe.

    tls: a server-side context; the URL is then an https one.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._changed = threading.Condition(threading.RLock())
        self._scripts: dict[str, tuple[Action, ...]] = {}
        self._played: dict[str, int] = {}
        self._requests: list[Received] = []
        self._open: dict[int, Connection] = {}
        self._threads: list[threading.Thread] = []
        self._errors: list[Exception] = []
        self._connection_count = 0
        self._acceptor: _Acceptor | None = None
        self._is_closed = False
        self._socket = _bound(0)
        self.host, self.port = self._socket.getsockname()
        self.accept()

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    # What it does.

    def script(self, path: str, *actions: Action) -> None:
        """Play these actions, one a request, for requests of this path; the last one repeats.

        path: as on the wire, without the query; "*" for all that have no script of their own.
        A second call for the same path begins a new script.
        """
        if not actions:
            raise TypeError(f"the script of {path!r} needs at least one action, such as respond()")
        with self._changed:
            self._scripts[path] = tuple(checked(action) for action in actions)
            self._played[path] = 0

    def refuse(self) -> None:
        """Refuse connections, and close those that are open, until `accept()`."""
        with self._changed:
            acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        acceptor.stop()
        # Bound, but not listening: connections are refused, and nobody else can take the port.
        self._socket = _bound(self.port)
        self._end_connections()

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        with self._changed:
            if self._is_closed:
                raise RuntimeError("this LoopbackServer was closed; make a new one")
            if self._acceptor is None:
                self._socket.listen(128)
                self._acceptor = _Acceptor(self._socket, self._serve)

    # What it saw.

    @property
    def requests(self) -> list[Received]:
        """Every request so far, in order of arrival."""
        with self._changed:
            return list(self._requests)

    def received(self, path: str) -> list[Received]:
        """The requests for this path."""
        return [request for request in self.requests if request.path == path]

    @property
    def connection_count(self) -> int:
        """How many connections were accepted so far."""
        return self._connection_count

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    def wait_for(self, condition: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Wait until the condition on this server holds; whether it did in time."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    # The end.

    def close(self) -> None:
        """End every connection and thread. A second time does nothing."""
        with self._changed:
            self._is_closed = True
            acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.stop()
        self._socket.close()
        self._end_connections()

    def __enter__(self) -> LoopbackServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        if error is None and self._errors:
            raise self._errors[0]

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "refusing" if self._acceptor is None else "listening"
        return f"<LoopbackServer {self.url} {state}, {len(self._requests)} requests>"

    # Its connections.

    def _serve(self, accepted: socket.socket) -> None:
        with self._changed:
            if self._acceptor is None:  # refused in the very moment
                accepted.close()
                return
            self._connection_count += 1
            connection = Connection(self._connection_count, accepted, self._next_action, self._note)
            self._open[connection.number] = connection
            thread = threading.Thread(
                target=self._run,
                args=(connection,),
                name=f"LoopbackServer connection {connection.number}",
                daemon=True,
            )
            self._threads = [known for known in self._threads if known.is_alive()]
            self._threads.append(thread)
            # Started under the lock: whoever ends the connections joins none that was not started.
            thread.start()
            self._changed.notify_all()

    def _run(self, connection: Connection) -> None:
        try:
            connection.run(self._tls)
        except (Over, OSError):  # the client has gone, or the server stops
            pass
        except Exception as error:
            self._errors.append(error)
        finally:
            connection.close()
            with self._changed:
                self._open.pop(connection.number, None)
                self._changed.notify_all()

    def _next_action(self, path: str) -> Action:
        with self._changed:
            script = path if path in self._scripts else "*"
            actions = self._scripts.get(script)
            if actions is None:
                return respond(404, body=f"nothing is scripted for {path}")
            index = self._played[script]
            self._played[script] += 1
            return actions[min(index, len(actions) - 1)]

    def _note(self, received: Received) -> None:
        with self._changed:
            self._requests.append(received)
            self._changed.notify_all()

    def _end_connections(self) -> None:
        with self._changed:
            connections, threads = list(self._open.values()), list(self._threads)
        for connection in connections:
            connection.end()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)


class _Acceptor:
    """Takes connections off a listening socket, on a thread of its own, until it is told to stop."""

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self._listener = listener
        self._serve = serve
        # Closing a socket does not wake the thread that waits for it; a byte on this one does.
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="LoopbackServer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener, self._woken:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            self._listener.setblocking(False)
            while True:
                if any(key.fileobj is self._woken for key, _ in selector.select()):
                    return
                try:
                    accepted, _ = self._listener.accept()
                except OSError:  # the client has gone already
                    continue
                accepted.setblocking(True)
                self._serve(accepted)

    def stop(self) -> None:
        self._wake.send(b"!")
        if self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)
        self._wake.close()


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock
