"""The records of the client as structlog's events, with the real structlog."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpResponse
from http_service_client.observability import StructlogHandler
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd

URL = "https://api.test/orders?token=hunter2"


@pytest.fixture
def structlog() -> Iterator[Any]:
    module = pytest.importorskip("structlog", reason="needs the extra structlog")
    yield module
    module.reset_defaults()
    module.contextvars.clear_contextvars()


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("http_service_client")
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


def retried(front_end: FrontEnd) -> None:
    clock = VirtualClock()
    transport = ScriptedTransport([HttpResponse(503), HttpResponse(200)], clock=clock)
    client = front_end.client(transport=transport, clock=clock, random=lambda: 0.5)
    front_end.request(client, "GET", URL, name="look up")


def test_a_record_becomes_an_event(front_end: FrontEnd, structlog: Any, log: logging.Logger) -> None:
    """With its fields, the name of its logger, and what the application has bound to the context."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    structlog.contextvars.bind_contextvars(tenant="t1")
    log.addHandler(StructlogHandler(level="INFO"))
    retried(front_end)
    (entry,) = capture.entries
    assert entry["event"].startswith("https://api.test (look up): retry in 0.500 s because of status 503")
    expected = {
        "log_level": "info", "logger": "http_service_client.retry", "tenant": "t1",
        "http_event": "retry_scheduled", "http_delay": 0.5, "http_call_name": "look up",
    }  # fmt: skip
    assert expected.items() <= entry.items()
    assert "hunter2" not in repr(entry)


def test_an_error_keeps_its_traceback(structlog: Any, log: logging.Logger) -> None:
    """As `exc_info`, which structlog's processors format."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[capture])
    log.addHandler(StructlogHandler())
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("it failed")
    (failed,) = capture.entries
    assert (failed["log_level"], failed["exc_info"][0]) == ("error", ValueError)


@pytest.mark.parametrize(
    ("level", "name"),
    [
        *((1, "debug"), (9, "debug"), (10, "debug"), (19, "debug"), (20, "info"), (29, "info")),
        *((30, "warning"), (39, "warning"), (40, "error"), (49, "error"), (50, "critical"), (99, "critical")),
    ],
)
def test_a_level_is_the_one_of_structlog_below_it(
    structlog: Any, log: logging.Logger, level: int, name: str
) -> None:
    """An application may have levels of its own. Below all is the lowest."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[capture])
    log.setLevel(1)
    log.addHandler(StructlogHandler())
    log.log(level, "it happened")
    assert [entry["log_level"] for entry in capture.entries] == [name]


def test_a_processor_that_fails_is_reported_as_logging_reports_it(
    structlog: Any, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the handler's `handleError`: the call that was logged goes on, and the next record is passed on again."""

    def fail(*event: Any) -> Any:
        raise ValueError("a processor")

    structlog.configure(processors=[fail])
    handler, reported = StructlogHandler(), []
    monkeypatch.setattr(
        handler, "handleError", lambda record: reported.append((record.msg, sys.exc_info()[0]))
    )
    log.addHandler(handler)
    for message in ("first", "second"):
        log.warning(message)
    assert reported == [("first", ValueError), ("second", ValueError)]


def test_structlog_over_logging_makes_no_loop(
    front_end: FrontEnd, structlog: Any, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    """Its records come back by the same logger, and are not passed on again."""
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    log.addHandler(StructlogHandler(structlog.get_logger("http_service_client")))
    with caplog.at_level(logging.INFO):
        retried(front_end)
    assert [record.name for record in caplog.records] == ["http_service_client", "http_service_client.retry"]


def test_without_structlog_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of the extra."""
    monkeypatch.setitem(sys.modules, "structlog", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'http-service-client\[structlog\]'"):
        StructlogHandler()
