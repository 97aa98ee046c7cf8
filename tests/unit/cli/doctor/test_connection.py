"""The doctor's own connection: what it sends, what it takes for a response, and how long a server keeps it."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.cli.doctor import connection
from http_service_client.cli.doctor.connection import Head, examine_clock, examine_keep_alive, send_head
from http_service_client.cli.doctor.findings import Finding, Level
from http_service_client.http.headers import Headers
from http_service_client.http.urls import split_url
from kit.rows import each_row

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
URL = split_url("http://h.example:8080/x?a=1")
OK_HEAD = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"


class Wire:
    """A socket in virtual time.   events: what arrives, each after so many seconds; an error is raised."""

    def __init__(self, events: Iterable[tuple[float, bytes | Exception]]) -> None:
        self.events = iter(events)
        self.now = 0.0
        self.sent = b""
        self.timeout = 0.0

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0, "a socket would not wait then"
        self.timeout = seconds

    def sendall(self, data: bytes) -> None:
        assert self.timeout > 0
        self.sent += data

    def recv(self, size: int) -> bytes:
        seconds, event = next(self.events, (self.timeout, TimeoutError()))
        if seconds > self.timeout:
            event = TimeoutError()
        self.now += min(seconds, self.timeout)
        if isinstance(event, Exception):
            raise event
        return event


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes one."""

    def make(*events: tuple[float, bytes | Exception]) -> Any:
        made = Wire(events)
        clock = SimpleNamespace(monotonic=lambda: 100.0 + made.now, time=lambda: NOW + made.now)
        monkeypatch.setattr(connection, "time", clock)
        return made

    return make


def test_a_head_is_asked_for_as_clients_do(wire: Any) -> None:
    """With the fields that it was given, and nothing after them."""
    sock = wire((1.5, OK_HEAD))
    head = send_head(sock, URL, [("A", "b"), ("C", "d")], 5.0)
    assert sock.sent == b"HEAD /x?a=1 HTTP/1.1\r\nHost: h.example:8080\r\nA: b\r\nC: d\r\n\r\n"
    assert (head.version, head.status, head.headers.get("A")) == ("HTTP/1.1", 200, "b")
    assert (head.sent_at, head.arrived_at) == (NOW, NOW + 1.5)


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 199 x\r\nB: c\r\n\r\n"])
def test_interim_responses_are_passed_over(interim: bytes, wire: Any) -> None:
    """Whether they arrive with the final one, before it, or in pieces."""
    whole = interim * 2 + OK_HEAD
    for events in (
        [(0.1, whole)],
        [(0.1, interim), (0.1, interim), (0.1, OK_HEAD)],
        [(0.1, whole[at : at + 1]) for at in range(len(whole))],
    ):
        head = send_head(wire(*events), URL, [], 60.0)
        assert (head.status, head.headers.multi_items()) == (200, [("A", "b")])


def test_a_head_has_its_time_however_it_trickles(wire: Any) -> None:
    """It ends at its end, and each wait is as long as what is left."""
    sock = wire((2.0, b"HTTP/1.1"), (2.0, b" 200 OK"))
    with pytest.raises(TimeoutError):
        send_head(sock, URL, [], 5.0)
    assert sock.now == 5.0
    with pytest.raises(TimeoutError, match="the response did not arrive in time"):
        send_head(wire((2.0, b"HTTP/1.1"), (3.0, b" 200 OK")), URL, [], 5.0)
    assert send_head(wire((2.0, b"HTTP/1.1"), (3.0, b" 200 OK\r\n\r\n")), URL, [], 5.0).status == 200


def test_a_server_that_closes_has_not_responded(wire: Any) -> None:
    """Whatever it had sent."""
    for events in ([(0.1, b"")], [(0.1, b"HTTP/1.1 200 OK\r\n"), (0.1, b"")]):
        with pytest.raises(ConnectionError, match="closed the connection before it responded"):
            send_head(wire(*events), URL, [], 5.0)


