"""The figures of a load, for people and for programs, and what they warn about."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from http_service_client import ConnectError, HttpResponse, SentState, Timeline
from http_service_client.cli.load.report import Result, duration
from http_service_client.cli.load.schedule import Load, Schedule, Start
from http_service_client.cli.load.tally import Tally
from http_service_client.cli.load.workers import Request
from http_service_client.events import AttemptFinished, RedirectFollowed
from kit.command_line import needs_rich, without_styles
from kit.rows import each_row

URL = "http://user:secret@h/?token=s3"


def attempt(number: int) -> AttemptFinished:
    return AttemptFinished(0.0, number, "k", 0.1, 200, None, "OK", SentState.ANSWERED)


def response(status: int, attempts: int = 1, hops: int = 0, size: int = 0) -> HttpResponse:
    made = HttpResponse(status, content=b"x" * size)
    events: list[Any] = [RedirectFollowed(0.0, 1, "k", 302, "GET", "http://h/")] * hops
    made.timeline = Timeline([*events, *map(attempt, range(1, attempts + 1))])
    return made


def result(tally: Tally, load: Load | None = None, **changes: Any) -> Result:
    schedule = Schedule(load or Load())
    schedule.begin(0.0)
    values: dict[str, Any] = {
        "request": Request("GET", URL), "front_end": "threads", "schedule": schedule, "tally": tally, "elapsed": 2.0,
        "never_started": 0, "cpu_share": 0.1, "connections": 100, "is_interrupted": False,
    }  # fmt: skip
    return Result(**{**values, **changes})


def tally_of(*calls: tuple[float, HttpResponse | ConnectError], waited: float = 0.0) -> Tally:
    """Calls that were due at 1.0, began `waited` later and took so long from then."""
    made = Tally()
    for seconds, outcome in calls:
        start = Start(1.0, True)
        made.begin(start, 1.0 + waited, was_free=False)
        made.end(start, 1.0 + waited, 1.0 + waited + seconds, outcome)
    return made


def test_the_table_has_a_row_for_each_outcome() -> None:
    """Latency by percentiles; the share; what the calls cost; the first error of each kind."""
    calls = [(0.1, response(200, size=1000))] * 98 + [
        (0.2, response(503, attempts=3)),
        (0.0005, ConnectError("no one")),
    ]
    lines = list(result(tally_of(*calls)).lines(io.StringIO()))
    assert lines == [
        "GET http://***@h/?token=***",
        "closed loop, 10 at a time; threads; 2.0 s",
        "",
        "outcome         calls    share     p50     p90     p95     p99   p99.9     max",
        "200                98   98.0 % 99.6 ms 99.6 ms 99.6 ms 99.6 ms 99.6 ms  100 ms",
        "503                 1    1.0 %  199 ms  199 ms  199 ms  199 ms  199 ms  200 ms",
        "ConnectError        1    1.0 %  500 µs  500 µs  500 µs  500 µs  500 µs  500 µs",
        "all               100  100.0 % 99.6 ms 99.6 ms 99.6 ms 99.6 ms  199 ms  200 ms",
        "",
        "throughput   50.0 calls/s, 49.0 of them successful; 98.0 kB of bodies, 49.0 kB/s",
        "attempts     101 for 100 calls: 2 retries; 1.01 attempts a call",
        "latency      counts from when a call began; percentiles are exact to 1 %",
        "",
        "ConnectError, the first: no one",
    ]


def test_one_call_in_two_thousand_is_beyond_the_last_percentile() -> None:
    """It is the slowest, and no other figure shows it."""
    figures = result(tally_of(*[(0.1, response(200))] * 1999, (10.0, response(200)))).as_json()["latency"]
    assert figures["p99.9"] == pytest.approx(0.1, rel=0.01)
    assert figures["max"] == 10.0


def test_an_open_loop_counts_from_when_a_call_was_due() -> None:
    """And shows how long the calls took without the waits for a free worker."""
    lines = list(result(tally_of((0.1, response(200)), waited=0.9), Load(rate=10.0)).lines(io.StringIO()))
    assert lines[1] == "open loop, 10 calls/s due, 10 at a time at most; threads; 2.0 s"
    assert lines[5].split()[-2:] == ["1.00", "s"]
    assert lines[6] == "without waits        1  100.0 % 99.6 ms 99.6 ms 99.6 ms 99.6 ms 99.6 ms  100 ms"
    assert "latency      counts from when a call was due, waits for a free worker included; " in "\n".join(
        lines
    )


def test_the_json_has_all_figures() -> None:
    """In seconds and bytes; nothing that JSON does not know."""
    figures = result(tally_of((0.25, response(200, attempts=2, hops=1, size=7)))).as_json()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    seconds = {
        "count": 1,
        "mean": 0.25,
        "p50": 0.25,
        "p90": 0.25,
        "p95": 0.25,
        "p99": 0.25,
        "p99.9": 0.25,
        "max": 0.25,
    }
    nothing = dict.fromkeys(seconds) | {"count": 0}
    assert figures["latency"] == pytest.approx(seconds, rel=0.01)
    assert figures | {"latency": 0, "service_time": 0, "outcomes": 0, "waited_for_a_worker": 0} == {
        "method": "GET", "url": "http://***@h/?token=***", "front_end": "threads", "loop": "closed", "concurrency": 10,
        "rate": None, "duration": 10.0, "requests": None, "warm_up": {"seconds": 0.0, "calls": 0}, "interrupted": False,
        "elapsed": 2.0, "calls": 1, "succeeded": 1, "failed": 0, "aborted": 0, "never_started": 0, "calls_per_second": 0.5,
        "attempts": 2, "retries": 1, "redirects": 1, "attempts_per_call": 2.0, "received_bytes": 7,
        "received_bytes_per_second": 3.5, "latency": 0, "service_time": 0, "outcomes": 0, "waited_for_a_worker": 0,
        "generator": {"cpu_share": 0.1, "late_starts": 0, "lateness": nothing}, "relative_error": 0.01, "warnings": [],
    }  # fmt: skip
    assert figures["outcomes"] == [
        {"outcome": "200", "failed": False, "example": None, "latency": pytest.approx(seconds, rel=0.01)}
    ]


def test_failures_are_a_share_of_the_calls() -> None:
    """Each kind with its first message."""
    calls = [(0.1, response(200, attempts=2))] * 2 + [(0.1, response(503)), (0.1, ConnectError("no one"))]
    made = result(tally_of(*calls), Load(rate=10.0))
    assert made.failure_share == 0.5
    figures = made.as_json()
    names = ("loop", "rate", "calls", "succeeded", "failed", "attempts", "attempts_per_call")
    assert [figures[name] for name in names] == ["open", 10.0, 4, 2, 2, 5, 1.25]
    assert [(each["outcome"], each["failed"], each["example"]) for each in figures["outcomes"]] == [
        ("200", False, None), ("503", True, None), ("ConnectError", True, "no one"),
    ]  # fmt: skip


def test_redirects_are_mentioned_where_there_are_some() -> None:
    """They are requests that a call costs, beside its retries."""
    lines = list(result(tally_of((0.1, response(200, hops=1)))).lines(io.StringIO()))
    assert "attempts     1 for 1 call: 0 retries, 1 redirect; 1.00 attempts a call" in lines


def test_a_load_without_calls_has_no_figures() -> None:
    """And all of its calls count as failed."""
    empty = result(Tally(), elapsed=0.0)
    assert empty.failure_share == 1.0
    assert empty.as_json()["attempts_per_call"] is None
    assert empty.as_json()["calls_per_second"] == 0.0
    assert "all            0    0.0 %       -" in "\n".join(empty.lines(io.StringIO()))


def overslept(late: int, of: int, by: float = 0.5) -> Tally:
    made = Tally()
    for number in range(of):
        made.begin(Start(0.0, True), by if number < late else 0.0, was_free=True)
        made.end(Start(0.0, True), 0.0, 0.6, response(200))
    return made


def queued(waiting: int, of: int, by: float = 0.5) -> Tally:
    made = Tally()
    for number in range(of):
        made.begin(Start(0.0, True), by, was_free=number >= waiting)
        made.end(Start(0.0, True), by, by, response(200))
    return made


@each_row(
    ("changes", "warning"),
    [
        ({"tally": overslept(2, 100)}, "this program began 2 calls more than 10 ms late, up to 500 ms, though a worker was free: it is the bottleneck"),
        ({"tally": overslept(1, 100)}, None),
        ({"tally": overslept(2, 100, by=0.01)}, None),
        ({"cpu_share": 0.9}, "this program used 90% of a CPU core"),
        ({"cpu_share": 0.85}, None),
        ({"cpu_share": 1.2, "elapsed": 0.1}, None),
        ({"cpu_share": 1.2, "elapsed": 0.5}, "this program used 120% of a CPU core"),
        ({"never_started": 3}, "3 calls due in time never began, since all 10 workers were busy: the percentiles are better than what users would see"),
        ({"tally": tally_of((0.1, response(200)), waited=0.9)}, "1 call waited for a free worker, up to 900 ms"),
        ({"tally": tally_of((0.1, response(200)), waited=0.001)}, None),
        ({"tally": tally_of((0.1, response(200)), waited=0.0099)}, None),
        ({"tally": tally_of((0.1, response(200)), waited=0.0101)}, "1 call waited for a free worker, up to 10.1 ms"),
        ({"tally": queued(2, 100, by=0.01)}, None),
        ({"connections": 9}, "the configuration allows 9 connections, fewer than --concurrency 10"),
        ({"connections": 10}, None),
    ],
)  # fmt: skip
def test_what_the_figures_hide_is_said(changes: dict[str, Any], warning: str | None) -> None:
    """With what to do about it; on the last line, and in the JSON."""
    made = result(changes.pop("tally", Tally()), **changes)
    warnings = made.as_json()["warnings"]
    assert len(warnings) == (warning is not None)
    if warning is not None:
        assert warnings[0].startswith(warning)
        assert list(made.lines(io.StringIO()))[-2:] == ["", f"warning: {warnings[0]}"]


@pytest.mark.parametrize(("waiting", "is_said"), [(1, False), (2, True)])
def test_waits_are_said_of_more_than_one_call_in_a_hundred(waiting: int, is_said: bool) -> None:
    """A few that waited change no percentile that is shown."""
    found = list(result(queued(waiting, 100)).warnings())
    assert any("waited for a free worker" in warning for warning in found) is is_said


@each_row(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.000999, "999 µs"),
        (0.001, "1.00 ms"),
        (0.0015, "1.50 ms"),
        (0.9994, "999 ms"),
        (1.0, "1.00 s"),
        (9.99, "9.99 s"),
        (9.995, "10.0 s"),
        (99.95, "100 s"),
    ],
)
def test_three_digits_of_a_duration_count(seconds: float | None, text: str) -> None:
    """In the unit that fits."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (10**6, "1.0 MB"), (10**9, "1.0 GB")],
)
def test_bodies_have_a_size_in_the_unit_that_fits(size: int, text: str) -> None:
    """Decimal ones."""
    tally = tally_of((0.1, response(200)))
    tally.received = size
    lines = list(result(tally, elapsed=1.0).lines(io.StringIO()))
    assert any(f"{text} of bodies, {text}/s" in line for line in lines)


