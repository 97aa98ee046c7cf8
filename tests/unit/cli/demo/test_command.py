"""The demo finishes, its numbers are true, and it leaves a terminal as it found it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from http_service_client import HttpResponse, cli
from http_service_client.cli import main
from http_service_client.cli.demo import command, views
from http_service_client.cli.demo import play as demo
from http_service_client.cli.demo.orders import Status, Ticket
from http_service_client.cli.demo.script import Fault, Order, write_story
from http_service_client.cli.screen import Screen, clipped, is_terminal, wants_colour
from kit import command_line
from kit.command_line import environment
from kit.rows import each_row
from kit.terminal import HIDE, SEQUENCE, SHOW, Terminal

QUICK = ["--orders", "20", "--tempo", "0.1"]
QUICKEST = ["--orders", "1", "--tempo", "0.01"]  # for laws about the output, whatever happens in the evening
COMMAND = [*command_line.COMMAND, "demo"]


def figures(output: str) -> dict[str, list[int]]:
    """The table at the end: the numbers of threads and tasks, by label."""
    table = output[output.index("what happened") :]
    rows = re.findall(r"^ *(\S.*?) {2,}(\d+) +(\d+)$", table, flags=re.MULTILINE)
    return {label: [int(first), int(second)] for label, first, second in rows}


@pytest.fixture(scope="module")
def quick_output() -> str:
    """The output of a short evening without a terminal."""
    stream = io.StringIO()
    assert demo.run(demo.Settings(orders=20, tempo=0.1), stream) == 0
    return stream.getvalue()


def test_the_command_of_the_readme_succeeds() -> None:
    """In a shell, with a quick tempo: exit code 0, plain lines, no warnings, and every circuit change in both columns."""
    done = subprocess.run(
        [*COMMAND, "--plain", "--tempo", "0.2"],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "invariants hold: no duplicate charge; no duplicate e-mail;" in done.stdout
    assert figures(done.stdout)["orders placed"] == [60, 60]
    assert re.search(r"^what happened +threads +tasks$", done.stdout, flags=re.MULTILINE)
    for change in ("closed → open", "open → half-open", "half-open → closed"):
        for runner in ("threads", "tasks"):
            assert re.search(rf"{runner} +delivery: {change}", done.stdout)


def test_an_evening_is_short() -> None:
    """At the default tempo the acts take less than ten seconds, so that a reader watches to the end."""
    settings = demo.Settings()
    assert sum(act.seconds for act in write_story(settings.orders, settings.seed, settings.tempo).acts) < 10


def test_threads_and_tasks_have_the_same_results(quick_output: str) -> None:
    """Results that the script decides, and not the moment, are the same."""
    numbers = figures(quick_output)
    for label in ("orders placed", "paid", "delivered", "confirmed by e-mail"):
        assert numbers[label][0] == numbers[label][1] > 0
    assert numbers["duplicate charges"] == numbers["duplicate e-mails"] == [0, 0]


def test_an_evening_of_a_seed_has_the_same_results(quick_output: str) -> None:
    """What became of the orders follows from the seed: on each machine, and for threads and tasks.

    How many attempts it took follows from it on a machine that keeps up; on a busy one, a timeout more or less does.
    """
    again = io.StringIO()
    assert demo.run(demo.Settings(orders=20, tempo=0.1), again) == 0
    decided = (
        "orders placed",
        "paid",
        "delivered",
        "confirmed by e-mail",
        "not: ConnectionLostError; not safe to repeat",
    )
    for output in (quick_output, again.getvalue()):
        found = figures(output)
        assert [found.get(label) for label in decided] == [[20, 20], [19, 19], [19, 19], [18, 18], [1, 1]]


@pytest.mark.parametrize("column", [0, 1], ids=["threads", "tasks"])
def test_the_numbers_add_up(quick_output: str, column: int) -> None:
    """Each attempt is the first of a call or a retry, and the services saw it unless it could not connect.

    On a busy machine an attempt may time out before its service has read it: a few of them may be missing there.
    """
    number = {label: both[column] for label, both in figures(quick_output).items()}
    assert number["attempts"] == number["calls"] - number["refused by an open circuit"] + number["retries"]
    unseen = number["attempts"] - number["could not connect"] - number["requests seen by the services"]
    assert 0 <= unseen <= 5
    assert number["repeated charges, recognised by their key"] > 0
    assert number["circuits opened"] > 0


@pytest.mark.parametrize("runner", ["threads", "tasks"])
def test_each_change_of_a_circuit_is_told(quick_output: str, runner: str) -> None:
    """With the seconds since the evening began: the outage opens a circuit, and its end closes it."""
    changes = re.findall(
        rf"^ *(\d+\.\d) s  {runner} +delivery: (\S+) → (\S+) ", quick_output, flags=re.MULTILINE
    )
    assert changes[0][1:] == ("closed", "open")
    assert changes[-1][1:] == ("half-open", "closed")
    seconds = [float(at) for at, *_ in changes]
    assert seconds == sorted(seconds)
    assert seconds[-1] < 60


def test_one_payment_is_explained(quick_output: str) -> None:
    """The connection was lost after the charge, then came a 503, then the key was recognised: one charge."""
    explained = quick_output[quick_output.index("explained by explain()") :]
    assert re.search(r"attempt 1: ConnectionLostError: .* maybe processed\)", explained)
    assert "attempt 2: 503 Service Unavailable" in explained
    assert "attempt 3: 200 OK" in explained
    assert (
        "done: 200 after 3 attempts; one without a complete response may have been processed, too"
        in explained
    )
    assert "\nWhy processed, too, after a 200? The connection of an earlier attempt was lost" in explained
    assert "the payment service saw 3 requests and made 1 charge\n" in explained


def test_another_seed_plays_another_evening(capsys: pytest.CaptureFixture[str]) -> None:
    """`main` takes the arguments and returns the exit code."""
    assert main(["demo", "--plain", *QUICK, "--seed", "7"]) == 0
    assert "Seed 7." in capsys.readouterr().out


def test_a_single_order_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    """The smallest evening has one order, which meets the mishap that the report explains."""
    assert main(["demo", "--plain", *QUICKEST]) == 0
    assert "saw 3 requests and made 1 charge" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sabotage", "patience", "complaint"),
    [
        ("forget-keys", 5.0, r"^invariants broken: duplicate charges \(threads [1-9]\d*, tasks [1-9]\d*\)$"),
        (
            "stay-down",
            1.0,
            r"^invariants broken: unfinished orders .*; circuits not closed \(threads 1, tasks 1\)$",
        ),
    ],
)
def test_a_broken_invariant_is_named_and_fails_the_run(
    sabotage: str,
    patience: float,
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A gateway that charges twice, or an outage without end: exit code 1, and the invariant by name."""
    # At least ten times as long as a circuit needs to recover.
    monkeypatch.setattr(demo, "_PATIENCE", patience)
    assert main(["demo", "--plain", *QUICK, "--sabotage", sabotage]) == 1
    assert re.search(complaint, capsys.readouterr().out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [[], *(["demo", *wrong] for wrong in (["--orders", "0"], ["--orders", "501"], ["--orders", "x"], ["--seed", "x"], ["--loud"]))],
    ids=" ".join,
)  # fmt: skip
def test_wrong_arguments_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The usage is on stderr."""
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: python -m http_service_client")


def test_the_options_have_the_defaults_that_help_states() -> None:
    """An evening of 60 orders in real time, always the same one, with servers that keep their promises."""
    assert vars(cli.build_parser("demo").parse_args(["demo"])) == {
        "command": "demo",
        "run": command.run,
        "orders": 60,
        "seed": 1,
        "plain": False,
        "no_color": False,
        "tempo": 1.0,
        "sabotage": None,
        "prometheus": None,
    }


@pytest.mark.parametrize("count", [1, 9, 500])
def test_the_number_of_orders_has_bounds(count: int) -> None:
    """One to 500: see the wrong arguments for those beyond."""
    assert cli.build_parser("demo").parse_args(["demo", "--orders", str(count)]).orders == count


def test_help_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """It hides the options that only the tests need."""
    assert main(["demo", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--orders N" in shown
    assert main(["--help"]) == 0
    assert "\ncommands:\n" in capsys.readouterr().out
    assert "--sabotage" not in shown


def test_a_reader_that_leaves_causes_no_traceback() -> None:
    """As in `python -m http_service_client demo | head -1`."""
    with subprocess.Popen(
        [*COMMAND, *QUICK],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 141


def test_a_stream_without_arrows_gets_ascii() -> None:
    """A pipe in the C locale of an old system does not end the demo with a UnicodeEncodeError."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", write_through=True)
    Screen(stream, is_live=False).print("closed → open · now")
    assert raw.getvalue().decode() == f"closed -> open - now{os.linesep}"


