"""Faults that are injected into exchanges: each is the failure that a real one would be, from the same table.

    error                    the exchange
    ConnectError, NameResolutionError, ConnectTimeoutError, TlsError,
    TlsVerificationError     is not made: the request was never sent
    ConnectionLostError, ReadTimeoutError, WriteTimeoutError,
    AttemptTimeoutError, ProtocolError
                             is made, and its response dropped: the server may have processed the request

An injected timeout does not wait for its time. To have it pass, inject a latency above the timeout.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterable

from ..core.effects import BodySource
from ..core.timeouts import Timeout
from ..errors import (
    AttemptTimeoutError,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ConnectTimeoutError,
    Failure,
    NameResolutionError,
    ProtocolError,
    ReadTimeoutError,
    TlsError,
    TlsVerificationError,
    WriteTimeoutError,
)
from ..http.http1.errors import CutShortError
from ..http.messages import HttpRequest
from .failures import Phase, failure_of

__all__ = ["INJECTED_FAULTS", "CutSource", "check_injectable"]


def _of_system(kind: type[OSError], number: int) -> Callable[[], OSError]:
    return lambda: kind(number, os.strerror(number))


_FAULTS: dict[type[BaseException], tuple[Phase, Callable[[], BaseException], bool]] = {
    ConnectError: (Phase.CONNECT, _of_system(ConnectionRefusedError, errno.ECONNREFUSED), False),
    NameResolutionError: (
        Phase.CONNECT,
        lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        False,
    ),
    ConnectTimeoutError: (Phase.CONNECT, TimeoutError, False),
    TlsError: (Phase.CONNECT, lambda: ssl.SSLError(1, "handshake failure"), False),
    TlsVerificationError: (
        Phase.CONNECT,
        lambda: ssl.SSLCertVerificationError(1, "certificate verify failed"),
        False,
    ),
    ConnectionLostError: (Phase.RECEIVE, _of_system(ConnectionResetError, errno.ECONNRESET), False),
    ReadTimeoutError: (Phase.RECEIVE, TimeoutError, False),
    WriteTimeoutError: (Phase.SEND, TimeoutError, False),
    AttemptTimeoutError: (Phase.RECEIVE, TimeoutError, True),
    ProtocolError: (Phase.RECEIVE, lambda: CutShortError(0), False),
}


def check_injectable(kinds: Iterable[object]) -> None:
    """Raise ConfigurationError for an error that no exchange ends with."""
    for kind in kinds:
        if kind not in _FAULTS:
            names = ", ".join(each.__name__ for each in _FAULTS)
            raise ConfigurationError(
                f"errors has {getattr(kind, '__name__', kind)}, which no exchange ends with; for a client it can have {names}"
            )


class CutSource:
    """The body of a response that ends early.

    length: bytes that arrive; None if the body's own length is unknown: then a part of its first piece does.
    share: the part.   request: for the failure.   is_on: whether the body is still to be cut.
    """

    def __init__(
        self,
        source: BodySource,
        request: HttpRequest,
        length: int | None,
        share: float,
        is_on: Callable[[], bool],
    ) -> None:
        self._source = source
        self._request = request
        self._left = length
        self._share = share
        self._is_on = is_on
        self._received = 0

    def read(self, timeout: Timeout) -> bytes | Failure:
        """As any source of the blocking transport."""
        if self._has_ended():
            return self._cut(timeout)
        return self._taken(self._source.read(timeout), timeout)  # type: ignore[attr-defined]

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        """As any source of the asyncio transport."""
        if self._has_ended():
            return self._cut(timeout)
        return self._taken(await self._source.read_async(timeout), timeout)  # type: ignore[attr-defined]

    def _has_ended(self) -> bool:
        return self._left == 0 and self._is_on()

    def _taken(self, data: bytes | Failure, timeout: Timeout) -> bytes | Failure:
        if isinstance(data, Failure) or not data or not self._is_on():
            return data
        if self._left is None:
            self._left = int(len(data) * self._share)
        kept = data[: self._left]
        self._left -= len(kept)
        self._received += len(kept)
        return kept or self._cut(timeout)

    def _cut(self, timeout: Timeout) -> Failure:
        self.close()
        return INJECTED_FAULTS.cut_short(self._request, timeout, self._received)

    def close(self) -> None:
        """Release the connection."""
        self._source.close()


class InjectedFaults:
    """Makes each fault as the wire would."""

    def failure(self, kind: type[BaseException], request: HttpRequest, timeout: Timeout) -> Failure:
        """The failure with this class of error."""
        phase, make, timed_out = _FAULTS[kind]
        return failure_of(phase, make(), request, timeout, timed_out)

    def cut_short(self, request: HttpRequest, timeout: Timeout, received: int) -> Failure:
        """The failure of a response that was cut short.   received: bytes that arrived."""
        return failure_of(Phase.RECEIVE, CutShortError(received), request, timeout, False)

    def cut_source(
        self,
        source: BodySource,
        request: HttpRequest,
        length: int | None,
        share: float,
        is_on: Callable[[], bool],
    ) -> BodySource:
        """See `CutSource`."""
        return CutSource(source, request, length, share, is_on)


INJECTED_FAULTS = InjectedFaults()
