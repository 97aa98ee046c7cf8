"""The picture of a load that runs."""

from __future__ import annotations

import io
import os
import shutil
import sys

import pytest

from http_service_client import HttpResponse
from http_service_client.cli.load.bar import Bar
from http_service_client.cli.load.schedule import Load, Schedule, Start
from http_service_client.cli.load.tally import Tally
from http_service_client.cli.screen import Screen


class Tty(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is drawn."""
    drawn: list[list[str]] = []
    for name, value in {"TERM": "xterm", "NO_COLOR": "", "WT_SESSION": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((80, 24)))
    monkeypatch.setattr(Screen, "draw", lambda self, lines: drawn.append(list(lines)))
    return drawn


def bar(stream: io.StringIO, **settings: float | None) -> Bar:
    """Of a load that began at 100, with three calls, of which two have ended."""
    schedule, tally = Schedule(Load(**settings)), Tally()  # type: ignore[arg-type]
    schedule.begin(100.0)
    for _ in range(3):
        tally.begin(Start(103.0, True), 103.0, was_free=True)
    for status in (200, 503):
        tally.end(Start(103.0, True), 103.0, 103.1, HttpResponse(status))
    return Bar(stream, schedule, tally)


@pytest.mark.parametrize(
    ("settings", "now", "first"),
    [
        ({"warm_up": 2.0, "duration": 8.0}, 100.5, "[------------------------] warm-up, another 2 s"),
        ({"warm_up": 2.0, "duration": 8.0}, 102.0, "[------------------------] 0 s of 8 s"),
        ({"warm_up": 2.0, "duration": 8.0}, 104.0, "[######------------------] 2 s of 8 s"),
        *(
            (
                {"duration": 8.0},
                now,
                "[########################] waiting for 1 in flight; Ctrl-C to leave them",
            )
            for now in (108.0, 120.0)
        ),
        ({"duration": None, "requests": 4}, 104.0, "[############------------] 4 s"),
        ({"duration": 8.0, "requests": 4}, 101.0, "[############------------] 1 s of 8 s"),
    ],
)
def test_it_shows_how_far_the_load_is(
    settings: dict[str, float | None], now: float, first: str, pictures: list[list[str]]
) -> None:
    """By time or by calls, whichever is further."""
    bar(Tty(), **settings).draw(now)
    assert pictures[0][0] == first


def test_it_shows_what_became_of_the_calls(pictures: list[list[str]]) -> None:
    """Failures in red."""
    bar(Tty(), duration=8.0).draw(104.0)
    assert pictures[0][1:] == [
        "2 calls, 0/s, 1 in flight; p50 99.6 ms p99 99.6 ms",
        "200 ×1  \x1b[31m503 ×1\x1b[0m",
    ]


def test_half_of_the_calls_and_nearly_all_of_them_are_quicker(pictures: list[list[str]]) -> None:
    """By p50 and p99, which a single slow call does not move. There is no rate at the very start."""
    schedule, tally = Schedule(Load()), Tally()
    schedule.begin(100.0)
    for seconds in (*[0.1] * 150, *[1.0] * 49, 10.0):
        tally.begin(Start(100.0, True), 100.0, was_free=True)
        tally.end(Start(100.0, True), 100.0, 100.0 + seconds, HttpResponse(200))
    Bar(Tty(), schedule, tally).draw(100.0)
    assert pictures[0][1] == "200 calls, 0/s, 0 in flight; p50 99.6 ms p99 990 ms"


def test_nothing_is_drawn_where_nobody_watches(pictures: list[list[str]]) -> None:
    """Neither during a load nor at its end."""
    stream = io.StringIO()
    with bar(stream) as made:
        made.draw(104.0)
    assert pictures == []
    assert stream.getvalue() == ""


def test_the_picture_is_removed_at_the_end(pictures: list[list[str]]) -> None:
    """Whatever happened; the cursor comes back."""
    stream = Tty()
    with pytest.raises(KeyboardInterrupt), bar(stream) as made:
        made.draw(104.0)
        raise KeyboardInterrupt
    assert pictures[-1] == []
    assert stream.getvalue().endswith("\x1b[?25h")


def test_the_bar_imports_nothing(pictures: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is drawn, calls are being measured; an import of rich would delay them."""
    made = bar(Tty(), duration=8.0)
    for name in [each for each in sys.modules if each.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    made.draw(104.0)
    assert "rich" not in sys.modules
