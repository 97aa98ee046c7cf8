"""What is shown, logged or passed on of a call holds no secret: reprs, and the redacted form of what pickles."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from http_service_client import Headers, HttpRequest, HttpResponse
from http_service_client.auth import ApiKey, OAuth2ClientCredentials
from http_service_client.errors import HttpClientError, HttpStatusError, TokenError
from kit.fakes import RESET, Harness
from kit.front_ends import FrontEnd

SECRET = "s3cret"
REQUEST: dict[str, Any] = {
    "headers": {"X-Shopify-Access-Token": SECRET, "X-Partner-Id": SECRET, "X-Page-Key": "shown"},
    "params": {"api_key": SECRET, "page": "2"},
    "json": {"password": SECRET},
}
SETTINGS: dict[str, Any] = {"sensitive_headers": ["X-Partner-*"], "public_headers": ["x-page-key"]}
ANSWERED = {
    "X-Session-Token": SECRET,
    "X-Partner-Quota": SECRET,
    "Set-Cookie": f"a={SECRET}",
    "Location": f"https://joe:{SECRET}@example.com/?token={SECRET}",
    "X-Page-Key": "shown",
}


def test_reprs_of_headers_follow_the_settings_of_the_client(front_end: FrontEnd) -> None:
    """Of the request and of the response."""
    response = Harness(front_end, (200, ANSWERED), **SETTINGS).request(**REQUEST)
    assert response.request is not None
    for headers in (response.request.headers, response.headers):
        assert SECRET in headers.values()
        assert SECRET not in repr(headers)
        assert "'X-Page-Key': 'shown'" in repr(headers)


def test_headers_keep_the_settings_when_they_are_copied_or_pickled(front_end: FrontEnd) -> None:
    """A log in another process redacts the same values. A pickle has no others."""
    headers = Harness(front_end, (200, ANSWERED), **SETTINGS).request(**REQUEST).headers
    for twin in (
        headers.copy(),
        Headers(headers),
        headers.without({"x"}),
    ):
        assert twin == headers
        assert repr(twin) == repr(headers)
    pickled = pickle.loads(pickle.dumps(headers))
    assert pickled == headers.redacted()
    assert pickled.secret_names == headers.secret_names


def test_redacted_headers_are_headers(front_end: FrontEnd) -> None:
    """Repeated fields stay apart; nothing else changes."""
    headers = Headers([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Accept", "x"), ("Accept", "y")])
    redacted = headers.redacted()
    assert redacted.multi_items() == [
        ("Set-Cookie", "***"),
        ("Set-Cookie", "***"),
        ("Accept", "x"),
        ("Accept", "y"),
    ]
    assert headers["Set-Cookie"] == "a=1, b=2"


def test_a_redacted_response_holds_no_secret(front_end: FrontEnd) -> None:
    """Nor do its request and its history; it still says what happened."""
    script = [(307, {**ANSWERED, "Location": f"/next?token={SECRET}"}), (200, ANSWERED)]
    response = Harness(front_end, *script, **SETTINGS).request("POST", **REQUEST)
    redacted = response.redacted()
    assert SECRET not in str([redacted.url, redacted.headers.multi_items(), redacted.request])
    assert (redacted.status_code, redacted.attempts, redacted.elapsed) == (200, 1, response.elapsed)
    assert redacted.explain() == response.explain()
    assert [hop.status_code for hop in redacted.history] == [307]
    assert redacted.request is not None
    assert redacted.request.method == "POST"
    assert redacted.headers["X-Page-Key"] == redacted.request.headers["X-Page-Key"] == "shown"
    assert redacted.url.endswith("/next?token=***")


def test_a_redacted_response_has_no_body() -> None:
    """A body may hold secrets anywhere."""
    redacted = HttpResponse(
        200, json={"access_token": SECRET}, request=HttpRequest("GET", "http://h/")
    ).redacted()
    assert (redacted.content, redacted.data) == (b"", None)


@pytest.mark.parametrize("outcome", [RESET, (503, ANSWERED)], ids=["transport error", "status"])
def test_a_redacted_error_holds_no_secret(front_end: FrontEnd, outcome: Any) -> None:
    """It is of the same class and says the same."""
    harness = Harness(front_end, outcome, enable_retry_policy=False, **SETTINGS)
    with pytest.raises(HttpClientError) as raised:
        harness.request("POST", **REQUEST).raise_for_status()
    error = raised.value
    redacted = error.redacted()
    assert type(redacted) is type(error)
    assert SECRET.encode() in pickle.dumps(error)  # in the body
    assert SECRET.encode() not in pickle.dumps(redacted)
    assert (str(redacted), redacted.sent_state, redacted.explain()) == (
        str(error),
        error.sent_state,
        error.explain(),
    )
    assert redacted.request is not None
    assert error.request is not None
    assert redacted.request.content == b""
    assert error.request.content != b""


def test_a_redacted_error_keeps_what_else_it_says() -> None:
    """Such as the status; an error about no request has none afterwards either."""
    redacted = HttpStatusError("refused", status_code=401).redacted()
    assert (redacted.status_code, redacted.request, redacted.response) == (401, None, None)


@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("repeated", ["p@ss w+rd", "p%40ss+w%2Brd"])
def test_a_token_service_that_repeats_the_client_s_secret_does_not_show_it(
    front_end: FrontEnd, client_auth: str, repeated: str
) -> None:
    """Neither as it is nor as it was sent, form-encoded (RFC 6749, 2.3.1)."""
    login = OAuth2ClientCredentials(
        token_url="https://id.test/token",
        client_id="shop",
        client_secret="p@ss w+rd",
        client_auth=client_auth,
    )

    def refused(request: HttpRequest) -> HttpResponse:
        problem = {"error": "invalid_client", "error_description": f"the secret {repeated} is wrong"}
        return HttpResponse(401, json=problem, url=request.url, request=request)

    harness = Harness(front_end, refused, auth=login)
    with pytest.raises(TokenError, match=r"the secret \*\*\* is wrong") as raised:
        harness.request()
    assert repeated not in f"{raised.value.explain()} {raised.value.__cause__!r}"


def test_a_key_in_the_query_is_hidden_whatever_its_name(front_end: FrontEnd) -> None:
    """Also where the service repeats its value."""

    def refused(request: HttpRequest) -> HttpResponse:
        problem = {"detail": f"there is no customer {SECRET}"}
        return HttpResponse(403, json=problem, url=request.url, request=request)

    harness = Harness(front_end, refused, auth=ApiKey(SECRET, query="customer-1"))
    with pytest.raises(HttpStatusError, match=r"no customer \*\*\*") as raised:
        harness.request().raise_for_status()
    assert SECRET not in f"{raised.value} {raised.value.explain()}"
