"""Connections for the blocking transport: made within their time, used by one exchange at a time, kept for more.

Every wait on a socket is armed with the smaller of its own bound and what is left of the exchange, so a
server that drips a byte at a time is cut on time. requests sees a pool through `urlopen` alone, which raises
`ExchangeError` and nothing else: neither an OSError nor urllib3's, it passes through `HTTPAdapter.send`
unchanged and says in which phase it happened. So what became of a request is known, not guessed.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from urllib3.util import Timeout as Urllib3Timeout
from urllib3.util.ssltransport import SSLTransport

from ..messages import Headers
from ..protocol.egress import EgressPolicy
from ..protocol.headers import ends_connection
from ..protocol.urls import Url
from .addresses import connect_to_any
from .failures import BodySourceError, NotHttpError, Phase, ProxyRefusedError
from .http1 import Body, Head, read_head, request_head
from .incoming import Incoming
from .names import Address, address_text, permitted, resolve
from .over_socks import destination, open_by_socks
from .proxies import HttpProxy, Proxy, SocksProxy
from .readiness import is_readable, wait_until_usable
from .tls import TlsSettings

__all__ = ["Answer", "Connection", "ExchangeBounds", "ExchangeError", "Pool"]

# Of TLS: before OpenSSL 3 a reset cannot be told from an end without farewell, which must pass for an end.
_RESET_LOOKS_LIKE_AN_END = ssl.OPENSSL_VERSION_INFO < (3,)

_PIECE = 64 * 1024  # bytes handed to the kernel, or asked of it, at a time


class ExchangeError(Exception):
    """An exchange failed in this phase, for this reason."""

    def __init__(self, phase: Phase, error: BaseException) -> None:
        super().__init__(phase, error)
        self.phase = phase
        self.error = error


class ExchangeBounds(Urllib3Timeout):
    """The bounds of one exchange, on their way through requests. urllib3's class is what requests lets through.

    ends_at: instant by which the exchange must be over, or None.  connect_ends_at: … be connected.
    read_within, write_within: seconds that the other side may keep us waiting at a time, or None.
    """

    def __init__(
        self,
        ends_at: float | None,
        connect_ends_at: float | None,
        read_within: float | None,
        write_within: float | None,
    ) -> None:
        super().__init__()
        self.ends_at = ends_at
        self.connect_ends_at = connect_ends_at
        self.read_within = read_within
        self.write_within = write_within


def _left(ends_at: float | None, within: float | None = None) -> float | None:
    """Seconds that an operation may take. Raises TimeoutError when there are none."""
    if ends_at is None:
        return within
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left if within is None or left < within else within


class Connection(Incoming):
    """One socket, the bytes that came from it, and what is known of it.

    served: exchanges so far.   idle_since: instant at which the last one ended.
    """

    def __init__(self, sock: Any, ends_at: float | None) -> None:
        super().__init__()
        self.sock = sock
        self.served = 0
        self.idle_since = 0.0
        self._pid = os.getpid()
        self._ends_at = ends_at
        self._read_within: float | None = None
        self._write_within: float | None = None

    def begin(self, bounds: ExchangeBounds) -> None:
        """Take the bounds of the coming exchange."""
        self._ends_at = bounds.ends_at
        self._read_within, self._write_within = bounds.read_within, bounds.write_within

    def receive(self) -> bytes:
        """Some bytes, within the bounds of the exchange."""
        self.sock.settimeout(_left(self._ends_at, self._read_within))
        return self._receive_some()

    def _receive_some(self) -> bytes:
        try:
            data: bytes = self.sock.recv(_PIECE)
            return data
        except ssl.SSLEOFError as error:
            if error.reason == "UNEXPECTED_EOF_WHILE_READING":  # no farewell: many servers leave it out
                return b""
            raise  # a reset

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes; each part of them that the kernel takes has the time of a write."""
        view = memoryview(data)
        while view:
            self.sock.settimeout(_left(self._ends_at, self._write_within))
            view = view[self.sock.send(view) :]

    def send_unless_answered(self, chunks: Iterable[bytes | memoryview]) -> bool:
        """Send a body, listening the while; False when an answer came before all of it had left.

        A server that refuses an upload says so and stops reading: who only wrote would wait for ever.
        """
        if isinstance(self.sock, SSLTransport):  # it loses bytes where it may not wait
            for chunk in chunks:
                self.send(chunk)
            return True
        self.sock.settimeout(0.0)
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                within = _left(self._ends_at, self._write_within)
                if is_readable(self.sock) and self._is_answered():
                    return False
                try:
                    view = view[self.sock.send(view) :]
                    continue
                except (BlockingIOError, ssl.SSLWantWriteError):
                    to_write = True
                except ssl.SSLWantReadError:
                    to_write = False
                wait_until_usable(self.sock, within, to_write=to_write)
        return True

    def _is_answered(self) -> bool:
        try:
            data = self._receive_some()
        except (BlockingIOError, ssl.SSLWantReadError):  # nothing but a record of TLS's own
            return False
        self.add(data)
        self.skip_interim_heads()
        return not data or not self.may_be_interim

    def is_fit(self, idle_at_most: float, requests_at_most: int) -> bool:
        """Whether it may serve another exchange: young, and silent since the last one."""
        if self.served >= requests_at_most or time.monotonic() - self.idle_since > idle_at_most:
            return False
        if isinstance(self.sock, SSLTransport) and self.sock.incoming.pending:  # it reads ahead
            return False
        return not is_readable(self.sock)  # closed by the server, or bytes that nobody asked for

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def abort(self) -> None:
        """Close the socket in mid-response, and wake the thread that reads from it, if another one does."""
        if os.getpid() == self._pid:  # a forked child must not end what its parent goes on with
            sock = self.sock.socket if isinstance(self.sock, SSLTransport) else self.sock
            try:
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own, which takes its state away
            except OSError:  # the other side was first
                pass
        self.sock.close()


