"""A scripted HTTP/1.1 server on loopback: it does exactly what its script says, however wrong.

    with LoopbackServer() as server:
        server.script("/charges", respond(503), reset(), respond(json={"ok": True}))
        client.post(server.url + "/charges", json=order, idempotent=True)
        assert len(server.received("/charges")) == 3

It works on raw sockets, so it can send what no correct server sends: half a header, a wrong length, a
reset mid-body. Each connection has a thread. Every wait ends when the server is closed, so a test never
waits for the end of a stall that it provoked.
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
    check_action,
    drip,
    hang_up,
    raw,
    reset,
    respond,
    stall,
    stall_reading,
)
from .server_connection import Connection, ExchangeOver

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

_JOIN_TIMEOUT = 10.0  # seconds to wait for a thread to end


class LoopbackServer:
    """A server on a free port of 127.0.0.1, listening from the start. Thread-safe.

    tls: a server-side context, for https; None for http.
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
        self._reservation = _reserve(self.port)
        self.accept()

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    # Its behaviour.

    def script(self, path: str, *actions: Action) -> None:
        """Play these actions, one for each request for this path; the last one repeats.

        path: as on the wire, without the query; "*" for all paths without a script of their own.
        A second call for the same path starts a new script. Raises TypeError for another path, which no request has.
        """
        if not isinstance(path, str) or (path != "*" and not path.startswith("/")):
            remedy = f"; write {'/' + path!r}" if isinstance(path, str) else ""
            raise TypeError(f'path must be a path that begins with "/", or "*", not {path!r}{remedy}')
        if not actions:
            raise TypeError(f"the script of {path!r} needs at least one action, such as respond()")
        with self._changed:
            self._scripts[path] = tuple(check_action(action) for action in actions)
            self._played[path] = 0

    def refuse(self) -> None:
        """Close the open connections, and refuse new ones until `accept()`."""
        with self._changed:
            acceptor, self._acceptor = self._acceptor, None
        if acceptor is None:
            return
        acceptor.stop()
        # Bound but not listening: connections are refused, and no other program can take the port.
        self._socket = _bound(self.port)
        self._end_connections()

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        with self._changed:
            self._check_open()
            if self._acceptor is None:
                self._socket.listen()
                self._acceptor = _Acceptor(self._socket, self._serve)

    # What it received.

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
        """The number of connections accepted so far."""
        return self._connection_count

    @property
    def open_connections(self) -> int:
        """The number of connections that are open now."""
        return len(self._open)

    def wait_for(self, condition: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Wait until the condition on this server holds. Returns whether it did, within so many seconds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    # Closing.

    def close(self) -> None:
        """End every connection and thread. A second call does nothing."""
        with self._changed:
            self._is_closed = True
            acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.stop()
        self._socket.close()
        if self._reservation is not None:
            self._reservation.close()
        self._end_connections()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("this LoopbackServer was closed; make a new one")

    def __enter__(self) -> LoopbackServer:
        self._check_open()
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
            if self._acceptor is None:  # `refuse` was called in this very moment
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
            # Started under the lock: ending the connections must not join a thread that was not started.
            thread.start()
            self._changed.notify_all()

    def _run(self, connection: Connection) -> None:
        try:
            connection.run(self._tls)
        except (ExchangeOver, OSError):  # the client has disconnected, or the server stops
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
                thread.join(_JOIN_TIMEOUT)


class _Acceptor:
    """Accepts connections from a listening socket, on a thread of its own, until `stop`."""

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self._listener = listener
        self._serve = serve
        # Closing a socket does not wake a thread that waits for it; a byte on this one does.
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="LoopbackServer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, self._listener, self._woken:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            self._listener.setblocking(False)
            while True:
                if self._woken in [key.fileobj for key, _ in selector.select()]:
                    return
                try:
                    accepted, _ = self._listener.accept()
                except OSError:  # the client has disconnected already
                    continue
                accepted.setblocking(True)
                self._serve(accepted)

    def stop(self) -> None:
        self._wake.send(b"!")
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT)
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


def _reserve(port: int) -> socket.socket | None:
    """A second socket on this port, which never listens; None where the system allows only one.

    A listening socket cannot stop listening, only be closed. While this one stays open, the system does
    not give the port to an outgoing connection in the moment before `refuse` has bound it again.
    """
    try:
        return _bound(port)
    except OSError:
        return None
