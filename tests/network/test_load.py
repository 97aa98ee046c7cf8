"""`load` against real servers: what it counts, when it counts from, and how it ends. By threads and by asyncio tasks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from http_service_client.cli import main
from http_service_client.cli.load.bar import Bar
from http_service_client.testing import LoopbackServer, drip, raw, reset, respond, stall
from kit.command_line import COMMAND, environment
from kit.terminal import HIDE, SEQUENCE, SHOW, Terminal

Run = Callable[..., dict[str, Any]]

BODY = b'{"id": 1}'


@pytest.fixture(params=["threads", "asyncio"])
def front_end_option(request: pytest.FixtureRequest) -> list[str]:
    """The arguments that choose the front end."""
    return ["--asyncio"] if request.param == "asyncio" else []


@pytest.fixture
def run(front_end_option: list[str], capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a load; its figures, with the exit code.   arguments: of the command."""

    def run(*arguments: str) -> dict[str, Any]:
        code = main(["load", *arguments, *front_end_option, "--as-json"])
        figures: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {"exit_code": code, **figures}

    return run


def outcomes(figures: dict[str, Any]) -> dict[str, int]:
    return {each["outcome"]: each["latency"]["count"] for each in figures["outcomes"]}


def test_so_many_calls_are_made(server: LoopbackServer, run: Run, front_end_option: list[str]) -> None:
    """No more and no fewer, on connections that are used again."""
    server.script("*", respond(body=b"x" * 100))
    figures = run(f"{server.url}/orders", "--requests", "50", "--concurrency", "3")
    assert len(server.received("/orders")) == 50
    assert server.connection_count <= 3
    assert figures["front_end"] == ("asyncio" if front_end_option else "threads")
    assert (figures["exit_code"], figures["calls"], figures["attempts"], figures["received_bytes"]) == (
        0,
        50,
        50,
        5000,
    )
    assert outcomes(figures) == {"200": 50}
    assert 0 < figures["latency"]["p50"] <= figures["latency"]["max"]


def test_retries_are_attempts_of_their_calls(server: LoopbackServer, run: Run) -> None:
    """So the table shows what a call cost the service."""
    server.script("*", respond(503), respond(503), respond(200))
    figures = run(server.url, "--requests", "4", "--concurrency", "1")
    assert (figures["calls"], figures["attempts"], figures["retries"]) == (4, 6, 2)
    assert figures["attempts_per_call"] == 1.5


def test_a_failed_call_is_exit_code_1(server: LoopbackServer, run: Run) -> None:
    """Unless so many may fail."""
    server.script("*", respond(404), respond(200))
    assert run(server.url, "-n", "4", "-c", "1")["exit_code"] == 1
    server.script("*", respond(404), respond(200))
    figures = run(server.url, "-n", "4", "-c", "1", "--max-failures", "0.25")
    assert (figures["exit_code"], figures["succeeded"], figures["failed"]) == (0, 3, 1)


def test_a_stall_is_measured_as_users_would_feel_it(server: LoopbackServer, run: Run) -> None:
    """In an open loop the calls behind a slow one count from when they were due; a closed loop makes fewer of them."""
    server.script("*", respond(delay=0.4), respond())
    figures = run(server.url, "--rate", "50", "-n", "20", "-c", "1")
    assert figures["latency"]["p50"] > 0.1
    assert figures["service_time"]["p50"] < 0.1
    assert figures["waited_for_a_worker"]["count"] >= 15
    server.script("*", respond(delay=0.4), respond())
    assert run(server.url, "-n", "20", "-c", "1")["latency"]["p50"] < 0.1


def test_calls_that_never_began_are_counted(server: LoopbackServer, run: Run) -> None:
    """A service that is too slow for the rate leaves some; no percentile has them, so a warning does."""
    server.script("*", respond(delay=0.2))
    figures = run(server.url, "--rate", "100", "--duration", "300ms", "-c", "1")
    assert figures["calls"] + figures["never_started"] == 30
    assert figures["never_started"] >= 20
    assert "never began" in figures["warnings"][0]


def test_an_open_loop_keeps_to_its_rate(server: LoopbackServer, run: Run) -> None:
    """Whatever the service could do: it is not called earlier than that."""
    figures = run(server.url, "--rate", "40", "-n", "20", "-c", "4")
    first, *_, last = [request.at for request in server.requests]
    assert last - first >= 0.2
    assert figures["calls"] == 20


def test_the_warm_up_is_left_out(server: LoopbackServer, run: Run) -> None:
    """Its calls are made, and only mentioned."""
    figures = run(server.url, "--rate", "50", "--warm-up", "0.2", "-n", "5")
    assert figures["warm_up"]["calls"] == 10
    assert figures["calls"] == 5
    assert len(server.requests) == 15


@pytest.mark.parametrize(
    ("action", "timeout", "outcome"),
    [
        (reset(), "10", "ConnectionLostError"),
        (drip(b"x" * 1000, every=0.05), "0.3", "AttemptTimeoutError"),
        (stall(), "0.3", "AttemptTimeoutError"),
        (raw(b"nonsense\r\n\r\n"), "10", "ProtocolError"),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 200), "10", "ResponseTooLargeError"),
    ],
    ids=["reset", "drip", "stall", "nonsense", "endless"],
)
def test_hostile_servers_are_rows_of_the_table(
    server: LoopbackServer, run: Run, action: Any, timeout: str, outcome: str
) -> None:
    """Each with its first message; the load goes on."""
    server.script("*", action)
    figures = run(server.url, "-n", "2", "-c", "2", "--timeout", timeout, "--retries", "0")
    assert outcomes(figures) == {outcome: 2}
    assert figures["outcomes"][0]["example"]
    assert (figures["exit_code"], figures["failed"]) == (1, 2)


