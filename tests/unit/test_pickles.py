"""A pickle has no credential of a call, whatever it is of; a copy in this process has them all."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import Headers, HttpClientConfig, HttpRequest, HttpResponse, HttpStatusError
from http_service_client.errors import Failure, HttpClientError, SentState, TooManyRedirectsError
from http_service_client.testing import LoopbackServer, respond
from kit.fakes import RESET, Harness
from kit.front_ends import FrontEnd

SECRET = "s3cret"
REQUEST: dict[str, Any] = {
    "headers": {"X-Api-Key": SECRET, "X-Partner": SECRET, "Referer": f"https://h/?token={SECRET}"},
    "params": {"api_key": SECRET},
    "cookies": {"session": SECRET},
    "auth": ("joe", SECRET),
    "json": {"order": 1},
}
ANSWERED = {
    "Set-Cookie": f"a={SECRET}",
    "X-Session-Token": SECRET,
    "X-Partner": SECRET,
    "Location": f"/next?token={SECRET}",
}
SETTINGS: dict[str, Any] = {"sensitive_headers": ["X-Partner"], "enable_retry_policy": False}

copies = pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])


def secrets_in(thing: object) -> list[str]:
    """The credentials of the calls below that are in the thing's pickle, in any protocol."""
    pickles = [pickle.dumps(thing, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    return [each for each in (SECRET, "am9lOnMzY3JldA==") if any(each.encode() in data for data in pickles)]


def respond_to(front_end: FrontEnd) -> HttpResponse:
    return Harness(front_end, (307, ANSWERED), (200, ANSWERED), **SETTINGS).request("POST", **REQUEST)


def test_a_pickled_response_holds_no_credential(front_end: FrontEnd) -> None:
    """Nor do its request, its history and its timeline; all else of it is there, its body too."""
    response = respond_to(front_end)
    response.content = b"body"
    assert secrets_in(response) == []
    twin = pickle.loads(pickle.dumps(response))
    assert (twin.status_code, twin.content, twin.attempts, twin.elapsed) == (
        200,
        b"body",
        1,
        response.elapsed,
    )
    assert (twin.url, twin.headers) == (
        "https://api.example.com/next?token=***",
        response.headers.redacted(),
    )
    assert twin.request.content == b'{"order":1}'
    assert twin.timeline == response.timeline
    assert [hop.status_code for hop in twin.history] == [307]


@pytest.mark.parametrize(
    "outcome", [RESET, (503, ANSWERED), (307, ANSWERED)], ids=["reset", "status", "redirects"]
)
def test_a_pickled_error_holds_no_credential(front_end: FrontEnd, outcome: Any) -> None:
    """Nor do its request and its response. It says the same."""
    with pytest.raises(HttpClientError) as raised:
        Harness(front_end, outcome, **SETTINGS).request("POST", **REQUEST).raise_for_status()
    error = raised.value
    assert secrets_in(error) == []
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin), twin.explain()) == (type(error), str(error), error.explain())
    assert twin.request.headers["Authorization"] == "***"


def test_a_pickled_failure_of_an_audit_holds_no_credential(front_end: FrontEnd) -> None:
    """It can be pickled, with its details."""
    response = respond_to(front_end)
    failure = Failure(TooManyRedirectsError, "too many", SentState.ANSWERED, details={"response": response})
    assert secrets_in(failure) == []
    assert pickle.loads(pickle.dumps(failure)).details["response"].status_code == 200


def test_a_pickled_stream_holds_no_credential(front_end: FrontEnd) -> None:
    """Neither the response that is read, nor the head that an audit sees."""
    heads: list[Any] = []
    with (
        LoopbackServer() as server,
        front_end.client(on_exchange=lambda _, outcome, __: heads.append(outcome)) as client,
    ):
        server.script("/", respond(headers={"Set-Cookie": f"a={SECRET}"}, body=b"x"))
        with front_end.stream(client, "GET", f"{server.url}/?token={SECRET}", auth=SECRET) as response:
            stream = getattr(response, "_response", response)
            assert secrets_in(stream) == secrets_in(heads[0]) == []
            assert stream.url.endswith(SECRET)
            twin = copy.copy(stream)
            assert (twin.url, twin.headers["Set-Cookie"]) == (stream.url, f"a={SECRET}")


@copies
def test_a_copy_in_this_process_is_whole(front_end: FrontEnd, copied: Callable[[Any], Any]) -> None:
    """`copy` and `deepcopy` go through the same protocol as a pickle, and keep what a pickle leaves out."""
    response = respond_to(front_end)
    twin = copied(response)
    for one, other in ((response, twin), (response.request, twin.request)):
        assert (one.url, one.headers) == (other.url, other.headers)
    error = HttpStatusError("no", request=response.request, response=response)
    assert copied(error).request.headers["Authorization"] == response.request.headers["Authorization"]  # type: ignore[union-attr]
    twin.headers["X-Page"] = twin.request.headers["X-Page"] = "1"
    if copied is copy.deepcopy:
        assert "X-Page" not in response.headers
    assert copied(Headers({"Authorization": SECRET}))["Authorization"] == SECRET


@copies
def test_a_copied_request_is_independent(copied: Callable[[Any], Any]) -> None:
    """Its headers and its JSON are its own."""
    request = HttpRequest("POST", "https://h/", json={"a": [1]}, headers={"Authorization": SECRET})
    twin = copied(request)
    twin.headers["Authorization"] = "other"
    twin.json["a"].append(2)
    assert (request.headers["Authorization"], request.content) == (SECRET, b'{"a":[1]}')


def test_a_request_keeps_its_credentials_in_a_pickle_if_its_owner_says_so() -> None:
    """Its URL and those of its headers, with the settings by which a log knows them."""
    request = HttpRequest("GET", f"https://h/?token={SECRET}", headers={"Authorization": SECRET})
    assert secrets_in(request) == []
    request.pickles_secrets = True
    twin = pickle.loads(pickle.dumps(request))
    assert (twin.url, twin.headers, twin.pickles_secrets) == (request.url, request.headers, True)


def test_settings_are_pickled_whole() -> None:
    """A worker that makes a client of them must be able to log in."""
    config = HttpClientConfig(default_headers=Headers({"Authorization": SECRET}))
    twin = pickle.loads(pickle.dumps(config))
    assert twin == config
    assert twin.resolved.headers["Authorization"] == SECRET
