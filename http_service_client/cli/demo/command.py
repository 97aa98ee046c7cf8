"""`python -m http_service_client demo`: its arguments."""

from __future__ import annotations

import argparse
from typing import TextIO

from . import play

__all__ = ["declare", "run"]

_DESCRIPTION = """\
Mario's Pizzeria sells pizzas while its payment, delivery, e-mail and SMS services fail: refused
connections, resets after the charge was made, 429 with Retry-After, 503, responses that trickle, an outage.
The same orders are placed twice at the same time, by worker threads and by asyncio tasks, each with their own
client and services. At the end the services report what they saw: nobody may be charged twice."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "--orders",
        type=_order_count,
        metavar="N",
        default=60,
        help="orders for threads and for tasks, 1 to 500 (default: 60)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="decides the orders, their mishaps and what becomes of each (default: 1)",
    )
    parser.add_argument("--plain", action="store_true", help="lines of text, even in a terminal")
    parser.add_argument(
        "--no-color", action="store_true", help="no colours (like the environment variable NO_COLOR)"
    )
    parser.add_argument(
        "--prometheus",
        type=_port,
        metavar="PORT",
        help="show the metrics of both clients at http://127.0.0.1:PORT/metrics meanwhile (extra prometheus)",
    )
    # For the tests: a shorter evening, and servers that break the invariants.
    parser.add_argument("--tempo", type=float, default=1.0, help=argparse.SUPPRESS)
    parser.add_argument("--sabotage", choices=["forget-keys", "stay-down"], help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    """Play the evening; the exit code: 0, or 1 if an invariant is broken."""
    settings = play.Settings(
        orders=arguments.orders,
        seed=arguments.seed,
        tempo=arguments.tempo,
        sabotage=arguments.sabotage,
        metrics_port=arguments.prometheus,
    )
    return play.run(settings, output, plain=arguments.plain, colour=not arguments.no_color)


def _order_count(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= 500:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 500, not {text!r}")
    return count


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"must be a port from 0 to 65535 (0 for any free one), not {text!r}")
    return port