class TestStory:
    """The story follows from its arguments alone."""

    def test_a_seed_fixes_the_evening(self) -> None:
        """The same seed, the same orders and mishaps; another seed, others."""
        assert write_story(60, seed=3) == write_story(60, seed=3)
        assert write_story(60, seed=3) != write_story(60, seed=4)

    def test_the_evening_of_a_seed_stays_the_same(self) -> None:
        """On each version of Python: two people who compare an evening see the same orders, prices and mishaps.

        Where the evening is meant to change, so is this digest.
        """
        digest = hashlib.sha256(repr(write_story(60, seed=1)).encode()).hexdigest()
        assert digest == "1d60bd623e56941b895f6983e27517d5ecae39e732cdcef891296652308e55e8"

    def test_the_tempo_is_a_factor_on_time(self) -> None:
        """Of each act, and of the wait that a busy service asks for; not on what happens."""
        slow, quick = write_story(60, seed=1, tempo=3.0), write_story(60, seed=1, tempo=0.5)
        assert [act.seconds / 6 for act in slow.acts] == [act.seconds for act in quick.acts]
        assert [act.seconds for act in quick.acts] == [0.5, 1.3, 1.2, 1.0, 0.5]
        assert (slow.retry_after, write_story(60, seed=1).retry_after) == (3, 1)
        assert slow.faults == quick.faults

    @pytest.mark.parametrize("service", ["payment", "delivery"])
    def test_a_step_fails_at_its_second_server_error(self, service: str) -> None:
        """Trying again later does no harm, but has an end."""
        ticket = Ticket(Order(number=1, customer="Ada", pizza="Funghi", amount=9.9))
        ticket.settle(service, HttpResponse(500))
        assert ticket.statuses[service] is Status.POSTPONED
        ticket.settle(service, HttpResponse(500))
        assert ticket.statuses[service] is Status.FAILED

    @pytest.mark.parametrize("count", [1, 2, 7, 60, 500])
    def test_every_order_has_its_act(self, count: int) -> None:
        """No order is lost to rounding, and the payment to be explained is always there."""
        story = write_story(count, seed=1)
        assert [order.number for act in story.acts for order in act.orders] == list(range(1, count + 1))
        assert (Fault.RESET, Fault.BUSY) in story.faults.values()


