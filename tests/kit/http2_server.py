"""A server on loopback that speaks HTTP/2, and breaks its rules where a test wants that."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, PingReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error, StreamClosedError, StreamIDTooLowError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from http_service_client import HttpServiceClient

__all__ = ["Exchange", "Http2Server", "NewClient"]

NewClient = Callable[..., HttpServiceClient]  # see the fixture `new_client`

Fields = Iterable[tuple[str, str]]


class Exchange:
    """One request, and the ways to respond. Its methods may be called from any thread.

    body: bytes that have arrived so far.   cancelled: the code with which the client reset the stream, or None.
    """

    def __init__(self, connection: _Connection, stream_id: int, fields: list[tuple[str, str]]) -> None:
        self._connection = connection
        self.id = stream_id
        self.fields = fields
        self.headers = dict(fields)
        self.body = b""
        self.is_whole = threading.Event()
        self.cancelled: int | None = None
        self.was_cancelled = threading.Event()

    @property
    def path(self) -> str:
        return self.headers[":path"]

    @property
    def connection(self) -> _Connection:
        return self._connection

    def respond(
        self, status: int = 200, fields: Fields = (), body: bytes = b"", trailers: Fields | None = None
    ) -> None:
        """A complete response."""
        self.head(status, fields, ends=not body and trailers is None)
        if body:
            self.data(body, ends=trailers is None)
        if trailers is not None:
            self._do(lambda h2: h2.send_headers(self.id, list(trailers), end_stream=True))

    def head(self, status: int | str, fields: Fields = (), *, ends: bool = False) -> None:
        """The head of a response."""
        self._do(lambda h2: h2.send_headers(self.id, [(":status", str(status)), *fields], end_stream=ends))

    def raw_head(self, fields: Fields, *, ends: bool = False) -> None:
        """Any fields as a head."""
        self._do(lambda h2: h2.send_headers(self.id, list(fields), end_stream=ends))

    def data(self, data: bytes, *, ends: bool = False) -> None:
        """A part of the body, sent as the windows allow."""
        self._call(self._connection.send_data, self.id, data, ends)

    def reset(self, code: ErrorCodes) -> None:
        """RST_STREAM."""
        self._do(lambda h2: h2.reset_stream(self.id, code))

    def go_away(self, last_stream_id: int, code: int = ErrorCodes.NO_ERROR, debug: bytes = b"") -> None:
        """GOAWAY, after which this server goes on."""
        frame = GoAwayFrame(0, last_stream_id=last_stream_id, error_code=code, additional_data=debug)
        self.raw(frame.serialize())

    def raw(self, data: bytes) -> None:
        """These bytes, after what was sent before."""
        self._call(self._connection.write, data)

    def hang_up(self) -> None:
        """Close the connection."""
        self._call(self._connection.hang_up)

    def _do(self, act: Callable[[H2Connection], object]) -> None:
        self._call(self._connection.do, act)

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        self._connection.call(function, *arguments)


Action = Callable[[Exchange], object]


class Http2Server:
    """Runs on a thread of its own, for the `with` block. A path with a query may be scripted, or the path alone.

    tls: its context, without ALPN, which is set here.   settings: of HTTP/2, such as MAX_CONCURRENT_STREAMS.
    early: paths whose action is called when the head has arrived, not the whole request.
    protocols: what it agrees to by ALPN.
    exchanges: the requests so far, in their order.   connections: likewise.
    errors: for which it has closed a connection.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        *,
        settings: dict[SettingCodes, int] | None = None,
        protocols: Iterable[str] = ("h2",),
    ) -> None:
        tls.set_alpn_protocols(list(protocols))
        self._tls = tls
        self.settings = settings or {}
        self.actions: dict[str, list[Action]] = {}
        self.early: set[str] = set()
        self.exchanges: list[Exchange] = []
        self.connections: list[_Connection] = []
        self.errors: list[H2Error] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_ready = threading.Event()
        self.url = ""

    def on(self, path: str, *actions: Action, early: bool = False) -> None:
        """What is done with the requests of this path, one after another; the last one again and again."""
        self.actions[path] = list(actions)
        if early:
            self.early.add(path)

    def act(self, exchange: Exchange) -> None:
        path = exchange.path if exchange.path in self.actions else exchange.path.partition("?")[0]
        actions = self.actions.get(path, [lambda exchange: exchange.respond(404)])
        (actions.pop(0) if len(actions) > 1 else actions[0])(exchange)

    def __enter__(self) -> Http2Server:
        self._thread.start()
        assert self._is_ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self._stop)
        self._thread.join(10)

    def _stop(self) -> None:
        self._server.close()
        for connection in self.connections:
            connection.hang_up()
        self.loop.call_soon(self.loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._server = self.loop.run_until_complete(
            self.loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=self._tls)
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://127.0.0.1:{port}"
        self._is_ready.set()
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


class _Connection(asyncio.Protocol):
    def __init__(self, server: Http2Server) -> None:
        self._server = server
        self._exchanges: dict[int, Exchange] = {}
        self._unsent: dict[int, tuple[bytes, bool]] = {}
        self.transport: Any = None
        self.is_lost = threading.Event()
        self.pings = 0
        self.h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding="utf-8",
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._server.connections.append(self)
        if self._server.settings:
            self.h2.local_settings = Settings(client=False, initial_values=dict(self._server.settings))
        self.h2.initiate_connection()
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost.set()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.h2.receive_data(data):
                self._happened(event)
        except H2Error as error:
            self._server.errors.append(error)
            self.hang_up()
            return
        for stream_id, (left, ends) in list(self._unsent.items()):
            self.send_data(stream_id, b"", ends=ends, left=left)
        self._flush()

    def _happened(self, event: Any) -> None:
        server = self._server
        if isinstance(event, RequestReceived):
            exchange = Exchange(self, event.stream_id, list(event.headers))
            self._exchanges[event.stream_id] = exchange
            server.exchanges.append(exchange)
            if exchange.path in server.early:
                server.act(exchange)
        elif isinstance(event, DataReceived):
            self._exchanges[event.stream_id].body += event.data
            if self._exchanges[event.stream_id].path not in server.early:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            exchange = self._exchanges[event.stream_id]
            exchange.is_whole.set()
            if exchange.path not in server.early:
                server.act(exchange)
        elif isinstance(event, PingReceived):  # h2 answers it
            self.pings += 1
        elif isinstance(event, StreamReset):
            exchange = self._exchanges[event.stream_id]
            exchange.cancelled = int(event.error_code or 0)
            exchange.was_cancelled.set()
            self._unsent.pop(event.stream_id, None)

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        if threading.current_thread() is self._server._thread:
            function(*arguments)
        else:
            self._server.loop.call_soon_threadsafe(function, *arguments)

    def do(self, act: Callable[[H2Connection], object]) -> None:
        # By the client, meanwhile; h2 may have forgotten such a stream.
        with suppress(StreamClosedError, StreamIDTooLowError):
            act(self.h2)
        self._flush()

    def send_data(self, stream_id: int, data: bytes, ends: bool, left: bytes | None = None) -> None:
        data = left if left is not None else self._unsent.get(stream_id, (b"", False))[0] + data
        sent = 0
        try:
            while sent < len(data):
                room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
                if room <= 0:
                    # Replaced, never removed meanwhile: a test reads it from another thread.
                    self._unsent[stream_id] = data[sent:], ends
                    break
                part = data[sent : sent + room]
                sent += room
                self.h2.send_data(stream_id, part, end_stream=ends and sent >= len(data))
            else:
                self._unsent.pop(stream_id, None)
        except StreamClosedError:  # by the client, meanwhile
            self._unsent.pop(stream_id, None)
        self._flush()

    def write(self, data: bytes) -> None:
        self._flush()
        self.transport.write(data)

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            self.transport.write(data)