@needs_rich
def test_a_row_of_failures_is_red_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other one."""
    for name, value in {"TERM": "xterm", "NO_COLOR": "", "WT_SESSION": "1"}.items():
        monkeypatch.setenv(name, value)
    tally = tally_of((0.1, response(200)), (0.1, response(503)))
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    drawn = list(result(tally, Load(rate=10.0)).lines(stream))[4:8]
    assert [without_styles(line).split()[0] for line in drawn] == ["200", "503", "all", "without"]
    assert ["\x1b[31m" in line for line in drawn] == [False, True, False, False]


def test_calls_that_an_interruption_leaves_are_counted() -> None:
    """They are no failures."""
    tally = tally_of((0.1, response(200)))
    tally.begin(Start(1.0, True), 1.0, was_free=False)
    made = result(tally, is_interrupted=True)
    assert (made.aborted, made.failure_share) == (1, 0.0)
    assert next(made.warnings()) == "interrupted; 1 call in flight left no trace in the figures"


def test_the_warm_up_is_mentioned_and_not_counted() -> None:
    """By its number of calls."""
    tally = tally_of((0.1, response(200)))
    tally.begin(Start(0.5, False), 0.5, was_free=True)
    tally.end(Start(0.5, False), 0.5, 0.6, response(500))
    lines = list(result(tally, Load(warm_up=1.5)).lines(io.StringIO()))
    assert "warm-up      1.5 s, 1 call, not counted" in lines
    assert tally.ended == 1


def test_a_hostile_message_does_nothing_to_a_terminal() -> None:
    """No escape sequence of a peer arrives there."""
    lines = list(result(tally_of((0.1, ConnectError("bad\x1b[2Jness")))).lines(io.StringIO()))
    assert lines[-1] == "ConnectError, the first: bad [2Jness"