def test_a_head_may_have_so_many_bytes_and_no_more(wire: Any) -> None:
    """64 KiB, with what follows its end in the same piece."""
    start = b"HTTP/1.1 200 OK\r\nX: ".ljust(65536, b"x")
    assert send_head(wire((0.1, start), (0.1, b"\r\n\r\n")), URL, [], 5.0).status == 200
    with pytest.raises(ValueError, match="has no end"):
        send_head(wire((0.1, start), (0.1, b"x"), (0.1, b"\r\n\r\n")), URL, [], 5.0)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 404 Not Found", 404),
        (b"HTTP/1.0 200", 200),
        (b"HTTP/1.1 999 odd", 999),
        (b"HTTP/2 200 OK", None),
        (b"HTTP/1.2 200 OK", None),
        (b"ICY 200 OK", None),
        (b"HTTP/1.1 20", None),
        (b"HTTP/1.1 2000 OK", None),
        (b"HTTP/1.1 2x0 OK", None),
        (b"HTTP/1.1 099 OK", None),
        (b"HTTP/1.1  200 OK", None),
        (b"", None),
    ],
)
def test_a_response_is_known_by_its_first_line(line: bytes, status: int | None, wire: Any) -> None:
    """Other protocols begin otherwise."""
    sock = wire((0.1, line + b"\r\nA : b\r\nno colon\r\n\r\n"))
    if status is None:
        with pytest.raises(ValueError, match=r"^the response is not HTTP/1\.1$"):
            send_head(sock, URL, [], 5.0)
    else:
        head = send_head(sock, URL, [], 5.0)
        assert (head.status, head.version) == (status, line[:8].decode())
        assert head.headers.multi_items() == [("A", "b")]


def head_of(version: str = "HTTP/1.1", **headers: list[str]) -> Head:
    pairs = [(name.replace("_", "-"), value) for name, values in headers.items() for value in values]
    return Head(version, 200, Headers(pairs), NOW, NOW)


@each_row(
    ("version", "options", "expected"),
    [
        ("HTTP/1.1", [], True),
        ("HTTP/1.1", ["close"], False),
        ("HTTP/1.1", ["upgrade", "Close"], False),
        ("HTTP/1.1", ["keep-alive"], True),
        ("HTTP/1.0", [], False),
        ("HTTP/1.0", ["Keep-Alive"], True),
        ("HTTP/1.0", ["x", "keep-alive"], True),
        ("HTTP/1.0", ["keep-alive, close"], False),
    ],
)
def test_a_connection_is_kept_as_the_version_says(version: str, options: list[str], expected: bool) -> None:
    """Unless the server says otherwise."""
    assert head_of(version, Connection=options).is_persistent is expected


@each_row(
    ("values", "seconds"),
    [
        ([], None),
        (["timeout=5"], 5.0),
        (["Timeout=5, max=100"], 5.0),
        (["max=100, timeout=5"], 5.0),
        (["max=100", "timeout= 5 "], 5.0),
        (["max=100"], None),
        (["timeout=soon"], None),
        (["timeout"], None),
        (["timeout=soon, timeout=7"], 7.0),
    ],
)
def test_a_server_may_announce_how_long_it_waits(values: list[str], seconds: float | None) -> None:
    """In whole seconds, among other parameters."""
    assert head_of(Keep_Alive=values).announced == seconds


@each_row(
    ("date", "level", "skew"),
    [
        ("Fri, 15 Jan 2027 08:00:00 GMT", Level.OK, 0.5),
        ("Fri, 15 Jan 2027 07:59:59 GMT", Level.OK, -0.5),
        ("Fri, 15 Jan 2027 08:00:01 GMT", Level.OK, 1.5),
        ("Fri, 15 Jan 2027 08:00:02 GMT", Level.WARN, 2.5),
        ("Fri, 15 Jan 2027 07:59:57 GMT", Level.WARN, -2.5),
        ("Fri, 15 Jan 2027 08:04:59 GMT", Level.WARN, 299.5),
        ("Fri, 15 Jan 2027 08:05:00 GMT", Level.FAIL, 300.5),
        ("Fri, 15 Jan 2027 07:54:59 GMT", Level.FAIL, -300.5),
    ],
)
def test_clocks_that_differ_by_two_seconds_are_worth_a_thought(date: str, level: Level, skew: float) -> None:
    """By five minutes, signatures fail. The half second of a Date, which is cut, is in doubt."""
    found = examine_clock(head_of(Date=[date]))
    assert (found.check, found.level) == ("clock", level)
    assert found.details == {"skew": skew, "bound": 0.5}
    assert found.message.startswith("the server's clock agrees with ours") is (abs(skew) == 0.5)
    assert bool(found.advice) is (level is not Level.OK)
    assert found.advice.endswith("signed requests and fresh tokens are refused") is (level is Level.FAIL)


def test_a_date_of_a_cache_says_nothing() -> None:
    """Unless it has just been stored. Nor does one that is not there."""
    assert (examine_clock(head_of()).check, examine_clock(head_of()).level) == ("clock", Level.SKIP)
    date = ["Fri, 15 Jan 2027 08:00:00 GMT"]
    for age, level in (("1", Level.SKIP), (" 0 ", Level.OK)):
        found = examine_clock(head_of(Date=date, Age=[age]))
        assert (found.check, found.level) == ("clock", level)


