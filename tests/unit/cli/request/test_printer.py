"""A response that is written piece by piece: on a terminal, and to a pipe."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from http_service_client import HttpResponse
from http_service_client.cli.request.prefetch import Prefetch
from http_service_client.cli.request.printer import Printer
from kit.command_line import needs_rich, without_styles
from kit.rows import each_row


class Tty(io.StringIO):
    """A terminal.   seen: what was flushed."""

    seen = ""

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.seen = self.getvalue()


def show(output: Tty, pieces: Iterator[bytes], content_type: str = "text/plain") -> None:
    response = HttpResponse(200, headers={"Content-Type": content_type})
    Printer(output, io.StringIO()).body(response, Prefetch(0), pieces)


@each_row(
    ("pieces", "shown"),
    [
        ([], ""),
        ([b"tea"], "tea\n"),
        ([b"tea\n"], "tea\n"),
        ([b"a\nb"], "a\nb\n"),
        ([b"\nab"], "\nab\n"),
        ([b"a", b"b\n"], "ab\n"),
        ([b"gr\xc3", b"\xbcn"], "grün\n"),
        ([b"a", b"\xc3", b"\xbc"], "aü\n"),
        ([b"a\n", b"\xc3"], "a\n\ufffd\n"),
        ([b"a\r", b"\nb\r"], "a\nb\n"),
    ],
    ids=repr,
)
def test_the_pieces_are_the_text_and_a_line_end(pieces: list[bytes], shown: str) -> None:
    """A character may be split between them, or be cut off; a text that ends with a line feed gets no other."""
    output = Tty()
    show(output, iter(pieces))
    assert output.getvalue() == shown


@pytest.fixture
def printer(monkeypatch: pytest.MonkeyPatch) -> Printer:
    """One for a terminal, of which nothing else was said."""
    for name, value in {"TERM": "xterm", "NO_COLOR": "", "WT_SESSION": "1"}.items():
        monkeypatch.setenv(name, value)
    return Printer(Tty(), Tty())


@needs_rich
@pytest.mark.parametrize(
    ("status", "style"), [(101, "1"), (200, "32"), (302, "36"), (404, "33"), (503, "31"), (999, "1")]
)
def test_a_status_has_the_colour_of_its_kind(status: int, style: str, printer: Printer) -> None:
    """Green for a success, red for an error of the server; bold for what is none of HTTP's."""
    printer.head(HttpResponse(status))
    assert printer.output.getvalue() == f"\x1b[{style}mHTTP/1.1 {status}\x1b[0m\n\n"  # type: ignore[attr-defined]


@needs_rich
def test_a_line_beside_the_output_may_have_a_style(printer: Printer) -> None:
    """It has none of itself."""
    printer.say("tea")
    printer.say("no tea", "red")
    assert printer.errors.getvalue() == "tea\n\x1b[31mno tea\x1b[0m\n"  # type: ignore[attr-defined]


def test_secrets_are_not_shown_unless_they_are_asked_for() -> None:
    """Those of a head."""
    for shows, value in ((None, "***"), (False, "***"), (True, "sid=1")):
        output = Tty()
        options = {} if shows is None else {"shows_secrets": shows}
        printer = Printer(output, io.StringIO(), colour="never", **options)  # type: ignore[arg-type]
        printer.head(HttpResponse(200, headers={"Set-Cookie": "sid=1"}))
        assert output.getvalue() == f"HTTP/1.1 200\nSet-Cookie: {value}\n\n"


def test_a_pipe_gets_no_head_unless_it_is_wanted() -> None:
    """It is for programs."""
    output = io.StringIO()
    Printer(output, io.StringIO()).head(HttpResponse(200))
    assert output.getvalue() == ""


def whole(content: bytes, content_type: str, colour: str = "never") -> str:
    """What a terminal shows of a body that has been read whole."""
    output, prefetch = Tty(), Prefetch(100)
    prefetch.content, prefetch.is_complete = content, True
    response = HttpResponse(200, headers={"Content-Type": content_type})
    Printer(output, io.StringIO(), colour=colour).body(response, prefetch, iter(()))
    return output.getvalue()


@each_row(("content", "shown"), [(b"", ""), (b"tea", "tea\n"), (b"tea\n", "tea\n"), (b"a\n\nb", "a\n\nb\n")])
@each_row("content_type", ["text/plain", "text/xml", "image/svg+xml"])
def test_a_whole_text_ends_with_one_line_feed(content: bytes, shown: str, content_type: str) -> None:
    """Whatever it ended with, unless there is none of it."""
    assert whole(content, content_type) == shown


@needs_rich
@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b'{"tea": 1}', "application/json"), (b"<tea/>", "text/xml"), (b"<tea/>", "image/svg+xml")],
)
def test_a_whole_text_is_coloured_by_its_type(content: bytes, content_type: str) -> None:
    """Not only JSON."""
    shown = whole(content, content_type, "always")
    assert "\x1b[" in shown
    assert without_styles(shown) == whole(content, content_type)


def test_a_piece_may_have_no_character() -> None:
    """Such as one that goes back from Japanese to ASCII; the text has ended with a line feed then."""
    output = Tty()
    show(output, iter(["茶\n".encode("iso-2022-jp"), b"\x1b(B"]), "text/plain; charset=iso-2022-jp")
    assert output.getvalue() == "茶\n"


def test_each_piece_is_seen_before_the_next_one_comes() -> None:
    """It may take long."""
    output = Tty()

    def pieces() -> Iterator[bytes]:
        yield b"one"
        assert output.seen == "one"
        yield b"two"
        assert output.seen == "onetwo"

    show(output, pieces())


def test_a_pipe_gets_the_head_first_and_each_piece_at_once() -> None:
    """Nothing waits in a buffer: the reader may wait for it."""
    raw = io.BytesIO()
    output = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", newline="\n")  # type: ignore[type-var]  # a BytesIO

    def pieces() -> Iterator[bytes]:
        yield b"one"
        assert raw.getvalue() == b"HTTP/1.1 200\n\none"
        yield b"two"
        assert raw.getvalue() == b"HTTP/1.1 200\n\nonetwo"

    printer = Printer(output, io.StringIO())
    printer.head(HttpResponse(200), is_wanted=True)
    printer.body(HttpResponse(200), Prefetch(0), pieces())
    assert raw.getvalue() == b"HTTP/1.1 200\n\nonetwo"
