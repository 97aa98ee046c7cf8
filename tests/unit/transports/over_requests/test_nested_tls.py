"""TLS within TLS of the blocking transport, by a class of urllib3 that is not documented."""

from __future__ import annotations

import ssl
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.util import ssltransport

from http_service_client import ConfigurationError
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.compatibility import SeamNotice
from http_service_client.transports.over_requests import connection, nested_tls
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
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


def test_the_socket_to_the_proxy_is_beneath() -> None:
    """Its number, and its end."""
    closed: list[bool] = []
    below: Any = SimpleNamespace(fileno=lambda: 7, close=lambda: closed.append(True))
    outer = _OuterSocket(below, None)
    assert outer.fileno() == 7
    outer.close()
    assert closed == [True]


@pytest.mark.parametrize("gone", [(), ("SSLTransport",)])
def test_without_its_seam_nothing_is_tried(gone: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the version, and what to do."""
    monkeypatch.setattr(nested_tls, "NESTED_TLS", SeamNotice("urllib3", "99", gone, "refused"))
    if not gone:
        nested_tls.check_nested_tls()
        return
    with pytest.raises(ConfigurationError) as caught:
        nested_tls.check_nested_tls()
    assert str(caught.value) == (
        "https:// URLs cannot be requested through an https:// proxy with urllib3 99 (SSLTransport changed); upgrade "
        "http-service-client, or install an older urllib3"
    )


def test_the_handshake_within_has_what_is_left_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the name of the server, by urllib3."""
    made: list[Any] = []
    monkeypatch.setattr(nested_tls, "_SSLTransport", lambda *given: made.append(given) or "inner")
    monkeypatch.setattr(nested_tls, "seconds_left", lambda expires_at: expires_at - 100.0)
    below: Any = Outer()
    assert nested_tls.start_nested_tls(below, "a context", "a.test", 105.0) == "inner"  # type: ignore[arg-type]
    ((outer, context, name),) = made
    assert (outer.sock, outer._expires_at, context, name) == (below, 105.0, "a context", "a.test")
    assert below.timeouts == [5.0]


class Inner:
    """TLS to the origin.   accepts: how many bytes each `send` does."""

    def __init__(self, *accepts: int, pending: int = 0) -> None:
        self.accepts = list(accepts)
        self.sent = b""
        self.timeouts: list[float | None] = []
        self.incoming = SimpleNamespace(pending=pending)
        self.socket = SimpleNamespace(sock=SimpleNamespace(name="the socket to the proxy"))

    def settimeout(self, seconds: float | None) -> None:
        self.timeouts.append(seconds)

    def send(self, data: memoryview) -> int:
        accepted = self.accepts.pop(0)
        self.sent += bytes(data[:accepted])
        return accepted


def nested(inner: Inner, timeouts: ExchangeTimeouts | None = None) -> Any:
    made = nested_tls.NestedConnection(inner, None, ParserSettings(), SimpleNamespace(allows=bool))  # type: ignore[arg-type]
    made.begin("GET", timeouts or ExchangeTimeouts(None, None, None, None))
    return made


@pytest.mark.parametrize("at_once", [True, False])
def test_a_request_within_is_sent_whole_and_each_part_in_its_time(at_once: bool) -> None:
    """It does not listen meanwhile: to look would be to wait."""
    inner = Inner(2, 1, 3)
    made = nested(inner, ExchangeTimeouts(None, None, 9.0, 3.0))
    assert (made.send(b"abcdef") if at_once else made.send_all([b"abc", b"", memoryview(b"def")])) is True
    assert inner.sent == b"abcdef"
    assert inner.timeouts == [3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("pending", "is_readable", "is_reusable"),
    [(0, False, True), (5, False, False), (0, True, False), (5, True, False)],
)
def test_a_connection_within_is_reusable_if_nothing_came(
    pending: int, is_readable: bool, is_reusable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from the proxy, nor in what was read ahead of it."""
    monkeypatch.setattr(connection, "is_readable", lambda sock: is_readable)
    made = nested(Inner(pending=pending))
    made.idle_since = 1.0
    assert made.is_reusable() is is_reusable


def test_the_socket_to_the_proxy_is_the_one_to_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """When another thread ends an exchange: those within have none of their own."""
    shut: list[str] = []
    kind = SimpleNamespace(shutdown=lambda sock, how: shut.append(sock.name))
    monkeypatch.setattr(connection, "socket", SimpleNamespace(socket=kind, SHUT_RDWR=2))
    nested(Inner()).abort()
    assert shut == ["the socket to the proxy"]
