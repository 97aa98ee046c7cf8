"""The last good response stands in, and never that of another user."""

from __future__ import annotations

import os
import ssl
from dataclasses import replace
from typing import Any

import pytest

from http_service_client import (
    ConnectionPoolConfig,
    EgressPolicy,
    FallbackPolicy,
    HttpClientConfig,
    HttpResponse,
)
from http_service_client.events import FallbackSource, FallbackUsed
from kit.fakes import REFUSED, URL, Harness
from kit.front_ends import FrontEnd
from kit.interceptors import on_response
from kit.rows import each_row

DOWN = 503
ONCE: dict[str, Any] = {"retry_policy": False}


def _good(text: str = "good", **headers: str) -> Any:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: HttpResponse(200, headers=fields, content=text, url=request.url, request=request)


def _harness(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    settings.setdefault("fallback", FallbackPolicy(last_good=60.0))
    return Harness(front_end, *script, **settings)


def test_the_last_good_response_stands_in_with_its_age(front_end: FrontEnd) -> None:
    """For as long as the policy says."""
    harness = _harness(front_end, _good("one"), _good("two"), DOWN)
    for _ in range(2):
        harness.request(**ONCE)
    harness.clock.now += 59.0
    response = harness.request(**ONCE)
    assert (response.status_code, response.text, response.headers["Age"]) == (200, "two", "59")
    (used,) = [event for event in harness.events if isinstance(event, FallbackUsed)]
    assert (used.source, used.age, used.reason) == (FallbackSource.LAST_GOOD, 59.0, "status 503")
    harness.clock.now += 2.0
    assert harness.request(**ONCE).status_code == 503


def test_a_value_is_for_when_there_is_none(front_end: FrontEnd) -> None:
    """The last good response comes first."""
    fallback = FallbackPolicy(last_good=60.0, value="none yet")
    harness = _harness(front_end, DOWN, _good("one"), REFUSED, fallback=fallback)
    assert harness.request(**ONCE).json() == "none yet"
    harness.request(**ONCE)
    assert harness.request(**ONCE).text == "one"


def test_a_fallback_is_not_kept(front_end: FrontEnd) -> None:
    """The age of the last good response goes on while it is used."""
    harness = _harness(front_end, _good("one"), DOWN)
    harness.request(**ONCE)
    for _ in range(2):
        harness.clock.now += 25.0
        assert harness.request(**ONCE).text == "one"
    harness.clock.now += 25.0
    assert harness.request(**ONCE).status_code == 503


@pytest.mark.parametrize(
    "other",
    [
        {"url": URL + "/2"},
        {"headers": {"Authorization": "Bearer other"}},
        {"headers": {"X-Api-Key": "other"}},
        {"headers": {"Cookie": "session=other"}},
        {"headers": {"X-User": "17"}},
        {"headers": {"Accept-Language": "fr"}},
        {"key": "tenant-b"},
        {"method": "HEAD"},
        {"method": "QUERY"},
        {"allow_redirects": False},
        {"decompress": False},
    ],
    ids=repr,
)
def test_another_request_does_not_get_it(front_end: FrontEnd, other: dict[str, Any]) -> None:
    """Of another user, tenant, language or form: there is none for it."""
    harness = _harness(front_end, _good("mine"), DOWN, allowed_redirect_count=1)
    mine = {"Authorization": "Bearer mine"}
    harness.request(headers=mine, **ONCE)
    changed = {**other, "headers": mine | other.get("headers", {})}
    assert harness.request(**ONCE, **changed).status_code == 503
    assert harness.request(headers=mine, **ONCE).text == "mine"


@pytest.mark.parametrize(
    ("method", "is_kept"), [("GET", True), ("HEAD", True), ("OPTIONS", False), ("QUERY", False)]
)
def test_responses_to_get_and_head_are_kept(front_end: FrontEnd, method: str, is_kept: bool) -> None:
    """Each for its own method. What a QUERY says depends on its body."""
    harness = _harness(front_end, _good(), DOWN)
    statuses = [harness.request(method, **ONCE).status_code for _ in range(2)]
    assert statuses == [200, 200 if is_kept else DOWN]


@pytest.mark.parametrize("name", ["X-Request-Id", "X-Correlation-Id", "traceparent", "tracestate"])
def test_headers_of_one_call_make_no_difference(front_end: FrontEnd, name: str) -> None:
    """They are another's with each call: an id of the request, a trace."""
    harness = _harness(front_end, _good("mine"), DOWN)
    harness.request(headers={name: "1"}, **ONCE)
    response = harness.request(headers={name: "2"}, **ONCE)
    assert response.text == "mine"


def test_a_call_whose_policy_keeps_nothing_leaves_nothing_for_others(front_end: FrontEnd) -> None:
    """Whoever set it up did not ask for it."""
    harness = _harness(front_end, _good("kept?"), DOWN, fallback=FallbackPolicy(value=1))
    harness.request(**ONCE)
    assert harness.request(fallback=FallbackPolicy(last_good=60.0), **ONCE).status_code == 503


def test_what_is_not_kept_takes_no_room(front_end: FrontEnd) -> None:
    """There is room for one response, and an OPTIONS has none."""
    harness = _harness(front_end, _good("kept"), _good(), DOWN, fallback={"last_good": 60, "max_entries": 1})
    harness.request(**ONCE)
    harness.request("OPTIONS", **ONCE)
    assert harness.request(**ONCE).text == "kept"


@each_row(
    "good",
    [
        _good(Cache_Control="no-store"),
        _good(Cache_Control="private, no-store"),
        _good(Vary="*"),
        lambda request: HttpResponse(206, url=request.url, request=request),
        lambda request: HttpResponse(304, url=request.url, request=request),
        _good("x" * 2000),
    ],
)
def test_some_responses_are_not_kept(front_end: FrontEnd, good: Any) -> None:
    """Those that must not be stored, a part, what is no success, and what is too large."""
    fallback = FallbackPolicy(last_good=60.0, max_bytes=2000)
    harness = _harness(front_end, good, DOWN, fallback=fallback)
    harness.request(**ONCE)
    assert harness.request(**ONCE).status_code == 503


def test_the_response_to_a_request_with_a_body_is_not_kept(front_end: FrontEnd) -> None:
    """What it says may depend on the body."""
    harness = _harness(front_end, _good(), DOWN)
    for status in (200, 503):
        assert harness.request(data=b"{}", **ONCE).status_code == status


def test_a_response_after_a_redirect_is_not_kept(front_end: FrontEnd) -> None:
    """It is that of another URL, and the redirect may lead elsewhere next time."""
    moved = (302, {"Location": "/elsewhere"})
    harness = _harness(front_end, moved, _good(), moved, DOWN)
    for status in (200, 503):
        assert harness.request(**ONCE).status_code == status


class Adds:
    """An interceptor that adds a header, as one that knows the user would."""

    def __init__(self, name: str) -> None:
        self.name, self.value = name, "alice"

    def intercept_request(self, request: Any, context: Any) -> Any:
        request.headers[self.name] = self.value
        return request


@each_row(
    ("name", "vary", "kept"),
    [("Authorization", "", False), ("X-User", "X-User", False), ("X-Trace", "", True)],
)
def test_credentials_that_an_interceptor_adds_are_not_overlooked(
    front_end: FrontEnd, name: str, vary: str, kept: bool
) -> None:
    """The layer cannot know whose they will be next time, so that the response is not kept."""
    adds = Adds(name)
    harness = _harness(front_end, _good("alice's", Vary=vary), DOWN, request_interceptors=[adds])
    harness.request(**ONCE)
    adds.value = "bob"
    assert harness.request(**ONCE).status_code == (200 if kept else 503)


class Moves:
    """An interceptor that chooses the resource, as one that knows the tenant would."""

    def __init__(self, what: str) -> None:
        self.what, self.tenant = what, "alice"

    def intercept_request(self, request: Any, context: Any) -> Any:
        if self.what == "URL":
            request.url += f"?tenant={self.tenant}"
        else:
            request.headers["Host"] = f"{self.tenant}.test"
        return request


@pytest.mark.parametrize("what", ["URL", "Host"])
def test_a_response_to_another_resource_than_the_caller_named_is_not_kept(
    front_end: FrontEnd, what: str
) -> None:
    """The layer cannot know which one it will be next time."""
    moves = Moves(what)
    harness = _harness(front_end, _good("alice's"), DOWN, request_interceptors=[moves])
    assert harness.request(**ONCE).text == "alice's"
    moves.tenant = "bob"
    assert harness.request(**ONCE).status_code == 503


def test_credentials_of_a_single_user_may_be_added(front_end: FrontEnd) -> None:
    """If the policy says that they always are."""
    fallback = FallbackPolicy(last_good=60.0, single_user=True)
    harness = _harness(
        front_end, _good("ours"), DOWN, request_interceptors=[Adds("Authorization")], fallback=fallback
    )
    harness.request(**ONCE)
    assert harness.request(**ONCE).text == "ours"


class Flow:
    """An auth flow whose header may have any name."""

    def auth_flow(self, request: Any) -> Any:
        request.headers["X-Anything"] = "alice"
        yield request


def test_an_auth_flow_is_somebody(front_end: FrontEnd) -> None:
    """Responses to its requests are kept for a single user only."""
    for single_user, status in ((False, 503), (True, 200)):
        fallback = FallbackPolicy(last_good=60.0, single_user=single_user)
        harness = _harness(front_end, _good(), DOWN, fallback=fallback)
        harness.request(auth=Flow(), **ONCE)
        assert harness.request(auth=Flow(), **ONCE).status_code == status


def test_signers_sign_for_somebody(front_end: FrontEnd) -> None:
    """In headers of any name."""

    def sign(request: Any, context: Any) -> None:
        request.headers["X-Anything"] = "alice"

    harness = _harness(front_end, _good(), DOWN, request_signers=[sign])
    harness.request(**ONCE)
    assert harness.request(**ONCE).status_code == 503


def _anew(response: HttpResponse, context: Any) -> HttpResponse:
    """A response interceptor, whose response does not say which request was sent."""
    return HttpResponse(response.status_code, content=response.content)


@each_row(
    ("settings", "call", "kept"),
    [
        ({}, {}, True),
        ({"cookies": True}, {}, False),
        ({"netrc": os.devnull}, {}, False),
        ({"request_interceptors": [Adds("X-Trace")]}, {}, False),
        ({"request_signers": [lambda request, context: None]}, {}, False),
        ({}, {"auth": Flow()}, False),
    ],
    ids=["nothing", "jar", "netrc", "interceptor", "signer", "flow"],
)
def test_a_response_of_an_unknown_request_is_kept_if_nothing_adds_credentials(
    front_end: FrontEnd, settings: dict[str, Any], call: dict[str, Any], kept: bool
) -> None:
    """What an interceptor has made anew may be a response to the request of any user."""
    harness = _harness(front_end, _good("mine"), DOWN, response_interceptors=[on_response(_anew)], **settings)
    harness.request(**ONCE, **call)
    assert harness.request(**ONCE, **call).status_code == (200 if kept else 503)


def test_memory_is_bounded(front_end: FrontEnd) -> None:
    """The least recently used responses make room, also when the client is reconfigured."""
    harness = _harness(
        front_end, _good(), _good(), _good(), DOWN, fallback=FallbackPolicy(last_good=60.0, max_entries=2)
    )
    for number in range(3):
        harness.request(url=f"{URL}/{number}", **ONCE)
    assert [harness.request(url=f"{URL}/{number}", **ONCE).status_code for number in range(3)] == [
        503,
        200,
        200,
    ]
    harness.client.reconfigure(HttpClientConfig(fallback={"last_good": 60, "max_entries": 1}))
    assert [harness.request(url=f"{URL}/{number}", **ONCE).status_code for number in (1, 2)] == [503, 200]


@pytest.mark.parametrize(
    "changed",
    [
        {"enable_response_decompression": False},
        {"egress_policy": EgressPolicy(denied_hosts=["other.example.com"])},
        {"connection_pool": ConnectionPoolConfig(ssl_verify=False)},
        {"connection_pool": ConnectionPoolConfig(ssl_ca_file="/run/authorities.pem")},
        {"connection_pool": ConnectionPoolConfig(ssl_cert_file="/run/client.pem")},
        {"connection_pool": ConnectionPoolConfig(ssl_context=ssl.create_default_context)},
        {"connection_pool": ConnectionPoolConfig(uds="/run/service.sock")},
    ],
    ids=["coding", "egress", "no trust", "authorities", "certificate", "context", "socket"],
)
@pytest.mark.filterwarnings("ignore:.*ssl_verify")
def test_what_was_kept_under_other_settings_is_not_used(front_end: FrontEnd, changed: dict[str, Any]) -> None:
    """The client was somebody else then, or believed another service. It is used once they are back."""
    harness = _harness(front_end, _good(), DOWN)
    harness.request(**ONCE)
    before = harness.client.config
    harness.client.reconfigure(replace(before, **changed))
    assert harness.request(**ONCE).status_code == 503
    harness.client.reconfigure(before)
    assert harness.request(**ONCE).status_code == 200


def test_the_bounds_may_change_before_anything_is_kept(front_end: FrontEnd) -> None:
    """A service may read its settings again before its first call."""
    harness = _harness(front_end, _good(), _good(), DOWN)
    harness.client.reconfigure(HttpClientConfig(fallback={"last_good": 60, "max_entries": 1}))
    for number in range(2):
        harness.request(url=f"{URL}/{number}", **ONCE)
    assert [harness.request(url=f"{URL}/{number}", **ONCE).status_code for number in range(2)] == [503, 200]


def test_a_call_with_a_policy_of_its_own_has_the_clients_responses(front_end: FrontEnd) -> None:
    """They are the client's, and their age is judged by the policy of the call."""
    harness = Harness(front_end, _good("kept"), DOWN)
    harness.request(fallback=FallbackPolicy(last_good=60.0), **ONCE)
    harness.clock.now += 30.0
    assert harness.request(fallback=FallbackPolicy(last_good=10.0), **ONCE).status_code == 503
    assert harness.request(fallback=FallbackPolicy(last_good=40.0), **ONCE).text == "kept"
