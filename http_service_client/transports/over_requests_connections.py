"""urllib3 connections and pools that keep to a deadline and tell what became of a request.

urllib3 gives each socket operation the whole timeout, so a server that drips a byte at a time is never
cut. Here every operation of the socket is armed with the smaller of its own timeout and what is
left of the exchange; `ssl.SSLContext.sslsocket_class` does the same under TLS, without threads.

A failure is raised as `ExchangeError`, which is neither an OSError nor urllib3's: it passes through
`HTTPAdapter.send` unchanged, with the phase in which it happened. So what became of the request is
known, not guessed from an error's name.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any, NoReturn

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout as Urllib3Timeout

from .failures import Phase

__all__ = ["ExchangeError", "ExchangeTimeout", "HttpPool", "HttpsPool", "TimedTlsSocket"]


class ExchangeError(Exception):
    """An exchange failed in this phase, for this reason."""

    def __init__(self, phase: Phase, error: BaseException) -> None:
        super().__init__(phase, error)
        self.phase = phase
        self.error = error


class ExchangeTimeout(Urllib3Timeout):
    """The bounds of one exchange, on their way through requests and urllib3.

    ends_at: instant by which the exchange must be over, or None.  connect_ends_at: … be connected.
    read_within, write_within: seconds that one socket operation may stall, or None.
    """

    def __init__(
        self, ends_at: float | None, connect_ends_at: float | None, read_within: float | None, write_within: float | None
    ) -> None:
        super().__init__()
        self.ends_at = ends_at
        self.connect_ends_at = connect_ends_at
        self.read_within = read_within
        self.write_within = write_within


class _TimedOperations:
    """Socket operations that stop at the end of the exchange, however little each of them waits."""

    ends_at: float | None = None
    read_within: float | None = None
    write_within: float | None = None

    def _arm(self, within: float | None) -> None:
        if self.ends_at is not None:
            left = self.ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time for the exchange is over")
            within = left if within is None or left < within else within
        self.settimeout(within)  # type: ignore[attr-defined]  # mixed into a socket

    def recv_into(self, *args: Any) -> int:
        self._arm(self.read_within)
        return super().recv_into(*args)  # type: ignore[misc, no-any-return]

    def recv(self, *args: Any) -> bytes:
        self._arm(self.read_within)
        return super().recv(*args)  # type: ignore[misc, no-any-return]

    def send(self, *args: Any) -> int:
        self._arm(self.write_within)
        return super().send(*args)  # type: ignore[misc, no-any-return]

    def sendall(self, data: Any, *args: Any) -> None:
        # One send at a time: `write_within` bounds a stall, not a long upload that moves.
        with memoryview(data) as view, view.cast("B") as left:
            sent = 0
            while sent < len(left):
                sent += self.send(left[sent:], *args)


class _TimedSocket(_TimedOperations, socket.socket):
    pass


class TimedTlsSocket(_TimedOperations, ssl.SSLSocket):
    """For `ssl.SSLContext.sslsocket_class`."""


class _TimedConnection(HTTPConnection):
    """A connection that knows its deadline, its age and how often it served."""

    limits: ExchangeTimeout
    served = 0
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, all of them within the connect timeout.

        Each address gets an equal share of what is left, so that one that swallows packets does not
        use up the time of those behind it.
        """
        addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        error: OSError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(addresses):
            sock = _TimedSocket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    sock.setsockopt(*option)
                left = self._connect_left()
                sock.settimeout(None if left is None else left / (len(addresses) - index))
                sock.connect(address)
                sock.ends_at = self.limits.connect_ends_at
                sock.settimeout(self._connect_left())  # bounds the TLS handshake as a whole
                return sock
            except OSError as failed:
                sock.close()
                error = failed
            except BaseException:
                sock.close()
                raise
        try:
            raise error or OSError("the host name has no address")
        finally:
            error = None  # the traceback holds this frame

    def _connect_left(self) -> float | None:
        if self.limits.connect_ends_at is None:
            return None
        left = self.limits.connect_ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time to connect is over")
        return left

    def arm(self) -> None:
        """Give the socket the bounds of the coming exchange."""
        sock: Any = self.sock
        limits = self.limits
        sock.ends_at, sock.read_within, sock.write_within = limits.ends_at, limits.read_within, limits.write_within


class _TimedTlsConnection(_TimedConnection, HTTPSConnection):
    pass


class _PoolOfTimed:
    """One exchange at a time over each connection; a connection that is not fit for another is closed."""

    keep_alive_timeout = 75.0
    keep_alive_max_requests = 1000

    def urlopen(
        self: Any, method: str, url: str, body: Any = None, headers: Any = None, *, timeout: ExchangeTimeout, **options: Any
    ) -> BaseHTTPResponse:
        """One exchange, up to the end of the response's headers. Raises ExchangeError alone."""
        connection = self._get_conn()
        connection.limits = timeout
        phase = Phase.CONNECT
        try:
            if connection.is_closed:
                connection.served = 0
                if self.proxy is not None and self.scheme == "https":
                    self._prepare_proxy(connection)  # connects, by way of the tunnel
                else:
                    connection.connect()
            connection.arm()
            phase = Phase.SEND
            try:
                connection.request(
                    method, url, body=body, headers=headers, chunked=options["chunked"],
                    preload_content=False, decode_content=False,
                )  # fmt: skip
            except (BrokenPipeError, ConnectionResetError):
                pass  # the server may have answered before it hung up: the answer says why
            phase = Phase.RECEIVE
            response: BaseHTTPResponse = connection.getresponse()
        except BaseException as error:
            connection.close()
            self._put_conn(connection)
            if not isinstance(error, Exception):
                raise
            failed = ExchangeError(phase, error)
        else:
            connection.served += 1
            response._connection, response._pool = connection, self  # type: ignore[attr-defined]
            if getattr(response, "length_remaining", None) == 0 and response._original_response.isclosed():  # type: ignore[attr-defined]
                response.release_conn()
            return response
        _raise(failed)

    def _get_conn(self: Any, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)  # type: ignore[misc]
        # urllib3 has looked whether the idle connection was closed, or has bytes that nobody asked for.
        if not connection.is_closed:
            idle = time.monotonic() - connection.idle_since
            if idle > self.keep_alive_timeout or connection.served >= self.keep_alive_max_requests:
                connection.close()
        return connection

    def _put_conn(self: Any, connection: Any) -> None:
        if connection is not None:
            connection.idle_since = time.monotonic()
            if connection.served >= self.keep_alive_max_requests:
                connection.close()
        super()._put_conn(connection)  # type: ignore[misc]


def _raise(error: ExchangeError) -> NoReturn:
    try:
        raise error
    finally:
        del error  # the traceback holds this frame


class HttpPool(_PoolOfTimed, HTTPConnectionPool):  # type: ignore[misc]  # urlopen takes what the adapter gives
    """Plain connections to one host, or to a proxy."""

    ConnectionCls = _TimedConnection


class HttpsPool(_PoolOfTimed, HTTPSConnectionPool):  # type: ignore[misc]  # urlopen takes what the adapter gives
    """TLS connections to one host, directly or through a proxy's tunnel."""

    ConnectionCls = _TimedTlsConnection
