"""The command line: `python -m http_service_client demo`, `simulate` and `check`.

This module reads the arguments; each command is a module of its own, imported when it runs.
Exit codes: 0, all is well; 1, an invariant is broken or settings contradict each other; 2, wrong arguments; 130, interrupted by Ctrl-C.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from .._version import __version__

__all__ = ["main"]

_DEMO = """\
Mario's Pizzeria sells pizzas while its payment, delivery, e-mail and SMS services fail: refused
connections, resets after the charge was made, 429 with Retry-After, 503, responses that trickle, an outage.
The same orders are placed twice at the same time, by worker threads and by asyncio tasks, each with their own
client and services. At the end the services report what they saw: nobody may be charged twice."""

_SIMULATE = """\
What will a configuration do when the service behind it fails? This runs the real client, its own retries,
circuits and deadlines, against a model of a service, in virtual time. It compares your configurations with the
defaults, and with no client at all."""

_BROKEN_PIPE = 128 + 13  # as a shell reports a program that SIGPIPE ended
_INTERRUPTED = 128 + 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. argv: without the name of the program; None for `sys.argv`."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as end:  # --help, --version, or wrong arguments: argparse has printed a message
        return end.code if isinstance(end.code, int) else 2
    # The demo shows the circuits on its screen; without a handler, Python would write warnings across it.
    logging.getLogger("http_service_client").addHandler(logging.NullHandler())
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # `… | head`: the reader has gone, which is not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return code


def _demo(arguments: argparse.Namespace) -> int:
    from .demo.play import Settings, run

    settings = Settings(
        orders=arguments.orders, seed=arguments.seed, tempo=arguments.tempo, sabotage=arguments.sabotage
    )
    return run(settings, sys.stdout, plain=arguments.plain, colour=not arguments.no_color)


def _simulate(arguments: argparse.Namespace) -> int:
    from .simulate import run

    return run(arguments, sys.stdout, sys.stderr)


def _check(arguments: argparse.Namespace) -> int:
    from .check import run

    return run(arguments, sys.stdout, sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m http_service_client", description="One HTTP client for blocking and asyncio code."
    )
    parser.add_argument("--version", action="version", version=f"http_service_client {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="watch real calls, blocking and asyncio, get through failures",
        description=_DEMO,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--orders",
        type=_order_count,
        metavar="N",
        default=60,
        help="orders for threads and for tasks, 1 to 500 (default: 60)",
    )
    demo.add_argument(
        "--seed", type=int, default=1, help="decides the orders and mishaps of the evening (default: 1)"
    )
    demo.add_argument("--plain", action="store_true", help="lines of text, even in a terminal")
    demo.add_argument(
        "--no-color", action="store_true", help="no colours (like the environment variable NO_COLOR)"
    )
    # For the tests: a shorter evening, and servers that break the invariants.
    demo.add_argument("--tempo", type=float, default=1.0, help=argparse.SUPPRESS)
    demo.add_argument("--sabotage", choices=["forget-keys", "stay-down"], help=argparse.SUPPRESS)
    demo.set_defaults(run=_demo)
    simulate = commands.add_parser(
        "simulate",
        help="see what a configuration does when its service fails, in virtual time",
        description=_SIMULATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    simulate.add_argument("scenarios", nargs="*", metavar="scenario", help="default: all but retry-storm")
    simulate.add_argument("--list", action="store_true", help="list the scenarios")
    simulate.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        default=[],
        help="settings of HttpClientConfig in TOML, JSON or YAML, of one client or several; may be repeated",
    )
    simulate.add_argument("--seconds", type=float, metavar="S", help="of each simulation")
    simulate.add_argument("--clients", type=int, metavar="N", help="how many call the service")
    simulate.add_argument("--rate", type=float, metavar="R", help="calls a second of each client")
    simulate.add_argument("--seed", type=int, default=0, help="decides the random numbers (default: 0)")
    simulate.add_argument("--html", metavar="FILE", help="write a page with pictures (extra simulation)")
    simulate.set_defaults(run=_simulate)
    check = commands.add_parser(
        "check",
        help="find settings that contradict each other",
        description="Find settings of a client that contradict each other, each with a call that shows it.",
    )
    check.add_argument("file", help="settings of HttpClientConfig in TOML, JSON or YAML")
    check.add_argument(
        "--client", metavar="NAME", help="the client, in a file with a table [clients.NAME] for each"
    )
    check.add_argument("--rate", type=float, metavar="R", required=True, help="calls a second of one client")
    check.add_argument(
        "--caller-timeout",
        type=float,
        metavar="S",
        help="seconds after which whoever waits for the calls gives up",
    )
    check.set_defaults(run=_check)
    return parser


def _order_count(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= 500:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 500, not {text!r}")
    return count
