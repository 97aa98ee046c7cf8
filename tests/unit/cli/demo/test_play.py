"""The course of an evening: orders come evenly, an act ends when its work is done, and news are shown in order."""

from __future__ import annotations

import io
import os
import re
import shutil
import threading
from collections import deque
from math import ceil
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import StateChange
from http_service_client.cli.demo import play, views
from http_service_client.cli.demo.script import Act, Order, Story
from http_service_client.cli.demo.services import Services
from http_service_client.cli.screen import Ink, Screen
from http_service_client.core.machines.circuit_breaker.states import CircuitBreakerState as State
from http_service_client.errors import ClientClosedError
from kit.terminal import HIDE

ORDERS = tuple(Order(number=number, customer="Ada", pizza="Funghi", amount=9.9) for number in (1, 2, 3, 4))
ACT = Act(title="a rush", seconds=2.0, share=1.0, orders=ORDERS)


class Evening:
    """An evening in which time passes only where the demo sleeps, and a diary of what it did, with the seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.grain = 1e-6  # of the clock: a sleep ends at a multiple of it
        self.looks = 0  # at the clock since it went on
        self.updates: list[float] = []
        self.slept: list[float] = []
        self.diary: list[tuple[float, str, object]] = []
        self.news: deque[tuple[float, str, str, bool]] = deque()
        self.idle_at = [0.0, 0.0]
        self.runners = [self._runner(n) for n in (0, 1)]
        view: Any = SimpleNamespace(
            begin=lambda at, title: self._write("begin", (round(at, 3), title)),
            announce=lambda *news: self._write("announce", news),
            update=self.updates.append,
            end=lambda at: self._write("end", round(at, 3)),
        )
        self.played = play._Evening(self.runners, view, self.news, 1000.0)

    def _write(self, what: str, value: object) -> None:
        self.diary.append((round(self.now - 1000.0, 3), what, value))

    def _runner(self, n: int) -> Any:
        return SimpleNamespace(
            services=SimpleNamespace(enter=lambda act: self._write(f"enter {n}", act.title)),
            take=lambda order: self._write(f"take {n}", order.number),
            is_idle=lambda: self.monotonic() - 1000.0 >= self.idle_at[n],
            resume_postponed=lambda: self._write(f"resume {n}", None),
            call_until_closed=lambda patience: self._write(f"call {n}", patience),
        )

    def sleep(self, seconds: float) -> None:
        assert len(self.slept) < 2000, "the evening does not end"
        self.slept.append(seconds)
        self.looks = 0
        passed = self.now - 1000.0 + max(seconds, 1e-6)
        self.now = round(1000.0 + ceil(round(passed / self.grain, 3)) * self.grain, 6)

    def monotonic(self) -> float:
        self.looks += 1
        assert self.looks < 100, "the evening does not sleep while it waits"
        return self.now

    def instants(self, what: str) -> list[float]:
        return [at for at, known, _ in self.diary if known == what]


@pytest.fixture
def evening(monkeypatch: pytest.MonkeyPatch) -> Evening:
    made = Evening()
    clock = SimpleNamespace(monotonic=made.monotonic, sleep=made.sleep)
    monkeypatch.setattr(play, "time", clock)
    return made


def test_orders_come_evenly_over_an_act(evening: Evening) -> None:
    """Each to threads and tasks at the same moment, after the services have entered the act."""
    evening.played.play("act 1", ACT)
    assert evening.diary[:3] == [
        (0.0, "begin", (0.0, "act 1")),
        (0.0, "enter 0", "a rush"),
        (0.0, "enter 1", "a rush"),
    ]
    assert evening.instants("take 0") == evening.instants("take 1") == [0.0, 0.5, 1.0, 1.5]
    assert [value for _, what, value in evening.diary if what == "take 1"] == [1, 2, 3, 4]
    assert evening.now - 1000.0 == pytest.approx(2.0)


def test_an_act_ends_when_threads_and_tasks_have_finished(evening: Evening) -> None:
    """Even if its time is over before; the picture is redrawn fifty times a second meanwhile."""
    evening.idle_at = [0.0, 3.0]
    evening.played.play("act 1", ACT)
    assert evening.now - 1000.0 == pytest.approx(3.0, abs=0.021)
    assert max(evening.slept) == 0.02
    assert min(evening.slept) > 0
    assert len(evening.updates) >= len(evening.slept)
    assert evening.updates[-1] == pytest.approx(3.0, abs=0.021)


def test_news_are_announced_in_their_order_and_once(evening: Evening) -> None:
    """Those of an act before the next one begins."""
    evening.news.extend([(0.1, "threads", "first", True), (0.2, "tasks", "second", False)])
    evening.played.play("act 1", ACT)
    assert [value for _, what, value in evening.diary if what in ("announce", "begin")] == [
        (0.1, "threads", "first", True),
        (0.2, "tasks", "second", False),
        (0.0, "act 1"),
    ]
    assert not evening.news


def test_news_of_an_act_are_announced_when_they_come(evening: Evening) -> None:
    """And not at its end; the same holds for those of the last orders, before the evening ends."""
    evening.runners[1].take = lambda order: evening.news.append((order.number, "tasks", "opens", True))
    evening.played.play("act 1", ACT)
    assert evening.instants("announce") == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.021)

    evening.runners[1].call_until_closed = lambda patience: evening.news.append((5, "tasks", "closes", True))
    evening.played.close(5.0)
    assert [entry[1:] for entry in evening.diary[-2:]] == [
        ("announce", (5, "tasks", "closes", True)),
        ("end", 2.0),
    ]


def test_the_last_orders_end_when_all_is_settled(evening: Evening) -> None:
    """Postponed steps are resumed and circuits checked, for threads and for tasks."""
    evening.news.append((0.0, "threads", "first", True))
    evening.played.close(5.0)
    assert [entry[1:] for entry in evening.diary] == [
        ("announce", (0.0, "threads", "first", True)),
        ("begin", (0.0, "last orders: postponed steps are done now")),
        ("resume 0", None),
        ("call 0", 0.3),
        ("resume 1", None),
        ("call 1", 0.3),
        ("end", 0.0),
    ]


def test_steps_are_resumed_again_while_work_comes_up(evening: Evening) -> None:
    """A tenth of a second after the work is done."""
    evening.idle_at = [0.5, 0.0]
    evening.played.close(5.0)
    first, second = evening.instants("resume 1")
    assert first == 0.0
    assert second == pytest.approx(0.6, abs=0.03)
    assert evening.diary[-1] == (second, "end", second)


def test_patience_ends_the_last_orders(evening: Evening) -> None:
    """An outage without an end does not keep the demo open: steps are resumed until the given seconds are over."""
    # Each round finds work, which has ended at the second look.
    evening.runners[0].is_idle = iter([False, True] * 100).__next__
    evening.sleep(1.0)
    evening.played.close(0.25)
    assert evening.instants("resume 0") == [1.0, 1.1, 1.2]
    assert evening.diary[-1] == (1.3, "end", 1.3)


def test_no_step_is_resumed_when_patience_is_over(evening: Evening) -> None:
    """Not even at that very moment, which a clock may show that goes by the eighth of a second."""
    evening.grain = 0.125
    evening.runners[0].is_idle = iter([False, True] * 100).__next__
    evening.played.close(0.25)
    assert evening.instants("resume 0") == [0.0, 0.125]
    assert evening.diary[-1] == (0.25, "end", 0.25)


@pytest.mark.parametrize(
    ("orders", "greeting"), [(1, "1 order by 8 worker threads, and the same 1 order by 8 asyncio tasks. "),
                             (60, "60 orders by 8 worker threads, and the same 60 orders by 8 asyncio tasks. ")]
)  # fmt: skip
def test_the_greeting_says_who_orders(orders: int, greeting: str) -> None:
    """And the seed, so that an evening can be seen again."""
    stream = io.StringIO()
    play._greet(Screen(stream, is_live=False), play.Settings(orders=orders, seed=4), None)
    rest = "Threads and tasks each have their own client and their own failing services. Seed 4.\n\n"
    assert stream.getvalue() == greeting + rest


def test_the_greeting_is_wrapped_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a paragraph."""
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((40, 30)))
    stream = io.StringIO()
    play._greet(Screen(stream, is_live=True), play.Settings(), None)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["60 orders by 8 worker threads, and the", "same 60 orders by 8 asyncio tasks."]


