"""A server's handling of a request goes by the deadline and the retries of its caller, in ASGI and WSGI alike."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
import time
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    DeadlineExceededError,
    HttpResponse,
    Propagation,
    RetryPolicy,
    deadline,
)
from http_service_client.core.deadline import AMBIENT_DEADLINE, remaining
from http_service_client.core.nesting import InboundScope, Scope, current_scope
from http_service_client.integrations import asgi, wsgi
from http_service_client.integrations.wsgi import DeadlineMiddleware
from http_service_client.testing import late
from kit.inbound import SERVERS, AsgiServer, Downstream, Server, WsgiServer

TIMEOUT, ATTEMPT, ABOVE = "X-Request-Timeout-Ms", "X-Request-Attempt", "X-Request-Retried-Above"
BOTH = pytest.mark.parametrize("kind", SERVERS)


@BOTH
def test_calls_end_when_the_caller_stops_waiting(kind: type[Server]) -> None:
    """The next service learns what is left then, and a retry has less."""
    stock = Downstream(HttpResponse(503), HttpResponse(200), retry_policy_config={"jitter": "none"})
    assert kind(stock.call).request({TIMEOUT: "2500"}) == 200
    assert stock.sent(TIMEOUT) == ["2500", "1500"]


@BOTH
def test_a_call_that_is_too_slow_ends_with_the_deadline(kind: type[Server]) -> None:
    """By the error of a deadline, not of the attempt."""
    stock = Downstream(late(5.0, HttpResponse(200)))
    began = stock.clock.monotonic()
    kind(stock.call).request({TIMEOUT: "2000"})
    assert isinstance(stock.error, DeadlineExceededError)
    assert stock.clock.monotonic() - began == pytest.approx(2.0)


@BOTH
def test_without_the_header_the_client_has_its_own_limits(kind: type[Server]) -> None:
    """And nothing stays open in the context of the server."""
    stock = Downstream(base_timeout=7.0)
    kind(stock.call).request()
    assert stock.sent(TIMEOUT) == ["7000"]
    assert stock.sent(ATTEMPT) == ["1"]


@BOTH
@pytest.mark.parametrize(
    ("given", "settings", "expected"),
    [
        ("60000", {"max_timeout": 3.0}, "3000"),
        ("2000", {"max_timeout": 3.0}, "2000"),
        (None, {"max_timeout": 3.0}, "3000"),
        ("garbage", {"max_timeout": 3.0}, "3000"),
        ("2000", {"reserve": 0.5}, "1500"),
        ("60000", {"max_timeout": 3.0, "reserve": 0.5}, "3000"),
    ],
)
def test_no_caller_gets_more_than_the_service_allows(
    kind: type[Server], given: str | None, settings: dict[str, float], expected: str
) -> None:
    """The least of both limits holds; `reserve` is taken from the caller's."""
    stock = Downstream()
    kind(stock.call, **settings).request({} if given is None else {TIMEOUT: given})
    assert stock.sent(TIMEOUT) == [expected]


