"""How a request command ends when somebody ends it, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client.testing import LoopbackServer, drip, respond, stall
from kit.command_line import COMMAND, environment


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """A background job of a shell ignores Ctrl-C, and so would the processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="signals are others")
def test_ctrl_c_ends_it_with_130(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """Before the response and in the middle of its body: one word, no traceback, and the connection is closed."""
    server.script("/stalled", stall())
    server.script("/dripping", drip(b"x" * 1000, every=0.05, headers={"Content-Type": "text/event-stream"}))
    processes = [start("get", f"{server.url}/{path}", *front_end_flag) for path in ("stalled", "dripping")]
    assert server.wait_for(lambda: len(server.requests) == 2, 30)
    assert processes[1].stdout is not None
    processes[1].stdout.read(1)
    for process in processes:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (130, b"interrupted\n")
    assert server.wait_for(lambda: server.open_connections == 0)


def test_a_reader_that_leaves_causes_no_traceback(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """As in `... | head -c 1`."""
    server.script("/x", respond(body=b"x" * 5_000_000))
    with start("get", f"{server.url}/x", *front_end_flag) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 141


def test_help_has_examples_and_exit_codes() -> None:
    """In ASCII, for any terminal."""
    done = subprocess.run(
        [*COMMAND, "post", "--help"],
        env=environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=True,
    )
    shown = done.stdout.decode("ascii")
    assert shown.startswith("usage: python -m http_service_client post URL [options]\n")
    assert "\nexamples:\n  python -m http_service_client get api.example.com/orders -p status=open\n" in shown
    assert (
        "\n  6    no complete response was received or saved, and the request may have been processed\n"
        in shown
    )


def test_neither_front_end_imports_what_it_does_not_need(server: LoopbackServer) -> None:
    """A command starts as fast as it can: no asyncio library for a blocking call, nor requests for the other."""
    server.script("/x", respond())
    for flag, unneeded in ((), "aiohttp"), (("--asyncio",), "requests"):
        script = (
            "import sys; from http_service_client.cli import main; main(sys.argv[1:]); "
            f"print({unneeded!r} in sys.modules, 'matplotlib' in sys.modules)"
        )
        done: Any = subprocess.run(
            [sys.executable, "-c", script, "get", f"{server.url}/x", *flag],
            env=environment(),
            capture_output=True,
            check=True,
        )
        assert done.stdout.decode() == "False False\n"