# Making them.


def connect(
    url: Url, proxy: Proxy | None, tls: TlsSettings, egress: EgressPolicy | None, bounds: ExchangeBounds
) -> Connection:
    """A connection to the origin, by way of the proxy where there is one, within the time to connect."""
    ends_at = bounds.connect_ends_at
    sock: Any
    if isinstance(proxy, SocksProxy):
        sock = _connect_by_socks(url, proxy, egress, ends_at)
    elif proxy is None:
        sock = _connect_to_any(_addresses(url, egress, ends_at), ends_at)
    else:
        sock = _connect_to_any(resolve(proxy.address.host, proxy.address.port, _left(ends_at)), ends_at)
    try:
        if isinstance(proxy, HttpProxy):
            if proxy.address.scheme == "https":
                sock = _secured(sock, proxy.address.host, tls, ends_at)
            if url.scheme == "https":
                _open_tunnel(Connection(sock, ends_at), url, proxy)
        if url.scheme == "https":
            sock = _secured(sock, url.host, tls, ends_at)
        return Connection(sock, ends_at)
    except BaseException:
        sock.close()
        raise


def _addresses(url: Url, egress: EgressPolicy | None, ends_at: float | None) -> list[Address]:
    found = resolve(url.host, url.port, _left(ends_at))
    return permitted(found, address_text, url.host, url.port, egress)


def _connect_by_socks(
    url: Url, proxy: SocksProxy, egress: EgressPolicy | None, ends_at: float | None
) -> socket.socket:
    host = url.host
    if not proxy.resolves:
        try:
            host = destination(_addresses(url, egress, ends_at))
        except (OSError, UnicodeError) as error:  # of our own resolver, and not of the proxy
            raise ExchangeError(Phase.CONNECT, error) from None
    sock = _connect_to_any(resolve(proxy.host, proxy.port, _left(ends_at)), ends_at)
    try:
        open_by_socks(sock, proxy, host, url.port, lambda: _left(ends_at))
    except BaseException:
        sock.close()
        raise
    return sock


