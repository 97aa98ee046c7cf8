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
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, TextIO

from .._version import __version__
from ..core.checks import did_you_mean, nearest, remedies
from ..errors import ConfigurationError
from .exit_codes import ExitCode, with_options

__all__ = ["COMMANDS", "Command", "main"]


class Command(NamedTuple):
    """A row of the table. module: relative to this package.  help: its line in the list of commands."""

    module: str
    help: str


COMMANDS = {
    "get": Command(".request.command", "get a resource, and show or save it"),
    "head": Command(".request.command", "show the head of what get would bring"),
    "post": Command(".request.command", "send JSON, a form, a file or text"),
    "put": Command(".request.command", "replace a resource"),
    "patch": Command(".request.command", "change a resource"),
    "delete": Command(".request.command", "delete a resource"),
    "options": Command(".request.command", "ask what a resource can do"),
    "query": Command(".request.command", "search by a body, safe to repeat (RFC 10008)"),
    "demo": Command(".demo.command", "watch real calls, blocking and asyncio, get through failures"),
    "simulate": Command(".simulate", "see what a configuration does when its service fails"),
    "load": Command(".load.command", "call a URL many times, and show its latency by percentiles"),
    "doctor": Command(".doctor.command", "examine the way to a service: names, TLS, keep-alive, clocks"),
    "check": Command(".check", "find settings that contradict each other"),
    "dashboard": Command(".monitoring", "print a Grafana dashboard of the clients' metrics"),
    "alerts": Command(".monitoring", "print alert rules for Prometheus"),
    "completion": Command(".completion", "print a script for the tab key of bash, zsh or fish"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. argv: without the name of the program; None for `sys.argv`."""
    words = sys.argv[1:] if argv is None else argv
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()  # None after `>&-` of a shell
    # The options before a command take no values, so the first word that is no option is the command.
    command = next((word for word in words if not word.startswith("-")), None)
    try:
        if not words:
            build_parser().print_help(sys.stderr)
            return ExitCode.WRONG_ARGUMENTS
        if command is not None and command not in COMMANDS:
            raise ConfigurationError(_no_command(command))
        arguments = build_parser(command).parse_args(words)
        # The demo shows the circuits on its screen; without a handler, Python would write warnings across it.
        logging.getLogger("http_service_client").addHandler(logging.NullHandler())
        code: int = arguments.run(arguments, sys.stdout, sys.stderr)
        sys.stdout.flush()
    except SystemExit as end:  # --help, --version, or wrong arguments: argparse has printed a message
        return end.code if isinstance(end.code, int) else ExitCode.WRONG_ARGUMENTS
    except ConfigurationError as error:
        print(f"error: {with_options(str(error))}", file=sys.stderr)
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


def _no_command(word: str) -> str:
    if not word.isalpha():
        return f"there is no command {word!r}; to request a URL, write get before it"
    hint = did_you_mean(word, COMMANDS)
    return f"there is no command {word!r}; {hint or '--help lists all commands'}"


# Options of curl, wget and HTTPie that requests have under another name, or need not have.
_OF_OTHERS = remedies(
    {
        "the method is the command, such as http-service-client post URL": "-X --request --method",
        "write http-service-client head URL": "-I --head",
        "redirects are followed without one": "-L --location",
        "write --deadline": "-m --max-time",
        "write --download": "-O --remote-name",
        "write -H 'User-Agent: …'": "-A --user-agent",
        "write --proxy": "-x --socks5",
        "a pipe or a file gets the body alone without one": "-s --silent --no-progress-meter",
        "write --data": "--data-raw --data-binary --data-ascii",
        "write --insecure, or --cacert FILE": "--verify --no-check-certificate",
        "responses are decompressed without one": "--compressed",
        "write --retries": "--retry",
        "write --check-status": "--fail",
    }
)


class _CommandParser(argparse.ArgumentParser):
    """Reports what a command does not know with the command's own usage, and with what may be meant."""

    def parse_known_args(  # type: ignore[override]  # not generic in the namespace: nobody passes one
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(self._about(unknown[0]))
        return found, unknown

    def _habit(self, option: str) -> str | None:
        """What to write for an option of curl or another client; None for one that is none of theirs, or of no request."""
        return _OF_OTHERS.get(option) if "--output" in self._option_string_actions else None

    def _near(self, option: str) -> str | None:
        """The option that this one may be a misspelling of. The dashes, which all have, say nothing of it."""
        known = {each.lstrip("-"): each for each in self._option_string_actions}
        near = nearest(option.lstrip("-"), known)
        return None if near is None else f"did you mean {known[near]!r}?"

    def _about(self, word: str) -> str:
        if word.startswith("-"):
            name = word.partition("=")[0]
            hint = self._habit(name) or self._near(name)
            return f"there is no option {name}; {hint or '--help lists all options'}"
        if "=" in word and "--form" in self._option_string_actions:
            quoted = shlex.quote(word)
            return (
                f"unexpected {quoted}; write -f {quoted} for a field of a form, or -p {quoted} for the query"
            )
        return f"unexpected {word!r}; a value with spaces must be quoted"


def build_parser(*commands: str | None) -> argparse.ArgumentParser:
    """A parser that lists all commands, and knows the arguments of these."""
    name_of_program = _program()
    parser = argparse.ArgumentParser(
        prog=name_of_program,
        usage=f"{name_of_program} COMMAND [arguments]",
        description="One HTTP client for blocking and asyncio code.",
        epilog=_list_of_commands(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"http_service_client {__version__}")
    # argparse's own list has a line "COMMAND" above it, and breaks after the longer names.
    subparsers = parser.add_subparsers(
        prog=name_of_program,
        parser_class=_CommandParser,
        metavar="COMMAND",
        dest="command",
        required=True,
        help=argparse.SUPPRESS,
    )
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


def _list_of_commands() -> str:
    rows = [f"  {name:<12}{command.help}" for name, command in COMMANDS.items()]
    return "\n".join(["commands:", *rows, "", "COMMAND --help shows the arguments of a command."])


def _program() -> str:
    """The name by which the program was started, for the usage."""
    name = os.path.basename(sys.argv[0])
    return name if name.startswith("http-service-client") else "python -m http_service_client"