class TestScreen:
    """Drawing, without a terminal."""

    def test_a_picture_is_drawn_over_the_previous_one(self) -> None:
        """The cursor goes up by the number of drawn lines, and longer rests are erased."""
        stream = io.StringIO()
        with Screen(stream, is_live=True) as screen:
            screen.draw(["one", "two"])
            screen.draw(["three"])
            screen.print("done")
        drawn = stream.getvalue()
        assert drawn.count("\x1b[2F") == 1
        assert (
            drawn.index("two")
            < drawn.index("\x1b[2F")
            < drawn.index("three")
            < drawn.index("\x1b[J", drawn.index("three"))
        )
        assert drawn.rindex(SHOW) > drawn.rindex(HIDE)

    def test_printed_lines_stay(self) -> None:
        """A picture that is drawn after them does not go up over them."""
        stream = io.StringIO()
        with Screen(stream, is_live=True) as screen:
            screen.draw(["one", "two"])
            screen.print("done")
            screen.draw(["three"])
        assert re.findall(r"\x1b\[\d+F", stream.getvalue()) == []

    def test_the_cursor_comes_back_after_an_error(self) -> None:
        """Whatever happens while a picture is shown."""
        stream = io.StringIO()
        with pytest.raises(KeyboardInterrupt), Screen(stream, is_live=True) as screen:
            screen.draw(["one"])
            raise KeyboardInterrupt
        assert stream.getvalue().endswith(SHOW)

    @each_row(
        ("line", "width", "expected"),
        [
            ("attempts", 8, "attempts"),
            ("attempts", 3, "att"),
            ("\x1b[31mopen\x1b[0m now", 2, "\x1b[31mop\x1b[0m"),
            ("\x1b[31mopen\x1b[0m now", 6, "\x1b[31mopen\x1b[0m n"),
            ("\x1b[31mopen\x1b[0m", 4, "\x1b[31mopen\x1b[0m"),
            ("", 0, ""),
        ],
    )
    def test_a_line_is_cut_by_its_visible_length(self, line: str, width: int, expected: str) -> None:
        """Colours take no width, and end where the line ends."""
        assert clipped(line, width) == expected


