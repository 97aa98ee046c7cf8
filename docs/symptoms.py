"""What each trouble of docs/operating.md looks like: in `explain()`, the log, the metrics and the health summary.

    python docs/symptoms.py         writes it into the page, below each heading (it needs the extra `prometheus`)

A symptom is a run of the real client in virtual time, against a service that fails as its section says. A test compares
the page with the runs, so an operator who searches the page for the words of a log line finds them.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from http_service_client import (
    Cache,
    ConnectionPoolConfig,
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    deadline,
)
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.observability import PrometheusCollector
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock, late, respond

PAGE = Path(__file__).resolve().parent / "operating.md"
URL = "https://stock.example.com"
_CALLS = "http_service_client.call"


class Symptom(NamedTuple):
    """A heading of the page, and what makes the trouble.

    script: what the service does, exchange by exchange.   config, cache: of the client.
    run: makes the calls; returns the error or the response whose story is told.
    metrics: those that move, by the beginnings of their names.
    """

    heading: str
    script: Any
    run: Callable[[Stage], Any]
    metrics: tuple[str, ...]
    config: HttpClientConfig = HttpClientConfig()
    cache: Any = None


class Stage(NamedTuple):
    """A client, and the time and the address of its service.   left_open: streams, until all has been read."""

    client: HttpServiceClient
    clock: VirtualClock
    url: str
    left_open: ExitStack

    def call(self, method: str = "GET", **options: Any) -> Any:
        """The response, or the error in its place."""
        try:
            return self.client.request(method, f"{self.url}/items/42", **options)
        except HttpClientError as error:
            return error


def _last(stage: Stage) -> Any:
    """The call after those that work."""
    for _ in _GOOD:
        stage.call()
        stage.clock.advance(1.0)
    return stage.call()


def _until(*names: str) -> Callable[[Stage], Any]:
    """Calls, two a second, until the timeline of one has such an event."""

    def run(stage: Stage) -> Any:
        while True:
            outcome = stage.call()
            if any(text in outcome.explain() for text in names):
                return outcome
            stage.clock.advance(0.5)

    return run


def _now_and_then(stage: Stage) -> Any:
    outcomes = []
    for _ in range(60):
        outcomes.append(stage.call())
        stage.clock.advance(1.0)
    return next(each for each in reversed(outcomes) if each.attempts > 1)


def _minutes(stage: Stage) -> Any:
    """Three of them as usual, and one that is not."""
    for _ in range(240):
        outcome = stage.call()
        stage.clock.advance(1.0 - min(1.0, outcome.elapsed))
    return outcome


def _three(stage: Stage) -> Any:
    return [stage.call() for _ in range(3)][-1]


def _charge(stage: Stage) -> Any:
    _last(stage)
    return stage.call("POST", json={"amount": 25})


def _hurried(stage: Stage) -> Any:
    for _ in _GOOD:
        stage.call()
    with deadline(2.0):
        return stage.call()


def _isolated(stage: Stage) -> Any:
    stage.call()
    circuit = stage.client.get_circuit_breaker(stage.url)
    assert circuit is not None
    circuit.isolate()
    return stage.call()


def _forgotten_streams(stage: Stage) -> Any:
    for _ in range(2):
        stage.left_open.enter_context(stage.client.stream("GET", f"{stage.url}/items/42"))
    return stage.call()


class _FullDisk:
    """A storage of a cache that keeps nothing any more."""

    blocks = False

    def get(self, key: str, partition: str) -> Any:
        return ()

    def set(self, key: str, partition: str, response: Any) -> None:
        raise OSError("No space left on device")

    def delete(self, key: str, partition: str | None = None) -> None:
        """Nothing is there."""


_LOGIN = OAuth2ClientCredentials(
    token_url="https://login.example.com/token", client_id="shop", client_secret="s3cret"
)
_DENIED = HttpResponse(401, reason_phrase="Unauthorized", json={"error": "invalid_client"})
_UP = HttpResponse(200, reason_phrase="OK")
_GOOD = [late(0.1, _UP)] * 20
_BROKEN = late(0.1, HttpResponse(503, reason_phrase="Service Unavailable"))
_RESET = ConnectionResetError(104, "Connection reset by peer")
_WAIT = HttpResponse(429, reason_phrase="Too Many Requests", headers={"Retry-After": "40"})

SYMPTOMS = [
    Symptom(
        "A circuit is open",
        [*_GOOD, ConnectionRefusedError(111, "Connection refused")],
        _until("refused by the circuit breaker"),
        ("calls_total", "circuit_refusals", "circuits"),
    ),
    Symptom(
        "Retries climb",
        [*[late(0.1, _UP)] * 3, _BROKEN] * 30,
        _now_and_then,
        ("calls_total", "attempts", "retries_total"),
    ),
    Symptom(
        "No retries are left",
        [*_GOOD, _BROKEN],
        _until("the retry budget is spent"),
        ("calls_total", "retries_"),
    ),
    Symptom("The service asks for pauses", _WAIT, _three, ("calls_total", "throttle_")),
    Symptom(
        "Calls wait for a connection",
        None,
        _forgotten_streams,
        ("calls_total", "connections_in_use", "connections_limit_per_service", "streams_open"),
        config=HttpClientConfig(
            max_connections_per_host=2,
            connection_pool=ConnectionPoolConfig(pool_timeout=0.02),
            enable_retry_policy=False,
        ),
    ),
    Symptom(
        "Calls take longer than usual",
        [*[late(0.125, _UP)] * 180, late(0.875, _UP)],
        _minutes,
        ("calls_total", "call_duration_seconds"),
    ),
    Symptom(
        "Attempts time out",
        [*_GOOD, late(60.0, _UP)],
        _last,
        ("calls_total", "attempts", "call_duration_seconds"),
        config=HttpClientConfig(base_timeout=5.0),
    ),
    Symptom(
        "Deadlines end calls",
        [*_GOOD, late(0.8, _BROKEN)],
        _hurried,
        ("calls_total", "attempts", "retries_stopped"),
    ),
    Symptom(
        "A charge may have been made",
        [*_GOOD, _UP, late(0.4, _RESET)],
        _charge,
        ("calls_total", "retries_stopped"),
    ),
    Symptom(
        "The first attempt loses its connection",
        [*_GOOD, _RESET, late(0.1, _UP)],
        _last,
        ("calls_total", "attempts"),
    ),
    Symptom(
        "Names, connections or certificates fail",
        [*_GOOD, ssl.SSLCertVerificationError(1, "certificate has expired")],
        _last,
        ("calls_total", "retries_stopped"),
    ),
    Symptom(
        "Credentials are refused",
        {"/token": _DENIED, "*": _UP},
        Stage.call,
        ("calls_total",),
        config=HttpClientConfig(auth=_LOGIN),
    ),
    Symptom(
        "The cache's storage fails",
        HttpResponse(200, reason_phrase="OK", headers={"Cache-Control": "max-age=60"}),
        Stage.call,
        ("cache_",),
        cache=Cache(storage=_FullDisk()),
    ),
    Symptom("A circuit is isolated", _UP, _isolated, ("calls_total", "circuit_refusals", "circuits")),
]
"""In the order of the page."""


def shown(symptom: Symptom) -> str:
    """How an operator sees it, in the words of the client."""
    clock = VirtualClock()
    with ExitStack() as stack:
        if symptom.script is None:
            server = stack.enter_context(LoopbackServer())
            server.script("/items/42", respond(200, body=b"x" * 10_000_000))
            url, transport = server.url, None
        else:
            url, transport = URL, ScriptedTransport(symptom.script, clock=clock)
        records = stack.enter_context(_logged())
        client = stack.enter_context(
            HttpServiceClient(
                symptom.config, transport=transport, clock=clock, random=lambda: 0.5, cache=symptom.cache
            )
        )
        outcome = symptom.run(Stage(client, clock, url, stack))
        health = client.get_health_summary().explain()
        metrics = list(_metrics(client, symptom.metrics))
        log = list(_lines(records, outcome.timeline.call_id))
    parts = {
        "explain()": outcome.explain().splitlines(),
        "the log, with one line a call": log,
        "the metrics, in a scrape": metrics,
        "get_health_summary().explain()": [
            line.strip() for line in health.splitlines() if re.match(r" +(circuit|!)", line)
        ],
    }
    text = "\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in parts.items())
    return text.replace(url, URL)


def _lines(records: list[logging.LogRecord], call_id: str) -> Iterator[str]:
    """The line of this call, and before it the last of the most severe others."""
    call = [each for each in records if each.name == _CALLS and vars(each)["http_call_id"] == call_id]
    others = [each for each in records if each.name != _CALLS]
    loudest = max((each.levelno for each in others), default=0)
    severe = [each for each in others if each.levelno == loudest]
    for record in (*severe[-1:], *call):
        yield f"{record.levelname} {record.name}: {record.getMessage()}"


@contextmanager
def _logged() -> Iterator[list[logging.LogRecord]]:
    """The log records of the package, which nobody else sees meanwhile."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]  # a handler that keeps what it gets
    logger, calls = logging.getLogger("http_service_client"), logging.getLogger(_CALLS)
    levels, propagate = [each.level for each in (logger, calls)], logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        for each in (logger, calls):
            each.setLevel(logging.INFO)
        yield records
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
        for each, level in zip((logger, calls), levels, strict=True):
            each.setLevel(level)


def _metrics(client: HttpServiceClient, beginnings: tuple[str, ...]) -> Iterator[str]:
    """The lines of a scrape, those that are not 0."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(PrometheusCollector(client))
    for line in sorted(generate_latest(registry).decode().splitlines()):
        name = line.partition("{")[0]
        is_shown = name.removeprefix("http_client_").startswith(beginnings) and not name.endswith("_bucket")
        if is_shown and not line.endswith(" 0.0"):
            yield line


def sections(page: str) -> dict[str, tuple[int, int]]:
    """Where the first block of text of each section begins and ends."""
    found = {}
    for match in re.finditer(
        r"^### (.+)\n(?:(?!^#).*\n)*?```text\n((?:(?!```).*\n)*)```", page, re.MULTILINE
    ):
        found[match[1]] = match.span(2)
    return found


def main() -> None:
    """Write what each symptom looks like into the page."""
    text = PAGE.read_text("utf-8")
    for symptom in SYMPTOMS:
        start, end = sections(text)[symptom.heading]
        text = f"{text[:start]}{shown(symptom)}\n{text[end:]}"
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
