"""Token requests of OAuth 2.0: what they send, and what is made of the responses."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
from typing import Any

import pytest

from http_service_client import ConfigurationError, SentState, TokenError
from http_service_client.auth import OAuth2Grant, OAuth2RefreshToken
from kit.fakes import READ_TIMEOUT, REFUSED
from kit.front_ends import FrontEnd
from kit.oauth2 import GOOD, form_of, grants, login, run, store_later
from kit.rows import each_row
from kit.token_services import TOKEN_URL


def test_a_request_for_client_credentials(front_end: FrontEnd) -> None:
    """The grant in the form, the client in the header (RFC 6749, 2.3.1 and 4.4.2)."""
    harness = run(front_end, login(scope=["read", "write"]), grants(GOOD))
    harness.request()
    request = harness.transport.sent[0]
    assert (request.method, request.headers["Accept"]) == ("POST", "application/json")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert form_of(harness) == {"grant_type": ["client_credentials"], "scope": ["read write"]}
    assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"shop:s3cret").decode()


@each_row("scope", ["read write", ["read", "write"], ("read", "write")], ids=repr)
def test_scopes_are_text_or_a_list(front_end: FrontEnd, scope: Any) -> None:
    """They are sent with spaces between them (RFC 6749, 3.3)."""
    harness = run(front_end, login(scope=scope), grants(GOOD))
    harness.request()
    assert form_of(harness)["scope"] == ["read write"]


def test_id_and_secret_are_form_encoded_before_they_are_joined(front_end: FrontEnd) -> None:
    """Else a colon in the id would end it (RFC 6749, 2.3.1)."""
    harness = run(front_end, login(client_id="a:b", client_secret="p q+%é"), grants(GOOD))
    harness.request()
    _, _, credentials = harness.transport.sent[0].headers["Authorization"].partition(" ")
    assert base64.b64decode(credentials) == b"a%3Ab:p+q%2B%25%C3%A9"


@each_row(
    ("method", "secret", "expected"),
    [
        ("client_secret_post", "s3cret", {"client_id": ["shop"], "client_secret": ["s3cret"]}),
        ("none", None, {"client_id": ["shop"]}),
        ("client_secret_basic", None, {"client_id": ["shop"]}),
    ],
)
def test_other_ways_to_identify_the_client(
    front_end: FrontEnd, method: str, secret: str | None, expected: dict[str, list[str]]
) -> None:
    """In the form, or the id alone for a public client."""
    harness = run(front_end, login(client_auth=method, client_secret=secret), grants(GOOD))
    harness.request()
    assert form_of(harness) == {"grant_type": ["client_credentials"], **expected}
    assert "Authorization" not in harness.transport.sent[0].headers


def test_more_parameters_of_the_form(front_end: FrontEnd) -> None:
    """Such as audience and resource, one or many (RFC 8707); a function returns them for each fetch."""
    for given in ({"resource": ["https://a", "https://b"]}, lambda: {"resource": ["https://a", "https://b"]}):
        harness = run(front_end, login(parameters=given), grants(GOOD))
        harness.request()
        assert form_of(harness)["resource"] == ["https://a", "https://b"]


@each_row("given", [None, 5, "audience=x", [("audience", "x")]], ids=repr)
def test_parameters_that_are_no_mapping_are_reported(front_end: FrontEnd, given: Any) -> None:
    """Nothing is sent without them."""
    harness = run(front_end, login(parameters=lambda: given), grants(GOOD))
    error = harness.error(TokenError)
    assert f"the function in parameters must return a mapping, not {type(given).__name__}" in str(error)
    assert harness.sends == 0


def test_the_function_of_the_parameters_has_a_timeout(front_end: FrontEnd) -> None:
    """That of the fetch. Nothing is sent without them."""

    async def hang() -> dict[str, str]:
        await asyncio.sleep(3600)
        return {}

    harness = run(front_end, login(parameters=hang, timeout=0.05), grants(GOOD))
    assert "the function in parameters took longer than 0.05 s" in str(harness.error(TokenError))
    assert harness.sends == 0


def test_an_async_function_may_return_the_parameters(front_end: FrontEnd) -> None:
    """A token exchange needs another token first (RFC 8693)."""

    async def subject() -> dict[str, str]:
        return {"subject_token": "user-token", "subject_token_type": "urn:x"}

    grant = "urn:ietf:params:oauth:grant-type:token-exchange"
    auth = OAuth2Grant(token_url=TOKEN_URL, client_id="shop", grant_type=grant, parameters=subject)
    harness = run(front_end, auth, grants(GOOD))
    harness.request()
    assert form_of(harness)["subject_token"] == ["user-token"]
    assert form_of(harness)["grant_type"] == [grant]


def test_a_private_key_may_prove_the_client(front_end: FrontEnd) -> None:
    """By authlib's methods (RFC 7523, 2.2): an assertion of its own for each fetch, and no secret."""
    rfc7523 = pytest.importorskip("authlib.oauth2.rfc7523", reason="an extra that is not installed here")
    from joserfc.jwk import ECKey

    method = rfc7523.PrivateKeyJWT(alg="ES256")
    auth = login(client_auth=method, client_secret=ECKey.generate_key("P-256"), parameters={"audience": "x"})
    harness = run(front_end, auth, grants({**GOOD, "expires_in": 100}), grants(GOOD))
    harness.request()
    harness.clock.now += 100
    harness.request()
    assert "Authorization" not in harness.transport.sent[0].headers
    assertions = []
    for number in (0, 2):
        form = form_of(harness, number)
        assert form["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
        assert (form["grant_type"], form["audience"]) == (["client_credentials"], ["x"])
        _, claims, _ = form["client_assertion"][0].split(".")
        members = json.loads(base64.urlsafe_b64decode(claims + "=="))
        assert (members["iss"], members["sub"], members["aud"]) == ("shop", "shop", TOKEN_URL)
        assertions.append(form["client_assertion"])
    assert assertions[0] != assertions[1]


def test_a_function_may_prove_the_client(front_end: FrontEnd) -> None:
    """It is given what authlib's methods are, and returns what is sent."""
    given: list[Any] = []

    def method(client: Any, verb: str, url: str, headers: dict[str, str], body: str) -> Any:
        given.append((client, verb, url, dict(headers), body))
        return url, {**headers, "X-Proof": "p"}, f"{body}&client_assertion=x"

    auth = login(client_auth=method, client_secret=None, scope="read")
    harness = run(front_end, auth, grants(GOOD))
    harness.request()
    form = "grant_type=client_credentials&scope=read"
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    assert given == [(auth, "POST", TOKEN_URL, headers, form)]
    sent = harness.transport.sent[0]
    assert (sent.method, sent.url, sent.headers["X-Proof"]) == ("POST", TOKEN_URL, "p")
    assert harness.transport.bodies[0] == f"{form}&client_assertion=x".encode()


def test_a_request_with_an_assertion_is_not_repeated(front_end: FrontEnd) -> None:
    """It may be valid once."""

    def method(client: Any, verb: str, url: str, headers: dict[str, str], body: str) -> Any:
        return url, headers, f"{body}&client_assertion=x"

    harness = run(front_end, login(client_auth=method), READ_TIMEOUT, grants(GOOD))
    harness.error(TokenError)
    assert harness.sends == 1


@each_row(
    ("members", "problem"),
    [
        ({}, "it answered 200 without an access_token"),
        ({"access_token": ""}, "without an access_token"),
        ({"access_token": 5}, "without an access_token"),
        (b"<html>", "without an access_token"),
        (b"[1]", "without an access_token"),
        (
            {"access_token": "t", "token_type": "mac"},
            "its token is of the type 'mac', and only Bearer can be sent",
        ),
        ({"access_token": "t", "token_type": 5}, "its token is of the type '5'"),
        ({"access_token": "t\nx: y"}, "its access_token has characters that no header may have"),
        ({"error": "bad_code"}, "it answered 200 with the error bad_code"),
    ],
)
def test_responses_that_grant_nothing(front_end: FrontEnd, members: Any, problem: str) -> None:
    """The error says what is wrong, and shows no token."""
    error = run(front_end, login(), grants(members)).error(TokenError)
    assert problem in str(error)
    assert error.sent_state is SentState.NEVER_SENT


@each_row("kind", ["Bearer", "bearer", "BEARER", None])
def test_the_token_type_is_read_without_regard_to_case(front_end: FrontEnd, kind: str | None) -> None:
    """RFC 6749, 5.1. Many services leave it out."""
    harness = run(front_end, login(), grants({"access_token": "t1", "token_type": kind}))
    assert harness.request().status_code == 200


def test_a_refresh_token_is_replaced_by_the_one_that_comes_with_the_token(front_end: FrontEnd) -> None:
    """Rotation: the old one is not used again, and the new one is stored by the user's function."""
    stored: list[str] = []
    auth = OAuth2RefreshToken(
        token_url=TOKEN_URL, client_id="app", refresh_token="r1", on_new_refresh_token=stored.append
    )
    harness = run(
        front_end,
        auth,
        grants({**GOOD, "expires_in": 100, "refresh_token": "r2"}),
        grants({**GOOD, "refresh_token": "r2"}),
    )
    harness.request()
    harness.clock.now += 100
    harness.request()
    assert form_of(harness) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["r1"],
        "client_id": ["app"],
    }
    assert form_of(harness, 2)["refresh_token"] == ["r2"]
    assert stored == ["r2"]
    again = OAuth2RefreshToken(
        token_url=TOKEN_URL,
        client_id="app",
        refresh_token="r1",
        on_new_refresh_token=auth.on_new_refresh_token,
    )
    assert (auth, hash(auth)) == (again, hash(again))  # a login stays the same key of a dictionary
    assert pickle.loads(pickle.dumps(auth)).refresh_token == "r2"


