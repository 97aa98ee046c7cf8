"""A request that another library sends itself, as the layers see it."""

from __future__ import annotations

import copy
import pickle

import pytest

from http_service_client import HttpRequest, HttpResponse, Timeout
from http_service_client.core.effects import Outcome
from http_service_client.http.headers import Headers
from http_service_client.transports import adapted_requests
from http_service_client.transports.adapted_requests import ForeignRequest
from kit.front_ends import run_task
from kit.rows import each_row

URL = "https://api.test/a"
TIMEOUT = Timeout(total=5.0)


class Request(ForeignRequest):
    """It notes the timeouts, and holds what belongs to its library."""

    __slots__ = ("native", "timeouts")

    def __init__(self, **options: bool) -> None:
        super().__init__("POST", URL, Headers({"X-Id": "1"}), b"abc", **options)
        self.native = lambda: "a connection"
        self.timeouts: list[Timeout] = []

    def exchange(self, timeout: Timeout) -> Outcome:
        self.timeouts.append(timeout)
        return HttpResponse(200)

    async def exchange_async(self, timeout: Timeout) -> Outcome:
        self.timeouts.append(timeout)
        return HttpResponse(202)


def test_it_sends_itself() -> None:
    """Within the timeout of the attempt, on a thread or in a task."""
    request = Request()
    sent = adapted_requests.send(request, TIMEOUT)
    assert isinstance(sent, HttpResponse)
    assert sent.status_code == 200
    sent = run_task(adapted_requests.send_async(request, TIMEOUT))
    assert isinstance(sent, HttpResponse)
    assert sent.status_code == 202
    assert request.timeouts == [TIMEOUT, TIMEOUT]


def test_it_has_what_the_layers_ask() -> None:
    """Method, URL, header fields and body; whether its library can send it once more."""
    request = Request(idempotent=True)
    assert (request.method, request.url, request.headers["X-Id"]) == ("POST", URL, "1")
    assert (request.content, request.idempotent) == (b"abc", True)
    assert [each.body.is_replayable for each in (request, Request(is_replayable=False))] == [True, False]
    assert ForeignRequest("GET", URL, Headers()).content == b""


def test_one_that_cannot_send_itself_says_so() -> None:
    """An adapter has each way of its library, or the one that there is."""
    request = ForeignRequest("GET", URL, Headers())
    with pytest.raises(NotImplementedError):
        adapted_requests.send(request, TIMEOUT)
    with pytest.raises(NotImplementedError):
        run_task(adapted_requests.send_async(request, TIMEOUT))


@each_row("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_pickled_without_what_belongs_to_its_library(protocol: int) -> None:
    """An error that has it reaches another process as any other."""
    for twin in (pickle.loads(pickle.dumps(Request(), protocol)), copy.copy(Request())):
        assert type(twin) is HttpRequest
        assert (twin.method, twin.url, twin.headers["X-Id"]) == ("POST", URL, "1")
