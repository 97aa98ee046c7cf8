"""A client with a cookie jar: what it sends and remembers, over redirects, attempts and both worlds."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import CookieJar
from kit.fakes import Harness
from kit.front_ends import FrontEnd

A, B = "https://a.test/", "https://b.test/"
SETS = (200, {"Set-Cookie": "k=v"})


def cookies_sent(harness: Harness) -> list[str | None]:
    return [request.headers.get("Cookie") for request in harness.transport.sent]


def test_without_a_jar_nothing_is_remembered(front_end: FrontEnd) -> None:
    """A client that is shared must not mix its users' sessions."""
    it = Harness(front_end, SETS)
    it.request(url=A)
    it.request(url=A)
    assert cookies_sent(it) == [None, None]
    assert it.client.cookies is None


@pytest.mark.parametrize("setting", [True, CookieJar()], ids=["own", "given"])
def test_with_a_jar_a_cookie_comes_back_to_whom_it_belongs(front_end: FrontEnd, setting: Any) -> None:
    """To its host, and to no other."""
    it = Harness(front_end, SETS, 200, cookies=setting)
    for url in (A, A, B):
        it.request(url=url)
    assert cookies_sent(it) == [None, "k=v", None]
    assert it.client.cookies is not None
    it.client.cookies.clear()


def test_one_configuration_is_not_one_session(front_end: FrontEnd) -> None:
    """cookies=True is a jar for each client; a jar that is given is shared."""
    jar = CookieJar()
    mine, other = Harness(front_end, SETS, cookies=True), Harness(front_end, cookies=True)
    shared, too = Harness(front_end, SETS, cookies=jar), Harness(front_end, cookies=jar)
    for harness in (mine, other, shared, too):
        harness.request(url=A)
    assert (cookies_sent(other), cookies_sent(too)) == ([None], ["k=v"])


def test_what_the_call_says_itself_counts(front_end: FrontEnd) -> None:
    """cookies= of a call stands first, and in place of one of that name; the jar does not learn it."""
    it = Harness(front_end, (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]), 200, cookies=True)
    it.request(url=A)
    it.request(url=A, cookies={"b": "mine", "c": "3"})
    it.request(url=A, headers={"Cookie": "a=by-hand"})
    it.request(url=A)
    assert cookies_sent(it) == [None, "b=mine; c=3; a=1", "a=by-hand; b=2", "a=1; b=2"]


def test_a_redirect_sets_deletes_and_moves_cookies(front_end: FrontEnd) -> None:
    """Each hop gets what is in the jar for it at that moment, and nothing of the hop before."""
    it = Harness(
        front_end,
        (302, [("Location", "/in"), ("Set-Cookie", "s=1"), ("Set-Cookie", "p=2; Path=/in")]),
        (302, [("Location", B), ("Set-Cookie", "s=; Max-Age=0")]),
        (302, [("Location", A)]),
        200,
        cookies=True,
    )
    it.request(url=A)
    assert cookies_sent(it) == [None, "p=2; s=1", None, None]


def test_a_call_s_own_cookies_stay_with_their_origin_beside_a_jar(front_end: FrontEnd) -> None:
    """The jar's go where they belong; those of the call end with the redirect to a stranger."""
    it = Harness(front_end, (302, {"Location": B}), 200, cookies=True)
    it.client.cookies.set(A, "a", "1")  # type: ignore[union-attr]  # there is one
    it.client.cookies.set(B, "b", "2")  # type: ignore[union-attr]  # there is one
    it.request(url=A, cookies={"own": "x"})
    assert cookies_sent(it) == ["own=x; a=1", "b=2"]


def test_each_attempt_brings_the_jar_up_to_date(front_end: FrontEnd) -> None:
    """A 503 may set a cookie, such as that of a load balancer."""
    it = Harness(front_end, (503, {"Set-Cookie": "node=7"}), 200, cookies=True)
    assert it.request(url=A).attempts == 2
    assert cookies_sent(it) == [None, "node=7"]


def test_a_cookie_is_over_by_the_client_s_clock(front_end: FrontEnd) -> None:
    """The wall's, as Max-Age of the jar says."""
    it = Harness(front_end, (200, {"Set-Cookie": "k=v; Max-Age=10"}), 200, cookies=True)
    for pause in (0.0, 9.0, 2.0):
        it.clock.now += pause
        it.request(url=A)
    assert cookies_sent(it) == [None, "k=v", None]
