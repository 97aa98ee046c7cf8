"""The configuration reference is complete and true: these tests compare names, defaults and ranges with the code.

A table of docs/configuration.md belongs to the heading above it. The ends of each range are
tried, so that the code accepts exactly the values that the page allows.
"""

from __future__ import annotations

import inspect
import math
import random
import re
import tempfile
import time
from collections.abc import Callable
from enum import Enum
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import http_service_client as package
from http_service_client import ConfigurationError, HttpResponse, HttpServiceClient
from http_service_client.client.call_builder import CallBuilder
from http_service_client.client.config.defaults import CLIENT_DEFAULT
from http_service_client.core.machines.fallback import NOTHING
from http_service_client.drivers.clocks import SystemClock
from http_service_client.drivers.randomness import unseeded_random
from http_service_client.observability import collector, metrics
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.rows import each_row

PAGE = Path(__file__).resolve().parents[2] / "docs/configuration.md"
HEAD = ["name", "type, unit", "default", "range", "meaning"]
# The names that a default on the page may use.
NAMES = {
    **{name: getattr(package, name) for name in package.__all__},
    "time": time,
    "random": random,
    "SystemClock": SystemClock,
    "DURATION_BUCKETS": metrics.DURATION_BUCKETS,
    "NOTHING": NOTHING,
}


def scripted_client() -> HttpServiceClient:
    """A client without a network, and without time: the smallest timeout of a table is long enough."""
    return HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)]), clock=VirtualClock())


def call(**keywords: object) -> None:
    """A call with these keywords."""
    with scripted_client() as client:
        client.get("https://api.example.com/", **keywords)


def download(**keywords: object) -> None:
    """A download with these keywords."""
    with scripted_client() as client, tempfile.TemporaryDirectory() as folder:
        client.download("https://api.example.com/", f"{folder}/file", **keywords)


def events(**keywords: object) -> None:
    """An event source with these keywords."""
    with scripted_client() as client:
        client.events("https://api.example.com/", **keywords)


def fallback(**keywords: object) -> None:
    """A fallback with these arguments, which stands in with something."""
    package.FallbackPolicy(**{"value": None, **keywords})  # type: ignore[arg-type]  # wrong ones too


def rate_limit(**keywords: object) -> None:
    """A rate limit with these arguments."""
    package.RateLimitPolicy(**{"rate": 1.0, **keywords})  # type: ignore[arg-type]  # wrong ones too


def bulkhead(**keywords: object) -> None:
    """A bulkhead with these arguments, which has permits."""
    package.BulkheadPolicy(**{"max_concurrent": 5, **keywords})  # type: ignore[arg-type]  # wrong ones too


def chaos(**keywords: object) -> None:
    """A chaos with these settings, and with what they need."""
    needs: dict[str, dict[str, object]] = {
        "latency_rate": {"latency": 1.0},
        "error_rate": {"errors": ["ConnectError"]},
        "status_rate": {"statuses": [503]},
    }
    needed: dict[str, object] = {"latency": 1.0, "latency_rate": 1.0}
    for name, value in keywords.items():
        if name == "latency_rate":
            needed = {"truncation_rate": 0.5}
        if value != 0:
            needed |= needs.get(name, {})
    package.ChaosPolicy(**{**needed, **keywords})  # type: ignore[arg-type]  # wrong ones too


def timeout(**keywords: object) -> None:
    """A timeout of some seconds."""
    package.TimeoutPolicy(**{"seconds": 1.0, **keywords})  # type: ignore[arg-type]  # wrong ones too


def result_cache(**keywords: object) -> None:
    """A cache for some seconds."""
    package.ResultCachePolicy(**{"seconds": 1.0, **keywords})  # type: ignore[arg-type]  # wrong ones too


