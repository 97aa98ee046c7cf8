"""`client.send(request)`: a dead letter is sent as a call, with its own key and the client's credentials."""

from __future__ import annotations

import io
import pickle
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    ConstantBackoff,
    Headers,
    HttpRequest,
    HttpResponse,
    InvalidRequestError,
    RetryPolicy,
)
from http_service_client.auth import Bearer
from http_service_client.testing import ScriptedTransport
from kit.fakes import REFUSED, RESET, URL, Harness
from kit.front_ends import FrontEnd


def letter(
    front_end: FrontEnd, *, is_pickled: bool = True, settings: Any = None, **options: Any
) -> HttpRequest:
    """The request of a POST that failed."""
    harness = Harness(front_end, RESET, auto_idempotency_key=True, **(settings or {}))
    request: HttpRequest = harness.error(ConnectionLostError, "POST", retry_policy=False, **options).request
    return pickle.loads(pickle.dumps(request)) if is_pickled else request


def sent(front_end: FrontEnd, request: HttpRequest, *script: Any, **settings: Any) -> Harness:
    """Send it by a new client."""
    harness = Harness(front_end, *script, **settings)
    front_end.send(harness.client, request)
    return harness


@pytest.mark.parametrize(
    ("body", "is_pickled"),
    [
        ({"json": {"order": 1}}, True),
        ({"json": {"order": 1}}, False),
        ({"data": {"a": "b"}}, True),
        ({"data": "é"}, True),
        ({"files": {"f": b"x"}}, True),
        ({"files": {"f": b"x"}}, False),
        ({"data": io.BytesIO(b"x")}, False),
    ],
    ids=["json pickled", "json", "form pickled", "text pickled", "multipart pickled", "multipart", "file"],
)
def test_the_same_request_is_sent(front_end: FrontEnd, is_pickled: bool, body: Any) -> None:
    """Method, URL, headers, key and bytes; its policies are the client's."""
    first = Harness(front_end, RESET, auto_idempotency_key=True)
    request = first.error(ConnectionLostError, "POST", retry_policy=False, params={"at": 1}, **body).request
    if is_pickled:
        request = pickle.loads(pickle.dumps(request))
    again = sent(
        front_end, request, 503, REFUSED, 201, retry_policy_config=RetryPolicy(3, ConstantBackoff(0.1))
    )
    original = first.transport.sent[0]
    for repeated in again.transport.sent:
        assert (repeated.method, repeated.url) == ("POST", f"{URL}?at=1")
        assert repeated.headers.multi_items() == original.headers.multi_items()
    assert again.transport.bodies == [first.transport.bodies[0], None, first.transport.bodies[0]]
    assert again.transport.sent[0].headers["Idempotency-Key"] == request.headers["Idempotency-Key"]


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": "fresh"},
        {"default_headers": {"Authorization": "Bearer fresh"}},
        {"request_interceptors": ["sets it"]},
        {"request_signers": ["sets it"]},
        {"auth": Bearer(lambda: "fresh")},
    ],
    ids=["auth", "default header", "interceptor", "signer", "flow"],
)
def test_the_client_puts_its_credentials_back(front_end: FrontEnd, settings: Any) -> None:
    """In place of those that stayed behind, wherever they come from."""

    class Login:
        def intercept_request(self, request: HttpRequest, context: object) -> HttpRequest:
            request.headers["Authorization"] = "Bearer fresh"
            return request

        def sign_request(self, request: HttpRequest, context: object) -> None:
            request.headers["Authorization"] = "Bearer fresh"

    settings = {name: [Login()] if value == ["sets it"] else value for name, value in settings.items()}
    request = letter(front_end, auth="old")
    assert request.headers["Authorization"] == "***"
    (repeated,) = sent(front_end, request, 200, **settings).transport.sent
    assert repeated.headers["Authorization"] == "Bearer fresh"


def test_a_missing_credential_is_an_error(front_end: FrontEnd) -> None:
    """Without it, the server would see an anonymous request; `***` is never sent."""
    request = letter(front_end, headers={"X-Api-Key": "old"}, auth="old")
    harness = Harness(front_end, 200)
    with pytest.raises(InvalidRequestError, match=r"X-Api-Key stayed .* set request.headers\['X-Api-Key'\]"):
        front_end.send(harness.client, request, auth="fresh")
    request.headers["X-Api-Key"] = "fresh"
    with pytest.raises(
        InvalidRequestError, match="request's Authorization stayed behind when it was pickled"
    ):
        front_end.send(harness.client, request)
    front_end.send(harness.client, request, auth="fresh")
    (repeated,) = harness.transport.sent
    assert (repeated.headers["Authorization"], repeated.headers["X-Api-Key"]) == ("Bearer fresh", "fresh")


def test_the_cookies_of_the_jar_take_the_place_of_old_ones(front_end: FrontEnd) -> None:
    """Without a jar, the client has none to set. No jar has another credential."""
    other = letter(front_end, cookies={"session": "old"}, headers={"X-Api-Key": "old"})
    with pytest.raises(InvalidRequestError, match="request's X-Api-Key stayed behind"):
        sent(front_end, other, 200, cookies=True)
    request = letter(front_end, cookies={"session": "old"})
    sent(front_end, request, 200, cookies=True)
    with pytest.raises(InvalidRequestError, match="request's Cookie stayed behind"):
        sent(front_end, request, 200)


def test_credentials_may_be_kept(front_end: FrontEnd) -> None:
    """If their owner says so, also over a second pickle."""
    request = letter(front_end, is_pickled=False, params={"token": "old"}, auth="old")
    request.pickles_secrets = True
    request = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(request))))
    (repeated,) = sent(front_end, request, 200, auth="other").transport.sent
    assert repeated.headers["Authorization"] == "Bearer old"
    assert repeated.url == f"{URL}?token=old"


