"""Copies of a response: complete, independent, and without secrets where that is asked for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse
from http_service_client.events import Timeline


def test_a_copy_of_a_response_is_independent_and_knows_its_story() -> None:
    """Its headers may be changed, and those of the other stay."""
    response = HttpResponse(201, headers={"A": "1"}, content=b"x", url="https://h.test/")
    response.attempts = 3
    for twin, content in ((copy.copy(response), b"x"), (response.redacted(), b"")):
        assert (twin.status_code, twin.content) == (201, content)
        assert (twin.url, twin.attempts) == ("https://h.test/", 3)
        twin.headers["A"] = "2"
    assert response.headers["A"] == "1"


def test_what_a_listener_sees_of_a_response_has_the_request_that_was_sent() -> None:
    """And headers of its own."""
    response, request = HttpResponse(200, headers={"A": "1"}), HttpRequest("GET", "https://h.test/")
    seen = response.observed(request)
    seen.headers["A"] = "2"
    assert (seen.request, response.request, response.headers["A"]) == (request, None, "1")


def told() -> HttpResponse:
    """A response of which everything is known, with a secret in each place that may have one."""
    secret = "https://h.test/?api_key=secret"
    request = HttpRequest(
        "POST", secret, headers={"Authorization": "Bearer secret", "A": "1"}, content=b"secret"
    )
    first = HttpResponse(303, headers={"Set-Cookie": "s=secret"}, url=secret)
    response = HttpResponse(
        201,
        headers={"Set-Cookie": "s=secret", "A": "1"},
        content=b"secret",
        reason_phrase="Created",
        url=secret,
        request=request,
        elapsed=1.5,
        history=(first,),
        http_version="HTTP/2",
    )
    response.attempts, response.timeline, response.data = 3, Timeline(), "secret"
    return response


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_has_all_that_is_known(how: Callable[[HttpResponse], HttpResponse]) -> None:
    """Each attribute has the same value."""
    response = told()
    twin = how(response)
    for name in (
        "status_code",
        "content",
        "text",
        "reason_phrase",
        "url",
        "elapsed",
        "http_version",
        "attempts",
    ):
        assert getattr(twin, name) == getattr(response, name), name
    assert (twin.data, twin.timeline, twin.headers) == ("secret", response.timeline, response.headers)
    assert [each.status_code for each in twin.history] == [303]
    assert twin.request is not None
    assert twin.request.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "how",
    [HttpResponse.redacted, lambda response: pickle.loads(pickle.dumps(response))],
    ids=["redacted", "pickle"],
)
def test_a_response_without_secrets_has_all_else(how: Callable[[HttpResponse], HttpResponse]) -> None:
    """Its headers, URLs and request are without them. A pickle has the body, a redacted copy has not."""
    twin = how(told())
    assert (twin.status_code, twin.reason_phrase, twin.elapsed, twin.http_version) == (
        201,
        "Created",
        1.5,
        "HTTP/2",
    )
    assert (twin.attempts, twin.timeline) == (3, Timeline())
    (first,) = twin.history
    assert twin.request is not None
    for each in (twin, first, twin.request):
        assert each.url == "https://h.test/?api_key=***"
    assert (twin.headers["A"], twin.request.headers["A"], twin.request.method) == ("1", "1", "POST")
    for value in (
        twin.headers["Set-Cookie"],
        first.headers["Set-Cookie"],
        twin.request.headers["Authorization"],
    ):
        assert "secret" not in value
    is_pickle = how is not HttpResponse.redacted
    assert (twin.content, twin.data) == ((b"secret", "secret") if is_pickle else (b"", None))


def test_a_deep_copy_shares_nothing_that_changes() -> None:
    """And what a listener changes is its own."""
    response: HttpResponse[Any] = HttpResponse(200, headers={"X-Own": "1"})
    response.data = [[1]]
    copied = copy.deepcopy(response)
    copied.data[0].append(2)
    assert response.data == [[1]]
    assert response.headers["X-Own"] == "1"
    response.observed(HttpRequest("GET", "https://h/")).headers["X-Own"] = "2"
    assert response.headers["X-Own"] == "1"
