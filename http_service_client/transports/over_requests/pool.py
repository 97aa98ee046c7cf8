"""The pool of one origin: a connection serves one exchange at a time, and is kept for the next.

A failed exchange raises `PhaseError` and nothing else, which names the phase. So what happened to a request is known, not
guessed.
"""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from ...core.signals import is_of_signal_handler
from ...drivers.interruption import INTERRUPTION
from ...http.http1.errors import NotHttpError
from ...http.http1.fast_path import FastHead
from ...http.http1.head import Head, head_of_request, request_head
from ...http.messages import Headers
from ...http.proxies.urls import HttpProxy, Proxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import BodySourceError, Phase, PhaseError, ProxyRefusedError
from ..idle import IdleConnections
from .aborts import Cut, OpenConnections, aborted
from .connection import Connection, is_closed_by_peer
from .connector import connect
from .exchange_timeouts import ExchangeTimeouts

__all__ = ["Pool", "PoolResponse"]

_PIECE = 64 * 1024  # bytes of a chunk, as in asyncio, and of a body that is sent with its head
_LONG_PIECE = 256 * 1024  # bytes of any other body passed to the kernel at a time


class Pool:
    """The connections to one origin, direct or through one proxy.

    The core limits how many are in use; a released connection is kept until it has been idle for too long.
    """

    def __init__(
        self, url: Url, proxy: Proxy | None, settings: TransportSettings, opened: OpenConnections
    ) -> None:
        self._url = url
        self._host = url.host_field
        self._proxy = proxy
        self._settings = settings
        self._opened = opened
        self._idle: deque[Connection] = deque()
        # For `IdleConnections`: without a reference to the pool, which would keep a forgotten one alive.
        self._close_idle = partial(_close_one, self._idle)
        self._is_closed = False
        weakref.finalize(self, _close_all, self._idle, settings.idle)

    def send(
        self,
        method: str,
        target: str,
        fields: Headers | list[tuple[str, str]],
        body: Any,
        timeouts: ExchangeTimeouts,
        is_chunked: bool = False,
        is_last: bool = False,
    ) -> PoolResponse:
        """One exchange, up to the end of the response's head. Raises PhaseError only.

        fields: of the head.   body: bytes, an iterator of bytes, or None.
        is_chunked: how the body is framed.   is_last: whether the request ends the connection.
        """
        connection = None
        phase = Phase.CONNECT if self._proxy is None else Phase.PROXY
        interruption = INTERRUPTION.get()
        cut = None if interruption is None else Cut(interruption)
        try:
            connection = self._acquire_idle()
            if connection is None:
                connection = connect(self._url, self._proxy, self._settings, timeouts, cut)
                connection.most_early = self._settings.most_early
                self._opened.add(connection)
            if cut is not None:
                cut.watch(connection.sock, is_only=True)
                connection.cut, cut = cut, None  # whatever closes or releases the connection ends it
            connection.begin(method, timeouts)
            phase = Phase.SEND
            is_sent = _send(connection, self._head(method, target, fields, is_chunked), body, is_chunked)
            phase = Phase.RECEIVE
            phases = timeouts.phases
            if phases is not None:
                connection.set_timeouts(timeouts.for_head(phases))
            head, content = connection.read_response()
            if phases is not None:
                connection.set_timeouts(timeouts.for_body(phases))
            head.is_last = head.is_last or is_last or not is_sent
            connection.served += 1
            if self._settings.parser.tolerated:
                connection.parser.report_faults(self._settings.faults.for_origin(self._url.origin))
            if head.keep_alive is not None:
                connection.lifetime.announce(head.keep_alive)
            return PoolResponse(head, content, connection, self)
        except (OSError, UnicodeError, NotHttpError, ProxyRefusedError, BodySourceError) as error:
            if connection is not None:
                if isinstance(error, OSError) and not connection.was_cut:
                    self._distrust(connection)
                connection.close()
            failed = PhaseError(phase, error)
        except BaseException:  # a KeyboardInterrupt, or a bug
            if connection is not None:
                connection.close()
            raise
        finally:
            if cut is not None:
                cut.end()
        try:
            raise failed
        finally:
            del failed  # its traceback holds this frame

    def _head(
        self, method: str, target: str, fields: Headers | list[tuple[str, str]], is_chunked: bool
    ) -> bytes:
        added: list[tuple[str, str]] = []
        if isinstance(self._proxy, HttpProxy) and self._url.scheme == "http":
            names = fields if isinstance(fields, Headers) else [name for name, _ in fields]
            added += self._proxy.fields_beside(names)
        if is_chunked:
            added.append(("Transfer-Encoding", "chunked"))
        if not isinstance(fields, Headers):
            return request_head(method, target, self._host, [*fields, *added])
        if not added:
            return head_of_request(method, target, self._host, fields)
        return request_head(method, target, self._host, fields.pairs() + added)

    def _acquire_idle(self) -> Connection | None:
        """A reusable idle connection: the most recently used one, since it is the likeliest to be alive."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                return None
            self._settings.idle.discard(connection)
            if connection.is_reusable():
                return connection
            connection.close()
        return None

    def _distrust(self, failed: Connection) -> None:
        """No response came on this connection: close those that have been idle for longer (see `lifetime`)."""
        while True:
            try:
                oldest = self._idle[0]
            except IndexError:
                return
            if oldest.idle_since > failed.idle_since:
                return
            self._settings.idle.discard(oldest)
            self._close_idle(oldest)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose response was read to the end."""
        is_usable = connection.cut is None or connection.end_exchange()
        if not is_usable or connection.lifetime.is_over(connection.served):
            connection.close()
            return
        if connection.parser.head is not None:
            connection.parser.forget()
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        self._settings.idle.add(connection, connection.idle_since, self._close_idle)
        if self._is_closed:  # before this release, or during it
            _close_all(self._idle, self._settings.idle)

    @property
    def has_idle_connections(self) -> bool:
        """Whether a connection waits for its next exchange."""
        return bool(self._idle)

    def close(self) -> None:
        """Close the idle connections; one in use is closed when it is released."""
        self._is_closed = True
        _close_all(self._idle, self._settings.idle)


