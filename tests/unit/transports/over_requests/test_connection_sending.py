"""What one connection of the blocking transport sends, and what it does with a response that comes meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_requests.connection import Connection, SelfWaitingConnection
from http_service_client.transports.over_requests.exchange_timeouts import ExchangeTimeouts
from kit.blocking_sockets import (
    BLOCKED,
    CHUNKED,
    CREATED,
    NO_LIMITS,
    OK,
    WANT_READ,
    WANT_WRITE,
    Sock,
    TlsSock,
    World,
    connected,
)

DATA = b"POST / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("began", [True, False], ids=["in an exchange", "for a tunnel"])
@pytest.mark.parametrize(
    ("accepts", "waits"),
    [
        ([], []),
        ([len(DATA)], []),
        ([3], [0]),
        ([0], [0]),
        ([3, 4], [0, 0]),
        ([BLOCKED], [0]),
        ([WANT_WRITE], [0]),
        ([WANT_READ], [0]),
        ([3, BLOCKED], [0, (None, "rw"), 0]),
        ([3, WANT_WRITE, 2], [0, (None, "rw"), 0, 0]),
        ([3, WANT_READ], [0, (None, "r"), 0]),
    ],
)
def test_the_beginning_of_a_request_is_sent_whole(
    world: World, accepts: list[Any], waits: list[Any], began: bool
) -> None:
    """The kernel nearly always accepts it at once; what it does not is sent while the connection listens."""
    sock = TlsSock(accepts=accepts)
    opened = connected(sock) if began else Connection(sock, None, ParserSettings())
    assert opened.send(DATA) is True
    assert sock.sent == DATA
    assert world.waits == waits


@pytest.mark.parametrize(
    ("expires_at", "write_within", "within"),
    [
        (None, None, [None, None]),
        (None, 3.0, [3.0, 3.0]),
        (110.0, None, [10.0, 8.0]),
        (109.5, 9.0, [9.0, 7.5]),
    ],
)
def test_each_part_that_is_accepted_has_the_time_of_a_write(
    world: World, expires_at: float | None, write_within: float | None, within: list[Any]
) -> None:
    """Within that of the exchange."""
    world.takes = 2.0
    sock = Sock(accepts=[BLOCKED, 2, BLOCKED])
    opened = connected(sock, ExchangeTimeouts(expires_at, None, None, write_within))
    assert opened.send_all([b"ab", memoryview(b"cd")])
    assert sock.sent == b"abcd"
    assert [wait[0] for wait in world.waits if wait] == within


@pytest.mark.parametrize(
    ("incoming", "is_sent"),
    [
        ([OK], False),
        ([b"HTTP/1.1 300 Multiple Choices\r\nContent-Length: 4\r\n\r\n"], False),
        ([b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\n"], False),
        ([b"HTTP/1.1 299 Odd\r\nContent-Length: 4\r\n\r\n"], True),
        ([CREATED], True),
        ([CREATED + b"ab"], True),
        ([CREATED, b"abcd"], False),
        ([CREATED + b"ab", b"cd"], False),
        ([b"HTTP/1.1 413 Content"], True),
        ([b"HTTP/1.1 413 Content", b" Too Large\r\n\r\n"], False),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], True),
        ([WANT_READ], True),
        ([BLOCKED], True),
        ([b""], False),
    ],
)
def test_a_response_that_settles_it_ends_the_request(
    world: World, incoming: list[Any], is_sent: bool
) -> None:
    """A refusal, or a whole response, or the end. A success that has begun may still depend on the rest."""
    sock = Sock(*incoming)
    opened = connected(sock)
    chunks = [b"1", b"2", b"3"]
    assert opened.send_all(chunks) is is_sent
    assert len(sock.sent) == (3 if is_sent else len(incoming) - 1)
    assert sock.incoming == []


def test_what_came_early_is_the_response(world: World) -> None:
    """With its body, if that is complete; else its first pieces come first."""
    opened = connected(Sock(CREATED + b"ab", b"cd"))
    assert not opened.send_all([b"1", b"2", b"3"])
    head, content = opened.read_response()
    assert (head.status, content) == (201, b"abcd")
    opened = connected(Sock(CREATED + b"ab", b"cd"))
    assert opened.send_all([b"1"])
    head, content = opened.read_response()
    assert (head.status, content) == (201, None)
    assert [opened.read_body(), opened.read_body(), opened.read_body()] == [b"ab", b"cd", b""]


@pytest.mark.parametrize("status", [b"204 No Content", b"413 No\r\nContent-Length: 2"])
def test_a_head_that_came_early_is_read_by_itself(world: World, status: bytes) -> None:
    """Without a body, or before it."""
    opened = connected(Sock(b"HTTP/1.1 %s\r\n\r\n" % status, b"hi"))
    assert not opened.send_all([b"1"])
    head, content = opened.read_response()
    assert (head.status, content) == (int(status[:3]), None)


def in_two(data: bytes) -> list[bytes]:
    return [data[:20], data[20:]]


HEAD = OK.removesuffix(b"hi")


def test_each_exchange_reads_its_own_response(world: World) -> None:
    """The one before may have had an early one, or another method; the head may come in several pieces."""
    opened = connected(Sock(OK, HEAD, OK, *in_two(HEAD), *in_two(OK), *in_two(OK), OK))
    assert not opened.send_all([b"1"])
    assert opened.read_response()[1] == b"hi"
    for method, body in (("HEAD", b""), ("GET", b"hi"), ("HEAD", b""), ("GET", b"hi"), ("GET", b"hi")):
        opened.begin(method, NO_LIMITS)
        head, content = opened.read_response()
        assert (head.status, opened.read_body() if content is None else content) == (200, body)
        if content is None:
            assert opened.parser.is_complete
            opened.parser.forget()
    opened.begin("HEAD", NO_LIMITS)
    assert not opened.read_response()[1]  # what follows is no body


@pytest.mark.parametrize(("most", "early"), [(2, b"ab"), (3, b"ab"), (0, b"")])
def test_only_so_much_of_a_body_is_taken_early(world: World, most: int, early: bytes) -> None:
    """Then the connection listens no more: it looks for nothing, and waits to write only."""
    sock = Sock(CREATED + b"ab", accepts=[BLOCKED, 1, BLOCKED, 1, WANT_READ])
    opened = connected(sock)
    opened.most_early = most
    assert opened.send_all([b"1", b"2", b"3"])
    assert bytes(opened._early) == early
    wanted = {0: ["w", "w", "r"], 2: ["rw", "w", "r"], 3: ["rw", "rw", "r"]}[most]
    assert [wait[1] for wait in world.waits if wait] == wanted
    assert world.waits.count(0) == {0: 0, 2: 1, 3: 6}[most]


@pytest.mark.parametrize(("most", "early"), [(3, b"abcd"), (4, b"abcd"), (5, b"abcdef"), (99, b"abcdef")])
def test_no_further_piece_is_taken_early_once_there_is_enough(world: World, most: int, early: bytes) -> None:
    """Whatever more has arrived is read after the request."""
    opened = connected(Sock(CHUNKED + b"4\r\nab", b"cd\r\n2\r\nef\r\n0\r\n\r\n"))
    opened.most_early = most
    assert opened.send_all([b"1", b"2"]) is (len(early) == 4)
    assert bytes(opened._early) == early
    content = opened.read_response()[1]
    assert content == (None if len(early) == 4 else b"abcdef")
    if content is None:
        assert [opened.read_body(), opened.read_body(), opened.read_body()] == [b"abcd", b"ef", b""]


# Sockets that wait themselves.


def test_a_socket_that_waits_itself_has_the_time_of_each_operation(world: World) -> None:
    """It is made to wait for bytes, and not to send the beginning of a request; what it has is only looked at."""
    sock = Sock(b"ab", accepts=[BLOCKED])
    opened = connected(sock, ExchangeTimeouts(110.0, None, 3.0, None), kind=SelfWaitingConnection)
    assert not opened.is_reusable()
    assert sock.timeouts == []
    assert opened.receive() == b"ab"
    assert sock.timeouts == [3.0]
    assert opened.is_reusable()
    assert opened.send(DATA)
    assert sock.timeouts == [3.0, 0.0]
    assert sock.sent == DATA
    assert world.waits == []
