"""`python -m http_service_client check`: the contradictions in a configuration file, each with a call that shows it."""

from __future__ import annotations

from argparse import Namespace
from typing import TextIO

from ..client.config import HttpClientConfig
from ..core.checks import check_duration
from ..errors import ConfigurationError
from ..simulation import check

__all__ = ["run"]


def run(arguments: Namespace, output: TextIO, errors: TextIO) -> int:
    """Check and print; the exit code: 0 without a finding, 1 with one, 2 for a wrong argument."""
    try:
        check_duration("--rate", arguments.rate, optional=False)
        check_duration("--caller-timeout", arguments.caller_timeout)
        config = HttpClientConfig.from_file(arguments.file, arguments.client)
    except ConfigurationError as error:
        print(f"error: {error}", file=errors)
        return 2
    findings = check(config, rate=arguments.rate, caller_timeout=arguments.caller_timeout)
    for finding in findings:
        print(finding, end="\n\n", file=output)
    print(
        f"{arguments.file}: {len(findings) or 'no'} contradiction{'s' * (len(findings) != 1)} found",
        file=output,
    )
    return 1 if findings else 0
