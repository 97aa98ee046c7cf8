"""One connection of the blocking transport, which never waits longer than it may.

Every wait on the socket gets the smaller of its own timeout and the time left for the exchange, so a server that
trickles a byte at a time is cut on time.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

from ...http.http1.fast_path import FastHead, read_fast_response
from ...http.http1.framing import ParserSettings
from ...http.http1.head import Head
from ...http.http1.response_parser import ResponseParser
from ..base import MOST_EARLY
from ..lifetime import Lifetime
from ..network.polling import LONGEST, is_readable, read_waiter, wait_until_usable
from ..network.tls_sessions import Resumption
from .aborts import Cut, aborted
from .exchange_timeouts import ExchangeTimeouts, seconds_left

__all__ = ["Connection", "SelfWaitingConnection", "is_closed_by_peer", "is_ragged_end", "reset"]

_PIECE = 64 * 1024  # bytes requested from the kernel at a time
# The same while so many do arrive. A long body then takes a third less CPU, for fewer system calls here and where it is
# written to a file; for a short one, memory for so many bytes would cost more than the call.
_LONG_PIECE = 256 * 1024
_LONGEST_PIECE = 1024 * 1024  # for a reader that wants as much: see `prefer_long_pieces`
_RECORD = 16 * 1024  # bytes that a record of TLS has at most (RFC 8446, 5.1); `recv` returns one at a time
_SHORT_RECORD = 1024  # no other is worth looking for one more: it may be an event of a stream


class Connection:
    """One socket, and the parser of the bytes that are received from it.

    No operation of the socket waits. What cannot be done at once is waited for by `poll`, so that an exchange of a small
    request and a small response takes one `send`, one wait and one `recv`, and no call to set a timeout.

    served: exchanges so far.   idle_since: the instant at which the last one ended.
    most_early: bytes of the response's body that are taken while the request is still being sent.
    cut: of the exchange that uses it; None unless another thread may end that.
    resumption: takes its TLS session when the first response arrives; None without TLS, and from then on.
    """

    most_early = MOST_EARLY
    cut: Cut | None = None
    resumption: Resumption | None = None

    def __init__(
        self, sock: Any, expires_at: float | None, settings: ParserSettings, lifetime: Lifetime | None = None
    ) -> None:
        self.sock = sock
        self._wait_to_read = self._polled(sock)
        # Bytes that TLS has read and decrypted already: `poll` does not see them.
        self._pending: Callable[[], int] | None = getattr(sock, "pending", None)
        self._settings = settings
        self.parser = ResponseParser(settings)
        self._method = "GET"
        self._has_fed = False
        self._early = bytearray()  # of the response's body, taken while the request was still being sent
        self.lifetime: Any = lifetime  # None while a tunnel is opened
        self.served = 0
        self.idle_since = 0.0
        self._pid = os.getpid()
        self._expires_at = expires_at
        self._read_within: float | None = None
        self._read_until: float | None = None  # of one piece of a body
        self._write_within: float | None = None
        self._is_aborted = False
        # A thread uses the socket, which no other one closes meanwhile: its number could be that of another connection's
        # socket by the time of the next system call, whose wait, or bytes, would then be the wrong ones.
        self._is_busy = False
        self._piece = _PIECE
        self._longest = _LONG_PIECE
        # That a look for more records found, after what it has returned: the next receipt.
        self._found: OSError | bytes | None = None

    def _polled(self, sock: Any) -> Callable[[float | None], object]:
        sock.settimeout(0.0)
        return read_waiter(sock)

    def begin(self, method: str, timeouts: ExchangeTimeouts) -> None:
        """A request with this method is about to be sent, within these limits. Raises ConnectionAbortedError."""
        self._is_busy = True
        if self._is_aborted:
            raise aborted()
        self.set_timeouts(timeouts)
        self.parser.begin(method)
        self._longest = _LONG_PIECE
        self._method = method
        self._has_fed = False  # no bytes of this exchange have gone to the parser

    def set_timeouts(self, timeouts: ExchangeTimeouts) -> None:
        """Use these limits from now on."""
        self._expires_at = timeouts.expires_at
        self._read_within, self._write_within = timeouts.read_within, timeouts.write_within

    def read_response(self) -> tuple[Head | FastHead, bytes | None]:
        """The head of the response, and its body if that came with it; else None. Raises as `ResponseParser.read_head`.

        The connection is not busy then.
        """
        response = self._read_response()
        self._rest()
        return response

    def _read_response(self) -> tuple[Head | FastHead, bytes | None]:
        data = None if self._has_fed else self.receive()
        if self.resumption is not None:
            self.resumption.keep(self.sock)
            self.resumption = None
        if data is not None:
            whole = read_fast_response(data, self._settings, self._method)
            if whole is not None:
                return whole
            self.parser.feed(data)
        head = self.read_head()
        if not self._early or not self.parser.is_complete:
            return head, None
        return head, self._take_early()

    def read_head(self) -> Head | FastHead:
        """The head of the response, by the parser. Raises as `ResponseParser.read_head`."""
        while (head := self.parser.read_head()) is None:
            self.parser.feed(self.receive())
        return head

    def prefer_long_pieces(self) -> None:
        """Until the exchange ends, receive up to 1 MiB at a time while so much arrives."""
        self._longest = _LONGEST_PIECE
        # glibc takes memory for an object from the system, and gives it back, if none as large was ever freed (mallopt(3),
        # M_MMAP_THRESHOLD). A piece rarely fills what was requested for it, and none would ever be as large as the next
        # request: each would have new pages, which takes longer than all else. So free one that is larger.
        bytes(_LONGEST_PIECE + _PIECE)

    def read_body(self) -> bytes:
        """The next piece of the body; b"" at its end. Raises as `ResponseParser.read_body`."""
        if self._early:
            return self._take_early()
        self._is_busy = True
        try:
            while (piece := self.parser.read_body()) is None:
                if self._read_until is None and self._read_within is not None:
                    # For the whole wait, even if what arrives is no part of the body.
                    self._read_until = time.monotonic() + self._read_within
                data = self.receive()
                if self._pending is not None and _SHORT_RECORD <= len(data) <= _RECORD:
                    data = self._with_next_records(data)
                self.parser.feed(data)
            return piece
        finally:
            self._read_until = None
            self._rest()

    def _take_early(self) -> bytes:
        early, self._early = bytes(self._early), bytearray()
        return early

    def _rest(self) -> None:
        """The thread has stopped using the socket. Close it if another one aborted it meanwhile."""
        self._is_busy = False
        if self._is_aborted:
            self.sock.close()

    def _with_next_records(self, first: bytes) -> bytes:
        """A record of TLS with those after it, as far as they have arrived: a step for each takes longer than to decrypt it."""
        records, size = [first], len(first)
        try:
            while size < self._longest:
                data = self.sock.recv(_RECORD)
                if not data:
                    self._found = data
                    break
                records.append(data)
                size += len(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:  # such as a reset; what came before it is valid
            self._found = error.with_traceback(None)
        return b"".join(records)

    def receive(self) -> bytes:
        """Some bytes, within the limits of the exchange; b"" once the server has closed the connection."""
        within = self._seconds_to_read()
        ends_at = None if within is None else time.monotonic() + within
        if self._pending is None or (self._found is None and not self._pending()):
            if self._is_aborted:
                raise aborted()
            milliseconds = None if within is None else min(within, LONGEST) * 1000
            if not self._wait_to_read(milliseconds):
                raise TimeoutError("timed out")
        try:
            return self._receive_some()
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        # Not in the handler: its error would have this one as its context.
        return self._receive_later(ends_at)

    def _seconds_to_read(self) -> float | None:
        until = self._read_until
        return seconds_left(self._expires_at, self._read_within if until is None else seconds_left(until))

    def _receive_later(self, ends_at: float | None) -> bytes:
        """As `receive`, after a record of the TLS protocol itself, or a part of one."""
        while True:
            try:
                return self._receive_some()
            except (BlockingIOError, ssl.SSLWantReadError):
                to_write = False
            except ssl.SSLWantWriteError:
                to_write = True
            wait_until_usable(self.sock, seconds_left(ends_at), to_write=to_write)

    def _receive_some(self) -> bytes:
        try:
            if self._found is not None:
                data = self._take_found()
            else:
                # A `NestedConnection`'s socket returns the number 0 at an end without close_notify.
                data = self.sock.recv(self._piece) or b""
            size = len(data)
            self._piece = _PIECE if size < _PIECE else _LONG_PIECE if size < _LONG_PIECE else self._longest
            if not data and self.was_cut:  # by another thread: this is not the end of a body
                raise aborted()
            return data
        except ssl.SSLEOFError as error:
            if self.was_cut:
                raise
            if is_ragged_end(error):
                return b""
        # Not in the handler: the reason would be sought in what OpenSSL has raised.
        raise reset()

    def _take_found(self) -> bytes:
        found, self._found = self._found, None
        if isinstance(found, OSError):
            raise found
        return b""

    @property
    def was_cut(self) -> bool:
        """Whether another thread has ended the exchange, or closed the client."""
        return self._is_aborted or (self.cut is not None and self.cut.is_made)

    def send(self, data: bytes) -> bool:
        """Send the beginning of an exchange, as `send_all`. The kernel nearly always accepts it at once."""
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        return sent == len(data) or self.send_all([memoryview(data)[sent:]])

    def send_all(self, chunks: Iterable[bytes | memoryview]) -> bool:
        """Send bytes while listening; False when a response came before all of them were sent, and the rest does not matter.

        A server that rejects an upload responds and stops reading: a client that only writes would wait forever. The write
        timeout applies to each part that the kernel accepts.
        """
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                within = seconds_left(self._expires_at, self._write_within)
                listens = len(self._early) < self.most_early
                if listens and self._wait_to_read(0) and self._is_answered():
                    return False
                try:
                    view = view[self.sock.send(view) :]
                    continue
                except (BlockingIOError, ssl.SSLWantWriteError):
                    to_write = True
                except ssl.SSLWantReadError:
                    to_write = False
                wait_until_usable(self.sock, within, to_write=to_write, to_read=listens or not to_write)
        return True

    def _is_answered(self) -> bool:
        """Whether sending the rest of the request no longer matters. Bytes have arrived.

        The head of a success alone is not enough: a server may begin its response while it reads the request, and a
        body that is cut off would count as received.
        """
        try:
            data = self._receive_some()
        except (BlockingIOError, ssl.SSLWantReadError):  # only a record of the TLS protocol itself
            return False
        self.parser.feed(data)
        self._has_fed = True
        if not data:
            return True
        head = self.parser.read_head()
        if head is None:
            return False
        while len(self._early) < self.most_early and (piece := self.parser.read_body()):
            self._early += piece
        return head.status >= 300 or self.parser.is_complete

    def is_reusable(self) -> bool:
        """Whether it may serve another exchange: young enough, and nothing has arrived since the last one."""
        if not self.lifetime.allows(self.idle_since):
            return False
        if self._found is not None:
            return False
        return not self._wait_to_read(0)  # readable: closed by the server, or bytes outside any exchange

    def end_exchange(self) -> bool:
        """The exchange that used it is over. Whether another one may use it: not if it was cut, even at the last moment."""
        cut, self.cut = self.cut, None
        if cut is None:
            return True
        cut.end()
        return not cut.is_made

    def close(self) -> None:
        """Close the socket."""
        if self.cut is not None:
            self.end_exchange()
        self.sock.close()

    def abort(self) -> None:
        """Close the socket in mid-response; if a thread uses it, wake that thread, which closes it."""
        self._is_aborted = True
        if self.cut is not None:
            self.end_exchange()
        if os.getpid() == self._pid:  # a forked child must not shut down a connection that its parent uses
            lowest = self._lowest_socket()
            try:
                socket.socket.shutdown(lowest, socket.SHUT_RDWR)  # an SSLSocket's own drops its TLS state
            except OSError:  # the server closed it first
                pass
            except AttributeError:  # of a mock in the place of the class (mocket)
                pass
        if not self._is_busy:
            self.sock.close()

    def _lowest_socket(self) -> Any:
        return self.sock


def is_ragged_end(error: ssl.SSLEOFError) -> bool:
    """Whether this is an end without close_notify, which many servers omit. OpenSSL 3 has the same error for a reset."""
    return error.reason == "UNEXPECTED_EOF_WHILE_READING"


def is_closed_by_peer(error: OSError) -> bool:
    """Whether a write has failed since the peer had closed the connection. What the peer sent before can still be read.

    OpenSSL hides the system's error in most versions of Python. macOS has EPROTOTYPE where the peer closes meanwhile.
    """
    return (
        isinstance(error, (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError))
        or error.errno == errno.EPROTOTYPE
    )


def reset() -> ConnectionResetError:
    """The system's error for a connection that was reset."""
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class SelfWaitingConnection(Connection):
    """A connection over a socket that waits itself (see `must_wait_itself`): each operation gets its timeout."""

    def _polled(self, sock: Any) -> Callable[[float | None], object]:
        return lambda milliseconds: is_readable(sock)  # only looks

    def receive(self) -> bytes:
        """Some bytes, within the limits of the exchange; b"" once the server has closed the connection."""
        self.sock.settimeout(self._seconds_to_read())
        return self._receive_some()

    def _with_next_records(self, first: bytes) -> bytes:
        return first  # to look for more of them is to wait

    def send(self, data: bytes) -> bool:
        """Send the beginning of an exchange."""
        self.sock.settimeout(0.0)
        return super().send(data)
