"""The receive buffer: bytes are taken once, in order, and counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.http1.buffer import ReceiveBuffer
from kit.rows import each_row


def filled(*pieces: bytes) -> ReceiveBuffer:
    buffer = ReceiveBuffer()
    for piece in pieces:
        buffer.feed(piece)
    return buffer


def test_lines_are_taken_one_by_one() -> None:
    """Across pieces, with their line ends; the rest stays in the buffer."""
    buffer = filled(b"a\r\nb", b"c\n", b"\nrest")
    assert [buffer.take_line() for _ in range(4)] == [b"a\r\n", b"bc\n", b"\n", None]
    assert buffer.rest == b"rest"
    buffer.feed(b"\n")
    assert buffer.take_line() == b"rest\n"
    assert buffer.rest == b""


def test_a_body_is_taken_in_pieces_of_at_most_so_many_bytes() -> None:
    """Received pieces are passed on as they are; the rest stays for the next time."""
    buffer = filled(b"abcdef")
    assert [buffer.take(4), buffer.take(4), buffer.take(4)] == [b"abcd", b"ef", b""]
    buffer.feed(data := b"gh")
    assert buffer.take() is data


def test_bytes_that_were_taken_are_freed_once_they_are_all() -> None:
    """The count goes on. Bytes that were not taken stay."""
    buffer = filled(b"ab\ncd")
    assert buffer.take_line() == b"ab\n"
    buffer.free_taken()
    assert (buffer.rest, buffer.offset) == (b"cd", 3)
    assert buffer.take() == b"cd"
    buffer.free_taken()
    assert (buffer.data, buffer.rest, buffer.offset) == (b"", b"", 5)
    buffer.feed(b"ef\n")
    assert (buffer.take_line(), buffer.offset) == (b"ef\n", 8)


def test_offsets_are_counted_from_the_last_restart() -> None:
    """However the bytes came and were taken."""
    buffer = filled(b"ab\nc", b"d\ne")
    assert (buffer.take_line(), buffer.offset) == (b"ab\n", 3)
    buffer.feed(b"f")
    assert (buffer.take_line(), buffer.take(), buffer.offset) == (b"cd\n", b"ef", 8)
    buffer.restart_count()
    buffer.feed(b"gh")
    assert (buffer.offset, buffer.take(1), buffer.offset) == (0, b"g", 1)


@each_row(
    ("data", "rest"),
    [
        (b"\r\n\n\rHTTP", b"HTTP"),
        (b"\nHTTP", b"HTTP"),
        (b"\r\n\nX", b"X"),
        (b"HTTP\r\n", b"HTTP\r\n"),
        (b"\r\n", b""),
        (b"", b""),
        (b" \n", b" \n"),
    ],
)
def test_blank_lines_before_a_response_are_skipped(data: bytes, rest: bytes) -> None:
    """Only line ends; and only at the front."""
    buffer = ReceiveBuffer()
    buffer.data = data
    assert buffer.skip_line_ends() is bool(rest)
    assert buffer.rest == rest


def test_the_end_of_the_connection_is_noted() -> None:
    """The bytes before it are still there."""
    buffer = filled(b"ab", b"")
    assert (buffer.has_ended, buffer.rest) == (True, b"ab")


def test_an_incomplete_line_is_judged_less_often_when_it_is_long() -> None:
    """With each packet while it is short; then when it has doubled, and at the end of the connection."""
    buffer = filled(b"a")
    assert buffer.may_judge()
    assert buffer.may_judge()
    buffer.feed(b"a" * 4094)
    assert [buffer.may_judge(), buffer.may_judge()] == [True, True]
    buffer.feed(b"a")
    assert [buffer.may_judge(), buffer.may_judge()] == [True, False]
    buffer.feed(b"a" * 4095)
    assert not buffer.may_judge()
    buffer.feed(b"a")
    assert [buffer.may_judge(), buffer.may_judge()] == [True, False]
    buffer.feed(b"")
    assert buffer.may_judge()


def test_a_line_is_judged_by_itself() -> None:
    """However long the line before it was; and there is nothing to judge between two lines."""
    buffer = filled(b"a" * 5000)
    assert buffer.may_judge()
    buffer.feed(b"\n")
    assert buffer.take_line() == b"a" * 5000 + b"\n"
    assert not buffer.may_judge()
    buffer.feed(b"b")
    assert buffer.may_judge()
    buffer = filled(b"a" * 5000)
    assert buffer.may_judge()
    buffer.feed(b"\nb")
    assert buffer.take_line() == b"a" * 5000 + b"\n"
    assert buffer.may_judge()


@given(st.lists(st.tuples(st.text("ab\n", max_size=6), st.booleans()), max_size=12))
def test_lines_do_not_depend_on_pieces(pieces: list[tuple[str, bool]]) -> None:
    """Nor on when they are taken: after some pieces, or at the end."""
    buffer, lines, whole = ReceiveBuffer(), list[bytes](), b""
    for text, is_read in [*pieces, ("\n", True)]:
        whole += text.encode()
        if text:
            buffer.feed(text.encode())
        while is_read and (line := buffer.take_line()) is not None:
            lines.append(line)
    assert lines == whole.splitlines(keepends=True)
    assert (buffer.rest, buffer.offset) == (b"", len(whole))


def test_a_fresh_buffer_has_no_line() -> None:
    """And nothing to judge."""
    assert ReceiveBuffer().take_line() is None
    assert not ReceiveBuffer().may_judge()


def test_a_line_in_small_pieces_is_copied_once() -> None:
    """Then it grows in place, and what was taken before it is freed."""
    buffer = filled(b"a\nb")
    assert buffer.take_line() == b"a\n"
    buffer.feed(b"b")
    data = buffer.data
    buffer.feed(b"b\nc")
    assert buffer.data is data
    assert bytes(data) == b"bbb\nc"
    assert buffer.take_line() == b"bbb\n"
    buffer.feed(b"c")
    assert bytes(buffer.data) == b"cc"


def test_what_was_searched_is_not_searched_again() -> None:
    """A long line would take quadratic time. A line end that is put there, as no network can, is not seen."""
    buffer = filled(b"a\nbbb")
    assert [buffer.take_line(), buffer.take_line()] == [b"a\n", None]
    buffer.feed(b"b")
    assert isinstance(buffer.data, bytearray)
    buffer.data[0] = 0x0A
    assert buffer.take_line() is None
    buffer.feed(b"\n")
    assert buffer.take_line() == b"\nbbb\n"