def test_a_refresh_token_that_no_other_replaces_is_used_again(front_end: FrontEnd) -> None:
    """A service need not give a new one (RFC 6749, 6). There is nothing to store then."""
    stored: list[str] = []
    auth = OAuth2RefreshToken(
        token_url=TOKEN_URL, client_id="app", refresh_token="r1", on_new_refresh_token=stored.append
    )
    harness = run(front_end, auth, grants({**GOOD, "expires_in": 100}), grants(GOOD))
    harness.request()
    harness.clock.now += 100
    harness.request()
    assert [form_of(harness, sent)["refresh_token"] for sent in (0, 2)] == [["r1"], ["r1"]]
    assert (auth.refresh_token, stored) == ("r1", [])


@pytest.mark.parametrize("is_awaitable", [False, True], ids=["raises", "returns an awaitable"])
def test_a_refresh_token_that_cannot_be_stored_is_reported_and_used(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture, is_awaitable: bool
) -> None:
    """The call succeeds: the token is good."""

    def store(token: str) -> Any:
        if is_awaitable:
            return store_later(token)
        raise OSError("the disk is full")

    auth = OAuth2RefreshToken(
        token_url=TOKEN_URL, client_id="app", refresh_token="r1", on_new_refresh_token=store
    )
    with caplog.at_level(logging.ERROR, "http_service_client"):
        assert run(front_end, auth, grants({**GOOD, "refresh_token": "r2"})).request().status_code == 200
    assert "on_new_refresh_token failed" in caplog.text
    assert "r2" not in caplog.text


