"""What is left of the limits of a request before, in and after its handling."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from http_service_client import HttpServiceClient, deadline
from http_service_client.core.deadline import AMBIENT_DEADLINE, remaining
from http_service_client.core.nesting import current_scope
from http_service_client.integrations import asgi, wsgi
from http_service_client.integrations.inbound import InboundLimits, InboundRequest
from kit.inbound import SERVERS, Server

TIMEOUT, ABOVE = "X-Request-Timeout-Ms", "X-Request-Retried-Above"
BOTH = pytest.mark.parametrize("kind", SERVERS)


def limits(**settings: Any) -> InboundLimits:
    defaults = {"propagation": None, "max_timeout": None, "reserve": 0.0, "reject_spent": True}
    return InboundLimits(**defaults | settings)


def left() -> float | None:
    """Seconds of the system's clock until the deadline around this code."""
    return remaining(time.monotonic, AMBIENT_DEADLINE.get())


def test_a_request_has_the_seconds_that_its_caller_allows() -> None:
    """By the clock of the system, until it has been handled."""
    request = limits().begin(lambda name: "60000" if name == TIMEOUT.lower() else None)
    assert request is not None
    assert left() == pytest.approx(60.0, abs=5.0)
    request.leave()
    assert left() is None


@BOTH
def test_a_request_with_a_little_time_left_is_handled(kind: type[Server]) -> None:
    """However little."""
    ran: list[int] = []
    assert kind(lambda: ran.append(1)).request({TIMEOUT: "300"}) == 200
    assert kind(lambda: ran.append(2), reserve=0.25).request({TIMEOUT: "300"}) == 200
    assert ran == [1, 2]


def test_what_is_left_twice_is_left_once() -> None:
    """A server may close a body that has been iterated to its end."""
    with deadline(5.0):
        outer = AMBIENT_DEADLINE.get()
        request = InboundRequest(1.0, 2, True)
        scope = current_scope()
        assert scope is not None
        for _ in range(2):
            request.leave()
            assert AMBIENT_DEADLINE.get() is outer
            assert current_scope() is None
            assert scope.has_ended


def test_requests_that_begin_others_make_no_chain() -> None:
    """As where each starts the task of the next, which would grow for ever."""
    requests = []
    for _ in range(3):
        requests.append(InboundRequest(60.0, 1, False))
        requests[-1].end()
    last = AMBIENT_DEADLINE.get()
    assert last is not None
    assert last.outer is None
    outer, inner = InboundRequest(60.0, 1, False), InboundRequest(60.0, 1, False)
    held = AMBIENT_DEADLINE.get()
    assert held is not None
    outer.end()
    inner.end()
    assert held.outer is None
    AMBIENT_DEADLINE.set(None)


def test_an_asgi_application_that_fails_leaves_no_limits_behind() -> None:
    """In the task that called it, such as that of another middleware."""

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        assert left() == pytest.approx(60.0, abs=5.0)
        raise ZeroDivisionError

    async def main() -> None:
        app = asgi.DeadlineMiddleware(broken)
        headers = [(TIMEOUT.lower().encode(), b"60000"), (ABOVE.lower().encode(), b"1")]
        with pytest.raises(ZeroDivisionError):
            await app({"type": "http", "headers": headers}, None, print)  # type: ignore[arg-type]
        assert left() is None
        assert current_scope() is None

    asyncio.run(main())


@BOTH
def test_the_record_of_an_invalid_header_has_its_name(
    kind: type[Server], caplog: pytest.LogCaptureFixture
) -> None:
    """And an event to look for; of the value 100 characters are quoted."""
    with caplog.at_level(logging.DEBUG, "http_service_client"):
        kind(lambda: None).request({TIMEOUT: "x" * 99 + "yz"})
    (record,) = [record for record in caplog.records if "is ignored" in record.getMessage()]
    assert record.name == "http_service_client.inbound"
    assert (vars(record)["http_event"], vars(record)["http_header"]) == ("inbound_header_ignored", TIMEOUT)
    assert record.getMessage() == (
        f"the inbound header {TIMEOUT} is ignored, since {'x' * 99 + 'y'!r} is not valid there"
    )


def test_a_repeated_header_is_one_list(caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110, 5.2: its values in their order, with commas; which is no valid number."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert left() is None

    async def main() -> None:
        name = TIMEOUT.lower().encode()
        headers = [(name, b"1000"), (b"accept", b"*/*"), (name, b"2000")]
        await asgi.DeadlineMiddleware(app)({"type": "http", "headers": headers}, None, print)  # type: ignore[arg-type]

    with caplog.at_level(logging.DEBUG, "http_service_client"):
        asyncio.run(main())
    assert "since '1000, 2000' is not valid there" in caplog.text


SPENT = b"the time that the caller allowed was spent before the request was handled\n"


def test_the_response_to_a_request_that_comes_too_late_is_complete() -> None:
    """By ASGI and by WSGI."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def main() -> None:
        scope = {"type": "http", "headers": [(TIMEOUT.lower().encode(), b"0")]}
        await asgi.DeadlineMiddleware(lambda *_: 1 / 0)(scope, None, send)  # type: ignore[arg-type]

    asyncio.run(main())
    length = len(SPENT)
    assert messages == [
        {
            "type": "http.response.start",
            "status": 504,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"%d" % length),
            ],
        },
        {"type": "http.response.body", "body": SPENT},
    ]
    started: list[Any] = []
    environ = {"HTTP_X_REQUEST_TIMEOUT_MS": "0"}
    body = wsgi.DeadlineMiddleware(lambda *_: 1 / 0)(environ, lambda *given: started.append(given))  # type: ignore[arg-type]
    assert list(body) == [SPENT]
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(length))]
    assert started == [("504 Gateway Timeout", headers)]


class FileWrapper:
    """As a WSGI server has it (PEP 3333)."""

    def __init__(self, file: Any) -> None:
        self.file = file


@pytest.mark.parametrize("wrapper", [None, FileWrapper, lambda file: file])
@pytest.mark.parametrize("is_file", [True, False])
def test_the_limits_of_a_body_that_a_server_sends_itself_are_over(wrapper: Any, is_file: bool) -> None:
    """A file that is wrapped as the server wants it is passed on; a generator may still make calls."""
    pieces = FileWrapper(None) if is_file else (b"%d" % (left() is not None) for _ in range(2))
    app = wsgi.DeadlineMiddleware(lambda environ, start_response: pieces)
    environ: dict[str, Any] = {"HTTP_X_REQUEST_TIMEOUT_MS": "60000"}
    if wrapper is not None:
        environ["wsgi.file_wrapper"] = wrapper
    body = app(environ, None)
    if is_file and wrapper is FileWrapper:
        assert body is pieces
        assert left() is None
        return
    assert body is not pieces
    if not is_file:
        assert [next(iter(body)), next(iter(body))] == [b"1", b"1"]
    body.close()
    assert left() is None


def test_a_wsgi_server_need_not_name_an_empty_path() -> None:
    """PEP 3333: `PATH_INFO` may be absent where the application is mounted, `SCRIPT_NAME` where it is not."""

    def status(**environ: str) -> str:
        started: list[Any] = []
        endpoint = wsgi.HealthEndpoint(HttpServiceClient(), path="/health")
        endpoint({"REQUEST_METHOD": "GET", **environ}, lambda *given: started.append(given))
        return str(started[0][0])

    assert status(SCRIPT_NAME="/health") == "200 OK"
    assert status(PATH_INFO="/health") == "200 OK"
    assert status() == "404 Not Found"