@BOTH
@pytest.mark.parametrize("value", ["-5", "1.5", "inf", "nan", "", "99999999999", "5s", "1000, 2000"])
def test_an_invalid_header_counts_for_nothing(
    kind: type[Server], value: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged for whoever looks, and never at a level that a stranger could fill a log with."""
    stock = Downstream(base_timeout=7.0)
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        kind(stock.call).request({TIMEOUT: value})
    assert stock.sent(TIMEOUT) == ["7000"]
    (record,) = [record for record in caplog.records if "is ignored" in record.getMessage()]
    assert (record.levelname, TIMEOUT in record.getMessage()) == ("DEBUG", True)


@BOTH
def test_the_log_quotes_no_more_than_the_beginning_of_an_invalid_value(
    kind: type[Server], caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger must not fill a log with one header, and control characters are escaped."""
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        kind(lambda: None).request({TIMEOUT: "\x1b[2J" + "9" * 10_000})
    (message,) = [text for text in caplog.messages if "is ignored" in text]
    assert len(message) < 250
    assert "\x1b" not in message


@BOTH
@pytest.mark.parametrize(("value", "reserve"), [("0", 0.0), ("400", 0.5), ("500", 0.5)])
def test_a_request_whose_time_is_spent_is_rejected(kind: type[Server], value: str, reserve: float) -> None:
    """By 504, before the application works for nobody."""
    ran: list[int] = []
    assert kind(lambda: ran.append(1), reserve=reserve).request({TIMEOUT: value}) == 504
    assert ran == []


@BOTH
def test_the_application_may_handle_a_request_whose_time_is_spent(kind: type[Server]) -> None:
    """Its calls fail before anything is sent."""
    stock = Downstream()
    assert kind(stock.call, reject_spent=False).request({TIMEOUT: "0"}) == 200
    assert isinstance(stock.error, DeadlineExceededError)
    assert stock.sent(TIMEOUT) == []


@BOTH
def test_the_deadline_holds_while_the_body_is_streamed(kind: type[Server]) -> None:
    """Each piece may need a call."""
    stock = Downstream()

    def piece() -> None:
        stock.clock.advance(0.5)
        stock.call()

    kind(lambda: None, stream=piece).request({TIMEOUT: "2000"})
    assert stock.sent(TIMEOUT) == ["1500", "1000"]


@BOTH
def test_what_runs_after_the_response_is_free(kind: type[Server]) -> None:
    """A background task works for nobody who waits, and its retries are its own."""
    stock = Downstream(HttpResponse(503), base_timeout=7.0)
    kind(lambda: None, after=stock.call).request({TIMEOUT: "2000", ATTEMPT: "2", ABOVE: "true"})
    assert stock.sent(TIMEOUT) == ["7000"] * 3
    assert stock.sent(ATTEMPT) == ["1", "2", "3"]


@BOTH
def test_a_caller_that_retries_is_left_to_it(kind: type[Server]) -> None:
    """One attempt here for each attempt there; the next service learns of both."""
    stock = Downstream(HttpResponse(503))
    kind(stock.call).request({ATTEMPT: "2", ABOVE: "true"})
    assert (stock.sent(ATTEMPT), stock.sent(ABOVE)) == (["2"], ["true"])


@BOTH
def test_a_caller_that_does_not_retry_leaves_the_retries_here(kind: type[Server]) -> None:
    """The number of its attempt goes on, and ours are added to it."""
    stock = Downstream(HttpResponse(503))
    kind(stock.call).request({ATTEMPT: "2", ABOVE: "false"})
    assert (stock.sent(ATTEMPT), stock.sent(ABOVE)) == (["2", "3", "4"], ["true"] * 3)


@BOTH
def test_a_policy_may_retry_all_the_same(kind: type[Server]) -> None:
    """`nested=True` is for services where the retries multiply on purpose."""
    stock = Downstream(HttpResponse(503), retry_policy_config=RetryPolicy(3, nested=True))
    kind(stock.call).request({ABOVE: "true"})
    assert len(stock.network.sent) == 3


@BOTH
def test_a_guarded_function_is_called_once_too(kind: type[Server]) -> None:
    """A retry policy around a function is a level like any other."""
    stock = Downstream(HttpResponse(503))
    policy = RetryPolicy(3, clock=stock.clock)
    kind(policy.apply(lambda: stock.client.get("https://stock.internal/"))).request({ABOVE: "true"})
    assert len(stock.network.sent) == 1


@BOTH
def test_the_success_of_a_repetition_pays_for_no_retry_of_others(kind: type[Server]) -> None:
    """Its caller's retry is not new demand: a service that only sees retries must not earn more of them."""
    earned = []
    for attempt in ("1", "2"):
        stock = Downstream(enable_retry_budget=True, retry_budget_config={"earned": 3.0})
        kind(stock.call).request({ATTEMPT: attempt, ABOVE: "true"})
        budget = stock.client._call_builder.origins.get("https://stock.internal").budget
        assert budget is not None
        earned.append(budget.balance)
    assert earned[0] > earned[1]


def test_an_inbound_request_keeps_no_idempotency_keys() -> None:
    """Its repetition may reach another process, so it is no operation whose requests are compared."""

    def run() -> None:
        scope = InboundScope(1, is_retried_above=True)
        assert scope.operation_keys(str, contextlib.nullcontext()) is None
        scope.leave()

    contextvars.Context().run(run)


def test_a_call_that_outlives_the_request_counts_its_attempts_from_one() -> None:
    """It began inside, and its next attempt comes after the response: nobody repeats that any more."""

    def run() -> None:
        scope = InboundScope(3, is_retried_above=True)
        inner = Scope()
        assert inner.earlier_attempts() == 2
        contextvars.Context().run(scope.leave)
        assert inner.earlier_attempts() == 0

    contextvars.Context().run(run)


@BOTH
def test_equal_requests_have_keys_of_their_own(kind: type[Server]) -> None:
    """Two orders of one basket are two orders."""
    stock = Downstream(auto_idempotency_key=True)

    def handle() -> None:
        for _ in range(2):
            stock.client.post("https://stock.internal/", json={"n": 1})

    kind(handle).request({ABOVE: "true"})
    assert len(set(stock.sent("Idempotency-Key"))) == 2


@BOTH
def test_an_enclosing_deadline_of_our_own_holds_as_well(kind: type[Server]) -> None:
    """Of nested deadlines the earliest, whoever set it."""
    stock = Downstream()
    with deadline(1.0):
        kind(stock.call).request({TIMEOUT: "2000"})
    assert stock.sent(TIMEOUT) == ["1000"]


@BOTH
def test_a_failing_application_leaves_nothing_behind(kind: type[Server]) -> None:
    """A worker's thread handles the next request in the same context."""

    def fail() -> None:
        raise ZeroDivisionError

    def run() -> tuple[object, object]:
        with pytest.raises(ZeroDivisionError):
            kind(fail).request({TIMEOUT: "2000", ABOVE: "true"})
        return AMBIENT_DEADLINE.get(), current_scope()

    assert contextvars.Context().run(run) == (None, None)


@BOTH
def test_requests_one_after_the_other_do_not_touch_each_other(kind: type[Server]) -> None:
    """In one thread and one context."""
    stock = Downstream(base_timeout=7.0)
    server = kind(stock.call)
    for headers in ({TIMEOUT: "2000", ABOVE: "true"}, {}, {TIMEOUT: "3000"}):
        server.request(headers)
    assert stock.sent(TIMEOUT) == ["2000", "7000", "3000"]
    assert (AMBIENT_DEADLINE.get(), current_scope()) == (None, None)


def test_requests_on_one_loop_do_not_touch_each_other() -> None:
    """Each is handled in a task of its own, and its call has its own time."""
    stock = Downstream(base_timeout=7.0)
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    server = AsgiServer(lambda: stock.client.get(f"https://stock.internal/{name.get()}"))

    async def request(own: str, headers: list[tuple[str, str]]) -> None:
        name.set(own)
        await server.request_async(headers)

    async def main() -> None:
        await asyncio.gather(
            request("a", [(TIMEOUT, "2000")]), request("b", []), request("c", [(TIMEOUT, "3000")])
        )

    asyncio.run(main())
    sent = {exchange.request.url[-1]: exchange.request.headers[TIMEOUT] for exchange in stock.network.sent}
    assert sent == {"a": "2000", "b": "7000", "c": "3000"}


def test_a_thread_with_the_context_of_the_handling_has_its_deadline() -> None:
    """As the thread pools of ASGI frameworks run plain functions."""
    stock = Downstream()

    def handle() -> None:
        thread = threading.Thread(target=contextvars.copy_context().run, args=(stock.call,))
        thread.start()
        thread.join()

    AsgiServer(handle).request({TIMEOUT: "2000"})
    assert stock.sent(TIMEOUT) == ["2000"]


def test_a_repeated_header_counts_for_nothing() -> None:
    """Nobody knows which of them was meant; WSGI servers join them to an invalid value."""
    stock = Downstream(base_timeout=7.0)
    asyncio.run(AsgiServer(stock.call).request_async([(TIMEOUT, "1000"), (TIMEOUT, "2000")]))
    assert stock.sent(TIMEOUT) == ["7000"]


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_pass_through(kind: str) -> None:
    """They are no requests that somebody waits for."""
    stock = Downstream(base_timeout=7.0)
    asyncio.run(AsgiServer(stock.call).request_async([(TIMEOUT, "1000")], kind))
    assert stock.sent(TIMEOUT) == ["7000"]


@pytest.mark.parametrize("kind", ["http.response.pathsend", "http.response.body"])
@pytest.mark.parametrize("is_gone", [False, True], ids=["sent", "the caller is gone"])
def test_the_last_message_ends_the_limits(kind: str, is_gone: bool) -> None:
    """Also where the server sends a file by itself, or fails to send since nobody is there any more."""
    inside: list[bool] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in ({"type": "http.response.start", "status": 200}, {"type": kind}):
            inside.append(remaining(time.monotonic, AMBIENT_DEADLINE.get()) is not None)
            with contextlib.suppress(OSError):
                await send(message)
        inside.append(remaining(time.monotonic, AMBIENT_DEADLINE.get()) is not None)

    async def send(message: Any) -> None:
        if is_gone and message["type"] == kind:
            raise OSError

    scope = {"type": "http", "headers": [(b"x-request-timeout-ms", b"2000")]}
    asyncio.run(asgi.DeadlineMiddleware(application)(scope, None, send))
    assert inside == [True, True, False]


def test_a_generator_of_wsgi_runs_inside_from_its_first_line() -> None:
    """An application may itself be a generator function, which begins when its body is read."""
    stock = Downstream()

    def application(environ: Any, start_response: Any) -> Any:
        stock.call()
        start_response("200 OK", [])
        yield b""

    body: Any = DeadlineMiddleware(application)({"HTTP_X_REQUEST_TIMEOUT_MS": "2000"}, lambda *about: None)
    assert list(body) == [b""]  # a careless server closes nothing
    assert stock.sent(TIMEOUT) == ["2000"]
    assert AMBIENT_DEADLINE.get() is None


def test_a_body_that_is_complete_is_returned_as_it_is() -> None:
    """Servers send a list, a tuple and a file in ways of their own."""

    class Wrapper:
        def __iter__(self) -> Any:
            return iter([b"file"])

    for body in ([b"x"], (b"x",), Wrapper()):
        app = DeadlineMiddleware(lambda environ, start, body=body: body)  # type: ignore[misc]
        environ = {"HTTP_X_REQUEST_TIMEOUT_MS": "2000", "wsgi.file_wrapper": Wrapper}
        assert app(environ, None) is body
        assert AMBIENT_DEADLINE.get() is None


def test_a_body_that_a_server_abandons_is_closed() -> None:
    """The client went away after the first piece: the generator ends, and the limits with it."""
    closed = []

    def pieces() -> Any:
        try:
            yield b"1"
            yield b"2"
        finally:
            closed.append(AMBIENT_DEADLINE.get())

    app = DeadlineMiddleware(lambda environ, start_response: pieces())
    body: Any = app({"HTTP_X_REQUEST_TIMEOUT_MS": "2000"}, None)
    assert next(body) == b"1"
    body.close()
    assert closed == [None]


def test_a_body_that_is_closed_in_another_context_ends_the_limits_all_the_same() -> None:
    """Some servers close it in another thread."""
    stock = Downstream(base_timeout=7.0)

    def run() -> None:
        body: Any = WsgiServer(lambda: None).app({"HTTP_X_REQUEST_TIMEOUT_MS": "2000"}, lambda *about: None)
        thread = threading.Thread(target=body.close)
        thread.start()
        thread.join()
        stock.call()

    contextvars.Context().run(run)
    assert stock.sent(TIMEOUT) == ["7000"]


def test_names_of_ones_own_are_read() -> None:
    """Those that the services of one house agreed on."""
    stock = Downstream(base_timeout=7.0)
    server = AsgiServer(stock.call, propagation=Propagation(deadline="grpc-timeout", retried_above=None))
    server.request({"grpc-timeout": "3S", TIMEOUT: "1000", ABOVE: "true"})
    assert stock.sent(TIMEOUT) == ["3000"]


@BOTH
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("propagation", "X-T"),
        ("max_timeout", 0),
        ("max_timeout", float("inf")),
        ("reserve", -1),
        ("reserve", None),
        ("reject_spent", 1),
    ],
)
def test_wrong_settings_are_refused_when_the_middleware_is_made(
    kind: type[Server], field: str, value: Any
) -> None:
    """By the name of the setting."""
    with pytest.raises(ConfigurationError, match=rf"\b{field}\b"):
        kind(lambda: None, **{field: value})


@pytest.mark.parametrize("module", [asgi, wsgi])
def test_an_unknown_keyword_has_a_remedy(module: Any) -> None:
    """The limit of a request has several names elsewhere."""
    with pytest.raises(
        TypeError, match="DeadlineMiddleware takes no keyword 'timeout'; it is called max_timeout"
    ):
        module.DeadlineMiddleware(lambda: None, timeout=3.0)


@pytest.mark.parametrize("module", [asgi, wsgi])
def test_what_is_no_application_is_refused(module: Any) -> None:
    """When the middleware is made, and not by the first request."""
    with pytest.raises(ConfigurationError, match="app must be an application, not 'orders:app'"):
        module.DeadlineMiddleware("orders:app")


def test_an_asgi_application_is_no_wsgi_application() -> None:
    """Its coroutine would be the response's body."""

    class Application:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    for app in (Application(), Application().__call__):
        asgi.DeadlineMiddleware(app)
        with pytest.raises(ConfigurationError, match=r"use the DeadlineMiddleware of integrations\.asgi"):
            wsgi.DeadlineMiddleware(app)
