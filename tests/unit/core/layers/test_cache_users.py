"""A cache never serves one user the response of another."""

from __future__ import annotations

import os
import ssl
from typing import Any

import pytest

from http_service_client import (
    Cache,
    ConnectionPoolConfig,
    CookieJar,
    EgressPolicy,
    HttpRequest,
    HttpResponse,
)
from http_service_client.errors import EgressRefusedError
from http_service_client.http.urls import split_url
from kit.caches import URL, Cached, cached_for, used
from kit.front_ends import FrontEnd
from kit.interceptors import on_request
from kit.rows import each_row


def echo(*names: str, **headers: str) -> Any:
    """A service that responds with the request's values of these headers."""

    def respond(request: HttpRequest) -> HttpResponse:
        return cached_for(60, ",".join(request.headers.get(name, "-") for name in names), **headers)

    return respond


@each_row("name", ["Authorization", "Cookie", "X-Api-Key"])
def test_users_with_credentials_of_their_own_do_not_meet(front_end: FrontEnd, name: str) -> None:
    """A header that holds a secret parts the cache; the same secret finds its response again."""
    cached = Cached(front_end, echo(name))
    texts = [cached.get(headers={name: user}).text for user in ("ann", "bob", "ann")]
    assert (texts, cached.get().text, cached.sends) == (["ann", "bob", "ann"], "-", 3)


class Signs:
    """An auth flow that sends no secret which a cache could know."""

    def auth_flow(self, request: HttpRequest) -> Any:
        yield request