def test_acts_are_numbered(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first to the last, which a reader knows from the start."""
    stream = io.StringIO()
    assert play.run(play.Settings(orders=1, tempo=0.01), stream, plain=True) == 0
    titles = [line[9:] for line in stream.getvalue().splitlines() if line[5:9] == " s  "]
    assert titles[0] == "act 1 of 5: a quiet start"
    assert "act 5 of 5: all is well again" in titles
    assert "last orders: postponed steps are done now" in titles


class Tty(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An evening without acts; afterwards, what its report was given."""
    given: dict[str, Any] = {"holds": True}

    def report(screen: Screen, runners: list[Any], left_open: list[int], ink: Ink) -> bool:
        given.update(runners=runners, left_open=left_open)
        screen.print(ink("invariants hold", "green"))
        holds: bool = given["holds"]
        return holds

    monkeypatch.setattr(play, "write_story", lambda *_: Story(acts=(), faults={}))
    monkeypatch.setattr(play, "print_report", report)
    monkeypatch.setattr(Services, "open_connections", lambda *_, **__: 0)
    return given


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("stream", "options", "no_color", "is_drawn", "is_coloured"),
    [
        (Tty, {}, "", True, True),
        (Tty, {"colour": False}, "", True, False),
        (Tty, {}, "1", True, False),
        (Tty, {"plain": True}, "", False, False),
        (io.StringIO, {}, "", False, False),
    ],
    ids=["terminal", "no-color", "NO_COLOR", "plain", "pipe"],
)
def test_a_terminal_gets_a_picture_and_colours_unless_they_are_declined(
    stream: type[io.StringIO],
    options: dict[str, bool],
    no_color: str,
    is_drawn: bool,
    is_coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By an option or by the environment; anything else gets lines, without a single escape sequence."""
    for name, value in {"TERM": "xterm", "NO_COLOR": no_color, "WT_SESSION": "1"}.items():
        monkeypatch.setenv(name, value)
    shown = stream()
    assert play.run(play.Settings(), shown, **options) == 0
    assert (HIDE in shown.getvalue()) is is_drawn
    assert ("\x1b[32minvariants hold" in shown.getvalue()) is is_coloured
    assert ("\x1b" in shown.getvalue()) is is_drawn


@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_the_invariants_decide_the_exit_code(holds: bool, code: int, short: dict[str, Any]) -> None:
    """Where one is broken, a script should notice."""
    short["holds"] = holds
    assert play.run(play.Settings(), io.StringIO()) == code


@pytest.mark.parametrize(
    ("sabotage", "forgets_keys", "stays_down"),
    [(None, False, False), ("forget-keys", True, False), ("stay-down", False, True)],
)
@pytest.mark.usefixtures("short")
def test_the_services_can_be_sabotaged(
    sabotage: str | None, forgets_keys: bool, stays_down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of threads and of tasks alike, so that a test can see an invariant broken."""
    opened: list[dict[str, bool]] = []

    class Watched(Services):
        def __init__(self, story: Story, **sabotage: bool) -> None:
            opened.append(sabotage)
            super().__init__(story, **sabotage)

    monkeypatch.setattr(play, "Services", Watched)
    play.run(play.Settings(sabotage=sabotage), io.StringIO())
    assert opened == [{"forgets_keys": forgets_keys, "stays_down": stays_down}] * 2


@pytest.mark.usefixtures("short")
def test_a_change_of_a_circuit_is_news_of_its_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, with the seconds since the evening began."""
    stream = io.StringIO()
    close = play._Evening.close

    def opened_circuit(evening: Any, patience: float) -> None:
        runner = evening._runners[1]
        url = runner.services.urls["sms"]
        runner.board.listen(StateChange(url, State.CLOSED, State.OPEN, "isolated", 0.0, 0, None))
        close(evening, patience)

    monkeypatch.setattr(play._Evening, "close", opened_circuit)
    play.run(play.Settings(), stream)
    (line,) = [line for line in stream.getvalue().splitlines() if "sms" in line]
    assert re.fullmatch(r" +\d\.\d s  tasks    sms: closed → open \(isolated\)", line)


def test_connections_have_two_seconds_to_end(short: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """After the client was closed; those that are open then are in the report."""
    counts = iter([0, 3])

    def open_connections(services: Services, patience: float) -> int:
        assert patience == 2.0
        return next(counts)

    monkeypatch.setattr(Services, "open_connections", open_connections)
    play.run(play.Settings(), io.StringIO())
    assert short["left_open"] == [0, 3]


@pytest.mark.usefixtures("short")
def test_an_evening_that_is_interrupted_closes_its_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its threads end. Here it ends in the five seconds that all postponed steps have."""
    runners: list[Any] = []

    def close(evening: Any, patience: float) -> None:
        assert patience == 5.0
        runners.extend(evening._runners)
        raise KeyboardInterrupt

    monkeypatch.setattr(play._Evening, "close", close)
    with pytest.raises(KeyboardInterrupt):
        play.run(play.Settings(), io.StringIO())
    for runner in runners:
        with pytest.raises(ClientClosedError):
            runner.client.get("http://127.0.0.1/")
    assert len(runners) == 2
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("pizzeria")]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The pictures of a live view."""
    pictures: list[list[str]] = []
    monkeypatch.setattr(views, "table", lambda runners, width, ink: [f"table of {width}".ljust(50)])
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((70, 30)))
    monkeypatch.setattr(Screen, "draw", lambda self, lines: pictures.append(list(lines)))
    return pictures


def test_a_picture_has_a_title_a_clock_the_table_and_the_news(drawn: list[list[str]]) -> None:
    """As wide as the table; news with their time and their runner; acts are news. Trials are dim."""
    view = views.LiveView(Screen(io.StringIO(), is_live=True), [], Ink(True))
    view.announce(1.25, "tasks", "email: closed → open", True)
    view.announce(1.5, "tasks", "email: open → half-open", False)
    view.begin(12.34, "a rush")
    assert drawn == [
        [
            "\x1b[1mMario's Pizzeria · a rush\x1b[0m" + " " * 19 + "\x1b[2m12.3 s\x1b[0m",
            "",
            "table of 70".ljust(50),
            "",
            "  1.2 s  tasks    email: closed → open",
            "\x1b[2m  1.5 s  tasks    email: open → half-open\x1b[0m",
            " 12.3 s  a rush",
        ]
    ]


def test_a_title_and_its_clock_stay_apart(drawn: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """By a space, also where a title is wider than the table. The clock stands above the end of its widest line."""
    view = views.LiveView(Screen(io.StringIO(), is_live=True), [], Ink(False))
    view.begin(1.0, "x" * 60)
    assert drawn[0][0] == f"Mario's Pizzeria · {'x' * 60} 1.0 s"
    monkeypatch.setattr(views, "table", lambda *_: ["x" * 40, "x" * 30])
    view.begin(2.0, "a rush")
    assert drawn[1][0] == f"Mario's Pizzeria · a rush{'2.0 s':>15}"


def test_a_picture_is_drawn_ten_times_a_second(drawn: list[list[str]]) -> None:
    """More often would only cost time; a new act is drawn at once."""
    view = views.LiveView(Screen(io.StringIO(), is_live=True), [], Ink(False))
    for now, count in ((0.0, 1), (0.0625, 1), (0.1, 2), (0.15, 2), (0.2, 3)):
        view.update(now)
        assert len(drawn) == count
    view.begin(0.21, "a rush")
    view.end(0.22)
    assert drawn[0][0].rstrip("0. s") == "Mario's Pizzeria ·"
    assert [picture[0].split("  ")[0] for picture in drawn[3:]] == [
        "Mario's Pizzeria · a rush",
        "Mario's Pizzeria · closed for today",
    ]


def test_all_news_stay_where_the_terminal_is_tall_enough(drawn: list[list[str]]) -> None:
    """In their order, with the acts."""
    view = views.LiveView(Screen(io.StringIO(), is_live=True), [], Ink(False))
    for number in range(20):
        view.announce(1.0, "tasks", f"news {number}", number % 2 == 0)
    view.begin(1.0, "act")
    assert [line.split()[-1] for line in drawn[0][4:]] == [*map(str, range(20)), "act"]


def test_what_decides_stays_longest(drawn: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is room for fewer lines, trials leave first, the oldest before the others; then the oldest lines."""
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((70, 4 + 1 + 5)))
    view = views.LiveView(Screen(io.StringIO(), is_live=True), [], Ink(False))
    for text, is_decisive in (("opens", True), ("trial-1", False), ("trial-2", False), ("closes", True)):
        view.announce(1.0, "tasks", text, is_decisive)
    shown = []
    for title in ("act-1", "act-2", "act-3", "act-4"):
        view.begin(1.0, title)
        shown.append([line.split()[-1] for line in drawn[-1][4:]])
    assert shown == [
        ["opens", "trial-1", "trial-2", "closes", "act-1"],
        ["opens", "trial-2", "closes", "act-1", "act-2"],
        ["opens", "closes", "act-1", "act-2", "act-3"],
        ["closes", "act-1", "act-2", "act-3", "act-4"],
    ]


def test_plain_lines_show_the_table_after_each_act(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before the first, which would be a table of zeros."""
    monkeypatch.setattr(views, "table", lambda runners, width, ink: [ink(f"table of {width}", "red")])
    stream = io.StringIO()
    view = views.PlainView(Screen(stream, is_live=False), [])
    view.begin(0.04, "one")
    view.announce(0.5, "tasks", "email: closed → open", True)
    view.update(0.6)
    view.begin(12.0, "two")
    view.end(13.0)
    assert stream.getvalue().splitlines() == [
        "  0.0 s  one",
        "  0.5 s  tasks    email: closed → open",
        "",
        "table of 80",
        "",
        " 12.0 s  two",
        "",
        "table of 80",
    ]
