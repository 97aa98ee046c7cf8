"""The command line: `python -m http_service_client`, and the script `http-service-client`.

`COMMANDS` is the table of contents. A command is a module with two functions, imported only when that command runs:
`declare(parser)` adds its arguments, its description and its examples, and `run(arguments, output, errors)` returns
the exit code. `arguments.command` is the word that was typed, since one module may serve several commands. A
`ConfigurationError` of either is a wrong argument: one line, and exit code 2.

Exit codes of all commands: 0, all is well; 1, a call failed, an invariant is broken or settings contradict each other;
2, wrong arguments; 130, interrupted by Ctrl-C; 141, the reader of the output has gone. For those of a request, see
`exit_codes`.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TextIO

from .._version import __version__
from ..errors import ConfigurationError
from .exit_codes import ExitCode

__all__ = ["COMMANDS", "Command", "main"]


class Command(NamedTuple):
    """A row of the table. module: relative to this package.  help: its line in the list of commands."""

    module: str
    help: str


COMMANDS = {
    "get": Command(".request.command", "get a resource, and show or save it"),
    "head": Command(".request.command", "the head of what get would bring"),
    "post": Command(".request.command", "send JSON, a form, a file or text"),
    "put": Command(".request.command", "replace a resource"),
    "patch": Command(".request.command", "change a resource"),
    "delete": Command(".request.command", "delete a resource"),
    "options": Command(".request.command", "what a resource can do"),
    "query": Command(".request.command", "a search with a body, safe to repeat (RFC 10008)"),
    "demo": Command(".demo.command", "watch real calls, blocking and asyncio, get through failures"),
    "simulate": Command(".simulate", "see what a configuration does when its service fails, in virtual time"),
    "load": Command(".load.command", "call a URL many times, and show its latency by percentiles"),
    "doctor": Command(
        ".doctor.command", "examine the way to a service: names, TLS, keep-alive, clocks, headers"
    ),
    "check": Command(".check", "find settings that contradict each other"),
    "dashboard": Command(".monitoring", "a Grafana dashboard of the clients' metrics"),
    "alerts": Command(".monitoring", "alert rules for Prometheus"),
    "completion": Command(".completion", "a script for the tab key of bash, zsh or fish"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. argv: without the name of the program; None for `sys.argv`."""
    words = sys.argv[1:] if argv is None else argv
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()  # None after `>&-` of a shell
    # The options before a command take no values, so the first word that is no option is the command.
    command = next((word for word in words if not word.startswith("-")), None)
    try:
        arguments = build_parser(command).parse_args(words)
        # The demo shows the circuits on its screen; without a handler, Python would write warnings across it.
        logging.getLogger("http_service_client").addHandler(logging.NullHandler())
        code: int = arguments.run(arguments, sys.stdout, sys.stderr)
        sys.stdout.flush()
    except SystemExit as end:  # --help, --version, or wrong arguments: argparse has printed a message
        return end.code if isinstance(end.code, int) else ExitCode.WRONG_ARGUMENTS
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.WRONG_ARGUMENTS
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # `… | head`: the reader has gone, which is not an error
        _discard_output()
        return ExitCode.BROKEN_PIPE
    except OSError as error:  # a full disk, say
        _discard_output()
        print(f"error: {error}", file=sys.stderr)
        return ExitCode.FAILED
    return code


def _nowhere() -> TextIO:
    return open(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)


def _discard_output() -> None:
    """What is still buffered goes nowhere, or Python would complain when it exits."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def build_parser(*commands: str | None) -> argparse.ArgumentParser:
    """A parser that lists all commands, and knows the arguments of these."""
    parser = argparse.ArgumentParser(
        prog=_program(), description="One HTTP client for blocking and asyncio code."
    )
    parser.add_argument("--version", action="version", version=f"http_service_client {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="command", dest="command", required=True)
    for name, (module_name, help_line) in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=help_line,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # an option that is added later must not change what a script says
        )
        if name in commands:
            module = importlib.import_module(module_name, __package__)
            module.declare(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def _program() -> str:
    """The name by which the program was started, for the usage."""
    name = os.path.basename(sys.argv[0])
    return name if name.startswith("http-service-client") else "python -m http_service_client"