def _close_one(idle: deque[Connection], connection: Connection) -> None:
    try:
        idle.remove(connection)
    except ValueError:  # another thread acquired it
        return
    connection.close()


def _close_all(idle: deque[Connection], counted: IdleConnections) -> None:
    while idle:
        try:
            connection = idle.pop()
        except IndexError:
            return
        counted.discard(connection)
        connection.close()


def _send(connection: Connection, head: bytes, body: Any, is_chunked: bool) -> bool:
    """Send the request; whether all of it was sent."""
    try:
        if body is None:
            return connection.send(head)
        if isinstance(body, bytes) and len(body) <= _PIECE:
            return connection.send(head + body)
        return connection.send(head) and connection.send_all(
            _framed([body] if isinstance(body, bytes) else body, is_chunked)
        )
    except OSError as error:
        if not is_closed_by_peer(error) or is_of_signal_handler(error):
            raise
        return False  # the server may have responded before it closed, and the response says why


def _framed(chunks: Iterable[bytes], is_chunked: bool) -> Iterator[bytes | memoryview]:
    source, size = iter(chunks), _PIECE if is_chunked else _LONG_PIECE
    while True:
        try:
            chunk = memoryview(next(source))
        except StopIteration:
            break
        except Exception as error:
            raise BodySourceError(error) from None
        for start in range(0, len(chunk), size):
            piece = chunk[start : start + size]
            yield b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if is_chunked else piece
    if is_chunked:
        yield b"0\r\n\r\n"


class PoolResponse:
    """A response: its head, and an undecoded body to read.

    fields: the header fields, decoded when they are iterated over.   is_encoded: it has a content coding.
    content: the body, if it came with the head, and is not read yet; else None.
    """

    __slots__ = (
        "_connection", "_head", "_is_complete", "_pool", "content", "fields", "is_encoded", "reason", "status",
    )  # fmt: skip

    def __init__(
        self, head: Head | FastHead, content: bytes | None, connection: Connection, pool: Pool
    ) -> None:
        self.status = head.status
        self.reason = head.reason
        self.fields: Iterable[tuple[str, str]] = head
        self.is_encoded = head.is_encoded
        self.content = content
        self._head = head
        self._is_complete = False
        self._connection: Connection | None = connection
        self._pool = pool
        self._release_if_complete()

    @property
    def headers(self) -> Headers:
        """The header fields by name."""
        return Headers(self.fields)

    @property
    def content_coding(self) -> str | None:
        """The value of Content-Encoding, or None."""
        return self.headers.get("Content-Encoding") if self.is_encoded else None

    @property
    def location(self) -> str | None:
        """The value of Location, or None."""
        return self.headers.get("Location")

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection ends the body."""
        return self._connection is not None and self._connection.parser.ends_with_connection

    def set_timeouts(self, timeouts: ExchangeTimeouts) -> None:
        """Use these limits for the next reads."""
        if self._connection is not None:
            self._connection.set_timeouts(timeouts)

    def prefer_long_pieces(self) -> None:
        """See `Connection.prefer_long_pieces`."""
        if self._connection is not None:
            self._connection.prefer_long_pieces()

    def read(self, amount: int | None = None) -> bytes:
        """The next piece, of any size; b"" at the end."""
        connection = self._connection
        if connection is None:
            if self._is_complete:
                piece, self.content = self.content or b"", None
                return piece
            raise aborted()
        try:
            piece = connection.read_body()
        except (OSError, NotHttpError):
            if self._connection is None:
                raise aborted() from None
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        if self._connection is None:  # closed by another thread: this is not the end of the body
            raise aborted()
        self._release_if_complete()
        return piece

    def close(self) -> None:
        """Close the connection, unless it is back in the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def _release_if_complete(self) -> None:
        connection = self._connection
        if connection is None or (self.content is None and not connection.parser.is_complete):
            return
        self._is_complete = True
        if self._head.is_last:
            self.close()
        else:
            self._connection = None
            self._pool.release(connection)
