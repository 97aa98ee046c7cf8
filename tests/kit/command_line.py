"""The command line in tests: run in this process, with its streams in files, or on a pseudo-terminal.

    piped = run_piped("get", server.url)
    assert (piped.code, piped.output) == (0, b"tea")

In this process, since to start Python takes half a second. What needs a process of its own (Ctrl-C, a reader that
leaves) starts one with `COMMAND` and `environment()`.
"""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

import http_service_client
from http_service_client.cli import main

__all__ = ["COMMAND", "Piped", "environment", "needs_rich", "run_in_terminal", "run_piped", "without_styles"]

COMMAND = [sys.executable, "-W", "error", "-m", "http_service_client"]
needs_rich = pytest.mark.skipif(find_spec("rich") is None, reason="the extra cli is not installed")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
# Settings of the machine that runs the tests.
_UNSET = {
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "PYTHONWARNINGS",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
}


class Piped(NamedTuple):
    """The end of a command.   errors: without the last line feed."""

    code: int
    output: bytes
    errors: str


def environment(**variables: str) -> dict[str, str]:
    """The environment of a command: the package under test, a capable terminal, nothing of this machine's."""
    inherited = {name: value for name, value in os.environ.items() if name not in _UNSET}
    root = str(Path(http_service_client.__file__).resolve().parent.parent)
    return {**inherited, "PYTHONPATH": root, "TERM": "xterm-256color", **variables}


class _Watched(io.BytesIO):
    """Calls a function with what is written."""

    on_output: Callable[[bytes], object] | None = None

    def write(self, data: Any) -> int:
        size = super().write(data)
        if self.on_output is not None:
            self.on_output(bytes(data))
        return size


def run_piped(
    *arguments: str,
    stdin: bytes = b"",
    on_output: Callable[[bytes], object] | None = None,
    has_terminal: bool = False,
    encoding: str = "utf-8",
    **variables: str,
) -> Piped:
    """Run a command whose streams are no terminals.

    on_output: called with what reaches standard output, as it does.   has_terminal: standard input is one.
    encoding: of standard output.   variables: of the environment.
    """
    output, errors = _Watched(), io.BytesIO()
    output.on_output = on_output
    with (
        patch.dict(os.environ, environment(**variables), clear=True),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
        patch.object(sys, "stdout", io.TextIOWrapper(output, encoding, write_through=True)),
        patch.object(sys, "stderr", io.TextIOWrapper(errors, "utf-8", write_through=True)),
    ):
        if has_terminal:
            sys.stdin.isatty = lambda: True
        code = main(list(arguments))
        sys.stdout.flush()
        return Piped(int(code), output.getvalue(), errors.getvalue().decode().removesuffix("\n"))


def run_in_terminal(
    *arguments: str, columns: int = 100, encoding: str = "utf-8", **variables: str
) -> tuple[int, str]:
    """Run a command on a pseudo-terminal; its exit code, and all that it wrote there, with plain line feeds."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    written = bytearray()
    reader = threading.Thread(target=_read, args=(ours, written))
    reader.start()
    try:
        with (
            patch.dict(os.environ, environment(**variables), clear=True),
            open(theirs, "w", encoding=encoding) as stream,
            patch.object(sys, "stdout", stream),
            patch.object(sys, "stderr", stream),
        ):
            code = main(list(arguments))
    finally:
        reader.join()
        os.close(ours)
    return int(code), written.decode(encoding).replace("\r\n", "\n")


def _read(descriptor: int, written: bytearray) -> None:
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:  # EIO: the other side was closed
            return
        if not data:
            return
        written += data


def without_styles(text: str) -> str:
    """The text without colours. Any other escape sequence stays, and would be a finding."""
    return _STYLE.sub("", text)