def test_a_url_without_its_secret_is_an_error(front_end: FrontEnd) -> None:
    """It is set again, and nothing was sent."""
    request = letter(front_end, params={"token": "old"})
    with pytest.raises(InvalidRequestError, match=r"token=\*\*\* has \*\*\* for a secret"):
        sent(front_end, request, 200)
    request.url = f"{URL}?token=fresh"
    assert sent(front_end, request, 200).sends == 1


@pytest.mark.parametrize("is_pickled", [True, False])
def test_a_stream_that_was_read_is_an_error(front_end: FrontEnd, is_pickled: bool) -> None:
    """An empty body in its place would be another request."""
    request = letter(front_end, data=iter([b"x"]), is_pickled=is_pickled)
    assert request.content is None
    with pytest.raises(InvalidRequestError, match=r"the body of POST .*/charges was a stream"):
        sent(front_end, request, 200)
    request.content = b"x"
    assert sent(front_end, request, 200).transport.bodies == [b"x"]


def test_a_request_of_another_origin_gets_no_credentials(front_end: FrontEnd) -> None:
    """A redirect led it there; the caller may give it some."""
    kept: list[HttpRequest] = []
    harness = Harness(
        front_end,
        (307, {"Location": "https://other.example.com/"}),
        200,
        on_exchange=lambda request, outcome, context: kept.append(request),
        auth="secret",
        default_headers={"X-Api-Key": "secret"},
    )
    harness.request("PUT", data=b"x")
    hop = pickle.loads(pickle.dumps(kept[1]))
    harness.transport.sent.clear()
    front_end.send(harness.client, hop)
    front_end.send(harness.client, hop, auth="theirs")
    first, second = harness.transport.sent
    assert "secret" not in str(first.headers.multi_items() + second.headers.multi_items())
    assert "Authorization" not in first.headers
    assert second.headers["Authorization"] == "Bearer theirs"


def test_its_keywords_are_those_of_a_call(front_end: FrontEnd) -> None:
    """But for those of what the request has already."""
    harness = Harness(front_end, 200)
    request = HttpRequest("post", "/charges", headers=Headers(), data="x")
    client = harness.client.with_options(base_url="https://api.example.com")
    response = front_end.send(
        client, request, name="charge card", timeout=2, idempotent=True, retry_policy=False
    )
    assert response.timeline is not None
    assert response.timeline[-1].call_name == "charge card"
    assert harness.transport.timeouts[0].total == 2
    (repeated,) = harness.transport.sent
    assert (repeated.method, repeated.url, repeated.is_safe_to_repeat) == ("POST", URL, True)
    assert request.url == "/charges"
    with pytest.raises(TypeError, match="send takes no keyword 'json'; change the request before"):
        front_end.send(client, request, json={})
    with pytest.raises(TypeError, match="a call takes no keyword 'retries'"):
        front_end.send(client, request, retries=1)
    with pytest.raises(
        InvalidRequestError, match=r"send takes an HttpRequest, such as error\.request, not str"
    ):
        front_end.send(client, URL)


def test_a_redacted_value_is_never_sent(front_end: FrontEnd) -> None:
    """Sending a kept request by hand would use *** as its credential. A public header may have that value."""
    request = letter(front_end, auth="old")
    harness = Harness(front_end, 200)
    with pytest.raises(
        InvalidRequestError, match=r"header Authorization is \*\*\*, .* use client\.send\(request\)"
    ):
        harness.request(request.method, request.url, headers=request.headers)
    with pytest.raises(InvalidRequestError, match=r"header X-Api-Key is \*\*\*"):
        harness.request(headers={"X-Api-Key": "***"})
    harness.request(headers={"X-Rating": "***", "X-Api-Key": "k"})
    assert harness.sends == 1


def test_the_length_is_that_of_the_body_as_it_is_now(front_end: FrontEnd) -> None:
    """A request that another process has kept may say its own."""
    request = HttpRequest("POST", URL, headers={"Content-Length": "3"}, content=b"longer than that")
    (repeated,) = sent(front_end, request, 200).transport.sent
    assert [value for name, value in repeated.headers.multi_items() if name == "Content-Length"] == ["16"]
    assert repeated.content == b"longer than that"


def test_the_auth_of_the_call_takes_the_place_of_what_was_kept(front_end: FrontEnd) -> None:
    """Of a header that was pickled with its secret, too."""
    request = letter(front_end, is_pickled=False, auth="old")
    harness = Harness(front_end, 200)
    front_end.send(harness.client, request, auth="new")
    assert harness.transport.sent[-1].headers["Authorization"] == "Bearer new"


def test_a_public_header_is_sent_as_it_was_kept(front_end: FrontEnd) -> None:
    """Whatever it looks like."""
    request = letter(front_end, headers={"X-Rating": "***"})
    (repeated,) = sent(front_end, request, 200).transport.sent
    assert repeated.headers["X-Rating"] == "***"


def test_a_kept_request_reports_no_progress_to_its_first_caller(front_end: FrontEnd) -> None:
    """Who is no longer there; another caller may ask for its own."""
    first: list[Any] = []
    again: list[Any] = []
    request = letter(front_end, is_pickled=False, data=b"abc", progress=lambda *at: first.append(at))
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    front_end.send(client, request)
    front_end.send(client, request, progress=lambda *at: again.append(at))
    assert (first, again) == ([], [(0, 3), (3, 3)])