# Heading to the callable that takes the settings of its table.
TAKERS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(package, name)
        for name in (
            "Cache",
            "HttpServiceClient",
            "HttpClientConfig",
            "ConnectionPoolConfig",
            "EgressPolicy",
            "Timeout",
            "CircuitBreakerPolicy",
            "RetryPolicy",
            "ExponentialBackoff",
            "LinearBackoff",
            "ConstantBackoff",
            "FibonacciBackoff",
            "DecorrelatedBackoff",
            "RetryQuotaSettings",
            "RetryBudgetSettings",
            "DeadlineCheckPolicy",
            "Propagation",
            "AdaptiveLimitPolicy",
            "LoadSheddingPolicy",
            "deadline",
            "HedgingPolicy",
        )
    },
    "BulkheadPolicy": bulkhead,
    "FallbackPolicy": fallback,
    "TimeoutPolicy": timeout,
    "ResultCachePolicy": result_cache,
    "RateLimitPolicy": rate_limit,
    "ChaosPolicy": chaos,
    "Keywords of a call": call,
    "Keywords of a stream and a download": download,
    "Keywords of an event source": events,
    "Metrics": package.HttpMetrics,
}


class Row(NamedTuple):
    """One setting as the page shows it."""

    name: str
    type: str
    default: str
    range: str
    meaning: str


