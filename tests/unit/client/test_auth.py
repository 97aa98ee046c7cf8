"""`auth=` of clients and calls: which one counts, what it may be, and that it is never shown."""

from __future__ import annotations

import pickle
from collections.abc import Generator
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    InvalidRequestError,
)
from http_service_client.auth import ApiKey, Basic, Bearer, HmacSignature
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL, Harness, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

FLOW = Bearer(lambda: "flow")


def authorization(front_end: FrontEnd, config: dict[str, Any], call: dict[str, Any]) -> str | None:
    harness = Harness(front_end, **config)
    harness.request(**call)
    return harness.transport.sent[0].headers.get("Authorization")


@each_row("client", ["own", ("u", "p"), FLOW, Basic("u", "p"), Bearer("own")], ids=short)
@each_row(
    ("call", "expected"),
    [
        ({"auth": None}, None),
        ({"auth": False}, None),
        ({"auth": "call"}, "Bearer call"),
        ({"auth": ("a", "b")}, "Basic YTpi"),
        ({"auth": Bearer(lambda: "call")}, "Bearer call"),
        ({"headers": {"Authorization": "Custom x"}}, "Custom x"),
        ({"headers": {"authorization": None}}, None),
        ({"headers": {"Authorization": "Custom x"}, "auth": None}, "Custom x"),
    ],
)
def test_a_call_replaces_the_auth_of_its_client(
    front_end: FrontEnd, client: Any, call: dict[str, Any], expected: str | None
) -> None:
    """By `auth=`, by a header, or by None and False for none."""
    assert authorization(front_end, {"auth": client}, call) == expected


@each_row(
    ("client", "expected"),
    [
        (None, None),
        ("own", "Bearer own"),
        (("u", "p"), "Basic dTpw"),
        (Basic("u", "p"), "Basic dTpw"),
        (Bearer("own"), "Bearer own"),
        (FLOW, "Bearer flow"),
    ],
)
@each_row("call", [{}, {"headers": {"X-A": "1"}}, {"cookies": {"a": "b"}}, {"timeout": 3}])
def test_a_call_that_sets_none_has_the_auth_of_its_client(
    front_end: FrontEnd, client: Any, expected: str | None, call: dict[str, Any]
) -> None:
    """Whatever else the call sets."""
    assert authorization(front_end, {"auth": client}, call) == expected


@pytest.mark.parametrize("auth", ["call", FLOW])
def test_the_auth_of_a_call_replaces_a_default_header(front_end: FrontEnd, auth: Any) -> None:
    """Both are credentials, and the call's are nearer."""
    config = {"default_headers": {"Authorization": "Custom x"}}
    assert authorization(front_end, config, {"auth": auth}) in ("Bearer call", "Bearer flow")
    assert authorization(front_end, config, {"auth": None}) == "Custom x"


def test_a_flow_with_another_header_replaces_the_default_one_too(front_end: FrontEnd) -> None:
    """The service would have to guess which of the two counts."""
    harness = Harness(front_end, default_headers={"Authorization": "Custom x"})
    harness.request(auth=ApiKey("key", header="X-Key"))
    headers = harness.transport.sent[0].headers
    assert (headers.get("Authorization"), headers["X-Key"]) == (None, "key")


@pytest.mark.parametrize("auth", ["call", ("u", "p"), FLOW, Basic("u", "p")], ids=short)
def test_auth_and_an_authorization_header_of_one_call_conflict(auth: Any) -> None:
    """The client would have to guess."""
    client = HttpServiceClient(transport=ScriptedTransport([HttpResponse(200)]))
    with pytest.raises(InvalidRequestError, match="both auth and an Authorization header are set"):
        client.get(URL, auth=auth, headers={"Authorization": "x"})


@each_row("auth", ["own", ("u", "p"), ApiKey("key"), FLOW], ids=short)
def test_a_trace_carries_no_credentials(front_end: FrontEnd, auth: Any) -> None:
    """Its response repeats the request, and is logged, stored and shown as no request is (RFC 9110, 9.3.8)."""
    harness = Harness(front_end, auth=auth)
    with pytest.raises(InvalidRequestError, match="a TRACE request must not have the secret header"):
        harness.request("TRACE")
    assert harness.request("TRACE", auth=False).status_code == 200
    assert len(harness.transport.sent) == 1


def test_auth_and_a_default_authorization_header_conflict() -> None:
    """As in a call."""
    with pytest.raises(ConfigurationError, match="both it and an Authorization in default_headers are set"):
        HttpClientConfig(auth="token", default_headers={"authorization": "x"})


@each_row("auth", ["two words", "", ("u:x", "p"), ("u",), 3, True, object(), lambda: "t"], ids=short)
def test_a_wrong_auth_of_a_client_is_reported_when_it_is_configured(auth: Any) -> None:
    """And not by the first call."""
    with pytest.raises(ConfigurationError, match="auth"):
        HttpClientConfig(auth=auth)


@pytest.mark.parametrize("auth", ["s3cret", ("user", "s3cret"), Basic("user", "s3cret"), Bearer("s3cret")])
def test_a_configuration_never_shows_its_auth(auth: Any) -> None:
    """Nor does the object."""
    assert "s3cret" not in repr(HttpClientConfig(auth=auth)) + repr(Basic("u", "s3cret")) + repr(
        Bearer("s3cret")
    )


