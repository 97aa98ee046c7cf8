"""The options of a request command: what is shown or saved of the response, beside the options that commands share."""

from __future__ import annotations

import argparse
import os

from ...errors import ConfigurationError
from .. import client_options, request_options
from ..exit_codes import EXIT_CODES

__all__ = ["check", "declare"]

_MOST_PARTS = 16  # more connections of one user at a time are an attack

_DESCRIPTION = """\
Make one request and show the response: head and body on a terminal, where JSON is indented and coloured; only the
body, byte for byte, in a pipe or a file. Failures that can be retried safely are retried, by the rules of the client."""

_EXAMPLES = """\
examples:
  {program} get api.example.com/orders -p status=open
  {program} get api.example.com/orders/42 --bearer @token.txt | jq .total
  {program} post api.example.com/orders -j '{{"item": "tea"}}' --idempotency-key auto --explain
  {program} put api.example.com/reports/7 -d @report.csv -H Content-Type:text/csv
  {program} post api.example.com/photos -f title=Tea -F 'photo=tea.jpg;image/jpeg'
  {program} get example.com/disk.iso --download
  {program} post api.example.com/orders -j @order.json --curl

"""


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = _DESCRIPTION
    parser.usage = "%(prog)s URL [options]"
    program = parser.prog.rpartition(" ")[0]
    parser.epilog = _EXAMPLES.format(program=program) + EXIT_CODES
    request_options.declare(parser)
    response = parser.add_argument_group("response")
    response.add_argument(
        "-o", "--output", metavar="FILE", help="save the body; the file appears complete or not at all"
    )
    response.add_argument(
        "--download",
        action="store_true",
        help="save it under the last part of the URL's path; never over a file",
    )
    response.add_argument(
        "--no-resume",
        action="store_true",
        help="a GET that fails keeps what has arrived, and the next one goes on there; this does neither",
    )
    response.add_argument(
        "--parallel", type=_parts, metavar="N", help="get the file in N parts at a time, where the server can"
    )
    response.add_argument("--checksum", metavar="sha256:HEX", help="what the saved file must have")
    follow = response.add_mutually_exclusive_group()
    follow.add_argument("--follow", action="store_true", default=True, help="follow redirects (the default)")
    follow.add_argument("--no-follow", dest="follow", action="store_false", help="show a redirect as it is")
    response.add_argument(
        "--max-redirects", type=client_options.count, metavar="N", help="to follow (default: 10)"
    )
    response.add_argument(
        "--stream", action="store_true", help="show the body as it comes; events always are"
    )
    response.add_argument(
        "--check-status", action="store_true", help="exit code 3, 4 or 5 for a status of 3xx, 4xx or 5xx"
    )
    shown = parser.add_argument_group("what is shown")
    head = shown.add_mutually_exclusive_group()
    head.add_argument("-i", "--include", action="store_true", help="the head too, in a pipe")
    head.add_argument("-b", "--body", action="store_true", help="the body alone, on a terminal")
    shown.add_argument(
        "-v", "--verbose", action="store_true", help="each request and response head, on standard error"
    )
    shown.add_argument("--explain", action="store_true", help="what happened in the call, on standard error")
    shown.add_argument(
        "--why",
        action="store_true",
        help="the same, and what would have been needed for each refused attempt",
    )
    shown.add_argument(
        "--as-json", action="store_true", help="one JSON object: status, headers, body, error and timeline"
    )
    shown.add_argument("--curl", action="store_true", help="the equivalent curl command; nothing is sent")
    shown.add_argument("--show-secrets", action="store_true", help="secrets of heads and URLs, else ***")
    shown.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="(default: auto)")
    shown.add_argument(
        "--asyncio", action="store_true", help="use the asyncio front end; all else is the same"
    )
    client_options.declare(parser)


def check(arguments: argparse.Namespace) -> None:
    """Raise ConfigurationError for options that contradict each other."""
    saves = arguments.output or arguments.download
    if arguments.output and arguments.download:
        raise ConfigurationError(
            "--output names the file, and --download takes its name from the URL; give one"
        )
    if arguments.output:
        _check_path(arguments.output)
    if saves and (arguments.as_json or arguments.stream):
        raise ConfigurationError("--as-json and --stream print the body, and --output and --download save it")
    if arguments.as_json and arguments.stream:
        raise ConfigurationError("--as-json prints one object at the end, and --stream the body as it comes")
    if saves and arguments.command == "head":
        raise ConfigurationError("head brings no body to save; leave --output and --download out")
    for option, value in (("--checksum", arguments.checksum), ("--parallel", arguments.parallel)):
        if value is not None and not (saves and arguments.command == "get"):
            raise ConfigurationError(f"{option} is about a file that get saves; add --output FILE")


def _parts(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_PARTS:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {_MOST_PARTS}, not {text!r}")
    return int(text)


def _check_path(path: str) -> None:
    """Find before the request is sent what would lose its response."""
    folder = os.path.dirname(path)
    if folder and not os.path.isdir(folder):
        raise ConfigurationError(f"--output: there is no folder {folder!r}; make it first")
    # A new file takes the place of the old one, which must not happen to /dev/null.
    if path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
        raise ConfigurationError(f"--output {path!r} is not a regular file; redirect standard output instead")