def test_an_open_circuit_is_a_row_too(server: LoopbackServer, run: Run, tmp_path: Path) -> None:
    """The calls that it refused cost the service nothing; a closed loop does not spin on them."""
    settings = tmp_path / "client.json"
    settings.write_text(
        json.dumps({"circuit_breaker_config": {"failure_threshold": 2, "recovery_timeout": 60}})
    )
    server.script("*", respond(500))
    figures = run(server.url, "--duration", "0.3", "-c", "1", "--retries", "0", "--config", str(settings))
    found = outcomes(figures)
    assert len(server.requests) == figures["attempts"] == 2
    assert found["500"] == 2
    assert 0 < found["CircuitOpenError"] <= 31


def test_a_body_is_sent_by_each_call(server: LoopbackServer, run: Run, tmp_path: Path) -> None:
    """A file is read once; each call has an idempotency key of its own."""
    file = tmp_path / "order.json"
    file.write_bytes(BODY)
    run(server.url, "-X", "POST", "--data", f"@{file}", "--idempotency-key", "auto", "-n", "6", "-c", "3")
    assert [request.body for request in server.requests] == [BODY] * 6
    assert len({request.header("Idempotency-Key") for request in server.requests} - {None}) == 6


def test_the_configuration_may_have_the_base_url(server: LoopbackServer, run: Run, tmp_path: Path) -> None:
    """The figures name the whole URL."""
    settings = tmp_path / "client.json"
    settings.write_text(json.dumps({"base_url": f"{server.url}/v1"}))
    figures = run("/orders", "-n", "1", "-p", "open=1", "--config", str(settings))
    assert [request.target for request in server.requests] == ["/v1/orders?open=1"]
    assert figures["url"] == f"{server.url}/v1/orders"


def test_ctrl_c_prints_what_there_is(
    server: LoopbackServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls in flight are aborted and counted apart; exit code 130."""
    server.script("*", respond(), respond(), stall())

    def interrupted(self: Bar, now: float) -> None:
        if self._tally.ended == 2 and self._tally.begun == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bar, "draw", interrupted)
    figures = run(server.url, "-c", "3")
    assert (figures["exit_code"], figures["interrupted"], figures["calls"], figures["aborted"]) == (
        130,
        True,
        2,
        3,
    )
    assert outcomes(figures) == {"200": 2}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["http://"], "error: "),
        (["http://h/", "--concurrency", "0"], "error: --concurrency must be"),
        (["http://h/", "--max-failures", "2"], "error: --max-failures must be"),
        (["http://h/", "--method", "GE T"], "error: "),
        (["http://h/", "--rate", "x"], "usage: "),
    ],
)
def test_wrong_arguments_are_exit_code_2(
    arguments: list[str], problem: str, front_end_option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that says so, and no call."""
    assert main(["load", *arguments, *front_end_option]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(problem)
    assert said.out == ""


def test_piped_there_is_the_table_alone(server: LoopbackServer, front_end_option: list[str]) -> None:
    """No bar, no escape sequence, nothing on stderr."""
    server.script("*", respond(delay=0.05))
    arguments = ["load", server.url, "-n", "8", "-c", "2", *front_end_option]
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert done.stdout.startswith(f"GET {server.url}/\nclosed loop, 2 at a time; ")
    assert re.search(r"^all +8 +100\.0 %( +[\d.]+ ms){6}$", done.stdout, flags=re.MULTILINE)


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_a_terminal_shows_a_bar_until_the_table_comes(
    server: LoopbackServer, front_end_option: list[str]
) -> None:
    """Ctrl-C leaves the table, a visible cursor and no traceback."""
    server.script("*", respond(delay=0.02))
    terminal = Terminal("load", server.url, "--duration", "60", "-c", "2", *front_end_option, columns=100)
    try:
        terminal.read_until("in flight; p50")
        terminal.process.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 130
    finally:
        terminal.close()
    assert shown.rindex(SHOW) > shown.rindex(HIDE)
    table = SEQUENCE.sub("", shown[shown.rindex(SHOW) - 1 :])
    assert "Traceback" not in shown
    assert "Warning" not in shown
    assert "closed loop, 2 at a time" in SEQUENCE.sub("", shown)
    assert table.count("#") == 0


def test_too_many_threads_are_a_wrong_argument(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says how many there were, and names asyncio."""
    started = threading.Thread.start
    count = 0

    def start(self: threading.Thread) -> None:
        nonlocal count
        if self.name == "load":
            count += 1
            if count > 3:
                raise RuntimeError("can't start new thread")
        started(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert main(["load", server.url, "-c", "5"]) == 2
    assert capsys.readouterr().err == (
        "error: --concurrency 5: this system starts 3 threads at most; use fewer, or --asyncio\n"
    )