def rows_under(heading: str) -> list[Row]:
    """The rows of the table of settings under a heading."""
    section = re.split(r"^##+ ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (text,) = [part for part in section if part.partition("\n")[0] == heading]
    _, _, table = text.partition(f"| {' | '.join(HEAD)} |\n")
    lines = takewhile(lambda line: line.startswith("|"), table.splitlines()[1:])
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [Row(*(cell.strip().replace("\\|", "|") for cell in line)) for line in cells]


def parameters(heading: str) -> dict[str, Any]:
    """The settings that the code accepts, with their defaults."""
    taker = {
        call: CallBuilder._requested,
        download: HttpServiceClient.download,
        events: HttpServiceClient.events,
        fallback: package.FallbackPolicy,
        timeout: package.TimeoutPolicy,
        result_cache: package.ResultCachePolicy,
        rate_limit: package.RateLimitPolicy,
        bulkhead: package.BulkheadPolicy,
        chaos: package.ChaosPolicy,
    }.get(TAKERS[heading], TAKERS[heading])
    found = dict(inspect.signature(taker).parameters)
    if taker is CallBuilder._requested:  # the other keywords are looked at only where there are any
        found["response_type"] = inspect.signature(CallBuilder.build).parameters["response_type"]
        for name, parameter in inspect.signature(CallBuilder._special).parameters.items():
            found.setdefault(name, parameter)
    private = [name for name in found if name.startswith("_")]
    for name in ("self", "method", "url", "path", "options", "special", "request", "stream", *private):
        found.pop(name, None)
    factories = {
        field.name: field.default_factory
        for field in getattr(taker, "__dataclass_fields__", {}).values()
        if callable(field.default_factory)
    }
    return {
        name: factories[name]() if name in factories else parameter.default
        for name, parameter in found.items()
    }


CASES = [
    pytest.param(heading, row, id=f"{heading}.{row.name}")
    for heading in TAKERS
    for row in rows_under(heading)
]


def test_every_class_of_settings_has_its_table() -> None:
    """A new class of settings needs a section on the page."""
    public = [getattr(package, name) for name in package.__all__]
    takes_settings = {
        item.__name__
        for item in public
        if isinstance(item, type)
        and item.__name__.endswith(("Config", "Policy", "Backoff", "Settings", "Timeout"))
        and not issubclass(item, Exception)
    }
    assert takes_settings <= set(TAKERS)


@each_row("heading", TAKERS)
def test_the_table_has_every_setting_in_order(heading: str) -> None:
    """A field that is added, renamed or removed must change on the page too."""
    assert [row.name.strip("`") for row in rows_under(heading)] == list(parameters(heading))


def test_a_download_takes_all_keywords_of_a_stream() -> None:
    """So one table is enough for both."""
    of_a_stream = set(inspect.signature(HttpServiceClient.stream).parameters) - {"method"}
    assert of_a_stream <= set(inspect.signature(HttpServiceClient.download).parameters)


@each_row(("heading", "row"), CASES)
def test_the_default_is_that_of_the_code(heading: str, row: Row) -> None:
    """The page shows the value of a setting that is not given."""
    actual = parameters(heading)[row.name.strip("`")]
    if row.default == "required":
        assert actual is inspect.Parameter.empty
    elif row.default == "the client's":
        assert actual is CLIENT_DEFAULT
    elif row.default == "the system's":
        assert actual is unseeded_random
    else:
        shown = eval(row.default.strip("`"), dict(NAMES))
        assert shown == actual or type(shown) is type(actual) is SystemClock
        assert isinstance(actual, (type(shown), Enum))


@each_row(("heading", "row"), CASES)
def test_each_setting_is_explained(heading: str, row: Row) -> None:
    """Every setting has a type and a meaning, and every number a unit, unless it is a factor."""
    assert row.type
    assert row.meaning.endswith((".", "s."))
    if row.range.startswith((">", "≥")):
        assert row.type.partition("`, ")[2] or row.name in ("`recovery_multiplier`", "`backoff_factor`")


def ends(text: str) -> tuple[list[float], list[float]] | None:
    """The values just inside and just outside a range of numbers; None for other ranges."""
    if match := re.fullmatch(r"> (\S+)", text):
        return [float(match[1]) + 0.001], [float(match[1]), float(match[1]) - 1]
    if match := re.fullmatch(r"≥ (\S+)", text):
        return [float(match[1]), float(match[1]) + 7], [float(match[1]) - 1]
    if match := re.fullmatch(r"(\S+) to (\S+)", text):
        least, most = float(match[1]), float(match[2])
        return [least, most], [least - 0.001, most * 1.001]
    return None


@each_row(
    ("heading", "row"),
    [case for case in CASES if ends(case.values[1].range) is not None],  # type: ignore[attr-defined]
)
def test_the_range_is_that_of_the_code(heading: str, row: Row) -> None:
    """The code accepts the ends; it refuses values beyond them and values that are not numbers, by name."""
    taker, name = TAKERS[heading], row.name.strip("`")
    limits = ends(row.range)
    assert limits is not None
    inside, outside = limits
    is_whole = row.type.startswith("`int")
    for value in inside:
        taker(**{name: int(value) if is_whole else value})
    wrong: list[object] = [
        *(int(value) if is_whole else value for value in outside),
        math.nan,
        math.inf,
        "1",
        True,
    ]
    if "None" in row.type:
        taker(**{name: None})
    else:
        wrong.append(None)
    for bad in wrong:
        with pytest.raises(ConfigurationError, match=rf"\b{name if heading != 'deadline' else heading}\b"):
            taker(**{name: bad})


@pytest.mark.parametrize(
    ("heading", "row"),
    [case for case in CASES if case.values[1].type == "`bool`"],  # type: ignore[attr-defined]
)
def test_a_switch_takes_only_true_and_false(heading: str, row: Row) -> None:
    """A truthy text such as "no" does not switch anything on."""
    taker, name = TAKERS[heading], row.name.strip("`")
    if name == "http2":
        pytest.importorskip("h2", reason="the extra http2 is not installed")
    for value in (True, False):
        if name != "ssl_verify":  # which warns
            taker(**{name: value})
    for bad in ("no", 1, None):
        with pytest.raises(ConfigurationError, match=rf"\b{name}\b"):
            taker(**{name: bad})


def test_every_metric_is_listed_with_its_labels() -> None:
    """The page has every metric that a dashboard can query."""
    listed = dict(
        re.findall(r"^\| `(http_\w+)` \| \w+ \|([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    )
    labels = {name: ", ".join(each) for name, each in collector._LABELS.items()}
    labels["http_request_duration_seconds"] = "service, method"
    labels["http_operation_duration_seconds"] = "service"
    for name, text in listed.items():
        listed[name] = text.strip().replace("`", "").replace("status_code or error", "outcome")
    assert listed == labels
