"""`python -m http_service_client doctor`: its arguments, and the findings as text or JSON."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

from ..._version import __version__
from ...errors import ConfigurationError, InvalidRequestError
from ...http.header_validation import validate_headers
from ...http.headers import build_headers
from ...http.urls import redact_url
from .. import client_options
from ..console import Cell, Column, table
from ..exit_codes import ExitCode
from ..request_options import full_url, parse_header
from ..screen import Screen, is_terminal
from .examination import Examination
from .findings import Finding, Level

__all__ = ["declare", "run"]

_DESCRIPTION = """\
Examine the way from this machine to a service: the proxy in use, the name and each of its addresses, TLS and the
certificate, HTTP version, the clocks, how long the server keeps an idle connection compared with this client, redirects,
compression, rate limits. Each finding is ok, warn or fail, with advice.

It sends one HEAD and two GETs (one blocking, one asyncio; redirects are followed), and nothing else. A few more
connections are opened and closed without a request."""

_EXAMPLES = """\
examples:
  {program} https://api.example.com/health
  {program} https://api.example.com/health --idle 75 --as-json

exit codes: 0, no check failed; 1, one did; 2, wrong arguments; 130, interrupted by Ctrl-C"""

_COLOURS = {Level.OK: "green", Level.SKIP: "dim", Level.WARN: "yellow", Level.FAIL: "red"}
_COLUMNS = (Column(width=6), Column(width=15), Column())


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES.format(program=parser.prog)
    parser.usage = "%(prog)s URL [options]"
    parser.add_argument("url", help="https:// may be left out")
    parser.add_argument(
        *("-H", "--header"),
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="a header of each request",
    )
    parser.add_argument(
        "--idle",
        type=_idle,
        metavar="TIME",
        help="the longest wait for the server to close an idle connection (default: 2 s more than ours; 0 for none)",
    )
    parser.add_argument(
        "--as-json", "--json", action="store_true", help="one JSON object: the findings and what was sent"
    )
    client_options.declare(parser)


def run(arguments: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    """Examine and print; the exit code: 0, or 1 if a check failed."""
    config, keywords = client_options.client_settings(arguments)
    idle = arguments.idle
    if idle is None:
        idle = config.resolved.pool.keep_alive_timeout + 2.0
    headers = [parse_header(text) for text in arguments.header]
    if headers:
        keywords["headers"] = headers
    fields = [("User-Agent", f"http-service-client/{__version__}"), ("Accept", "*/*")]
    fields += [(name, value) for name, value in headers if value is not None]
    try:
        validate_headers(build_headers(headers))
        examination = Examination(full_url(arguments.url, config.base_url), config, keywords, fields, idle)
    except InvalidRequestError as error:
        raise ConfigurationError(str(error)) from None
    if arguments.as_json:
        findings = list(examination.run())
        print(json.dumps(_as_json(examination, findings), indent=2), file=output)
    else:
        findings = list(_printed(examination, output))
    return ExitCode.FAILED if any(finding.level is Level.FAIL for finding in findings) else ExitCode.OK


def _idle(text: str) -> float:
    limit = 0.0 if text == "0" else client_options.seconds(text)
    if limit is None:
        raise argparse.ArgumentTypeError(
            "must have an end, since a server may keep a connection for ever; write 75, or 5m"
        )
    return limit


def _as_json(examination: Examination, findings: list[Finding]) -> dict[str, object]:
    order = list(Level)
    worst = max((finding.level for finding in findings), key=order.index, default=Level.OK)
    return {
        "url": redact_url(examination.url),
        "worst": worst.value,
        "requests": dict(examination.requests),
        "findings": [finding.as_json() for finding in findings],
    }


def _printed(examination: Examination, output: TextIO) -> Iterator[Finding]:
    """The findings, each printed as soon as it is known, since some take seconds."""
    screen = Screen(output, is_live=is_terminal(output))
    screen.print(redact_url(examination.url), "")
    counts: Counter[Level] = Counter()
    for finding in examination.run():
        counts[finding.level] += 1
        level = Cell(finding.level.value, _COLOURS[finding.level])
        rows = [(level, Cell(finding.check), Cell(finding.message))]
        if finding.advice:
            rows.append((Cell(""), Cell(""), Cell(f"→ {finding.advice}", "dim")))
        screen.print(*table(output, _COLUMNS, rows))
        yield finding
    words = ", ".join(f"{counts[level]} {level.value}" for level in reversed(Level) if counts[level])
    sent = " and ".join(
        f"{count} {method}" for method, count in sorted(examination.requests.items()) if count
    )
    screen.print("", f"{words}; sent {sent or 'no request'}")
