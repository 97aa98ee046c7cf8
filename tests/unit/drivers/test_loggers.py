"""A log that is broken, slow, shipped, silenced or interrupted costs no call its response."""

from __future__ import annotations

import asyncio
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpServiceClient
from http_service_client.drivers.loggers import BRANCHES, ROOT, branch, muted, write
from http_service_client.events import CallFinished
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import AsyncioFrontEnd, FrontEnd

URL = "https://api.test/orders"
BUSY = HttpResponse(503)


class Called(logging.Handler):
    """Calls a function with each record, and keeps the record."""

    def __init__(self, function: Any = None) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._function = function

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if self._function is not None:
            self._function(record)


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The root of the tree, at DEBUG; what a test adds to it is removed."""
    logger = logging.getLogger(ROOT)
    handlers, filters, level, propagate = (
        logger.handlers[:],
        logger.filters[:],
        logger.level,
        logger.propagate,
    )
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers[:], logger.filters[:], logger.propagate = handlers, filters, propagate
    logger.setLevel(level)


def scripted(front_end: FrontEnd, *script: Any, **settings: Any) -> HttpServiceClient:
    clock = VirtualClock()
    transport = ScriptedTransport(list(script or [BUSY, HttpResponse(200)]), clock=clock)
    return front_end.client(transport=transport, clock=clock, random=lambda: 0.5, **settings)


def test_a_handler_that_raises_costs_no_response(front_end: FrontEnd, log: logging.Logger) -> None:
    """Nor a filter, nor a record factory; and the listener still gets each event."""

    def broken(*_: object, **__: object) -> Any:
        raise RuntimeError("the disk is full")

    events: list[Any] = []
    log.addHandler(Called(broken))
    branch("retry").addFilter(broken)
    try:
        client = scripted(front_end, on_event=events.append)
        assert front_end.request(client, "GET", URL).status_code == 200
        log.handlers.clear()
        original = logging.getLogRecordFactory()
        logging.setLogRecordFactory(broken)
        try:
            assert front_end.request(client, "GET", URL).status_code == 200
        finally:
            logging.setLogRecordFactory(original)
    finally:
        branch("retry").removeFilter(broken)
    assert [event.status_code for event in events if isinstance(event, CallFinished)] == [200, 200]


def test_the_report_of_a_failed_listener_is_no_harm_either(front_end: FrontEnd, log: logging.Logger) -> None:
    """A listener that raises, and a handler that raises because of it."""

    def broken(_: object) -> None:
        raise RuntimeError

    handler = Called(broken)
    log.addHandler(handler)
    assert front_end.request(scripted(front_end, on_event=broken), "GET", URL).status_code == 200
    failed = [record for record in handler.records if record.name == f"{ROOT}.hooks"]
    assert [record.getMessage() for record in failed][-1] == "on_event failed on CallFinished"
    assert failed[-1].exc_info is not None
    assert failed[-1].exc_info[0] is RuntimeError
    assert vars(failed[-1])["http_event"] == "hook_failed"


def test_a_filter_that_rejects_changes_nothing_else(front_end: FrontEnd, log: logging.Logger) -> None:
    """The handlers of other branches go on."""
    handler = Called()
    log.addHandler(handler)
    branch("retry").addFilter(reject := lambda record: False)
    try:
        front_end.request(scripted(front_end), "GET", URL)
    finally:
        branch("retry").removeFilter(reject)
    names = [record.name.removeprefix(f"{ROOT}.") for record in handler.records]
    assert names == ["attempt", "attempt", "call"]


def test_records_cross_processes(front_end: FrontEnd, log: logging.Logger) -> None:
    """By a QueueHandler, whose records are pickled: with the fields, which JSON can hold as well."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    log.addHandler(logging.handlers.QueueHandler(records))
    front_end.request(scripted(front_end, circuit_breaker_config={"failure_threshold": 1}), "GET", URL)
    found = []
    while not records.empty():
        found.append(pickle.loads(pickle.dumps(records.get())))
    assert {record.name.removeprefix(f"{ROOT}.") for record in found} >= {
        "attempt",
        "retry",
        "circuit",
        "call",
    }
    for record in found:
        fields = {name: value for name, value in vars(record).items() if name.startswith("http_")}
        assert json.loads(json.dumps(fields)) == fields
        assert all(type(value) in (str, int, float, bool, type(None)) for value in fields.values())


def test_fields_of_the_user_s_record_factory_do_not_suppress_records(
    front_end: FrontEnd, log: logging.Logger
) -> None:
    """`extra` would refuse `http_method`, which a factory may set to that of an inbound request."""
    original = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = original(*args, **kwargs)
        record.http_method, record.tenant = "INBOUND", "t1"
        return record

    handler = Called()
    log.addHandler(handler)
    logging.setLogRecordFactory(factory)
    try:
        front_end.request(scripted(front_end, HttpResponse(200)), "GET", URL)
    finally:
        logging.setLogRecordFactory(original)
    end = vars(handler.records[-1])
    assert (end["http_method"], end["tenant"]) == ("GET", "t1")


