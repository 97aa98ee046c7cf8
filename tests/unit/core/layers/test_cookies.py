"""A client with a cookie jar: what it sends and stores over redirects and attempts, sync and async."""

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


def test_without_a_jar_no_cookie_is_stored(front_end: FrontEnd) -> None:
    """A shared client must not mix the sessions of its users."""
    it = Harness(front_end, SETS)
    it.request(url=A)
    it.request(url=A)
    assert cookies_sent(it) == [None, None]
    assert it.client.cookies is None


@pytest.mark.parametrize("setting", [True, CookieJar()], ids=["own", "given"])
def test_a_jar_sends_a_cookie_only_to_its_host(front_end: FrontEnd, setting: Any) -> None:
    """The host that set the cookie gets it with the next request; other hosts do not."""
    it = Harness(front_end, SETS, 200, cookies=setting)
    for url in (A, A, B):
        it.request(url=url)
    assert cookies_sent(it) == [None, "k=v", None]
    assert it.client.cookies is not None
    it.client.cookies.clear()


def test_a_trace_carries_no_cookies(front_end: FrontEnd) -> None:
    """Its response repeats the request (RFC 9110, 9.3.8)."""
    it = Harness(front_end, SETS, 200, cookies=True)
    it.request(url=A)
    it.request(method="TRACE", url=A)
    assert cookies_sent(it) == [None, None]


def test_clients_share_cookies_only_through_a_given_jar(front_end: FrontEnd) -> None:
    """cookies=True makes a jar for each client; a `CookieJar` given to several clients is shared."""
    jar = CookieJar()
    one, other = Harness(front_end, SETS, cookies=True), Harness(front_end, cookies=True)
    first, second = Harness(front_end, SETS, cookies=jar), Harness(front_end, cookies=jar)
    for harness in (one, other, first, second):
        harness.request(url=A)
    assert (cookies_sent(other), cookies_sent(second)) == ([None], ["k=v"])


def test_cookies_of_the_call_take_precedence_over_the_jar(front_end: FrontEnd) -> None:
    """cookies= of a call come first and replace those of the same name; the jar does not store them."""
    it = Harness(front_end, (200, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]), 200, cookies=True)
    it.request(url=A)
    it.request(url=A, cookies={"b": "mine", "c": "3"})
    it.request(url=A, headers={"Cookie": "a=by-hand"})
    it.request(url=A)
    assert cookies_sent(it) == [None, "b=mine; c=3; a=1", "a=by-hand; b=2", "a=1; b=2"]


@pytest.mark.parametrize(("own_size", "is_sent"), [(7186, True), (7187, False)])
def test_a_header_has_no_more_bytes_than_servers_take(
    front_end: FrontEnd, own_size: int, is_sent: bool
) -> None:
    """Those of the call come first, then what of the jar has room: 8190 bytes, with the separator between the two."""
    it = Harness(front_end, cookies=True)
    it.client.cookies.set(A, "jar", "j" * 998)  # type: ignore[union-attr]  # there is one
    own = "own=".ljust(own_size, "x")
    it.request(url=A, headers={"Cookie": own})
    sent = cookies_sent(it)[0]
    assert (sent == f"{own}; jar={'j' * 998}") is is_sent
    assert len(sent or "") == (8190 if is_sent else own_size)


@pytest.mark.parametrize(("size", "is_sent"), [(4000, True), (4001, False)])
def test_without_cookies_of_the_call_the_jar_has_all_the_room(
    front_end: FrontEnd, size: int, is_sent: bool
) -> None:
    """8190 bytes, of which no separator to the call's own is taken."""
    it = Harness(front_end, cookies=True)
    cookies = {"a": "a" * 4000, "b": "b" * (8190 - len("a=; b=; c=") - 4000 - 100), "c": "c" * (size - 3900)}
    for name, value in cookies.items():
        it.client.cookies.set(A, name, value)  # type: ignore[union-attr]  # there is one
    it.request(url=A)
    pairs = [f"{name}={value}" for name, value in cookies.items()]
    assert cookies_sent(it) == ["; ".join(pairs if is_sent else pairs[:2])]
    assert len("; ".join(pairs)) == (8190 if is_sent else 8191)


def test_each_hop_of_a_redirect_gets_the_cookies_of_the_jar(front_end: FrontEnd) -> None:
    """Each hop gets what the jar has for its URL at that moment, and no cookie of the previous hop."""
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


def test_cookies_of_the_call_are_not_sent_to_another_origin(front_end: FrontEnd) -> None:
    """After a redirect to another origin, only the cookies that the jar has for it are sent."""
    it = Harness(front_end, (302, {"Location": B}), 200, cookies=True)
    it.client.cookies.set(A, "a", "1")  # type: ignore[union-attr]  # there is one
    it.client.cookies.set(B, "b", "2")  # type: ignore[union-attr]  # there is one
    it.request(url=A, cookies={"own": "x"})
    assert cookies_sent(it) == ["own=x; a=1", "b=2"]


def test_each_attempt_updates_the_jar(front_end: FrontEnd) -> None:
    """A retry sends the cookie that the failed attempt's 503 set, such as a load balancer's."""
    it = Harness(front_end, (503, {"Set-Cookie": "node=7"}), 200, cookies=True)
    assert it.request(url=A).attempts == 2
    assert cookies_sent(it) == [None, "node=7"]


def test_a_cookie_expires_by_the_client_s_clock(front_end: FrontEnd) -> None:
    """Max-Age is measured by the wall clock that the client was given."""
    it = Harness(front_end, (200, {"Set-Cookie": "k=v; Max-Age=10"}), 200, cookies=True)
    for pause in (0.0, 9.0, 2.0):
        it.clock.now += pause
        it.request(url=A)
    assert cookies_sent(it) == [None, "k=v", None]
