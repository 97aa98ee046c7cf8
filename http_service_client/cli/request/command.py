"""`get`, `head`, `post`, `put`, `patch`, `delete`, `options` and `query`: make one request and show what came."""

from __future__ import annotations

import argparse
import os
import warnings
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any, TextIO

from ...client.client import HttpServiceClient
from ...client.streams.response import AsyncStreamedResponse, StreamedResponse
from ...errors import (
    ChecksumError,
    ConfigurationError,
    HttpClientError,
    HttpStatusError,
    InvalidRequestError,
    SentState,
)
from ...http.auth.digest import Digest
from ...http.messages import HttpResponse
from ...http.urls import redact_url
from .. import client_options, request_options
from ..exit_codes import ExitCode, error_line, exit_code_of, exit_code_of_status, idempotency_key
from .curl import curl_command
from .front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from .options import check, declare
from .prefetch import Prefetch
from .printer import Printer
from .result import as_json
from .saving import Bar, file_name, save, size_text

__all__ = ["declare", "run"]

# Bytes that are read before anything is shown. A connection that is lost within them is retried.
_AHEAD = 1024 * 1024


def run(arguments: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    """Make the request; the exit code. Raises ConfigurationError for wrong arguments."""
    check(arguments)
    # -v shows the head on standard error: on a terminal it would be there twice.
    has_head = arguments.body or (arguments.verbose and errors.isatty())
    shows_head = True if arguments.include else False if has_head else None
    printer = Printer(
        output,
        errors,
        colour=arguments.color,
        shows_head=shows_head,
        shows_secrets=arguments.show_secrets,
    )
    with warnings.catch_warnings(), ExitStack() as stack:
        # Such as that --insecure accepts any certificate.
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
        except HttpClientError as error:
            if isinstance(error, InvalidRequestError) and error.sent_state is SentState.NEVER_SENT:
                raise ConfigurationError(str(error)) from None  # a URL or a header, say
            return self._failed(error)
        except BrokenPipeError:
            raise
        except OSError as error:  # of the file; those of the network are HttpClientErrors
            self._printer.say(f"error: {error}", "red")
            return ExitCode.UNKNOWN
        if self._arguments.explain or self._arguments.why:
            self._printer.say(response.explain(why=self._arguments.why))
        return self._checked(response) if self._arguments.check_status else ExitCode.OK

    def _checked(self, response: HttpResponse) -> int:
        """The exit code of its status, with a line for a log that has nothing else of it."""
        code = exit_code_of_status(response.status_code)
        if code is not ExitCode.OK:
            status = f"{response.status_code} {response.reason_phrase}".rstrip()
            # After a 4xx the same request would fail again.
            key = idempotency_key(response.request) if code is ExitCode.SERVER_ERROR else None
            advice = "" if key is None else f"; repeat it with --idempotency-key {key}"
            self._printer.say(
                f"error: {self._method} {redact_url(response.url)} answered {status}{advice}", "red"
            )
        return code

    def _show(self, front_end: FrontEnd) -> HttpResponse:
        prefetch = Prefetch(0 if self._arguments.stream else _AHEAD)
        response = self._open(front_end, prefetch)
        with closing(response):
            self._printer.head(response, is_wanted=self._method == "HEAD" and not self._arguments.body)
            self._printer.body(response, prefetch, front_end.pieces(response))
        return response

    def _open(self, front_end: FrontEnd, prefetch: Prefetch) -> StreamedResponse | AsyncStreamedResponse:
        """The response, with a bar on a terminal while a file is sent."""
        sends_file = self._arguments.file or (self._arguments.data or "").startswith("@")
        bar = Bar("sending", self._printer.errors, is_shown=bool(sends_file) and self._printer.draws)
        with closing(bar):
            return front_end.open(self._method, self._url, prefetch, progress=bar, **self._keywords)

    def _save(self, front_end: FrontEnd) -> HttpResponse:
        path = self._arguments.output or file_name(self._url)
        bar = Bar(os.path.basename(path), self._printer.errors, is_shown=self._printer.draws)
        is_download = self._method == "GET"
        try:
            with closing(bar):
                response = (self._download if is_download else self._save_whole)(front_end, path, bar)
        except HttpClientError as error:
            is_kept = is_download and bar.done and not self._arguments.no_resume
            if is_kept and not isinstance(error, ChecksumError):
                self._advice = "; the same command goes on with what has arrived, if the server can"
            raise
        if self._printer.draws and response.status_code != 304:
            self._printer.say(f"saved {size_text(os.path.getsize(path))} to {path}")
        return response

    def _download(self, front_end: FrontEnd, path: str, bar: Bar) -> HttpResponse:
        return front_end.download(
            self._url,
            path,
            self._arguments.parallel,
            progress=bar,
            resume=not self._arguments.no_resume,
            checksum=self._arguments.checksum,
            max_response_size=None,
            **self._keywords,
        )

    def _save_whole(self, front_end: FrontEnd, path: str, bar: Bar) -> HttpResponse:
        """Save the body of another method, which cannot be requested in parts."""
        prefetch = Prefetch(_AHEAD)
        response = self._open(front_end, prefetch)
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
        if error.timeline and (self._arguments.explain or self._arguments.why):
            self._printer.say(error.timeline.explain(why=self._arguments.why))
        self._printer.say(error_line(error) + self._advice, "red")
        return exit_code_of(error)

    def _print_curl(self) -> int:
        with self._client as client:
            try:
                request = client._call_builder.build(self._method, self._url, **self._keywords).request
            except InvalidRequestError as error:
                raise ConfigurationError(str(error)) from None
        auth = self._keywords.get("auth")
        command = curl_command(
            request,
            self._arguments,
            self._config,
            digest=auth if isinstance(auth, Digest) else None,
            shows_secrets=self._arguments.show_secrets,
        )
        self._printer.write(os.fsencode(f"{command.text}\n"))  # the bytes that the shell gave, in any locale
        if command.secrets:
            variables = ", ".join(sorted(set(command.secrets)))
            login = " (CREDENTIALS is USER:PASSWORD)" if "CREDENTIALS" in command.secrets else ""
            self._printer.say(f"set {variables} in your shell{login}, or print secrets by --show-secrets")
        if command.has_hidden:
            self._printer.say("secrets of URLs are left out (***); --show-secrets prints them")
        return ExitCode.OK
