"""docs/limits.md: each number on the page is that of the code."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

import pytest

from docs.loading import ROOT
from http_service_client.drivers.threads import DaemonThreads

# The beginnings of the rows, and where the code has their numbers.
NUMBERS = {
    "look-ups of names |": "transports.network.resolver._THREADS",
    "look-ups of names that resolved": "transports.network.resolver._RESERVED_THREADS",
    "work that a call in asyncio needs": "drivers.aio.WORKERS",
    "work that a call in asyncio can do without": "drivers.aio._DISPENSABLE",
    "work beside blocking calls": "drivers.blocking._BESIDE",
    "work that nobody waits for": "drivers.blocking._BEHIND",
    "requests of blocking calls that are hedged": "drivers.blocking._BRANCHES",
    "credentials of AWS": "auth.aws._THREADS",
    "certificates": "transports.network.tls_contexts._THREADS",
    "the content codings": "http.content_codings.decoder._MAX_CODINGS",
    "a body that arrives while": "transports.base.MOST_EARLY",
    "the body of a redirect": "transports.base.REDIRECT_BODY",
    "the time for that body": "transports.base.REDIRECT_WAIT",
    "a problem document": "http.problems._LARGEST",
    "the reason phrase": "http.response._PHRASE_SIZE",
    "a cookie,": "http.cookies.jar._MAX_PAIR",
    "the cookies of one domain": "http.cookies.jar._MAX_PER_DOMAIN",
    "the cookies of a jar": "http.cookies.jar._MAX_COOKIES",
    "the life of a cookie": "http.cookies.jar._MAX_AGE",
    "HTTP/2: bytes of one response": "transports.over_h2.connection.WINDOW",
    "HTTP/2: bytes of all responses": "transports.over_h2.connection._CONNECTION_WINDOW",
    "HTTP/2: frames": "transports.over_h2.frames._MOST_EMPTY",
    "HTTP/2: bytes that the server makes": "transports.over_h2.connection._BACKLOG",
    "the reset of a rate limit": "http.fields.rate_limits._LONGEST",
    "the pause of all calls": "core.machines.limits.throttle_gate._MOST",
    "`retry:`": "client.streams.event_source._LONGEST",
    "`Retry-After` between": "client.streams.event_source._LONGEST_PAUSE",
    "sessions of TLS, of": "transports.network.tls_sessions._PEERS",
    "sessions of TLS of one": "transports.network.tls_sessions._TICKETS",
    "names that resolved": "transports.network.resolver._MAX_RESOLVED",
    "servers that do not speak HTTP/2": "transports.over_h2.pool._MOST_ORIGINS",
    "origins with their challenge": "http.auth.digest._MOST",
    "responses to one URL": "core.cache_access._VARIANTS",
    "faults of servers": "transports.fault_log._MOST",
    "targets of OpenTelemetry": "observability.opentelemetry.targets._MOST",
}
TIMES = {
    "sessions of TLS, of": "transports.network.tls_sessions._LONGEST",
    "sessions of TLS of one": "transports.network.tls_sessions._LONGEST",
    "servers that do not speak HTTP/2": "transports.over_h2.pool._MEMORY",
}
# A power of two in the code.
ELSEWHERE = {"the window of zstd"}

UNITS = {"KiB": 1024, "MiB": 1024 * 1024, "s": 1, "min": 60, "h": 3600, "days": 24 * 3600}
PAGE = (ROOT / "docs/limits.md").read_text("utf-8")
ROWS = [line[2:] for line in PAGE.splitlines() if re.match(r"\| .*\| \d", line)]


def row_of(beginning: str) -> str:
    (row,) = (row for row in ROWS if row.startswith(beginning))
    return row


def in_code(path: str) -> float:
    module, _, name = path.rpartition(".")
    try:
        value: Any = getattr(import_module(f"http_service_client.{module}"), name)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    return value._limit if isinstance(value, DaemonThreads) else value  # type: ignore[no-any-return]


def number(cell: str) -> float:
    count, _, unit = cell.partition(" ")
    return float(count) * UNITS.get(unit, 1)


@pytest.mark.parametrize("beginning", NUMBERS)
def test_a_limit_is_what_the_page_says(beginning: str) -> None:
    assert number(row_of(beginning).split(" | ")[1].strip(" |")) == in_code(NUMBERS[beginning])


@pytest.mark.parametrize("beginning", TIMES)
def test_it_is_remembered_as_long_as_the_page_says(beginning: str) -> None:
    assert number(row_of(beginning).split(" | ")[2].strip(" |")) == in_code(TIMES[beginning])


def test_the_window_of_zstd() -> None:
    size = number(row_of("the window of zstd").split(" | ")[1])
    assert size == 2 ** in_code("http.content_codings.codecs._ZSTD_WINDOW_LOG")


def test_no_row_goes_without_its_number() -> None:
    known = {row_of(beginning) for beginning in (*NUMBERS, *ELSEWHERE)}
    assert known == set(ROWS)


def test_limits_that_are_sentences() -> None:
    assert f"after {in_code('client.polling._SHORTEST')} s at the earliest" in PAGE
    assert in_code("core.origins.LONGEST_KEY") == in_code("core.checks._LONGEST_NAME") == 100
    assert "have at most 100 characters" in PAGE