def kept(sock: Any, limit: float, ours: float = 4.0, head: Head | None = None) -> Finding:
    (found,) = examine_keep_alive(sock, head_of() if head is None else head, ours, limit)
    assert found.check == "keep-alive"
    return found


def test_a_connection_that_is_not_kept_costs_each_call_one(wire: Any) -> None:
    """It is closed at once."""
    found = kept(wire(), 6.0, head=head_of(Connection=["close"], Keep_Alive=["timeout=5"]))
    assert (found.level, found.details) == (Level.WARN, {"seconds": 0.0, "announced": 5.0, "ours": 4.0})


def test_nobody_has_to_wait(wire: Any) -> None:
    """What the server announces is told all the same."""
    sock = wire((1.0, b""))
    found = kept(sock, 0.0, head=head_of(Keep_Alive=["timeout=5"]))
    assert (found.level, found.message, sock.now) == (Level.SKIP, "not waited for (--idle 0)", 0.0)
    assert found.details == {"announced": 5.0, "ours": 4.0}


def test_a_body_after_a_head_is_no_end_of_a_wait(wire: Any) -> None:
    """A little of it is passed over; of too much, nothing can be said."""
    found = kept(wire((1.0, b"x" * 65536), (2.0, b"")), 6.0)
    assert (found.level, found.details["seconds"]) == (Level.WARN, 3.0)
    assert kept(wire((5.5, b"x"), (0.25, b"")), 6.0).details["seconds"] == 5.75
    found = kept(wire((1.0, b"x" * 65536), (1.0, b"x"), (2.0, b"")), 6.0)
    assert (found.level, found.message) == (Level.SKIP, "the server sends a body in response to HEAD")
    assert found.details == {"announced": None, "ours": 4.0}


def test_what_arrives_at_the_end_of_the_wait_is_no_end(wire: Any) -> None:
    """The connection was kept so long; it is not waited for any longer."""
    sock = wire((6.0, b"x"))
    assert (kept(sock, 6.0).level, sock.now) == (Level.OK, 6.0)


@pytest.mark.parametrize(
    ("limit", "advice"),
    [
        (4.5, "; wait longer than that to be sure: --idle 5"),
        (5.0, ""),
        (6.0, ""),
    ],
)
def test_a_server_that_outlasts_the_wait_is_fine(limit: float, advice: str, wire: Any) -> None:
    """If the wait was long enough to say so."""
    sock = wire()
    found = kept(sock, limit)
    assert (found.level, sock.now) == (Level.OK, limit)
    assert found.message == (
        f"the server keeps an idle connection for more than {limit:g} s, this client for 4 s{advice}"
    )
    assert found.details == {"seconds": None, "announced": None, "ours": 4.0}


@pytest.mark.parametrize(
    ("seconds", "announced", "level", "advice"),
    [
        (2.0, None, Level.WARN, "keep_alive_timeout=1.0 "),
        (10.0, None, Level.OK, None),
        (5.0, None, Level.OK, None),
        (4.75, None, Level.WARN, "keep_alive_timeout=3.8 "),
        (0.5, None, Level.WARN, "keep_alive_timeout=0.1 "),
        (3.0, 3, Level.OK, None),
        (2.0, 3, Level.OK, None),
        (1.5, 3, Level.WARN, "keep_alive_timeout=0.5 "),
        (4.0, 4, Level.WARN, "keep_alive_timeout=3.0 "),
        (4.5, 5, Level.WARN, "keep_alive_timeout=3.5 "),
    ],
)
def test_an_end_that_comes_before_ours_may_meet_a_request(
    seconds: float, announced: int | None, level: Level, advice: str | None, wire: Any
) -> None:
    """By a second. A server that announced it, and kept to that, is obeyed instead."""
    head = head_of(Keep_Alive=[f"timeout={announced}"] if announced is not None else [])
    found = kept(wire((seconds, b"")), 20.0, head=head)
    assert found.level is level
    assert (advice or "") in found.advice
    assert bool(found.advice) is (advice is not None)
    assert found.details == {"seconds": seconds, "announced": announced, "ours": 4.0}
    assert found.message.startswith(
        f"the server closes an idle connection after {seconds:.1f} s, this client after 4 s"
    )
    assert found.message.endswith("which this client obeys") is (announced == 3 and level is Level.OK)


@pytest.mark.parametrize("error", [ConnectionResetError(), ssl.SSLError(1, "closed")])
def test_a_reset_is_an_end_too(error: Exception, wire: Any) -> None:
    """As a close is."""
    assert kept(wire((2.0, error)), 20.0).details["seconds"] == 2.0
