"""Colours, highlighted bodies and tables: by rich on a terminal, plain elsewhere and without rich."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.cli.console import Cell, Column, Paint, table, write_text
from http_service_client.cli.request.text import safe
from http_service_client.testing import LoopbackServer, respond
from kit.command_line import needs_rich, run_in_terminal, run_piped, without_styles

on_posix = pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")

PAGE = '<p class="tea">[bold]x[/bold] :tea:</p>\n'
NUMBERS = (Column(title="outcome", width=8), Column(title="calls", width=9, is_number=True))
FINDING = (Column(width=6), Column(width=10), Column())


class Tty(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 70 columns, with colours."""
    for name, value in {"TERM": "xterm", "NO_COLOR": "", "WT_SESSION": "1", "COLUMNS": "70"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """An import of rich fails, as where it is not installed."""
    imported = {name for name in sys.modules if name.partition(".")[0] == "rich"}
    for name in imported | {"rich", "rich.box", "rich.color", "rich.console", "rich.style", "rich.syntax"}:
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        running.script("*", respond(body=PAGE.encode(), headers={"Content-Type": "text/html"}))
        yield running


def cells(*texts: str, style: str = "") -> list[Cell]:
    return [Cell(text, style) for text in texts]


@needs_rich
@pytest.mark.parametrize(
    ("content_type", "text", "shown"),
    [
        ("application/json", '{"a": 1}', '{\x1b[94m"a"\x1b[0m: \x1b[94m1\x1b[0m}'),
        ("application/problem+json; charset=utf-8", "null", "\x1b[94mnull\x1b[0m"),
        ("text/html", "<p>[bold]", "<\x1b[94mp\x1b[0m>[bold]"),
        ("image/svg+xml", "<g/>", "\x1b[94m<g\x1b[0m\x1b[94m/>\x1b[0m"),
        ("application/yaml", "a: 1", "\x1b[94ma\x1b[0m: 1"),
        ("text/css", "a{}", "\x1b[94ma\x1b[0m{}"),
        ("text/javascript", "var a", "\x1b[94mvar\x1b[0m a"),
        ("application/javascript", "var a", "\x1b[94mvar\x1b[0m a"),
        ("application/xhtml+xml", "<p>[bold]", "<\x1b[94mp\x1b[0m>[bold]"),
        *((kind, "<g/>", "\x1b[94m<g\x1b[0m\x1b[94m/>\x1b[0m") for kind in ("application/xml", "text/xml")),
        *((kind, "a: 1", "\x1b[94ma\x1b[0m: 1") for kind in ("text/yaml", "application/openapi+yaml")),
        ("application/json", "[?]", "[?]"),
        ("text/plain", "[bold]a[/bold]", "[bold]a[/bold]"),
        ("text/x-python", "def a", "def a"),
        ("", "{}", "{}"),
    ],
)
def test_a_body_has_the_colours_of_its_media_type(content_type: str, text: str, shown: str) -> None:
    """Those of a few media types, whose lexers bear hostile texts. Markup of rich is a text."""
    assert Paint(True).highlighted(text, content_type) == shown
    assert Paint(False).highlighted(text, content_type) == text


@needs_rich
@pytest.mark.parametrize(
    ("text", "style", "painted"),
    [
        ("open", "red", "\x1b[31mopen\x1b[0m"),
        ("open", "bold red", "\x1b[1;31mopen\x1b[0m"),
        ("open", "", "open"),
        ("", "red", ""),
    ],
)
def test_a_text_has_a_style_or_none(text: str, style: str, painted: str) -> None:
    """None by default, and none without colours."""
    assert Paint(True)(text, style) == painted
    assert Paint(True)(text) == text
    assert Paint(False)(text, style) == text


@needs_rich
@example("\n{}\n", "application/json")
@given(st.text(), st.sampled_from(["application/json", "text/xml", "text/html", "text/css", "text/javascript", "text/yaml"]))  # fmt: skip
def test_highlighting_changes_no_character(text: str, content_type: str) -> None:
    """Not even a line feed at the start or the end."""
    assert without_styles(Paint(True).highlighted(safe(text), content_type)) == safe(text)


@needs_rich
def test_a_text_that_takes_long_to_highlight_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rest is plain: a text can be made to take minutes."""
    clock = iter([0.0, 0.1, 0.2, 0.5, 0.6])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    painted = "[\x1b[94m1\x1b[0m,\x1b[94m2\x1b[0m,3]"
    assert Paint(True).highlighted("[1,2,3]", "application/json") == painted


@needs_rich
def test_a_table_is_drawn_on_a_terminal() -> None:
    """As it is in a pipe, with its titles and failures in colours."""
    rows = [cells("200", "1,024"), cells("503", "7", style="red")]
    drawn = table(Tty(), NUMBERS, rows)
    assert [without_styles(line) for line in drawn] == table(io.StringIO(), NUMBERS, rows)
    assert drawn[0] == "\x1b[1moutcome \x1b[0m\x1b[1m    calls\x1b[0m"
    assert drawn[2] == "\x1b[31m503     \x1b[0m\x1b[31m        7\x1b[0m"


@needs_rich
def test_wide_characters_count_as_two_columns() -> None:
    """So that the columns below them stay in line, and a text wraps at the edge of the window."""
    rows = [cells("日本", "a", "茶" * 40), cells("ok", "b", "[red]x[/red] :tea:"), cells("ok", "c", "y" * 54)]
    drawn = table(Tty(), FINDING, rows)
    assert drawn == [
        "日本  a         " + "茶" * 27,
        " " * 16 + "茶" * 13,
        "ok    b         [red]x[/red] :tea:",
        "ok    c         " + "y" * 54,
    ]


@needs_rich
def test_a_table_is_as_wide_as_its_window() -> None:
    """To the last column."""
    assert table(Tty(), FINDING[2:], [cells("x" * 70)]) == ["x" * 70]


@needs_rich
def test_a_narrow_window_hides_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal wraps the lines."""
    monkeypatch.setenv("COLUMNS", "5")
    assert without_styles(table(Tty(), NUMBERS, [cells("200", "1,024")])[1]) == "200         1,024"


@needs_rich
def test_a_terminal_without_colours_gets_a_table_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By NO_COLOR."""
    monkeypatch.setenv("NO_COLOR", "1")
    drawn = table(Tty(), NUMBERS, [cells("503", "7", style="red")])
    assert drawn == ["outcome     calls", "503             7"]


@pytest.mark.parametrize("stream", [io.StringIO(), Tty()], ids=["piped", "terminal"])
def test_a_table_without_rich_is_plain(stream: io.StringIO, without_rich: None) -> None:
    """Titles, numbers to the right, and the last text wrapped; no colours."""
    assert table(stream, NUMBERS, [cells("503", "7", style="red")]) == [
        "outcome     calls",
        "503             7",
    ]
    lines = table(stream, FINDING, [cells("warn", "dns", "slow " * 16)])
    assert lines[0].startswith("warn  dns       slow slow")
    assert len(lines[0]) == (70 if stream.isatty() else 80)
    assert lines[1] == " " * 16 + "slow " * (len(lines[1].split()) - 1) + "slow"
    assert Paint(True)("a", "red") == "a"
    assert Paint(True).highlighted("{}", "application/json") == "{}"


@pytest.mark.parametrize(("size", "count"), [(64, 1), (65, 2)])
def test_a_line_of_a_pipe_has_80_columns(size: int, count: int) -> None:
    """Whatever the window is that started it."""
    text = "x" * 30 + " " + "y" * (size - 31)
    assert len(table(io.StringIO(), FINDING, [cells("warn", "dns", text)])) == count


def test_a_text_keeps_forty_columns_in_a_narrow_window(
    without_rich: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal wraps its lines. An empty one is a line, too."""
    monkeypatch.setenv("COLUMNS", "30")
    text = "x" * 19 + " " + "y" * 20
    assert table(Tty(), FINDING, [cells("warn", "dns", text)]) == [f"warn  dns       {text}"]
    assert table(Tty(), FINDING, [cells("warn", "dns", "")]) == ["warn  dns"]


def test_one_title_is_enough_for_a_line_of_titles() -> None:
    """The other columns have none there."""
    columns = (Column(width=6), Column(title="calls", width=9, is_number=True))
    expected = ["          calls", "200           7"]
    assert table(io.StringIO(), columns, [cells("200", "7")]) == expected
    assert [without_styles(line) for line in table(Tty(), columns, [cells("200", "7")])] == expected


def test_a_pipe_is_plain_with_rich_too() -> None:
    """As it was before."""
    assert table(io.StringIO(), NUMBERS, [cells("503", "7", style="red")])[1] == "503             7"


def commands(url: str) -> Sequence[Sequence[str]]:
    return [["get", url], ["load", url, "--requests", "2"], ["doctor", url, "--idle", "0"]]


@on_posix
def test_commands_without_rich_are_plain_on_a_terminal(server: LoopbackServer, without_rich: None) -> None:
    """They work, and say nothing about it. Only the bar of a load moves the cursor."""
    for command in commands(server.url):
        code, shown = run_in_terminal(*command)
        assert code == 0
        assert "\x1b[3" not in shown
        assert "rich" not in shown
    assert run_in_terminal("get", server.url, "-b") == (0, PAGE)


@on_posix
@needs_rich
def test_commands_with_rich_have_colours_on_a_terminal(server: LoopbackServer) -> None:
    """The body of a page, the failures of a load, the findings of the doctor."""
    get, load, doctor = (run_in_terminal(*command)[1] for command in commands(server.url))
    assert '<\x1b[94mp\x1b[0m \x1b[96mclass\x1b[0m=\x1b[33m"tea"\x1b[0m>[bold]x[/bold] :tea:</' in get
    assert "\x1b[1moutcome" in load
    assert "\x1b[32mok    \x1b[0mproxy" in doctor
    server.script("*", respond(404))
    assert "\x1b[31m404" in run_in_terminal("load", server.url, "--requests", "1")[1]


def test_nothing_of_rich_is_imported_in_a_pipe(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would cost every script a tenth of a second."""
    looked: list[str] = []

    class Watch:
        def find_spec(self, name: str, *_: object) -> None:
            looked.append(name)

    for name in [each for each in sys.modules if each.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
    for command in commands(server.url):
        run_piped(*command)
    assert [name for name in looked if name.startswith(("rich", "pygments"))] == []


def test_a_character_that_a_stream_has_not_becomes_an_escape() -> None:
    """So the microseconds of a load are no error in an ASCII locale."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    write_text(stream, "9 µs\n")
    assert raw.getvalue().rstrip(b"\r\n") == b"9 \\xb5s"
    text = io.StringIO()  # which has no encoding
    write_text(text, "9 µs\n")
    assert text.getvalue() == "9 µs\n"