def _connect_to_any(addresses: list[Address], ends_at: float | None) -> socket.socket:
    sock = connect_to_any(addresses, _left(ends_at))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _secured(sock: Any, host: str, tls: TlsSettings, ends_at: float | None) -> Any:
    sock.settimeout(_left(ends_at))  # bounds the handshake as a whole
    if isinstance(sock, ssl.SSLSocket):  # TLS to the proxy, and within it TLS to the origin
        return SSLTransport(sock, tls.context, host.rstrip("."))
    return tls.context.wrap_socket(
        sock, server_hostname=host.rstrip("."), suppress_ragged_eofs=_RESET_LOOKS_LIKE_AN_END
    )


def _open_tunnel(connection: Connection, url: Url, proxy: HttpProxy) -> None:
    target = f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"
    connection.send(request_head("CONNECT", target, target, proxy.fields))
    head = read_head(connection)
    if head.status != 200:
        raise ProxyRefusedError(f"{head.status} {head.reason}".strip())


# Keeping and using them.


class Pool:
    """The connections to one origin, directly or by way of one proxy.

    How many may be in use is the core's to decide; what came back is kept for its time.
    """

    def __init__(
        self,
        url: Url,
        proxy: Proxy | None,
        tls: TlsSettings,
        egress: EgressPolicy | None,
        keep_alive_timeout: float,
        keep_alive_max_requests: int,
    ) -> None:
        self._url = url
        self._host = url.origin.partition("://")[2]
        self._proxy = proxy
        self._tls = tls
        self._egress = egress
        self._kept_for = keep_alive_timeout
        self._max_requests = keep_alive_max_requests
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
        timeout: ExchangeBounds,
        chunked: bool = False,
        **options: Any,
    ) -> Answer:
        """One exchange, up to the end of the response's headers. Raises ExchangeError alone.

        The signature is urllib3's, as far as `HTTPAdapter.send` makes use of it.
        """
        connection = None
        phase = Phase.CONNECT if self._proxy is None else Phase.PROXY
        try:
            connection = self._take() or connect(self._url, self._proxy, self._tls, self._egress, timeout)
            connection.begin(timeout)
            phase = Phase.SEND
            is_sent = _send(connection, self._head(method, url, headers or {}, chunked), body, chunked)
            phase = Phase.RECEIVE
            head = read_head(connection)
            head.is_last = head.is_last or not is_sent or ends_connection(headers or {})
            connection.served += 1
            return Answer(head, Body(connection, head, method), connection, self)
        except (OSError, UnicodeError, NotHttpError, ProxyRefusedError, BodySourceError) as error:
            if connection is not None:
                connection.close()
            failed = ExchangeError(phase, error)
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

    def _take(self) -> Connection | None:
        """An idle connection that is fit for use: the one used last, for it is the likeliest to be so."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread was first
                return None
            if connection.is_fit(self._kept_for, self._max_requests):
                return connection
            connection.close()
        return None

    def put_back(self, connection: Connection) -> None:
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
            connection.send(head + body)
            return True
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


class Answer:
    """A response as requests wants it from urllib3: its head, and a body to read. Undecoded."""

    version = 11

    def __init__(self, head: Head, body: Body, connection: Connection, pool: Pool) -> None:
        self.status = head.status
        self.reason = head.reason
        self.headers = Headers(head.fields)
        self._head = head
        self._body = body
        self._connection: Connection | None = connection
        self._pool = pool
        self._let_go_if_complete()

    def bound(self, bounds: ExchangeBounds) -> None:
        """Take other bounds for the reads to come."""
        if self._connection is not None:
            self._connection.begin(bounds)

    def read(self, amount: int | None = None, decode_content: bool = False) -> bytes:
        """The next piece, however large; b"" at the end."""
        if self._connection is None:
            return b""
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
                self._pool.put_back(connection)


def _closed_under_the_read() -> ConnectionAbortedError:
    return ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
