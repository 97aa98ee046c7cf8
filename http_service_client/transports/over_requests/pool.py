"""Pools of the blocking transport: a connection is used by one exchange at a time, and kept for more.

requests sees a pool through `urlopen` alone, which raises `PhaseError` and nothing else: neither an
OSError nor urllib3's, it passes through `HTTPAdapter.send` unchanged and says in which phase it happened.
So what became of a request is known, not guessed.
"""

from __future__ import annotations

import errno
import os
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ...http.headers import ends_connection
from ...http.http1.errors import NotHttpError
from ...http.http1.parser import Head, ResponseBody, read_head, request_head
from ...http.messages import Headers
from ...http.proxies.urls import HttpProxy, Proxy
from ...http.urls import Url
from ..base import TransportSettings
from ..failures import BodySourceError, Phase, ProxyRefusedError
from .connection import Connection, IoTimeouts, PhaseError, connect

__all__ = ["Pool", "Urllib3StyleResponse"]

_PIECE = 64 * 1024  # bytes handed to the kernel at a time


class Pool:
    """The connections to one origin, directly or by way of one proxy.

    How many may be in use is the core's to decide; what came back is kept for its time.
    """

    def __init__(self, url: Url, proxy: Proxy | None, settings: TransportSettings) -> None:
        self._url = url
        self._host = url.origin.partition("://")[2]
        self._proxy = proxy
        self._settings = settings
        self._kept_for = settings.keep_alive_timeout
        self._max_requests = settings.keep_alive_max_requests
        self._idle: deque[Connection] = deque()
        self._is_closed = False
        weakref.finalize(self, _close_all, self._idle)

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        timeout: IoTimeouts,
        chunked: bool = False,
        **options: Any,
    ) -> Urllib3StyleResponse:
        """One exchange, up to the end of the response's headers. Raises PhaseError alone.

        The signature is urllib3's, as far as `HTTPAdapter.send` makes use of it.
        """
        connection = None
        phase = Phase.CONNECT if self._proxy is None else Phase.PROXY
        try:
            connection = self._acquire_idle() or connect(self._url, self._proxy, self._settings, timeout)
            connection.begin(timeout)
            phase = Phase.SEND
            is_sent = _send(connection, self._head(method, url, headers or {}, chunked), body, chunked)
            phase = Phase.RECEIVE
            head = read_head(connection)
            head.is_last = head.is_last or not is_sent or ends_connection(headers or {})
            connection.served += 1
            return Urllib3StyleResponse(head, ResponseBody(connection, head, method), connection, self)
        except (OSError, UnicodeError, NotHttpError, ProxyRefusedError, BodySourceError) as error:
            if connection is not None:
                connection.close()
            failed = PhaseError(phase, error)
        except BaseException:  # a KeyboardInterrupt, or a bug
            if connection is not None:
                connection.close()
            raise
        try:
            raise failed
        finally:
            del failed  # its traceback holds this frame

    def _head(self, method: str, target: str, headers: Mapping[str, str], chunked: bool) -> bytes:
        fields = list(headers.items())
        if isinstance(self._proxy, HttpProxy) and self._url.scheme == "http":
            fields += self._proxy.fields
        if chunked:
            fields.append(("Transfer-Encoding", "chunked"))
        return request_head(method, target, self._host, fields)

    def _acquire_idle(self) -> Connection | None:
        """An idle connection that is fit for use: the one used last, for it is the likeliest to be so."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was first
                return None
            if connection.is_reusable(self._kept_for, self._max_requests):
                return connection
            connection.close()
        return None

    def release(self, connection: Connection) -> None:
        """Keep a connection that has read its response to the end."""
        if connection.served >= self._max_requests:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._is_closed:  # before, or in the meantime
            _close_all(self._idle)

    def drop_stale(self) -> None:
        """Close the idle connections that nobody has used for their time."""
        oldest = time.monotonic() - self._kept_for
        try:
            while self._idle[0].idle_since < oldest:
                self._idle.popleft().close()
        except IndexError:  # none is left; another thread may have taken it
            return

    def close(self) -> None:
        """Close the idle connections; one in use is closed when it comes back."""
        self._is_closed = True
        _close_all(self._idle)


def _close_all(idle: deque[Connection]) -> None:
    while idle:
        try:
            idle.pop().close()
        except IndexError:
            return


def _send(connection: Connection, head: bytes, body: Any, chunked: bool) -> bool:
    """Send the request; whether all of it has left."""
    try:
        if body is None:
            connection.send(head)
            return True
        if isinstance(body, str):  # a form
            body = body.encode("ascii")
        if isinstance(body, bytes) and len(body) <= _PIECE:
            return connection.send_unless_answered([head + body])
        connection.send(head)
        return connection.send_unless_answered(_framed([body] if isinstance(body, bytes) else body, chunked))
    except (BrokenPipeError, ConnectionResetError):
        return False  # the server may have answered before it hung up: the answer says why


def _framed(chunks: Iterable[bytes], chunked: bool) -> Iterator[bytes | memoryview]:
    source = iter(chunks)
    while True:
        try:
            chunk = memoryview(next(source))
        except StopIteration:
            break
        except Exception as error:
            raise BodySourceError(error) from None
        for start in range(0, len(chunk), _PIECE):  # chunks of the size that the other world makes
            piece = chunk[start : start + _PIECE]
            yield b"".join((b"%x\r\n" % len(piece), piece, b"\r\n")) if chunked else piece
    if chunked:
        yield b"0\r\n\r\n"


class Urllib3StyleResponse:
    """A response as requests wants it from urllib3: its head, and a body to read. Undecoded."""

    version = 11

    def __init__(self, head: Head, body: ResponseBody, connection: Connection, pool: Pool) -> None:
        self.status = head.status
        self.reason = head.reason
        self.headers = Headers(head.fields)
        self._head = head
        self._body = body
        self._connection: Connection | None = connection
        self._pool = pool
        self._let_go_if_complete()

    def bound(self, bounds: IoTimeouts) -> None:
        """Take other bounds for the reads to come."""
        if self._connection is not None:
            self._connection.begin(bounds)

    def read(self, amount: int | None = None, decode_content: bool = False) -> bytes:
        """The next piece, however large; b"" at the end."""
        if self._connection is None:
            if self._body.is_complete:
                return b""
            raise _closed_under_the_read()
        try:
            piece = self._body.read()
        except (OSError, NotHttpError):
            if self._connection is None:
                raise _closed_under_the_read() from None
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        if self._connection is None:  # what looks like the end of the body is none
            raise _closed_under_the_read()
        self._let_go_if_complete()
        return piece

    def stream(self, amount: int | None = None, decode_content: bool = False) -> Iterator[bytes]:
        """All pieces."""
        while piece := self.read():
            yield piece

    def close(self) -> None:
        """Close the connection, unless it went back to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()

    def release_conn(self) -> None:
        """As `close`: what was not read to its end is of no use to anybody."""
        self.close()

    def _let_go_if_complete(self) -> None:
        if not self._body.is_complete:
            return
        if self._head.is_last:
            self.close()
        else:
            connection, self._connection = self._connection, None
            if connection is not None:
                self._pool.release(connection)


def _closed_under_the_read() -> ConnectionAbortedError:
    return ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