@pytest.mark.parametrize(("outcome", "fetches"), [(READ_TIMEOUT, 1), (REFUSED, 2)])
def test_a_refresh_that_may_have_been_processed_is_not_repeated(
    front_end: FrontEnd, outcome: Any, fetches: int
) -> None:
    """A refresh token that is used twice looks stolen; one that was never sent is sent again."""
    auth = OAuth2RefreshToken(token_url=TOKEN_URL, client_id="app", refresh_token="r1")
    harness = run(front_end, auth, outcome, grants(GOOD))
    if fetches == 1:
        harness.error(TokenError)
        assert harness.sends == 1
    else:
        assert harness.request().status_code == 200


def test_a_refresh_is_repeated_if_the_service_takes_its_token_twice(front_end: FrontEnd) -> None:
    """For some seconds, so that a response that was lost does not log the user out."""
    auth = OAuth2RefreshToken(token_url=TOKEN_URL, client_id="app", refresh_token="r1", may_repeat=True)
    harness = run(front_end, auth, READ_TIMEOUT, grants(GOOD))
    assert harness.request().status_code == 200
    assert [form_of(harness, number)["refresh_token"] for number in (0, 1)] == [["r1"], ["r1"]]
    with pytest.raises(ConfigurationError, match="may_repeat must be True or False"):
        OAuth2RefreshToken(token_url=TOKEN_URL, client_id="app", refresh_token="r1", may_repeat="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(("settings", "fetches"), [({}, 1), ({"may_repeat": True}, 2)])
def test_the_request_of_a_grant_is_repeated_if_it_may_be(
    front_end: FrontEnd, settings: dict[str, Any], fetches: int
) -> None:
    """An assertion may be valid once."""
    auth = OAuth2Grant(token_url=TOKEN_URL, client_id="shop", grant_type="urn:x", **settings)
    harness = run(front_end, auth, READ_TIMEOUT, grants(GOOD))
    if fetches == 1:
        harness.error(TokenError)
        assert harness.sends == 1
    else:
        assert harness.request().status_code == 200


def test_client_credentials_are_requested_again_after_a_timeout(front_end: FrontEnd) -> None:
    """Another token does no harm."""
    assert run(front_end, login(), READ_TIMEOUT, grants(GOOD)).request().status_code == 200


def test_the_token_request_takes_no_longer_than_its_timeout(front_end: FrontEnd) -> None:
    """Its retries included."""
    harness = run(front_end, login(timeout=0.15), *[503] * 9)
    harness.error(TokenError)
    assert harness.sends == 2
