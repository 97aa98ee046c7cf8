"""TLS within TLS of the blocking transport, by a class of urllib3 that is not documented."""

from __future__ import annotations

import ssl
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.util import ssltransport

from http_service_client.transports.over_requests import nested_tls
from http_service_client.transports.over_requests.nested_tls import _OuterSocket, _ssl_transport


def test_the_class_of_urllib3_is_used_as_long_as_it_is_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its module, or with another one inside, such connections are refused, and all others work."""
    assert _ssl_transport() is ssltransport.SSLTransport
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "urllib3.util.ssltransport", None)
        assert _ssl_transport() is None
    for gone in ("incoming", "socket", "MemoryBIO"):
        with monkeypatch.context() as patch:
            names = frozenset({"incoming", "socket", "MemoryBIO"} - {gone})
            patch.setattr(nested_tls, "names_used_by", lambda function, names=names: names)
            assert _ssl_transport() is None, gone
    with monkeypatch.context() as patch:
        patch.setattr(nested_tls, "names_used_by", lambda function: {"incoming", "socket", "MemoryBIO"})
        assert _ssl_transport() is ssltransport.SSLTransport


class Outer:
    """The TLS socket to a proxy, and what each `recv` of it comes to."""

    def __init__(self, *received: Any) -> None:
        self._received = list(received)
        self.timeouts: list[float | None] = []
        self.sent: list[bytes] = []

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def recv(self, amount: int) -> bytes:
        found: bytes | Exception = self._received.pop(0)
        if isinstance(found, Exception):
            raise found
        return found[:amount]

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)


def eof(reason: str) -> ssl.SSLEOFError:
    error = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "eof")
    error.reason = reason
    return error


def test_one_timeout_bounds_all_operations_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the next one is set: an operation of TLS takes many of the socket beneath it."""
    now = [100.0]
    monkeypatch.setattr(nested_tls, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(
        nested_tls,
        "seconds_left",
        lambda expires_at: None if expires_at is None else expires_at - now[0],
    )
    below: Any = Outer(b"abc", b"def", b"ghi")
    outer = _OuterSocket(below, 105.0)
    assert outer.recv(2) == b"ab"
    now[0] += 1.0
    outer.sendall(b"x")
    outer.settimeout(3.0)
    now[0] += 1.0
    assert outer.recv(9) == b"def"
    outer.settimeout(None)
    assert outer.recv(9) == b"ghi"
    assert (below.timeouts, below.sent) == ([5.0, 4.0, 2.0, None], [b"x"])


def test_a_reset_below_is_no_end() -> None:
    """urllib3 would take it for one, and half a body without a length for the whole."""
    below: Any = Outer(eof("UNEXPECTED_EOF_WHILE_READING"), eof("something else"))
    outer = _OuterSocket(below, None)
    with pytest.raises(ssl.SSLEOFError):
        outer.recv(9)
    with pytest.raises(ConnectionResetError):
        outer.recv(9)