def test_a_handler_that_ships_records_by_the_client_ends(front_end: FrontEnd, log: logging.Logger) -> None:
    """The calls that it makes are not logged, or each would bring further ones; nor are those of tasks that it starts."""
    client, shipping = scripted(front_end, HttpResponse(200)), scripted(front_end, HttpResponse(204))
    tasks: list[Any] = []

    def ship(record: logging.LogRecord) -> None:
        body = record.getMessage()
        if len(handler.records) > 2:  # one for each call so far: it would not end
            return
        if front_end.name == "blocking":
            shipping.post("https://logs.test/", json=body)
        else:
            tasks.append(asyncio.ensure_future(shipping.post_async("https://logs.test/", json=body)))

    async def shipped() -> None:
        await asyncio.gather(*tasks)

    handler = Called(ship)
    log.addHandler(handler)
    front_end.request(client, "GET", URL)
    if isinstance(front_end, AsyncioFrontEnd):
        front_end.loop.run_until_complete(shipped())
    log.removeHandler(handler)
    assert len(handler.records) == shipping.metrics.total("http_requests_total") == 2


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
def test_a_signal_handler_may_make_a_call_while_a_record_is_written(log: logging.Logger) -> None:
    """It gets its response, and the record that was interrupted is written."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    inner: list[int] = []
    previous = signal.signal(
        signal.SIGTERM, lambda *_: inner.append(client.get("https://api.test/stop").status_code)
    )
    handler = Called(lambda record: signal.raise_signal(signal.SIGTERM))
    log.addHandler(handler)
    try:
        assert client.get(URL).status_code == 200
    finally:
        signal.signal(signal.SIGTERM, previous)
        log.removeHandler(handler)
    assert inner == [200, 200]
    assert [record.getMessage().split()[0] for record in handler.records] == ["https://api.test:", "GET"]
    client.close()


def run(source: str) -> list[str]:
    """The lines that a fresh process prints: there, no logger of the package exists yet."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).splitlines()


CONFIGURED = """
    import logging.config
    from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient
    from http_service_client.testing import ScriptedTransport

    config = HttpClientConfig(circuit_breaker_config={"failure_threshold": 1}, enable_retry_policy=False)
    client = HttpServiceClient(config, transport=ScriptedTransport(HttpResponse(503)))
    BEFORE
    logging.config.dictConfig(
        {
            "version": 1,
            "handlers": {"plain": {"class": "logging.StreamHandler"}},
            "root": {"level": "WARNING", "handlers": ["plain"]},
            "loggers": LOGGERS,
        }
    )
    client.get("https://api.test/")
"""


def test_a_configuration_that_disables_existing_loggers_leaves_ours() -> None:
    """dictConfig does so by default. Ours do not exist yet, after imports and with a client made."""
    lines = run(CONFIGURED.replace("BEFORE", "").replace("LOGGERS", "{}"))
    assert len(lines) == 1
    assert lines[0].startswith("https://api.test: the circuit is open: 1 consecutive failure;")


def test_a_later_configuration_keeps_the_tree_that_it_names() -> None:
    """After a first call, our loggers exist: naming the root of the tree keeps them all."""
    source = CONFIGURED.replace("BEFORE", "client.get('https://other.test/')")
    assert run(source.replace("LOGGERS", "{}"))[1:] == []
    kept = run(source.replace("LOGGERS", "{'http_service_client': {}}"))
    assert [line.partition(" ")[0] for line in kept] == ["https://other.test:", "https://api.test:"]


def test_the_page_has_every_logger() -> None:
    """And no other one. An operator sets levels by these names."""
    page = (Path(__file__).resolve().parents[3] / "docs/logging.md").read_text("utf-8")
    table = page.partition("## The loggers")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `\.(\w+)` \|", table, re.MULTILINE)) == sorted(BRANCHES)
    with pytest.raises(ValueError, match="'retires' is no logger"):
        branch("retires")


def test_nothing_is_logged_in_a_muted_block(log: logging.Logger) -> None:
    """As in a simulation, whose circuits are no reason for an alarm."""
    handler = Called()
    log.addHandler(handler)
    with muted():
        write(branch("circuit"), logging.WARNING, "it is %s", "open", fields={})
    write(branch("circuit"), logging.WARNING, "it is %s", "closed", fields={"a": 1})
    assert [(record.getMessage(), vars(record)["http_a"]) for record in handler.records] == [
        ("it is closed", 1)
    ]


def test_records_below_the_level_of_their_logger_are_not_written(log: logging.Logger) -> None:
    """They are not even made: most programs want none of ours."""
    handler = Called()
    log.addHandler(handler)
    log.setLevel(logging.WARNING)
    for level in (logging.INFO, logging.WARNING, logging.ERROR):
        write(branch("circuit"), level, "it is open", fields={})
    assert [record.levelno for record in handler.records] == [logging.WARNING, logging.ERROR]


def test_a_record_names_no_line(log: logging.Logger) -> None:
    """All are written at one, which would tell nothing; to look for the caller's would cost as much as the record."""
    handler = Called()
    log.addHandler(handler)
    write(branch("circuit"), logging.WARNING, "it is open", fields={})
    shown = logging.Formatter("%(name)s %(filename)s:%(lineno)d %(funcName)s").format(handler.records[0])
    assert shown == "http_service_client.circuit loggers.py:0 write"
