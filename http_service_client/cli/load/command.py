"""`python -m http_service_client load`: its arguments, and the load from start to end."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any, TextIO

from ... import HttpClientConfig, HttpServiceClient
from ...client.config.pool import is_default
from ...core.checks import check_number
from ...errors import ConfigurationError, InvalidRequestError
from ...http.urls import normalise_url
from .. import client_options, request_options
from ..client_options import client_settings, seconds
from ..console import write_text
from ..exit_codes import ExitCode
from .bar import Bar
from .report import Result
from .schedule import Load, Schedule
from .tally import Tally
from .workers import Request, Tasks, Threads, Workers

__all__ = ["declare", "run"]

_DESCRIPTION = """\
Call one URL many times, by the client with its retries, circuits and deadlines, and show the latency by percentiles
and by outcome. Point it at services of your own only.

With --rate, calls are due at fixed times, whatever became of those before (an open loop), and the latency counts from
the time when a call was due: a stall of the service is measured as its users would feel it. Without, each of the
--concurrency workers makes one call after another (a closed loop): it shows what the service can do at most, and
too good a latency while it stalls, since fewer calls are made then.

Ctrl-C ends it, and prints the figures so far."""

_EXAMPLES = """\
examples:
  {program} https://api.example.com/health --rate 50 --duration 30
  {program} https://api.example.com/health --concurrency 20 --requests 1000 --asyncio
  {program} https://api.example.com/health --rate 50 --as-json | jq .latency.p99

exit codes: 0, the calls succeeded; 1, a call failed: an error, or a status of 400 or more (--max-failures allows some);
2, wrong arguments; 130, interrupted by Ctrl-C"""

_LOOK_EVERY = 0.1
_UNSET = object()  # None is "no limit", and argparse would read a text


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES.format(program=parser.prog)
    parser.usage = "%(prog)s URL [options]"
    much = parser.add_argument_group("how much", "Durations are seconds, or such as 250ms, 2m or 1h.")
    much.add_argument(
        "--concurrency",
        "-c",
        type=int,
        default=10,
        metavar="N",
        help="calls in flight at once, at most (default: 10)",
    )
    much.add_argument(
        "--rate", type=float, metavar="R", help="calls that are due a second; without, a closed loop"
    )
    much.add_argument(
        "--duration",
        type=seconds,
        metavar="TIME",
        default=_UNSET,
        help="the time in which calls begin (default: 10, or none with --requests)",
    )
    much.add_argument("--requests", "-n", type=int, metavar="N", help="calls, at most")
    much.add_argument(
        "--warm-up",
        type=seconds,
        default=0.0,
        metavar="TIME",
        help="a time before, whose calls are made but not counted (default: 0)",
    )
    much.add_argument("--asyncio", action="store_true", help="calls by asyncio tasks, in place of threads")
    result = parser.add_argument_group("the result")
    result.add_argument(
        "--as-json", action="store_true", help="one JSON object: all figures, in seconds and bytes"
    )
    result.add_argument(
        "--max-failures", type=float, default=0.0, metavar="SHARE",
        help="share of calls that may fail before the exit code is 1, such as 0.01 (default: 0)",
    )  # fmt: skip
    request_options.declare(parser)
    parser.add_argument("-X", "--method", default="GET", metavar="METHOD", help="default: GET")
    client_options.declare(parser)


def run(arguments: argparse.Namespace, output: TextIO, errors: TextIO) -> int:
    """Make the calls and print the result; the exit code."""
    duration = arguments.duration
    if duration is _UNSET:
        duration = 10.0 if arguments.requests is None else None
    load = Load(
        concurrency=arguments.concurrency,
        rate=arguments.rate,
        duration=duration,
        requests=arguments.requests,
        warm_up=arguments.warm_up or 0.0,
    )
    check_number("--max-failures", arguments.max_failures, most=1)
    config, request = _request(arguments, load)
    result = _make_calls(load, request, config, Tasks if arguments.asyncio else Threads, errors)
    if arguments.as_json:
        print(json.dumps(result.as_json(), indent=2), file=output)
    else:
        write_text(output, "".join(f"{line}\n" for line in result.lines(output)))
    if result.is_interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.FAILED if result.failure_share > arguments.max_failures else ExitCode.OK


def _request(arguments: argparse.Namespace, load: Load) -> tuple[HttpClientConfig, Request]:
    """The configuration of the client, and the call that it makes again and again."""
    config, keywords = client_settings(arguments)
    # What was set is tested as it is, and warned about.
    few: dict[str, Any] = {
        name: load.concurrency
        for name in ("max_connections", "max_connections_per_host")
        if is_default(getattr(config, name))
    }
    if arguments.idempotency_key == "auto":  # one for each call, not one for all
        arguments.idempotency_key = None
        config = replace(config, auto_idempotency_key=True)
    with ExitStack() as stack:
        url, options = request_options.build_request(arguments, stack, base_url=config.base_url)
        try:
            url = normalise_url(url, base_url=config.base_url)
        except InvalidRequestError as error:
            raise ConfigurationError(str(error)) from None
        # Files are read once; calls at the same time could not share one.
        if hasattr(options.get("data"), "read"):
            options["data"] = options["data"].read()
        if "files" in options:
            options["files"] = [
                (name, (filename, file.read(), media_type))
                for name, (filename, file, media_type) in options["files"]
            ]
    return replace(config, **few), Request(arguments.method, url, keywords | options)


def _make_calls(
    load: Load, request: Request, config: HttpClientConfig, kind: type[Workers], errors: TextIO
) -> Result:
    schedule, tally = Schedule(load), Tally()
    pool = config.resolved.pool
    is_interrupted = False
    with HttpServiceClient(config) as client, Bar(errors, schedule, tally) as bar:
        workers = kind(client, request, schedule, tally)
        cpu = process_time()
        try:
            workers.start()
            while not workers.wait(_LOOK_EVERY):
                bar.draw(perf_counter())
        except KeyboardInterrupt:
            is_interrupted = True
            workers.stop()
        now = perf_counter()
        cpu = process_time() - cpu
    elapsed = max(tally.last_end, min(now, schedule.ends_at)) - schedule.counted_from
    return Result(
        request=request,
        front_end=kind.name,
        schedule=schedule,
        tally=tally,
        elapsed=max(0.0, elapsed),
        never_started=max(0, schedule.due(now) - tally.begun),
        cpu_share=cpu / (now - schedule.began_at),
        connections=min(pool.max_connections, pool.max_connections_per_host),
        is_interrupted=is_interrupted,
    )
