"""A terminal: what counts as one, its colours, and a picture that is drawn again in the same position."""

from __future__ import annotations

import io
import os
from types import SimpleNamespace

import pytest

from http_service_client.cli import screen
from http_service_client.cli.screen import Ink, Screen, clipped, is_terminal, visible_length, wants_colour
from kit.rows import each_row

RED, RESET = "\x1b[31m", "\x1b[0m"
START, END = "\x1b[?25l\x1b[?7l", "\x1b[J\x1b[?7h"


class Tty(io.StringIO):
    """A terminal.   seen: what was flushed."""

    seen = ""

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.seen = self.getvalue()


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 12 columns and 4 lines."""
    monkeypatch.setattr(
        screen, "shutil", SimpleNamespace(get_terminal_size=lambda: os.terminal_size((12, 4)))
    )


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        ("posix", {}, True),
        ("posix", {"TERM": "xterm"}, True),
        ("posix", {"TERM": "dumb"}, False),
        ("nt", {}, False),
        ("nt", {"WT_SESSION": "1"}, True),
        ("nt", {"WT_SESSION": "1", "TERM": "dumb"}, False),
    ],
)
def test_a_terminal_can_draw_or_is_none(
    system: str, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old Windows console prints the sequences, and so does a dumb terminal. A file is none."""
    monkeypatch.setattr(screen, "os", SimpleNamespace(environ=variables, name=system))
    assert is_terminal(Tty()) is expected
    assert not is_terminal(io.StringIO())


def test_colours_can_be_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a variable that is not empty; a file has none."""
    for variables, expected in (({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
        monkeypatch.setattr(screen, "os", SimpleNamespace(environ=variables, name="posix"))
        assert wants_colour(Tty()) is expected
        assert not wants_colour(io.StringIO())


def test_ink_colours_what_there_is() -> None:
    """In several styles at once, or in none."""
    assert Ink(True)("a", "red", "bold") == f"\x1b[31;1ma{RESET}"
    assert Ink(True)("a") == Ink(False)("a", "red") == "a"
    assert Ink(True)("", "red") == ""


@each_row(
    ("line", "width", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "abc"),
        (f"{RED}abc{RESET}", 3, f"{RED}abc{RESET}"),
        (f"{RED}abcd{RESET}", 3, f"{RED}abc{RESET}"),
        (f"ab{RED}cd{RESET}ef", 3, f"ab{RED}c{RESET}"),
        (f"ab{RED}cd{RESET}ef", 5, f"ab{RED}cd{RESET}e"),
        (f"{RED}a{RESET}bc{RED}d{RESET}", 2, f"{RED}a{RESET}b{RED}{RESET}"),
        ("abc", 0, ""),
    ],
)
def test_a_line_is_cut_at_its_visible_width(line: str, width: int, shown: str) -> None:
    """Its sequences have no width, and all of them stay, so that the colours end."""
    assert clipped(line, width) == shown
    assert visible_length(shown) == min(width, visible_length(line))


def test_a_picture_is_drawn_over_the_one_before(window: None) -> None:
    """In one write, each line erased first; what the old one had below is erased."""
    stream = Tty()
    drawn = Screen(stream, is_live=True)
    for lines, expected in (
        (["a", "b"], f"{START}\x1b[Ka\r\n\x1b[Kb\r\n{END}"),
        (["c"], f"{START}\x1b[2F\x1b[Kc\r\n{END}"),
        ([], f"{START}\x1b[1F{END}"),
        (["d"], f"{START}\x1b[Kd\r\n{END}"),
    ):
        before = stream.getvalue()
        drawn.draw(lines)
        assert stream.seen == before + expected


def test_what_does_not_fit_is_cut_off(window: None) -> None:
    """The last line is the cursor's."""
    stream = Tty()
    Screen(stream, is_live=True).draw(["x" * 20, "b", "c", "d"])
    assert stream.seen == f"{START}\x1b[K{'x' * 12}\r\n\x1b[Kb\r\n\x1b[Kc\r\n{END}"


def test_a_window_of_one_line_shows_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nobody would see anything."""
    monkeypatch.setattr(
        screen, "shutil", SimpleNamespace(get_terminal_size=lambda: os.terminal_size((12, 1)))
    )
    assert Screen(Tty(), is_live=True).height == 1


def test_lines_stay_below_a_picture(window: None) -> None:
    """The next picture begins below them."""
    stream = Tty()
    drawn = Screen(stream, is_live=True)
    drawn.draw(["a"])
    at = len(stream.seen)
    drawn.print("b  ", "", "c")
    drawn.draw(["d"])
    assert stream.seen[at:] == f"b\n\nc\n{START}\x1b[Kd\r\n{END}"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "→·│–—…é"), ("ascii", "->-|--...?"), ("latin-1", "->-|--...\xe9"), (None, "→·│–—…é")],
)
def test_signs_that_an_encoding_has_not_are_written_in_ascii(encoding: str | None, shown: str) -> None:
    """All of them, if it lacks one."""
    if encoding is None:
        text = io.StringIO()
        Screen(text, is_live=False).print("→·│–—…é")
        assert text.getvalue() == f"{shown}\n"
    else:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding, "replace", newline="\n")
        Screen(stream, is_live=False).print("→·│–—…é")
        assert raw.getvalue().decode(encoding) == f"{shown}\n"


def test_a_pipe_has_eighty_columns_and_long_lines(window: None) -> None:
    """A terminal has its own, and later lines are indented there."""
    piped, live = Screen(io.StringIO(), is_live=False), Screen(Tty(), is_live=True)
    assert (piped.width, live.width, live.height) == (80, 12, 3)
    line = "one two-three four"
    assert piped.wrapped(line, "  ") == [line]
    assert live.wrapped(line, "  ") == ["one", "  two-three", "  four"]
    assert live.wrapped("", "  ") == [""]


@pytest.mark.parametrize("is_live", [True, False])
def test_the_cursor_comes_back_whatever_happens(is_live: bool) -> None:
    """On a terminal alone."""
    stream = Tty()
    with pytest.raises(KeyboardInterrupt), Screen(stream, is_live=is_live):
        raise KeyboardInterrupt
    assert stream.getvalue() == ("\x1b[?7h\x1b[?25h" if is_live else "")
