"""The handler of a signal, such as a worker's time limit, raises while a function of the user's runs inside of a call."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from http_service_client import (
    BulkheadPolicy,
    Cache,
    ConstantBackoff,
    FallbackPolicy,
    HttpResponse,
    MemoryStorage,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.auth import MessageSignature
from http_service_client.observability import OpenTelemetry, PrometheusCollector, StructlogHandler
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGALRM")

URL = "https://api.example.com/orders"
LIMIT = TimeoutError("the time limit of the job")


def end(number: int, frame: FrameType | None) -> None:
    raise LIMIT


@pytest.fixture(autouse=True)
def signal_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, end)
    yield
    signal.signal(signal.SIGALRM, before)


def strike(*_: Any, **__: Any) -> Any:
    """The signal comes while this runs."""
    signal.raise_signal(signal.SIGALRM)


class Codec:
    encode = decode = staticmethod(strike)


class FailingStorage(MemoryStorage):
    get = strike


class LateStorage(MemoryStorage):
    set = strike


CIRCUIT = {"failure_threshold": 1, "minimum_calls": 1, "on_change": strike}
RETRIES = RetryPolicy(retry_conditions=[RetryCondition.on_result(strike)])

Row = tuple[dict[str, Any], dict[str, Any], int]
TABLE: dict[str, Row] = {
    # where it comes              client, call, exchanges that began
    "on_event": ({"on_event": strike}, {}, 1),
    "on_exchange": ({"on_exchange": strike}, {}, 1),
    "on_change": ({"circuit_breaker_config": CIRCUIT}, {}, 1),
    "retry condition": ({"retry_policy_config": RETRIES}, {}, 1),
    "is_failure of the circuit": ({"circuit_breaker_config": {"is_failure": strike}}, {}, 1),
    "is_failure of a fallback": ({}, {"fallback": FallbackPolicy(value=1, is_failure=strike)}, 1),
    "state_key": ({"state_key": strike}, {}, 0),
    "partition_by": ({"bulkhead": BulkheadPolicy(2, partitions={"a": 0.5}, partition_by=strike)}, {}, 0),
    "encoding of JSON": ({"json_codec": Codec()}, {"json": 1, "method": "POST"}, 0),
    "look into a cache": ({"cache": Cache(storage=FailingStorage())}, {}, 0),
    "storing of a response": ({"cache": Cache(storage=LateStorage())}, {}, 1),
}


@pytest.mark.parametrize("row", TABLE)
def test_the_time_limit_ends_the_call(front_end: FrontEnd, row: str) -> None:
    """It is no failure of the function that it comes out of, which would be logged, or told under another name."""
    settings, options, count = TABLE[row]
    status = 500 if row == "on_change" else 200
    responses = [HttpResponse(status, content=b"1", headers={"Cache-Control": "max-age=60"})] * 4
    transport = ScriptedTransport(responses)
    settings = {"bulkhead": BulkheadPolicy(1), **settings}
    client = front_end.client(transport=transport, clock=VirtualClock(), **settings)
    options = dict(options)
    with pytest.raises(TimeoutError) as caught:
        front_end.request(client, options.pop("method", "GET"), URL, **options)
    assert caught.value is LIMIT
    assert len(transport.requests) == count
    assert client._backends.calls_in_flight == 0


def test_a_response_is_decoded_in_vain(front_end: FrontEnd) -> None:
    """The same for the JSON of a response, which the caller asks for when the call is over."""
    client = front_end.client(
        transport=ScriptedTransport([HttpResponse(200, content=b"1")]), json_codec=Codec()
    )
    response = front_end.request(client, "GET", URL)
    with pytest.raises(TimeoutError) as caught:
        response.json()
    assert caught.value is LIMIT


def test_the_time_limit_comes_while_a_request_is_signed(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no reason why it cannot be."""
    signatures = pytest.importorskip("http_message_signatures.signatures", reason="an extra")
    monkeypatch.setattr(signatures.HTTPMessageSigner, "sign", strike)
    transport = ScriptedTransport([HttpResponse(200)])
    signer = MessageSignature(b"secret", key_id="own")
    client = front_end.client(transport=transport, request_signers=[signer])
    with pytest.raises(TimeoutError) as caught:
        front_end.request(client, "GET", URL)
    assert caught.value is LIMIT
    assert transport.requests == []


class Emitting(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        strike()


class FailingLogger:
    debug = info = warning = staticmethod(strike)


@pytest.mark.parametrize(
    "handler", [Emitting(), StructlogHandler(FailingLogger())], ids=["logging", "structlog"]
)
def test_the_time_limit_comes_while_the_log_is_written(front_end: FrontEnd, handler: logging.Handler) -> None:
    """A handler's own errors never reach a call. This is none of them."""
    logger = logging.getLogger("http_service_client.retry")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        transport = ScriptedTransport([HttpResponse(503), HttpResponse(200)])
        policy = RetryPolicy(backoff_strategy=ConstantBackoff(1.0))
        client = front_end.client(transport=transport, clock=VirtualClock(), retry_policy_config=policy)
        with pytest.raises(TimeoutError) as caught:
            front_end.request(client, "GET", URL)
        assert caught.value is LIMIT
        assert len(transport.requests) == 1
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_the_time_limit_comes_while_exemplars_are_found(front_end: FrontEnd) -> None:
    """At the end of a call, whose response is lost."""
    client = front_end.client(transport=ScriptedTransport([HttpResponse(200)]))
    collector = PrometheusCollector(client, exemplars=strike)
    with pytest.raises(TimeoutError) as caught:
        front_end.request(client, "GET", URL)
    assert caught.value is LIMIT
    del collector


def test_the_time_limit_comes_in_opentelemetry_again_and_again(front_end: FrontEnd) -> None:
    """Its errors are logged once, and then passed over. Each time limit ends its call."""
    trace = pytest.importorskip("opentelemetry.sdk.trace")

    class Processor(trace.SpanProcessor):  # type: ignore[misc, name-defined]
        failure: Callable[..., Any] = strike

        def on_start(self, span: Any, parent_context: Any = None) -> None:
            type(self).failure()

    def fail() -> None:
        raise ValueError("a bug of the processor")

    provider = trace.TracerProvider()
    provider.add_span_processor(Processor())
    client = front_end.client(
        transport=ScriptedTransport([HttpResponse(200)] * 3),
        telemetry=OpenTelemetry(tracer_provider=provider),
    )
    Processor.failure = staticmethod(fail)
    assert front_end.request(client, "GET", URL).status_code == 200
    Processor.failure = staticmethod(strike)
    for _ in range(2):
        with pytest.raises(TimeoutError) as caught:
            front_end.request(client, "GET", URL)
        assert caught.value is LIMIT
