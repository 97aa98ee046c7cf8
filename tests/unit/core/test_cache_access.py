"""What a cache may keep of a response, judged by the request as it was sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from http_service_client import HttpRequest, HttpResponse
from http_service_client.core.cache_access import CacheAccess
from http_service_client.http.caching.rules import CacheRules
from http_service_client.http.urls import split_url
from kit.fakes import URL
from kit.rows import each_row


def access(request: HttpRequest, call_request: HttpRequest, **settings: Any) -> CacheAccess:
    cache: Any = SimpleNamespace(
        rules=CacheRules(shared=False),
        flights=SimpleNamespace(landings=0),
        is_single_user=settings.get("is_single_user", False),
    )
    call: Any = SimpleNamespace(
        request=call_request,
        current=SimpleNamespace(answered_by=settings.get("answered_by")),
        hosts=settings.get("hosts"),
        options=SimpleNamespace(key=None, max_redirects=0),
    )
    return CacheAccess(
        cache, request, call, lambda: 0.0, decodes=True, adds_credentials=settings.get("adds", False)
    )


def response(request: HttpRequest | None = None, **headers: str) -> HttpResponse:
    return HttpResponse(200, headers={"Cache-Control": "max-age=60", **headers}, request=request)


PLAIN = HttpRequest("GET", URL)
SECRET = HttpRequest("GET", URL, headers={"Authorization": "Bearer t"})
MARKED = HttpRequest("GET", URL, headers={"X-Mark": "1"})


@each_row(
    ("sent", "call_request", "settings", "is_stored"),
    [
        (PLAIN, PLAIN, {}, True),
        (None, PLAIN, {}, True),
        (None, PLAIN, {"adds": True}, False),  # nobody knows with whose credentials it was sent
        (None, PLAIN, {"adds": True, "is_single_user": True}, True),
        (PLAIN, PLAIN, {"adds": True}, True),  # none were added
        (SECRET, PLAIN, {"adds": True}, False),
        (SECRET, PLAIN, {}, False),
        (None, SECRET, {}, False),  # without a request of its own, it is the response to that of the call
        (PLAIN, SECRET, {}, True),
    ],
)
def test_a_response_to_other_credentials_is_not_stored(
    sent: HttpRequest | None, call_request: HttpRequest, settings: dict[str, Any], is_stored: bool
) -> None:
    """Those that were added after the cache had looked are nobody's there, unless it has a single user."""
    found = access(PLAIN, call_request, **settings).why_not_stored(response(sent))
    assert (found is None) is is_stored


@each_row(
    ("request_sent", "headers", "settings", "reason"),
    [
        (MARKED, {}, {}, None),
        (MARKED, {"Vary": "X-Mark"}, {}, "Vary names a header that was added later"),
        (HttpRequest("GET", f"{URL}/b"), {}, {}, "an interceptor changed the URL"),
        (HttpRequest("HEAD", URL), {}, {}, "an interceptor changed the URL"),
        (HttpRequest("HEAD", URL), {}, {"hosts": object()}, "an interceptor changed the URL"),
        (HttpRequest("GET", "https://b.test/a"), {}, {"hosts": object()}, "an alternate host responded"),
        (HttpRequest("GET", "https://b.test/a"), {}, {}, "an interceptor changed the URL"),
        (HttpRequest("GET", URL, headers={"Host": "b.test"}), {}, {}, "an interceptor changed the URL"),
        (HttpRequest("GET", URL, headers={"Host": split_url(URL).host_field.upper()}), {}, {}, None),
        (PLAIN, {}, {"answered_by": "Mock"}, "Mock responded"),
    ],
)
def test_what_was_not_the_service_s_response_is_not_stored(
    request_sent: HttpRequest, headers: dict[str, str], settings: dict[str, Any], reason: str | None
) -> None:
    """Or not the response to this request."""
    found = access(PLAIN, PLAIN, **settings).why_not_stored(response(request_sent, **headers))
    assert found == reason


def test_a_redirected_response_is_not_stored() -> None:
    """It is that of another URL."""
    redirected = HttpResponse(200, headers={"Cache-Control": "max-age=60"}, history=(HttpResponse(302),))
    assert access(PLAIN, PLAIN).why_not_stored(redirected) == "it was redirected"