class TestLiveView:
    """The picture of a terminal: a title, the table, and as much news as fits below."""

    @pytest.mark.parametrize(
        ("height", "shown"), [(20, ["two", "three", "start"]), (6, ["three", "start"]), (4, []), (3, [])]
    )
    def test_shows_the_latest_news(
        self, monkeypatch: pytest.MonkeyPatch, height: int, shown: list[str]
    ) -> None:
        """The oldest is left out first."""
        monkeypatch.setattr(views, "table", lambda runners, width, ink: ["table"])
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((80, height + 1)))
        stream = io.StringIO()
        view = views.LiveView(Screen(stream, is_live=True), [], lambda text, style: text)
        for text in ("two", "three"):
            view.announce(1.0, "tasks", text, True)
        view.begin(2.0, "start")
        assert re.findall(r"\d s +(?:tasks +)?(\w+)\r", stream.getvalue().partition("table")[2]) == shown


class _Tty(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "is_live", "is_coloured"),
    [
        (_Tty(), {}, True, True),
        (_Tty(), {"NO_COLOR": "1"}, True, False),
        (_Tty(), {"NO_COLOR": ""}, True, True),
        (_Tty(), {"TERM": "dumb"}, False, False),
        (io.StringIO(), {}, False, False),
    ],
)
def test_terminals_get_a_picture_and_colours_unless_they_opt_out(
    stream: io.StringIO,
    variables: dict[str, str],
    is_live: bool,
    is_coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TERM and NO_COLOR decide; an empty NO_COLOR means nothing (no-color.org)."""
    for name, value in {"TERM": "xterm", "NO_COLOR": "", "WT_SESSION": "1", **variables}.items():
        monkeypatch.setenv(name, value)
    assert is_terminal(stream) is is_live
    assert wants_colour(stream) is is_coloured


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
class TestInATerminal:
    """The live table, in a pseudo-terminal."""

    @pytest.fixture
    def terminal(self, request: pytest.FixtureRequest) -> Iterator[Terminal]:
        columns, arguments = request.param
        opened = Terminal("demo", *arguments, columns=columns)
        yield opened
        opened.close()

    @pytest.mark.parametrize("terminal", [(80, QUICK), (50, QUICK)], indirect=True)
    def test_the_table_is_drawn_and_the_cursor_comes_back(self, terminal: Terminal) -> None:
        """In colour, redrawn in one position, never wider than the window."""
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 0
        assert "Traceback" not in shown
        assert "\x1b[32mclosed" in shown
        assert "\x1b[31mopen" in shown
        assert shown.count(HIDE) > 5
        assert shown.rindex(SHOW) > shown.rindex(HIDE)
        assert "invariants hold:" in SEQUENCE.sub("", shown)
        table = shown[: shown.index("what happened")]
        lines = re.split(r"[\r\n]+", SEQUENCE.sub("", table))
        assert max(map(len, lines)) <= terminal.columns

    @pytest.mark.parametrize("terminal", [(120, [*QUICKEST, "--no-color"])], indirect=True)
    def test_no_color_draws_without_colours(self, terminal: Terminal) -> None:
        """The picture is still redrawn in one position."""
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 0
        assert HIDE in shown
        assert re.findall(r"\x1b\[[0-9;]*m", shown) == []

    @pytest.mark.parametrize("terminal", [(80, [*QUICKEST, "--plain"])], indirect=True)
    def test_plain_prints_lines_only(self, terminal: Terminal) -> None:
        """Not a single escape sequence, even in a terminal."""
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 0
        assert "\x1b" not in shown

    @pytest.mark.parametrize("terminal", [(80, [])], indirect=True)
    def test_ctrl_c_ends_it_at_once_with_a_clean_terminal(self, terminal: Terminal) -> None:
        """Exit code 130, a visible cursor, no traceback, no warning."""
        terminal.read_until("act 2 of 5")
        started = time.monotonic()
        terminal.process.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 130
        assert time.monotonic() - started < 5
        assert shown.rindex(SHOW) > shown.rindex(HIDE)
        assert SEQUENCE.sub("", shown).endswith("interrupted\r\n")
        assert "Traceback" not in shown
        assert "Warning" not in shown

    @pytest.mark.parametrize("terminal", [(100, QUICK)], indirect=True)
    def test_the_history_stays_on_the_screen(self, terminal: Terminal) -> None:
        """In a tall terminal the last picture has every act, and every circuit that opened or closed."""
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 0
        last = SEQUENCE.sub("", shown.split(HIDE)[-1])
        for act in ("act 1 of 5", "act 5 of 5", "last orders", "closed for today"):
            assert re.search(rf" s  {act}", last)
        for runner in ("threads", "tasks"):
            assert re.search(rf"{runner} +delivery: closed → open", last)
            assert re.search(rf"{runner} +delivery: half-open → closed", last)
