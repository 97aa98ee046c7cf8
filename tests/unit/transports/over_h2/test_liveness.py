"""Whether the server of an HTTP/2 connection still lives: when it is asked by a PING, and when it gets no new stream."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.lifetime import Lifetime
from http_service_client.transports.over_h2.connection import Http2Connection
from http_service_client.transports.over_h2.liveness import Liveness
from kit.rows import each_row

PING = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)
HEAD = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]


@each_row(
    ("history", "now", "pings", "is_doubtful"),
    [
        ([], 99.0, False, False),
        ([("asked", 0.5)], 1.5, True, False),
        ([("asked", 10.0)], 10.9, False, False),
        ([("asked", 10.0)], 11.0, True, False),
        ([("asked", 10.0), ("asked", 10.8)], 11.0, True, False),
        ([("asked", 10.0)], 14.9, True, False),
        ([("asked", 10.0)], 15.0, True, True),
        ([("asked", 10.0), ("heard", 10.1)], 99.0, False, False),
        ([("heard", 9.9), ("asked", 10.0)], 11.0, True, False),
        ([("heard", 10.0), ("asked", 10.1), ("heard", 10.1)], 99.0, False, False),
        ([("asked", 10.0), ("heard", 12.0), ("asked", 15.0)], 15.9, False, False),
        ([("asked", 10.0), ("heard", 12.0), ("asked", 15.0)], 16.0, True, False),
        ([("asked", 10.0), ("takes_ping", 11.0)], 11.9, False, False),
        ([("asked", 10.0), ("takes_ping", 11.0)], 12.0, False, True),
        ([("asked", 10.0), ("takes_ping", 11.0), ("heard", 12.0)], 99.0, False, False),
        ([("asked", 10.0), ("takes_ping", 11.0), ("heard", 11.1), ("asked", 12.0)], 14.0, False, False),
        ([("asked", 10.0), ("takes_ping", 11.0), ("heard", 11.1), ("asked", 12.0)], 17.0, False, True),
        ([("asked", 10.0), ("takes_ping", 11.0), ("responded", 0), ("asked", 12.0)], 14.0, True, True),
        ([("asked", 10.0), ("takes_ping", 10.5)], 11.0, True, False),
        ([("asked", 10.0), ("doubt", 0)], 10.1, True, True),
        ([("asked", 10.0), ("doubt", 0), ("heard", 10.2)], 10.3, False, False),
        ([("asked", 10.0), ("doubt", 0), ("takes_ping", 10.1)], 10.2, False, True),
    ],
    ids=[
        "never asked",
        "on a loop whose time has just begun",
        "it may need its time",
        "silent for a second",
        "since the first request",
        "silent for almost five seconds",
        "silent for five seconds",
        "it has answered",
        "what came before the request is no answer",
        "what came in the same instant is one",
        "silent since a later request, for less than a second",
        "silent since a later request",
        "the PING needs its time",
        "no answer to the PING",
        "an answer to the PING",
        "one PING until a head or data",
        "without another PING, five seconds",
        "another PING after a head or data",
        "a PING that was too early was not sent",
        "a caller has left",
        "a caller has left, but it lives",
        "a caller has left, and the PING was sent",
    ],
)
def test_when_a_server_may_be_dead(
    history: list[tuple[str, float]], now: float, pings: bool, is_doubtful: bool
) -> None:
    """At last: whether a new call sends a PING, and whether it goes elsewhere. A server that is heard is in no doubt."""
    liveness = Liveness()
    for event, instant in history:
        getattr(liveness, event)(*[instant] if instant else [])
    assert liveness.is_doubtful(now) is is_doubtful
    assert liveness.takes_ping(now) is pings
    assert not liveness.takes_ping(now)
    liveness.heard(now)
    assert not liveness.is_doubtful(now + 99)


class Connection(Http2Connection):
    """One whose loop has a time that the test sets, and whose bytes go nowhere.   pings: how many of them it has sent."""

    def __init__(self) -> None:
        self.loop = SimpleNamespace(time=lambda: self.now)
        self.now = 10.0
        self.on_idle = Mock()
        super().__init__(
            SimpleNamespace(loop=self.loop),  # type: ignore[arg-type]
            ParserSettings(),
            Lifetime(60, 10, None),
            self.on_idle,
            Mock(),
        )
        self.writes: list[bytes] = []
        self.transport = SimpleNamespace(is_closing=lambda: False, write=self.writes.append, abort=Mock())
        self.speaks_http2 = True
        self._h2.initiate_connection()
        self._flush()

    @property
    def pings(self) -> int:
        return b"".join(self.writes).count(PING)


@pytest.mark.parametrize(("seconds", "pings"), [(0.9, 0), (1.0, 1)])
def test_a_call_that_leaves_in_silence_puts_the_connection_in_doubt(seconds: float, pings: int) -> None:
    """For new calls; the others wait on. With it goes a PING, and a server that answers gets calls again."""
    connection = Connection()
    first, _ = [connection.open_stream(HEAD, "GET", ends=True) for _ in range(2)]
    connection.now += seconds
    connection.release(first)
    assert connection.pings == pings
    assert connection.may_open_stream() is (pings == 0)
    assert connection.is_open
    connection.data_received(PING[:4] + b"\x01" + PING[5:])
    assert connection.may_open_stream()


@pytest.mark.parametrize(("seconds", "is_kept"), [(0.9, True), (1.0, False)])
def test_the_last_call_that_leaves_in_silence_ends_the_connection(seconds: float, is_kept: bool) -> None:
    """Nobody is left to profit from a PING."""
    connection = Connection()
    stream = connection.open_stream(HEAD, "GET", ends=True)
    connection.now += seconds
    connection.release(stream)
    assert connection.pings == 0
    assert connection.is_open is is_kept
    assert connection.on_idle.called is is_kept


@pytest.mark.parametrize("response", ["head", "data"])
def test_a_response_allows_another_ping(response: str) -> None:
    """And nothing less: servers close a connection that gets several without one."""
    connection = Connection()
    connection.open_stream(HEAD, "GET", ends=True)
    head = b"\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88"
    data = b"\x00\x00\x01\x00\x00\x00\x00\x00\x01a"
    if response == "data":
        connection.data_received(head)
    for pings in (1, 1, 2):
        if pings == 2:
            connection.data_received(head if response == "head" else data)
        connection.now += 0.1
        connection.open_stream(HEAD, "GET", ends=True)
        connection.now += 1.0
        connection.ask()
        connection.data_received(PING[:4] + b"\x01" + PING[5:])
        assert connection.pings == pings


def test_a_connection_that_is_closing_sends_no_ping() -> None:
    connection = Connection()
    connection.open_stream(HEAD, "GET", ends=True)
    connection.now += 1.0
    connection.drain()
    connection.ask()
    assert connection.pings == 0
