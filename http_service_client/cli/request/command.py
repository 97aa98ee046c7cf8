"""`get`, `head`, `post`, `put`, `patch`, `delete`, `options` and `query`: make one request and show what came."""

from __future__ import annotations

import argparse
import os
import warnings
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, TextIO

from ...client.client import HttpServiceClient
from ...errors import ConfigurationError, HttpClientError, HttpStatusError, InvalidRequestError
from ...http.messages import HttpResponse
from .. import client_options, request_options
from ..exit_codes import EXIT_CODES, ExitCode, error_line, exit_code_of, exit_code_of_status
from .curl import curl_command
from .front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from .prefetch import Prefetch
from .printer import Printer
from .result import as_json
from .saving import Bar, file_name, save, size_text

__all__ = ["declare", "run"]

# Bytes that are read before anything is shown. A connection that is lost within them is retried.
_AHEAD = 1024 * 1024

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
        "--as-json", action="store_true", help="one JSON object: status, headers, body, error and timeline"
    )
    shown.add_argument("--curl", action="store_true", help="the equivalent curl command; nothing is sent")
    shown.add_argument("--show-secrets", action="store_true", help="secrets of heads and URLs, else ***")
    shown.add_argument("--color", choices=["auto", "always", "never"], default="auto", help="(default: auto)")
    shown.add_argument(
        "--asyncio", action="store_true", help="use the asyncio front end; all else is the same"
    )
    client_options.declare(parser)


