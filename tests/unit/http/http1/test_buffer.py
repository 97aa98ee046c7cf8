"""The receive buffer: bytes are taken once, in order, and no more is received than needed."""

from __future__ import annotations

import pytest

from http_service_client.http.http1.buffer import EndOfBytes, ReceiveBuffer
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import MALFORMED, TOO_LARGE, HeadLimits

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


class Pieces(ReceiveBuffer):
    """Bytes that arrive in pieces; then the connection ends."""

    def __init__(self, *pieces: bytes, limits: HeadLimits = HeadLimits()) -> None:  # noqa: B008  # it is immutable
        super().__init__(limits)
        self._pieces = list(pieces)
        self.reads = 0

    def receive(self) -> bytes:
        self.reads += 1
        return self._pieces.pop(0) if self._pieces else b""


def any_start(line: bytes) -> bool:
    return True


def test_lines_are_taken_one_by_one() -> None:
    """Across pieces, with their line ends; the rest stays in the buffer."""
    buffer = Pieces(b"a\r\nb", b"c\n", b"\nrest")
    assert [buffer.line(any_start) for _ in range(3)] == [b"a\r\n", b"bc\n", b"\n"]
    assert (buffer.rest, buffer.reads, buffer.is_drained) == (b"rest", 3, False)
    with pytest.raises(EndOfBytes):
        buffer.line(any_start)


def test_a_line_that_cannot_be_right_is_not_waited_for() -> None:
    """Its start decides, and nothing more is received."""
    buffer = Pieces(b"SSH-2.0", b"never read")
    with pytest.raises(NotHttpError, match=MALFORMED):
        buffer.line(lambda line: line.startswith(b"HTTP"))
    assert buffer.reads == 1


def test_a_line_that_never_ends_is_too_large() -> None:
    """After twice the limit of a field."""
    limits = HeadLimits(size=10)
    assert Pieces(b"x" * 20, b"\n", limits=limits).line(any_start) == b"x" * 20 + b"\n"
    with pytest.raises(NotHttpError, match=TOO_LARGE):
        Pieces(b"x" * 21, b"\n", limits=limits).line(any_start)


def test_bytes_that_are_peeked_at_stay_until_they_are_taken() -> None:
    """peek() receives only where the buffer is empty."""
    buffer = Pieces(b"abcd", b"efgh")
    assert buffer.peek() == buffer.peek() == b"abcd"
    buffer.take(3)
    assert (buffer.peek(), buffer.reads) == (b"d", 1)
    buffer.unread(1)
    assert buffer.rest == b"cd"
    buffer.take(2)
    assert buffer.is_drained
    assert buffer.peek() == b"efgh"
    buffer.take(4)
    assert buffer.peek() == b""


def test_a_body_is_read_in_pieces_of_at_most_so_many_bytes() -> None:
    """What is buffered comes first; the rest stays for the next read."""
    buffer = Pieces(b"abcdef", b"gh")
    assert [buffer.read_some(4), buffer.read_some(4), buffer.read_some(4), buffer.read_some()] == [
        b"abcd", b"ef", b"gh", b"",
    ]  # fmt: skip


def test_added_bytes_come_after_those_in_the_buffer() -> None:
    """They were received in another way."""
    buffer = Pieces(b"ab")
    buffer.peek()
    buffer.take(1)
    buffer.add(b"cd")
    assert (buffer.rest, buffer.reads) == (b"bcd", 1)


@pytest.mark.parametrize(
    ("data", "rest"),
    [(b"\r\n\n\rHTTP", b"HTTP"), (b"HTTP\r\n", b"HTTP\r\n"), (b"\r\n", b""), (b"", b""), (b" \n", b" \n")],
)
def test_blank_lines_before_a_response_are_skipped(data: bytes, rest: bytes) -> None:
    """Only line ends; and only at the front."""
    buffer = Pieces()
    buffer.add(data)
    assert buffer.skip_blank_lines() == buffer.rest == rest


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (INTERIM, b""),
        (INTERIM * 2 + b"HTTP/1.1 200", b"HTTP/1.1 200"),
        (INTERIM + INTERIM[:-1], INTERIM[:-1]),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"HTTP/1.1 1", b"HTTP/1.1 1"),
        (b"", b""),
    ],
)
def test_complete_interim_heads_are_skipped(data: bytes, rest: bytes) -> None:
    """An incomplete one stays until its end has arrived."""
    buffer = Pieces()
    buffer.add(data)
    buffer.skip_interim_heads()
    assert buffer.rest == rest


@pytest.mark.parametrize(
    ("data", "may_be"),
    [
        (b"", True),
        (b"HTT", True),
        (b"HTTP/1.1 ", True),
        (INTERIM, True),
        (b"HTTP/1.1 2", False),
        (b"x", False),
    ],
)
def test_the_start_of_an_interim_head_is_recognised(data: bytes, may_be: bool) -> None:
    """As long as the bytes so far may become one."""
    buffer = Pieces()
    buffer.add(data)
    assert buffer.may_be_interim is may_be