@pytest.mark.parametrize("auth", ["token", ("u", "p"), Basic("u", "p"), Bearer("token")])
def test_a_configuration_with_auth_pickles_and_compares(auth: Any) -> None:
    """It is a value."""
    config = HttpClientConfig(auth=auth)
    assert pickle.loads(pickle.dumps(config)) == config


def made_by(module: str, name: str, **members: Any) -> type:
    """A class as a library has it, which need not be installed for these tests."""
    return type(name, (), {"__module__": module, **members})


def plain_flow(self: Any, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
    request.headers["Authorization"] = "of httpx"
    yield request


HTTPX = made_by("httpx._auth", "Auth", auth_flow=lambda self, request: iter([request]))
REQUESTS = made_by("requests.auth", "AuthBase", __call__=lambda self, request: request)


async def async_flow(self: Any, request: HttpRequest) -> Any:
    yield request


async def coroutine_flow(self: Any, request: HttpRequest) -> Any:
    return request


@each_row(
    ("auth", "message"),
    [
        (type("Own", (REQUESTS,), {})(), "requests' own classes write (user, password) or auth.Digest"),
        (made_by("aiohttp.helpers", "BasicAuth")(), "write (user, password)"),
        (lambda: "t", "write auth.Bearer(function)"),
        (
            type("Locked", (HTTPX,), {"sync_auth_flow": plain_flow})(),
            "Locked defines no auth_flow of its own",
        ),
        (
            type("DigestAuth", (HTTPX,), {"__module__": "httpx", "auth_flow": plain_flow})(),
            "write auth.Digest",
        ),
        (
            type("DigestAuth", (HTTPX,), {"__module__": "httpx2", "auth_flow": plain_flow})(),
            "write auth.Digest",
        ),
        (type("NetRCAuth", (HTTPX,), {"__module__": "httpx", "auth_flow": plain_flow})(), "netrc=True"),
        (type("Async", (), {"auth_flow": async_flow})(), "Async.auth_flow is async"),
        (type("Async", (), {"auth_flow": coroutine_flow})(), "Async.auth_flow is async"),
        (type("Own", (), {"auth_flow": plain_flow}), "pass an object of this class"),
        (HmacSignature("k", headers={"X-A": "{signature}"}), "write request_signers=[signer]"),
        (
            {"token_url": "https://id.example.com"},
            "make an object in code, such as auth.OAuth2ClientCredentials",
        ),
        (object(), "for other schemes set the Authorization header"),
    ],
)
def test_the_auth_of_another_library_is_refused_with_what_to_write(auth: Any, message: str) -> None:
    """One that would be ignored would send the request without credentials."""
    with pytest.raises(ConfigurationError) as raised:
        HttpClientConfig(auth=auth)
    assert message in str(raised.value)
    assert "auth: auth" not in str(raised.value)


def test_the_netrc_of_httpx_is_a_setting_here() -> None:
    """The message ends with it."""
    with pytest.raises(ConfigurationError, match=r"requests alone; write HttpClientConfig\(netrc=True\)$"):
        HttpClientConfig(auth=type("NetRCAuth", (HTTPX,), {"__module__": "httpx", "auth_flow": plain_flow})())


def test_credentials_among_the_signers_are_refused_with_where_they_belong() -> None:
    """A flow has no method that signs."""
    with pytest.raises(ConfigurationError, match="which has no method sign_request; pass it as auth"):
        HttpClientConfig(request_signers=[Bearer(lambda: "t")])  # type: ignore[list-item]


@pytest.mark.parametrize("module", ["myapp", "httpx._auth"])
def test_an_auth_of_httpx_works_by_its_flow(front_end: FrontEnd, module: str) -> None:
    """A user's own subclass, and httpx's BasicAuth and FunctionAuth: they touch the request's headers alone."""
    auth = type("BasicAuth", (HTTPX,), {"__module__": module, "auth_flow": plain_flow})()
    assert authorization(front_end, {"auth": auth}, {}) == "of httpx"


def test_a_bad_token_of_a_function_is_refused_and_not_shown(front_end: FrontEnd) -> None:
    """It is checked when it is used, and nothing is sent."""
    harness = Harness(front_end)
    error = harness.error(InvalidRequestError, auth=Bearer(lambda: "s3cret\n"))
    assert ("s3cret" in str(error), harness.sends) == (False, 0)


def test_bearer_refuses_an_async_function() -> None:
    """A flow is plain; one that waits yields the request that it waits for."""

    async def token() -> str:
        return "t"

    with pytest.raises(InvalidRequestError, match="plain function"):
        Bearer(token)  # type: ignore[arg-type]


@each_row("token", [None, 5, b"token", ["token"]])
def test_a_token_must_be_text(front_end: FrontEnd, token: Any) -> None:
    """Given, or returned by a function."""
    message = f"must be text, not {type(token).__name__}; Bearer takes text, or a plain function"
    with pytest.raises(InvalidRequestError, match=message):
        Bearer(token)
    assert message in str(Harness(front_end).error(InvalidRequestError, auth=Bearer(lambda: token)))


def test_a_bearer_function_is_asked_for_each_attempt(front_end: FrontEnd) -> None:
    """So the token of a retry is not older than the retry."""
    tokens = iter("abc")
    harness = Harness(front_end, 503, 200)
    harness.request(auth=Bearer(lambda: next(tokens)))
    assert [request.headers["Authorization"] for request in harness.transport.sent] == [
        "Bearer a",
        "Bearer b",
    ]