def test_a_call_with_an_auth_flow_does_not_get_what_came_without(front_end: FrontEnd) -> None:
    """Not even a public response: the flow will add what the cache does not see. So it is the other way round."""
    cached = Cached(front_end, *(cached_for(60, each, "public") for each in "abc"))
    assert [cached.get(auth=auth).text for auth in (None, Signs(), None, Signs())] == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    "settings",
    [
        {"request_interceptors": [on_request(lambda request, context: request)]},
        {"request_signers": [lambda request, context: None]},
        {"cookies": True},
        {"netrc": os.devnull},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_client_that_adds_something_does_not_get_what_came_without(
    front_end: FrontEnd, settings: dict[str, Any]
) -> None:
    """What it adds may be credentials, which the cache does not see."""
    cache = Cache(single_user=True)
    plain = Cached(front_end, cached_for(60, "plain"), cache=cache)
    adding = Cached(front_end, cached_for(60, "added"), cache=cache, **settings)
    assert [each.get().text for each in (plain, adding, plain, adding)] == ["plain", "added"] * 2
    assert (plain.sends, adding.sends) == (1, 1)


def test_tenants_do_not_meet(front_end: FrontEnd) -> None:
    """`key=` of a call parts the cache, too."""
    cached = Cached(front_end, cached_for(60, "a"), cached_for(60, "b"))
    assert [cached.get(key=key).text for key in ("a", "b", "a")] == ["a", "b", "a"]


def test_requests_for_another_host_at_the_same_address_do_not_meet(front_end: FrontEnd) -> None:
    """The Host field is a part of what is requested (RFC 9110, 7.1); that of the URL may be written out."""
    cached = Cached(front_end, cached_for(60, "a"), cached_for(60, "b"), cached_for(60, "the URL's"))
    own = split_url(URL).host_field
    asked = [
        {"Host": "a.test"},
        {"Host": "b.test"},
        {},
        {"Host": "A.test"},
        {"Host": "b.test"},
        {"Host": own},
    ]
    assert [cached.get(headers=host).text for host in asked] == ["a", "b", "the URL's"] * 2
    assert cached.sends == 3


@pytest.mark.parametrize("name", ["ssl_cert_file", "uds"])
def test_clients_whose_connections_differ_do_not_meet(front_end: FrontEnd, name: str) -> None:
    """A certificate is a credential, and behind another socket there is another service."""
    cache, clients = Cache(), []
    for path in ("/run/ann", "/run/bob", "/run/ann"):
        pool = ConnectionPoolConfig(**{name: path})
        clients.append(Cached(front_end, cached_for(60, path), cache=cache, connection_pool=pool))
    assert [cached.get().text for cached in clients] == ["/run/ann", "/run/bob", "/run/ann"]
    assert [cached.sends for cached in clients] == [1, 1, 0]


@pytest.mark.parametrize(
    "cautious",
    [
        {"egress_policy": EgressPolicy(allowed_hosts=["elsewhere.test"])},
        {"connection_pool": ConnectionPoolConfig(ssl_ca_file=__file__)},
        {"connection_pool": ConnectionPoolConfig(ssl_context=ssl.create_default_context)},
    ],
    ids=["egress", "authorities", "context"],
)
@pytest.mark.parametrize("shared", [False, True], ids=["private", "shared"])
@pytest.mark.filterwarnings("ignore:.*ssl_verify")
def test_what_one_client_believed_is_not_believed_by_another(
    front_end: FrontEnd, cautious: dict[str, Any], shared: bool
) -> None:
    """One that verifies nothing may have been deceived, and one that may go anywhere asked an internal service."""
    cache = Cache(shared=shared)
    careless = {"connection_pool": ConnectionPoolConfig(ssl_verify=False)}
    usual: dict[str, Any] = {}
    for settings in (careless, usual, cautious):
        cached = Cached(front_end, cached_for(60), cache=cache, **settings)
        if "egress_policy" in settings:
            with pytest.raises(EgressRefusedError):
                cached.get()
        else:
            cached.get()
            assert cached.sends == 1
    again = Cached(front_end, cached_for(60), cache=cache)
    again.get()
    assert again.sends == 0


@pytest.mark.parametrize("what", ["egress policies", "authorities"])
def test_clients_that_trust_others_do_not_meet(front_end: FrontEnd, what: str) -> None:
    """What one of them fetched may be from where the other must not go."""
    cache, sends = Cache(), []
    for others in ([], ["internal.test"], []):
        policy = EgressPolicy(allowed_hosts=["api.example.com", *others])
        pool = ConnectionPoolConfig(ssl_ca_file=f"/run/{len(others)}.pem")
        settings: dict[str, Any] = (
            {"egress_policy": policy} if what == "egress policies" else {"connection_pool": pool}
        )
        cached = Cached(front_end, cached_for(60), cache=cache, **settings)
        cached.get()
        sends.append(cached.sends)
    assert sends == [1, 1, 0]


def test_clients_with_contexts_of_other_functions_do_not_meet(front_end: FrontEnd) -> None:
    """One context may trust what the other does not."""
    cache, sends = Cache(), []
    for context in (ssl.create_default_context, ssl._create_unverified_context, ssl.create_default_context):
        cached = Cached(
            front_end, cached_for(60), cache=cache, connection_pool=ConnectionPoolConfig(ssl_context=context)
        )
        cached.get()
        sends.append(cached.sends)
    assert sends == [1, 1, 0]


def test_a_shared_cache_takes_a_certificate_for_a_user(front_end: FrontEnd) -> None:
    """It keeps what is public, for all."""
    pool = ConnectionPoolConfig(ssl_cert_file="/run/ann")
    script = {"/items": [cached_for(60, "ann")], "/all": [cached_for(60, "all", "public")]}
    cache, everyone = Cache(shared=True), "https://api.example.com/all"
    ann = Cached(front_end, script, cache=cache, connection_pool=pool)
    bob = Cached(front_end, cached_for(60, "bob"), cache=cache)
    ann.get()
    ann.get(everyone)
    assert [bob.get().text, bob.get(everyone).text] == ["bob", "all"]


class AddsCredentials:
    """An interceptor that authenticates whoever is the user now."""

    user = "ann"

    def intercept_request(self, request: HttpRequest, context: object) -> HttpRequest:
        request.headers["Authorization"] = self.user
        return request


class Flow:
    """The same as an auth flow."""

    user = "ann"

    def auth_flow(self, request: HttpRequest) -> Any:
        request.headers["Authorization"] = self.user
        yield request


@pytest.mark.parametrize("way", ["interceptor", "flow"])
def test_credentials_that_are_added_later_forbid_to_store(front_end: FrontEnd, way: str) -> None:
    """The cache cannot see whose they will be, so it stores only what all may see."""
    source: Any = AddsCredentials() if way == "interceptor" else Flow()
    options = {"request_interceptors": [source]} if way == "interceptor" else {"auth": source}
    cached = Cached(
        front_end, {"/items": [echo("Authorization")], "/all": [cached_for(60, "all", "public")]}, **options
    )
    first = cached.get()
    source.user = "bob"
    assert (first.text, cached.get().text) == ("ann", "bob")
    assert "see Cache(single_user=True)" in used(first).reason
    everyone = "https://api.example.com/all"
    assert [cached.get(everyone).from_cache for _ in range(2)] == [False, True]


def test_a_response_that_must_be_revalidated_is_not_for_all(front_end: FrontEnd) -> None:
    """Services send must-revalidate as a matter of course; it does not let one user see the response of another."""
    source, directives = AddsCredentials(), {"Cache-Control": "max-age=60, must-revalidate"}
    cached = Cached(front_end, echo("Authorization", **directives), request_interceptors=[source])
    first = cached.get()
    source.user = "bob"
    assert (first.text, cached.get().text) == ("ann", "bob")


def test_a_confirmation_may_say_that_a_response_is_private_now(front_end: FrontEnd) -> None:
    """It was sent with credentials that the cache does not know, so the response is for their user alone from then on."""
    source = AddsCredentials()
    cached = Cached(
        front_end,
        cached_for(1, "x", "public", ETag='"1"'),
        HttpResponse(304, headers={"Cache-Control": "private, max-age=60", "ETag": '"1"'}),
        cached_for(60, "bob's"),
        request_interceptors=[source],
    )
    cached.get()
    cached.clock.advance(10.0)
    confirmed = cached.get()
    source.user = "bob"
    assert (confirmed.text, cached.get().text) == ("x", "bob's")


@pytest.mark.parametrize("way", ["signer", "flow"])
def test_whatever_authenticates_counts_in_any_header(front_end: FrontEnd, way: str) -> None:
    """A signer's header, or that of a flow, may have a name that no secret has."""

    class Proves:
        def sign_request(self, request: Any, context: object) -> None:
            request.headers["X-Proof"] = "ann"

        def auth_flow(self, request: HttpRequest) -> Any:
            request.headers["X-Proof"] = "ann"
            yield request

    options: dict[str, Any] = {"request_signers": [Proves()]} if way == "signer" else {"auth": Proves()}
    for setting, stores in (("coalesce", False), ("shared", False), ("single_user", True)):
        cached = Cached(front_end, echo("X-Proof"), settings={setting: True}, **options)
        assert [cached.get().text, cached.get().from_cache] == ["ann", stores]


def test_a_single_user_has_a_private_cache(front_end: FrontEnd) -> None:
    """Where credentials that are added are always those of one user, a private response is stored."""
    cached = Cached(front_end, cached_for(60, "x", "private"), settings={"single_user": True}, auth=Flow())
    assert [cached.get().from_cache for _ in range(2)] == [False, True]


def test_a_call_with_a_flow_does_not_see_what_one_without_stored(front_end: FrontEnd) -> None:
    """The service may respond differently to a user that it knows."""
    cached = Cached(front_end, echo("Authorization"))
    cached.get()
    assert cached.get(auth=Flow()).text == "ann"


def test_cookies_of_a_jar_are_credentials(front_end: FrontEnd) -> None:
    """A response to a request with a cookie of the jar is not stored."""
    jar = CookieJar()
    jar.set(URL, "sid", "1")
    cached = Cached(front_end, echo("Cookie"), cookies=jar)
    assert [cached.get().text, cached.get().from_cache] == ["sid=1", False]


def test_a_shared_cache_keeps_what_all_may_see(front_end: FrontEnd) -> None:
    """With credentials, only a response that is public; a private one never (RFC 9111, 3.5)."""
    script = {
        "/private": [cached_for(60, "", "private")],
        "/plain": [cached_for(60)],
        "/public": [cached_for(60, "", "public")],
    }
    cached = Cached(front_end, script, settings={"shared": True})
    for path, seen in (("private", False), ("plain", False), ("public", True)):
        url = f"https://api.example.com/{path}"
        cached.get(url, headers={"Authorization": "ann"})
        assert cached.get(url, headers={"Authorization": "bob"}).from_cache is seen, path


def test_a_shared_cache_obeys_s_maxage(front_end: FrontEnd) -> None:
    """It replaces max-age there, and only there."""
    for shared, sends in ((True, 2), (False, 1)):
        cached = Cached(front_end, cached_for(60, "", "s-maxage=1"), settings={"shared": shared})
        cached.get()
        cached.clock.advance(10.0)
        cached.get()
        assert cached.sends == sends


def test_vary_selects_a_response(front_end: FrontEnd) -> None:
    """Each value has a response of its own, and white space in a list means nothing."""
    cached = Cached(front_end, echo("Accept-Language", Vary="Accept-Language"))
    texts = [cached.get(headers={"Accept-Language": value}).text for value in ("de, en", "fr", "de,en", "fr")]
    assert (texts, cached.sends) == (["de, en", "fr", "de, en", "fr"], 2)


def test_a_confirmation_may_say_that_a_response_varies(front_end: FrontEnd) -> None:
    """From then on it is for requests with the values of the one that was confirmed."""
    vary = {"Vary": "Accept-Language", "ETag": '"1"'}
    cached = Cached(
        front_end,
        cached_for(1, "de", ETag='"1"'),
        HttpResponse(304, headers={"Cache-Control": "max-age=60", **vary}),
        cached_for(60, "fr", **vary),
    )
    german, french = {"Accept-Language": "de"}, {"Accept-Language": "fr"}
    cached.get(headers=german)
    cached.clock.advance(10.0)
    texts = [cached.get(headers=headers).text for headers in (german, french, german)]
    assert (texts, cached.sends) == (["de", "fr", "de"], 3)


def test_variants_are_bounded(front_end: FrontEnd) -> None:
    """A header that is new with each request, in Vary, neither fills the cache nor makes the look-ups slow."""
    cached = Cached(front_end, echo("X-Request-Id", Vary="X-Request-Id"))
    most = 0
    for number in range(250):
        cached.get(headers={"X-Request-Id": str(number)})
        most = max(most, len(cached.cache.storage._entries))  # type: ignore[attr-defined]
    assert (most, cached.get(headers={"X-Request-Id": "249"}).from_cache) == (100, True)


def test_a_vary_of_thousands_of_names_is_not_stored(front_end: FrontEnd) -> None:
    """Each look-up would have to compare all of them."""
    vary = {
        name: ", ".join(f"x-{number}" for number in range(count))
        for name, count in (("few", 100), ("many", 101))
    }
    cached = Cached(front_end, {f"/{name}": [cached_for(60, Vary=names)] for name, names in vary.items()})
    first = [cached.get(f"https://api.example.com/{name}") for name in vary]
    assert [cached.get(response.url).from_cache for response in first] == [True, False]
    assert used(first[1]).reason == "Vary names more than 100 headers"


def test_a_header_that_an_interceptor_adds_cannot_select(front_end: FrontEnd) -> None:
    """Vary names it, and the cache does not see it before the request is sent."""

    class Adds:
        language = "de"

        def intercept_request(self, request: HttpRequest, context: object) -> HttpRequest:
            request.headers["X-Language"] = self.language
            return request

    adds = Adds()
    cached = Cached(front_end, echo("X-Language", Vary="X-Language"), request_interceptors=[adds])
    first = cached.get()
    adds.language = "fr"
    assert (cached.get().text, used(first).reason) == ("fr", "Vary names a header that was added later")


def test_a_url_that_an_interceptor_changes_is_not_stored(front_end: FrontEnd) -> None:
    """The response is of another resource than the caller named."""

    class Moves:
        def intercept_request(self, request: HttpRequest, context: object) -> HttpRequest:
            request.url += "?user=ann"
            return request

    cached = Cached(front_end, cached_for(60), request_interceptors=[Moves()])
    assert [cached.get().from_cache, cached.get().from_cache] == [False, False]


def test_what_an_interceptor_responds_is_not_stored(front_end: FrontEnd) -> None:
    """It is no response of the service."""

    class Responds:
        def intercept_request(self, request: HttpRequest, context: object) -> HttpResponse:
            return cached_for(60)

    cached = Cached(front_end, HttpResponse(500), request_interceptors=[Responds()])
    assert [cached.get().from_cache, cached.get().from_cache] == [False, False]


def test_a_redirect_is_followed_each_time(front_end: FrontEnd) -> None:
    """The response behind it is that of another URL; a redirect that is returned may be stored for such calls."""
    moved = HttpResponse(301, headers={"Location": "/new", "Cache-Control": "max-age=60"})
    cached = Cached(front_end, {"/items": [moved], "/new": [cached_for(60, "new")]})
    assert [cached.get().text, cached.get().text, cached.sends] == ["new", "new", 4]
    assert [cached.get(allow_redirects=False).from_cache for _ in range(2)] == [False, True]
    assert cached.get().text == "new"


def test_a_cookie_is_set_once(front_end: FrontEnd) -> None:
    """A stored response has no Set-Cookie; without a lifetime of its own it is not stored."""
    cookie = {"Set-Cookie": "sid=1"}
    cached = Cached(
        front_end,
        {
            "/items": [cached_for(60, **cookie)],
            "/other": [HttpResponse(200, headers={"ETag": '"1"', **cookie})],
        },
    )
    assert "Set-Cookie" in cached.get().headers
    assert "Set-Cookie" not in cached.get().headers
    other = cached.get("https://api.example.com/other")
    assert used(other).reason == "it sets a cookie"


@each_row(
    ("settings", "options", "directives", "is_stored"),
    [
        ({"shared": True}, {}, (), False),
        ({"shared": True}, {}, ("public",), True),
        ({"shared": True}, {"headers": {"Authorization": "Bearer a"}}, ("must-revalidate",), False),
        ({}, {}, (), True),
    ],
)
def test_a_shared_cache_has_no_response_that_sets_a_cookie(
    front_end: FrontEnd,
    settings: dict[str, Any],
    options: dict[str, Any],
    directives: tuple[str, ...],
    is_stored: bool,
) -> None:
    """It was made for one user, unless the service says that it is for all."""
    cached = Cached(front_end, cached_for(60, "", *directives, **{"Set-Cookie": "sid=1"}), settings=settings)
    assert [cached.get(**options).from_cache for _ in range(2)] == [False, is_stored]


def test_bodies_that_are_not_decoded_are_kept_apart(front_end: FrontEnd) -> None:
    """decompress=False: another content for the same URL."""
    cached = Cached(front_end, cached_for(60, "decoded"), cached_for(60, "coded"))
    options: list[dict[str, Any]] = [{}, {"decompress": False}, {"decompress": True}, {"decompress": False}]
    assert [cached.get(**each).text for each in options] == ["decoded", "coded"] * 2
    assert cached.sends == 2


def test_a_key_holds_no_secret(front_end: FrontEnd) -> None:
    """What the storage sees of a request are digests."""
    seen: list[str] = []

    class Storage:
        blocks = False

        def get(self, key: str, partition: str) -> list[Any]:
            return []

        def set(self, key: str, partition: str, response: Any) -> None:
            seen.append(repr((key, partition, response)))

        def delete(self, key: str, partition: str | None = None) -> None: ...

    cached = Cached(front_end, cached_for(60, Vary="Authorization"), cache=Cache(storage=Storage()))
    cached.get(f"{URL}?token=hush", headers={"Authorization": "hush"})
    assert len(seen) == 1
    assert "hush" not in seen[0]
