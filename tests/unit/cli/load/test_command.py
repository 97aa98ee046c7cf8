"""The command `load`: what its arguments decide, and what its result is made from. By workers that make no calls."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.cli import build_parser
from http_service_client.cli.load import command
from http_service_client.cli.load.schedule import Load, Schedule, Start
from http_service_client.cli.load.tally import Tally
from http_service_client.cli.load.workers import Request
from http_service_client.errors import ClientClosedError

URL = "http://h/"


class Stage:
    """A load in which time passes only while its workers are waited for.

    calls: the instants at which each begins and ends, since the start, and its status.   lasts: seconds until all have
    ended.   interrupted_at: the instant of Ctrl-C.   cpu: seconds of the processor for each second.
    """

    def __init__(self) -> None:
        self.now, self.cpu = 100.0, 0.25
        self.calls: list[tuple[float, float, int]] = []
        self.lasts = 2.0
        self.interrupted_at = 1e9
        self.kinds: list[str] = []
        self.loads: list[Load] = []
        self.clients: list[HttpServiceClient] = []
        self.requests: list[Request] = []
        self.slices: list[float] = []
        self.stops = 0
        self.pictures: list[float] = []

    def kind(self, name: str) -> type:
        """A kind of workers: this stage in their place."""
        stage = self

        class Played:
            def __init__(
                self, client: HttpServiceClient, request: Request, schedule: Schedule, tally: Tally
            ) -> None:
                stage.kinds.append(name)
                stage.loads.append(schedule.load)
                stage.clients.append(client)
                stage.requests.append(request)
                self._schedule, self._tally = schedule, tally

            def start(self) -> None:
                self._schedule.begin(stage.now)
                self._began_at = stage.now

            def wait(self, seconds: float) -> bool:
                stage.slices.append(seconds)
                stage.now += 0.5
                for began, ended, status in stage.calls:
                    start = Start(self._began_at + began, True)
                    if start.at == stage.now - 0.5:
                        self._tally.begin(start, start.at, was_free=True)
                    if self._began_at + ended == stage.now:
                        self._tally.end(start, start.at, stage.now, HttpResponse(status))
                if stage.now - self._began_at >= stage.interrupted_at:
                    raise KeyboardInterrupt
                return stage.now - self._began_at >= stage.lasts

            def stop(self) -> None:
                stage.stops += 1
                self._schedule.stop(stage.now)

        Played.name = name  # type: ignore[attr-defined]
        return Played


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage()
    monkeypatch.setattr(command, "perf_counter", lambda: made.now)
    monkeypatch.setattr(command, "process_time", lambda: made.now * made.cpu)
    monkeypatch.setattr(command, "Threads", made.kind("threads"))
    monkeypatch.setattr(command, "Tasks", made.kind("asyncio"))
    monkeypatch.setattr(command.Bar, "draw", lambda _, now: made.pictures.append(now))
    return made


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a load, and its figures."""
    output = io.StringIO()
    parsed = build_parser("load").parse_args(["load", *arguments, "--as-json"])
    code = command.run(parsed, output, io.StringIO())
    return code, json.loads(output.getvalue())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], Load(concurrency=10, rate=None, duration=10.0, requests=None, warm_up=0.0)),
        (["--requests", "5"], Load(requests=5, duration=None)),
        (["--requests", "5", "--duration", "3"], Load(requests=5, duration=3.0)),
        (["--requests", "5", "--duration", "none"], Load(requests=5, duration=None)),
        (["--warm-up", "500ms", "-c", "3"], Load(warm_up=0.5, concurrency=3)),
        (["--warm-up", "none", "--rate", "2.5"], Load(rate=2.5)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_arguments_decide_how_much(arguments: list[str], expected: Load, stage: Stage) -> None:
    """Ten seconds, unless they say how many calls or for how long."""
    run(URL, *arguments)
    assert stage.loads == [expected]


def test_a_load_without_an_end_is_refused(stage: Stage) -> None:
    """Before a call is made."""
    with pytest.raises(ConfigurationError, match="a load needs an end"):
        run(URL, "--duration", "none")
    assert stage.kinds == []


@pytest.mark.parametrize(("arguments", "kind"), [([], "threads"), (["--asyncio"], "asyncio")])
def test_threads_or_tasks_make_the_calls(arguments: list[str], kind: str, stage: Stage) -> None:
    """Threads, unless tasks are asked for; the result says which."""
    _, figures = run(URL, *arguments)
    assert stage.kinds == [figures["front_end"]] == [kind]


def test_the_bar_is_drawn_while_the_calls_are_made(stage: Stage) -> None:
    """Ten times a second, so that the workers have the rest of the time; not once all have ended."""
    run(URL)
    assert stage.slices == [0.1] * 4
    assert stage.pictures == [100.5, 101.0, 101.5]


@pytest.mark.parametrize(
    ("statuses", "allowed", "code"),
    [
        ((200, 200, 200, 200), [], 0),
        ((200, 200, 200, 404), [], 1),
        ((200, 200, 200, 404), ["--max-failures", "0.25"], 0),
        ((200, 200, 404, 404), ["--max-failures", "0.25"], 1),
        ((404, 404, 404, 404), ["--max-failures", "1"], 0),
    ],
)
def test_so_many_calls_may_fail(
    statuses: tuple[int, ...], allowed: list[str], code: int, stage: Stage
) -> None:
    """None, unless a share is allowed: all of them, at most."""
    stage.calls = [(0.0, 1.0, status) for status in statuses]
    found, figures = run(URL, *allowed)
    assert found == code
    assert figures["calls"] == 4


@pytest.mark.parametrize("share", ["-0.1", "1.1", "nan"])
def test_a_share_is_a_number_from_0_to_1(share: str, stage: Stage) -> None:
    """Anything else is refused before a call is made."""
    with pytest.raises(ConfigurationError, match=r"^--max-failures must be"):
        run(URL, f"--max-failures={share}")
    assert stage.kinds == []


@pytest.mark.parametrize(
    ("arguments", "calls", "elapsed"),
    [
        (["--requests", "9"], [(0.0, 1.5, 200)], 2.0),
        (["--duration", "1"], [(0.0, 0.5, 200)], 1.0),
        (["--duration", "1"], [(0.0, 1.5, 200)], 1.5),
        (["--duration", "5"], [(0.0, 1.5, 200)], 2.0),
        (["--duration", "1", "--warm-up", "500ms"], [(0.5, 2.0, 200)], 1.5),
        (["--duration", "1", "--warm-up", "3"], [], 0.0),
    ],
    ids=["requests", "duration", "late-call", "ended-before", "warm-up", "only-warm-up"],
)
def test_the_time_ends_with_the_last_call_or_with_the_time_for_calls(
    arguments: list[str], calls: list[tuple[float, float, int]], elapsed: float, stage: Stage
) -> None:
    """Whichever is later, but not after all have ended; it begins after the warm-up."""
    stage.calls = calls
    _, figures = run(URL, *arguments)
    assert figures["elapsed"] == elapsed


def test_calls_that_were_due_and_never_began_are_counted(stage: Stage) -> None:
    """In an open loop whose workers are too few; never fewer than none."""
    stage.calls = [(0.0, 1.0, 200), (0.5, 1.5, 200)]
    assert run(URL, "--rate", "4", "--duration", "2")[1]["never_started"] == 6
    stage.calls *= 5
    assert run(URL, "--rate", "4", "--duration", "2")[1]["never_started"] == 0


def test_the_share_of_a_core_is_that_of_the_load(stage: Stage) -> None:
    """What this program used before it is not counted."""
    assert run(URL)[1]["generator"]["cpu_share"] == 0.25


def test_ctrl_c_ends_the_load_and_leaves_the_figures(stage: Stage) -> None:
    """With the exit code of an interruption, though all calls that ended may have failed."""
    stage.calls = [(0.0, 0.5, 404), (0.0, 2.0, 200)]
    stage.interrupted_at = 1.0
    code, figures = run(URL)
    assert (code, figures["interrupted"], figures["calls"], figures["aborted"]) == (130, True, 1, 1)
    assert figures["elapsed"] == 1.0
    assert stage.stops == 1


def test_a_load_that_ends_by_itself_is_not_interrupted(stage: Stage) -> None:
    """Its client is closed all the same."""
    assert run(URL)[1]["interrupted"] is False
    assert stage.stops == 0
    with pytest.raises(ClientClosedError):
        stage.clients[0].get(URL)


def test_the_result_is_a_table_for_people(stage: Stage) -> None:
    """A line feed ends each line, as the one of the JSON, which is indented by two."""
    stage.calls = [(0.0, 1.0, 200)]
    output = io.StringIO()
    assert command.run(build_parser("load").parse_args(["load", URL]), output, io.StringIO()) == 0
    lines = output.getvalue().split("\n")
    assert lines[:3] == ["GET http://h/", "closed loop, 10 at a time; threads; 2.0 s", ""]
    assert lines[-1] == ""
    output = io.StringIO()
    command.run(build_parser("load").parse_args(["load", URL, "--as-json"]), output, io.StringIO())
    assert output.getvalue().startswith('{\n  "method": "GET",\n')
    assert output.getvalue().endswith("\n}\n")


@pytest.mark.parametrize(
    ("pool", "connections"),
    [
        ({}, (7, 7)),
        ({"max_connections": 5}, (5, 7)),
        ({"max_connections_per_host": 5}, (7, 5)),
        ({"max_connections": 50, "max_connections_per_host": 6}, (50, 6)),
    ],
    ids=["defaults", "all", "of-a-host", "both"],
)
def test_there_are_as_many_connections_as_calls_at_once(
    pool: dict[str, int], connections: tuple[int, int], stage: Stage, tmp_path: Path
) -> None:
    """Unless the configuration says how many: that is tested as it is, and fewer are warned about."""
    (tmp_path / "client.json").write_text(json.dumps(pool))
    _, figures = run(URL, "-c", "7", "--config", str(tmp_path / "client.json"))
    resolved = stage.clients[0].config.resolved.pool
    assert (resolved.max_connections, resolved.max_connections_per_host) == connections
    fewest = min(connections)
    warned = [text for text in figures["warnings"] if "the configuration allows" in text]
    assert [f"allows {fewest} connections" in text for text in warned] == [True] * (fewest < 7)


def call_of(*arguments: str) -> tuple[HttpClientConfig, Request]:
    """The configuration and the call of a load."""
    return command._request(build_parser("load").parse_args(["load", *arguments]), Load())


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ([URL], Request("GET", URL)),
        (["http://H", "-X", "PUT", "-d", "tea"], Request("PUT", URL, {"data": b"tea"})),
        ([URL, "-p", "a=1", "--deadline", "2"], Request("GET", URL, {"params": [("a", "1")], "total_timeout": 2.0})),
        ([URL, "--idempotency-key", "k"], Request("GET", URL, {"headers": [("Idempotency-Key", "k")]})),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_the_arguments_decide_the_call(arguments: list[str], call: Request) -> None:
    """Its method, its whole URL, and the keywords of the verb."""
    assert call_of(*arguments)[1] == call


def test_each_call_has_a_key_of_its_own() -> None:
    """One that is made once would have the service answer all calls but the first from its memory."""
    config, call = call_of(URL, "-X", "POST", "--idempotency-key", "auto")
    assert config.auto_idempotency_key
    assert call.options == {}
    assert not call_of(URL, "-X", "POST", "--idempotency-key", "k")[0].auto_idempotency_key


def test_files_are_read_once(tmp_path: Path) -> None:
    """Calls at the same time could not share one; the parts of a form keep their names and types."""
    (tmp_path / "tea.txt").write_bytes(b"green")
    path = f"{tmp_path}/tea.txt"
    assert call_of(URL, "-d", f"@{path}")[1].options == {"data": b"green"}
    files = call_of(URL, "-F", f"leaf={path};text/x-tea", "-F", f"cup={path}")[1].options["files"]
    assert files == [
        ("leaf", ("tea.txt", b"green", "text/x-tea")),
        ("cup", ("tea.txt", b"green", None)),
    ]


def test_a_url_may_be_below_that_of_the_configuration(tmp_path: Path) -> None:
    """The figures name it whole; one that is wrong is a wrong argument."""
    (tmp_path / "client.json").write_text('{"base_url": "http://h/v1"}')
    config = f"--config={tmp_path / 'client.json'}"
    assert call_of("/orders", config)[1].url == "http://h/v1/orders"
    with pytest.raises(ConfigurationError):
        call_of("http://")
