"""`python -m http_service_client check`: the contradictions in a configuration file, each with a call that shows it."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from typing import TextIO

from ..client.config.client_config import HttpClientConfig
from ..core.checks import check_duration
from ..errors import ConfigurationError
from ..simulation import check

__all__ = ["declare", "run"]


def declare(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Find settings of a client that contradict each other, each with a call that shows it."
    )
    parser.add_argument("file", help="settings of HttpClientConfig in TOML, JSON or YAML")
    parser.add_argument(
        "--client", metavar="NAME", help="the client, in a file with a table [clients.NAME] for each"
    )
    parser.add_argument("--rate", type=float, metavar="R", required=True, help="calls a second of one client")
    parser.add_argument(
        "--caller-timeout",
        type=float,
        metavar="S",
        help="seconds after which whoever waits for the calls gives up",
    )


def run(arguments: Namespace, output: TextIO, errors: TextIO) -> int:
    """Check and print; the exit code: 0 without a finding, 1 with one."""
    if not 0 < arguments.rate < math.inf:
        raise ConfigurationError(
            f"--rate must be a finite number of calls a second above 0, not {arguments.rate:g}"
        )
    check_duration("--caller-timeout", arguments.caller_timeout)
    config = HttpClientConfig.from_file(arguments.file, arguments.client)
    findings = check(config, rate=arguments.rate, caller_timeout=arguments.caller_timeout)
    for finding in findings:
        print(finding, end="\n\n", file=output)
    print(
        f"{arguments.file}: {len(findings) or 'no'} contradiction{'s' * (len(findings) != 1)} found",
        file=output,
    )
    return 1 if findings else 0
