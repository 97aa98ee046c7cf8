"""What a cache may do with a response: tables of RFC 9111 and RFC 5861, without a client."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from http_service_client import HttpRequest, HttpResponse
from http_service_client.http.caching.rules import (
    CacheRules,
    Use,
    conditions,
    confirmed,
    is_conclusive,
    is_error,
    judge,
    may_use_after_error,
    outdated_urls,
    why_not_stored,
)
from http_service_client.http.caching.stored import StoredResponse, store
from kit.rows import each_row

NOW = 1_800_000_000.0
URL = "https://api.example.com/orders/1"
PRIVATE, SHARED = CacheRules(), CacheRules(shared=True)


def date(offset: float = 0.0) -> str:
    return formatdate(NOW + offset, usegmt=True)


def request(said: str | None = None, method: str = "GET") -> HttpRequest:
    return HttpRequest(method, URL, headers={} if said is None else {"Cache-Control": said})


def response(status: int = 200, said: str | None = None, size: int = 0, **headers: str) -> HttpResponse:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if said is not None:
        fields["Cache-Control"] = said
    return HttpResponse(status, headers=fields, content=b"x" * size)


def kept(said: str | None = None, status: int = 200, elapsed: float = 0.0, **headers: str) -> StoredResponse:
    made = response(status, said, **headers)
    made.elapsed = elapsed
    return store(request(), made, NOW)


LIVES = "max-age=60"

# The response, whose it is, and why it may not be stored in a cache of one user, and in a shared one.
STORING: list[tuple[HttpResponse, bool, str | None, str | None]] = [
    (response(said=LIVES), False, None, None),
    (response(206, LIVES), False, "status 206", "status 206"),
    (response(304, LIVES), False, "status 304", "status 304"),
    (response(103, LIVES), False, "status 103", "status 103"),
    (response(199, LIVES), False, "status 199", "status 199"),
    (response(said="no-store, max-age=60"), False, "no-store", "no-store"),
    (response(said="no-store, must-understand, max-age=60"), False, None, None),
    (response(299, "must-understand, max-age=60"), False, "status 299 must be understood", "status 299 must be understood"),
    (response(said=LIVES, Vary="Accept, *"), False, "Vary: *", "Vary: *"),
    (response(said="private, max-age=60"), False, None, "private"),
    (response(said="private, max-age=60"), True, "private", "private"),
    (response(said=LIVES), True, "credentials were added …", "it is for one user"),
    (response(said="public, max-age=60"), True, None, None),
    (response(said="s-maxage=60"), True, "it has neither …", None),
    (response(said="s-maxage=60", ETag='"a"'), True, None, None),
    (response(said="must-revalidate, max-age=60"), True, "credentials were added …", None),
    (response(said=LIVES, Set_Cookie="a=b"), False, None, "it sets a cookie"),
    (response(said="public, max-age=60", Set_Cookie="a=b"), False, None, None),
    (response(said="public, max-age=60", Set_Cookie="a=b"), True, None, None),
    (response(Expires=date(60), Set_Cookie="a=b"), False, None, "it sets a cookie"),
    (response(ETag='"a"', Set_Cookie="a=b"), False, "it sets a cookie", "it sets a cookie"),
    (response(302, ETag='"a"'), False, "status 302 without a lifetime", "status 302 without a lifetime"),
    (response(302, LIVES), False, None, None),
    (response(302, "private", ETag='"a"'), False, None, "private"),
    (response(302, Expires=date(60)), False, None, None),
    (response(302, "public", ETag='"a"'), False, None, None),
    (response(302, "s-maxage=9", ETag='"a"'), False, None, None),
    *((response(status, ETag='"a"'), False, None, None) for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)),
    *((response(status, ETag='"a"'), False, f"status {status} without a lifetime", f"status {status} without a lifetime") for status in (201, 303, 307, 400, 500, 503)),
    *((response(status, "must-understand, max-age=9"), False, None, None)
      for status in (200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 451, 500, 501, 502, 503, 504)),
    (response(said=LIVES, size=101), False, "its body is larger …", "its body is larger …"),
    (response(said=LIVES, size=100), False, None, None),
    (response(), False, "it has neither …", "it has neither …"),
    (response(said="max-age=0"), False, "it has neither …", "it has neither …"),
    (response(said="max-age=1"), False, None, None),
    (response(said="max-age=0", ETag='"a"'), False, None, None),
    (response(said="max-age=0", Last_Modified=date(-60)), False, None, None),
    (response(said="max-age=0, stale-if-error=9"), False, None, None),
    (response(said="max-age=0, stale-while-revalidate=9"), False, None, None),
    (response(Expires=date(-1)), False, "it has neither …", "it has neither …"),
]  # fmt: skip


@each_row(("given", "has_credentials", "private", "shared"), STORING)
def test_which_responses_are_stored(
    given: HttpResponse, has_credentials: bool, private: str | None, shared: str | None
) -> None:
    """RFC 9111, 3; a shared cache is stricter, and so is one that cannot tell its users apart."""
    for rules, reason in ((PRIVATE, private), (SHARED, shared)):
        rules = rules._replace(max_entry_size=100)
        found = why_not_stored(request(), given, NOW, rules, has_credentials=has_credentials)
        if reason is None or not reason.endswith("…"):
            assert found == reason, rules
        else:
            assert found is not None, rules
            assert found.startswith(reason[:-1]), rules


def test_what_is_not_set_is_off() -> None:
    """Nothing is guessed, and nothing stale is used; a body may have 5 MiB."""
    assert tuple(CacheRules()) == (False, 0.0, 0.0, 0.0, 5_242_880)


def test_a_request_may_forbid_to_store_its_response() -> None:
    """And nothing else of its Cache-Control does."""
    assert (
        why_not_stored(request("no-store"), response(said=LIVES), NOW, PRIVATE) == "no-store in the request"
    )
    assert why_not_stored(request("no-cache"), response(said=LIVES), NOW, PRIVATE) is None


@pytest.mark.parametrize("setting", ["stale_if_error", "stale_while_revalidate"])
def test_a_setting_makes_a_response_of_use_that_has_no_lifetime(setting: str) -> None:
    """It may be used stale then."""
    rules = PRIVATE._replace(**{setting: 9.0})
    assert why_not_stored(request(), response(said="max-age=0"), NOW, rules) is None


# The stored response, the request's Cache-Control, the seconds since; then its use, age and ttl.
USING: list[tuple[StoredResponse, str | None, float, Use, float, float]] = [
    (kept(LIVES), None, 0, Use.FRESH, 0, 60),
    (kept(LIVES), None, 59, Use.FRESH, 59, 1),
    (kept(LIVES), None, 59.5, Use.FRESH, 59.5, 0.5),
    (kept(LIVES), None, 60, Use.CONFIRM, 60, 0),
    (kept(LIVES), None, -5, Use.FRESH, 5, 55),  # the clock was set back
    (kept(LIVES), None, -86400, Use.CONFIRM, 86400, -86340),
    (kept(LIVES, Age="50"), None, 9, Use.FRESH, 59, 1),
    (kept(LIVES, Age="50, 1"), None, 10, Use.CONFIRM, 60, 0),
    (kept(LIVES, Age="50;a=b"), None, 9, Use.FRESH, 59, 1),
    (kept(LIVES, Age="50 ; a=b"), None, 9, Use.FRESH, 59, 1),
    (kept(LIVES, Age="50\t, 1"), None, 9, Use.FRESH, 59, 1),
    (kept(LIVES, Age="50X"), None, 9, Use.FRESH, 9, 51),
    (kept(LIVES, Age="soon"), None, 0, Use.FRESH, 0, 60),
    (kept(LIVES, Date=date(-20)), None, 0, Use.FRESH, 20, 40),
    (kept(LIVES, Date=date(20)), None, 0, Use.FRESH, 0, 60),
    (kept(LIVES, Date=date(-20), Age="30"), None, 0, Use.FRESH, 30, 30),
    (kept(LIVES, elapsed=4.0, Age="10"), None, 0, Use.FRESH, 14, 46),
    (kept("no-cache, max-age=60"), None, 0, Use.CONFIRM, 0, 60),
    (kept(LIVES), "no-cache", 0, Use.CONFIRM, 0, 60),
    (kept(LIVES), "max-age=10", 10, Use.FRESH, 10, 50),
    (kept(LIVES), "max-age=10", 11, Use.CONFIRM, 11, 49),
    (kept(LIVES), "max-age=0", 1, Use.CONFIRM, 1, 59),
    (kept(LIVES), "min-fresh=20", 40, Use.FRESH, 40, 20),
    (kept(LIVES), "min-fresh=20", 41, Use.CONFIRM, 41, 19),
    (kept(LIVES), "min-fresh=20, max-stale=99", 41, Use.CONFIRM, 41, 19),
    (kept(LIVES), "min-fresh=20, max-stale=99", 59, Use.CONFIRM, 59, 1),
    (kept(LIVES), "max-stale=10", 60, Use.STALE, 60, 0),
    (kept(LIVES), "max-stale=10", 70, Use.STALE, 70, -10),
    (kept(LIVES), "max-stale=10", 71, Use.CONFIRM, 71, -11),
    (kept(LIVES), "max-stale=0", 60.5, Use.CONFIRM, 60.5, -0.5),
    (kept(LIVES), "max-stale", 9999, Use.STALE, 9999, -9939),
    (kept("must-revalidate, max-age=60"), "max-stale", 70, Use.CONFIRM, 70, -10),
    (kept("max-age=60, stale-while-revalidate=10"), None, 70, Use.BEHIND, 70, -10),
    (kept("max-age=60, stale-while-revalidate=10"), None, 71, Use.CONFIRM, 71, -11),
    (kept("max-age=60, stale-while-revalidate=10"), "min-fresh=1", 70, Use.CONFIRM, 70, -10),
    (kept("max-age=60, stale-while-revalidate=10, must-revalidate"), None, 70, Use.CONFIRM, 70, -10),
    (kept("max-age=60, stale-while-revalidate=0"), None, 60, Use.CONFIRM, 60, 0),
    (kept(Expires=date(60), Date=date()), None, 10, Use.FRESH, 10, 50),
    (kept(Expires=date(60), Date=date(-10)), None, 0, Use.FRESH, 10, 60),
    (kept(Expires=date(60)), None, 0, Use.FRESH, 0, 60),
    (kept(Expires=date(60).replace("GMT", "UTC")), None, 0, Use.CONFIRM, 0, 0),
    (kept(Expires=date(60).replace("GMT", "+0000")), None, 0, Use.CONFIRM, 0, 0),
    (kept(Expires="0"), None, 0, Use.CONFIRM, 0, 0),
    (kept(Expires=date(-60)), None, 0, Use.CONFIRM, 0, 0),
    (kept("max-age=5", Expires=date(60)), None, 0, Use.FRESH, 0, 5),
    (kept("max-age=5, s-maxage=50"), None, 0, Use.FRESH, 0, 5),
    (kept(Last_Modified=date(-1000)), None, 0, Use.CONFIRM, 0, 0),
]  # fmt: skip


@each_row(("stored", "asked", "after", "use", "age", "ttl"), USING)
def test_how_a_stored_response_is_used(
    stored: StoredResponse, asked: str | None, after: float, use: Use, age: float, ttl: float
) -> None:
    """RFC 9111, 4; RFC 5861, 3."""
    assert judge(stored, request(asked), NOW + after, PRIVATE) == (use, age, ttl)


def test_the_first_of_several_ages_counts() -> None:
    """In one field or in several (5.1)."""
    twice = kept(LIVES)._replace(headers=(("Cache-Control", LIVES), ("Age", "50"), ("Age", "1")))
    assert judge(twice, request(), NOW, PRIVATE).age == 50


@each_row(
    ("said", "shared", "must_be_confirmed"),
    [
        ("must-revalidate", False, True),
        ("must-revalidate", True, True),
        ("proxy-revalidate", False, False),
        ("proxy-revalidate", True, True),
        ("s-maxage=60", False, False),
        ("s-maxage=60", True, True),
        ("no-cache", False, True),
        ("public", True, False),
    ],
)
def test_who_forbids_to_use_a_stale_response(said: str, shared: bool, must_be_confirmed: bool) -> None:
    """Some of it holds for shared caches alone (4.2.4)."""
    rules = CacheRules(shared=shared, stale_if_error=99.0, stale_while_revalidate=99.0)
    stored = kept(f"max-age=60, {said}")
    use = judge(stored, request(), NOW + 61, rules).use
    assert (use is Use.CONFIRM, use is Use.BEHIND) == (must_be_confirmed, not must_be_confirmed)
    assert may_use_after_error(stored, request(), NOW + 61, rules) is not must_be_confirmed


def test_a_shared_cache_has_a_lifetime_of_its_own() -> None:
    """s-maxage comes first there."""
    assert judge(kept("max-age=5, s-maxage=50"), request(), NOW, SHARED).ttl == 50


@each_row(
    ("status", "said", "changed", "ttl"),
    [
        (200, None, -1000.0, 100.0),
        (404, None, -1000.0, 100.0),
        (302, None, -1000.0, 0.0),
        (302, "public", -1000.0, 100.0),
        (200, None, 1000.0, 0.0),
        (200, None, -(10.0**7), 86_400.0),
    ],
)
def test_a_share_of_the_time_since_the_last_change(
    status: int, said: str | None, changed: float, ttl: float
) -> None:
    """Where it is set, a day at most (4.2.2)."""
    rules = CacheRules(heuristic=0.1)
    stored = kept(said, status, Last_Modified=date(changed), Date=date())
    assert judge(stored, request(), NOW, rules).ttl == ttl
    assert judge(kept(said, status, Date=date()), request(), NOW, rules).ttl == 0.0
    assert judge(stored, request(), NOW, PRIVATE).ttl == 0.0


@each_row(
    ("said", "asked", "setting", "stale", "may"),
    [
        ("stale-if-error=10", None, 0.0, 10, True),
        ("stale-if-error=10", None, 0.0, 11, False),
        ("stale-if-error=1", None, 0.0, 1, True),
        ("stale-if-error=1", None, 0.0, 1.5, False),
        ("stale-if-error=0", None, 0.0, 0, False),
        ("", None, 0.5, 0.5, True),
        ("stale-if-error=10", None, 20.0, 20, True),
        ("stale-if-error=10", None, 20.0, 21, False),
        ("", None, 20.0, 20, True),
        ("", None, 0.0, 0, False),
        ("", None, 0.0, -1, True),  # still fresh
        ("", "stale-if-error=30", 0.0, 30, True),
        ("", "stale-if-error=30", 0.0, 31, False),
        ("stale-if-error=10", "no-cache", 0.0, 5, False),
        ("stale-if-error=10", "max-age=65", 0.0, 5, True),
        ("stale-if-error=10", "max-age=64", 0.0, 5, False),
        ("stale-if-error=10, must-revalidate", None, 0.0, 5, False),
    ],
)
def test_what_may_stand_in_for_an_error(
    said: str, asked: str | None, setting: float, stale: float, may: bool
) -> None:
    """RFC 5861, 4: as the response, the request or the settings allow, whichever is longer."""
    rules = CacheRules(stale_if_error=setting)
    assert may_use_after_error(kept(f"max-age=60, {said}"), request(asked), NOW + 60 + stale, rules) is may


def test_a_response_from_the_future_stands_in_for_no_error() -> None:
    """The clock was set back since it was stored, so its age is not known."""
    stored = kept("max-age=60, stale-if-error=10")
    assert may_use_after_error(stored, request(), NOW - 60, PRIVATE)
    assert not may_use_after_error(stored, request(), NOW - 86_400, PRIVATE)


def test_a_request_for_nothing_old_gets_nothing_old() -> None:
    """Not even half a second."""
    stored = kept("max-age=60, stale-if-error=10")
    assert may_use_after_error(stored, request("max-age=0"), NOW, PRIVATE)
    assert not may_use_after_error(stored, request("max-age=0"), NOW + 0.5, PRIVATE)
    assert judge(stored, request("max-age=0"), NOW, PRIVATE).use is Use.FRESH
    assert judge(stored, request("max-age=0"), NOW + 0.5, PRIVATE).use is Use.CONFIRM


def test_which_statuses_are_errors_and_which_are_conclusive() -> None:
    """A failure of the server says nothing about what was stored."""
    assert [status for status in range(600) if is_error(status)] == [500, 502, 503, 504]
    assert [status for status in range(400, 600) if not is_conclusive(status)] == [
        408,
        425,
        429,
        *range(500, 600),
    ]


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {}),
        ({"ETag": 'W/"a"'}, {"If-None-Match": 'W/"a"'}),
        ({"Last-Modified": date()}, {"If-Modified-Since": date()}),
        ({"ETag": '"a"', "Last-Modified": date()}, {"If-None-Match": '"a"', "If-Modified-Since": date()}),
    ],
)
def test_a_confirmation_is_asked_for_by_all_validators(
    headers: dict[str, str], fields: dict[str, str]
) -> None:
    """RFC 9111, 4.3.1; one that is there twice is none."""
    pairs = tuple(headers.items())
    assert conditions(kept()._replace(headers=pairs)) == fields
    assert conditions(kept()._replace(headers=pairs * 2)) == {}


def not_modified(**headers: str) -> HttpResponse:
    made = response(304, **headers)
    made.elapsed = 2.0
    return made


def test_a_confirmation_renews_a_response() -> None:
    """Its fields replace those of the same names, but for those that describe the content (3.2)."""
    old = kept(LIVES, ETag='"a"', X_Old="1", Age="50", Content_Encoding="gzip", Content_Length="9")
    new = confirmed(
        old,
        request(),
        not_modified(
            ETag='W/"a"',
            Cache_Control="max-age=5",
            Content_Encoding="br",
            Content_Length="0",
            Content_Range="x",
        ),
        NOW + 100,
    )
    assert new is not None
    assert dict(new.headers) == {
        "ETag": 'W/"a"',
        "X-Old": "1",
        "Content-Encoding": "gzip",
        "Content-Length": "9",
        "Cache-Control": "max-age=5",
    }
    assert (new.requested_at, new.received_at, new.content) == (NOW + 98, NOW + 100, old.content)


@pytest.mark.parametrize(
    ("ours", "theirs", "is_ours"),
    [
        ('"a"', '"a"', True),
        ('W/"a"', '"a"', True),
        ('"a"', None, True),
        ('"a"', '"b"', False),
        (None, '"b"', False),
    ],
)
def test_a_confirmation_of_another_response_confirms_nothing(
    ours: str | None, theirs: str | None, is_ours: bool
) -> None:
    """Told by the ETag, compared weakly (4.3.4)."""
    headers: dict[str, Any] = [{}, {"ETag": ours}][ours is not None]
    answer: dict[str, Any] = [{}, {"ETag": theirs}][theirs is not None]
    found = confirmed(kept(LIVES, **headers), request(), not_modified(**answer), NOW)
    assert (found is not None) is is_ours


@each_row(
    ("method", "status", "headers", "urls"),
    [
        ("POST", 201, {"Location": "/orders/2"}, [URL, "https://api.example.com/orders/2"]),
        ("PUT", 200, {"Content-Location": "3?a=b"}, [URL, "https://api.example.com/orders/3?a=b"]),
        ("DELETE", 399, {"Location": "/x"}, [URL, "https://api.example.com/x"]),
        ("POST", 400, {"Location": "/orders/2"}, []),
        ("POST", 499, {}, []),
        ("POST", 500, {"Location": "/orders/2"}, [URL]),
        ("POST", 201, {"Location": "https://elsewhere.example/"}, [URL]),
        ("POST", 201, {"Location": "http://[bad"}, [URL]),
        ("POST", 201, {"Location": "mailto:joe@example.com"}, [URL]),
        ("POST", None, {}, [URL]),
        ("GET", 200, {"Location": "/x"}, []),
        *((method, 200, {}, []) for method in ("HEAD", "OPTIONS", "TRACE", "QUERY")),
    ],
)
def test_what_a_change_puts_out_of_date(
    method: str, status: int | None, headers: dict[str, str], urls: list[str]
) -> None:
    """Its own URL, and those of its origin that the response names; a refusal changed nothing (4.4)."""
    answer = None if status is None else HttpResponse(status, headers=headers)
    assert outdated_urls(request(method=method), answer) == urls


def test_a_change_over_a_unix_socket_puts_out_of_date_what_it_names() -> None:
    """The URLs that the response names are those of the socket."""
    url = "http+unix://%2Frun%2Fapp.sock/orders"
    answer = HttpResponse(201, headers={"Location": "/orders/2"})
    assert outdated_urls(HttpRequest("POST", url), answer) == [url, f"{url}/2"]