def run(arguments: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    """Make the request; the exit code. Raises ConfigurationError for wrong arguments."""
    _check(arguments)
    shows_head = True if arguments.include else False if arguments.body or arguments.as_json else None
    printer = Printer(
        output,
        errors,
        colour=arguments.color,
        shows_head=shows_head,
        shows_secrets=arguments.show_secrets,
    )
    with warnings.catch_warnings(), ExitStack() as stack:
        # Such as that --insecure accepts any certificate.
        warnings.simplefilter("default")
        warnings.showwarning = lambda message, *_: printer.say(f"warning: {message}", "yellow")
        return _Request(arguments, printer, stack).run()


class _Request:
    """One request.   stack: closes what it opens."""

    def __init__(self, arguments: argparse.Namespace, printer: Printer, stack: ExitStack) -> None:
        self._arguments, self._printer = arguments, printer
        self._method = arguments.command.upper()
        config, limits = client_options.client_settings(arguments)
        if arguments.max_redirects is not None:
            config = replace(config, allowed_redirect_count=arguments.max_redirects)
        self._url, keywords = request_options.build_request(arguments, stack, base_url=config.base_url)
        self._config = config
        self._keywords: dict[str, Any] = keywords | limits
        if not arguments.follow:
            self._keywords["allow_redirects"] = False
        is_verbose = arguments.verbose
        self._client = HttpServiceClient(
            config,
            on_event=printer.on_event if is_verbose else None,
            on_exchange=printer.on_exchange if is_verbose else None,
        )
        self._stack = stack
        self._advice = ""  # more of it, after an error

    def run(self) -> int:
        """Make it; the exit code."""
        if self._arguments.curl:
            return self._print_curl()
        kind = AsyncioFrontEnd if self._arguments.asyncio else BlockingFrontEnd
        front_end = self._stack.enter_context(closing(kind(self._client)))
        try:
            if self._arguments.as_json:
                response = front_end.request(self._method, self._url, **self._keywords)
                print(
                    as_json(response, shows_secrets=self._arguments.show_secrets), file=self._printer.output
                )
            elif self._arguments.output or self._arguments.download:
                response = self._save(front_end)
            else:
                response = self._show(front_end)
        except ConfigurationError:
            raise
        except InvalidRequestError as error:  # a URL or a header, say
            raise ConfigurationError(str(error)) from None
        except HttpClientError as error:
            return self._failed(error)
        except BrokenPipeError:
            raise
        except OSError as error:  # of the file; those of the network are HttpClientErrors
            self._printer.say(f"error: {error}", "red")
            return ExitCode.UNKNOWN
        if self._arguments.explain:
            self._printer.say(response.explain())
        return exit_code_of_status(response.status_code) if self._arguments.check_status else ExitCode.OK

    def _show(self, front_end: FrontEnd) -> HttpResponse:
        prefetch = Prefetch(0 if self._arguments.stream else _AHEAD)
        response = front_end.open(self._method, self._url, prefetch, **self._keywords)
        with closing(response):
            self._printer.head(response, is_wanted=self._method == "HEAD" and not self._arguments.body)
            self._printer.body(response, prefetch, front_end.pieces(response))
        return response

    def _save(self, front_end: FrontEnd) -> HttpResponse:
        path = self._arguments.output or file_name(self._url)
        bar = Bar(os.path.basename(path), self._printer.errors, is_shown=self._printer.draws)
        is_download = self._method == "GET"
        try:
            with closing(bar):
                response = (self._download if is_download else self._save_whole)(front_end, path, bar)
        except HttpClientError:
            if is_download and bar.done and not self._arguments.no_resume:
                self._advice = "; the same command goes on with what has arrived"
            raise
        if self._printer.draws and response.status_code != 304:
            self._printer.say(f"saved {size_text(os.path.getsize(path))} to {path}")
        return response

    def _download(self, front_end: FrontEnd, path: str, bar: Bar) -> HttpResponse:
        return front_end.download(
            self._url,
            path,
            progress=bar,
            resume=not self._arguments.no_resume,
            checksum=self._arguments.checksum,
            max_response_size=None,
            **self._keywords,
        )

    def _save_whole(self, front_end: FrontEnd, path: str, bar: Bar) -> HttpResponse:
        """Save the body of another method, which cannot be requested in parts."""
        prefetch = Prefetch(_AHEAD)
        response = front_end.open(self._method, self._url, prefetch, **self._keywords)
        with closing(response):
            if not response.is_success or response.status_code == 204:
                response.raise_for_status()
                status = f"{response.status_code} {response.reason_phrase}".rstrip()
                message = f"{self._method} answered {status}: there is nothing to save"
                raise HttpStatusError(message, response=response, timeline=response.timeline)
            save(prefetch.all(front_end.pieces(response)), path, bar)
        return response

    def _failed(self, error: HttpClientError) -> int:
        if self._arguments.as_json:
            print(as_json(error, shows_secrets=self._arguments.show_secrets), file=self._printer.output)
        if self._arguments.explain:
            self._printer.say(error.timeline.explain() if error.timeline is not None else "")
        self._printer.say(error_line(error) + self._advice, "red")
        return exit_code_of(error)

    def _print_curl(self) -> int:
        with self._client as client:
            try:
                request = client._call_builder.build(self._method, self._url, **self._keywords).request
            except InvalidRequestError as error:
                raise ConfigurationError(str(error)) from None
        command = curl_command(
            request, self._arguments, self._config, shows_secrets=self._arguments.show_secrets
        )
        print(command.text, file=self._printer.output)
        if command.secrets:
            variables = ", ".join(sorted(set(command.secrets)))
            self._printer.say(f"set {variables} in your shell, or print secrets by --show-secrets")
        if command.has_hidden:
            self._printer.say("secrets of the URL are left out (***); --show-secrets prints them")
        return ExitCode.OK


def _check(arguments: argparse.Namespace) -> None:
    """Raise ConfigurationError for options that contradict each other."""
    saves = arguments.output or arguments.download
    if arguments.output and arguments.download:
        raise ConfigurationError(
            "--output names the file, and --download takes its name from the URL; give one"
        )
    folder = os.path.dirname(arguments.output or "")
    if folder and not os.path.isdir(folder):
        raise ConfigurationError(f"--output: there is no folder {folder!r}; make it first")
    if saves and (arguments.as_json or arguments.stream):
        raise ConfigurationError("--as-json and --stream print the body, and --output and --download save it")
    if arguments.as_json and arguments.stream:
        raise ConfigurationError("--as-json prints one object at the end, and --stream the body as it comes")
    if arguments.checksum and not (saves and arguments.command == "get"):
        raise ConfigurationError("--checksum checks a file that get saves; add --output FILE")
