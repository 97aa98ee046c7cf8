"""The cookie jar: which request gets which cookie, and what no server can set (RFC 6265 and 6265bis)."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.drivers import imports
from http_service_client.errors import InvalidRequestError
from http_service_client.http.cookies import suffixes
from http_service_client.http.cookies.jar import CookieJar, _domains_of
from http_service_client.http.http1.framing import field_text
from kit.cookies import A_DAY, NOW, jar_with
from kit.rows import each_row


@each_row(
    ("host", "domains"),
    [
        ("a.b.example.com", ["a.b.example.com", "b.example.com", "example.com", "com"]),
        ("localhost", ["localhost"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("co.uk", ["co.uk"]),
        ("a.co.uk", ["a.co.uk", "co.uk", "uk"]),
        ("co.com", ["co.com", "com"]),
        ("a.1.2.com", ["a.1.2.com", "1.2.com", "2.com", "com"]),
        ("7.a.com", ["7.a.com", "a.com", "com"]),
        ("co.uk.a.com", ["co.uk.a.com", "uk.a.com", "a.com", "com"]),
    ],
)
def test_cookies_are_looked_up_at_a_host_and_above_it(host: str, domains: list[str]) -> None:
    """Nothing is above an address, a single label, or a domain that strangers share."""
    assert list(islice(_domains_of(host), 9)) == domains


@each_row("label", ["ac", "co", "com", "edu", "gob", "gov", "info", "int", "mil", "net", "nom", "or", "org"])
def test_registries_of_a_country_share_no_cookies(label: str) -> None:
    """They sell names below these labels, as http.cookiejar has them, also in a country that no list of suffixes knows."""
    jar = jar_with(f"https://shop.{label}.zz/", f"k=v; Domain={label}.zz")
    assert jar.header(f"https://other.{label}.zz/", NOW) == ""


def test_octets_that_are_not_utf8_are_not_sent_back_as_others() -> None:
    """A cookie with such octets is ignored; one in UTF-8 is kept."""
    jar = jar_with("https://a.test/", field_text(b"latin=\xe9"), field_text(b"utf8=\xc3\xa9"))
    assert jar.header("https://a.test/", NOW) == "utf8=é"


# Which request gets it.


@each_row(
    ("url", "line", "to", "sent"),
    [
        # Host only, when no Domain is given (5.3, step 6).
        ("https://a.example.com/", "k=v", "https://a.example.com/x", "k=v"),
        ("https://a.example.com/", "k=v", "https://example.com/", ""),
        ("https://a.example.com/", "k=v", "https://b.a.example.com/", ""),
        ("https://a.example.com/", "k=v; Domain=", "https://b.a.example.com/", ""),
        # Domain: that host and those below (5.1.3).
        ("https://a.example.com/", "k=v; Domain=example.com", "https://example.com/", "k=v"),
        ("https://a.example.com/", "k=v; domain=.EXAMPLE.com", "https://b.example.com/", "k=v"),
        ("https://a.example.com/", "k=v; Domain=example.com", "https://notexample.com/", ""),
        ("https://notexample.com/", "k=v; Domain=example.com", "https://example.com/", ""),
        ("https://a.example.com/", "k=v; Domain=b.example.com", "https://b.example.com/", ""),
        ("https://example.com/", "k=v; Domain=a.example.com", "https://a.example.com/", ""),
        ("https://a.example.com/", "k=v; Domain=x; Domain=example.com", "https://example.com/", "k=v"),
        # No supercookies.
        ("https://example.com/", "k=v; Domain=com", "https://other.com/", ""),
        ("https://shop.co.uk/", "k=v; Domain=co.uk", "https://other.co.uk/", ""),
        ("https://co.uk/", "k=v; Domain=co.uk", "https://other.co.uk/", ""),
        ("https://co.uk/", "k=v; Domain=co.uk", "https://co.uk/", "k=v"),
        ("http://localhost/", "k=v; Domain=localhost", "http://localhost/", "k=v"),
        ("http://localhost/", "k=v; Domain=localhost", "http://a.localhost/", ""),
        ("http://127.0.0.1/", "k=v", "http://127.0.0.1/", "k=v"),
        ("http://127.0.0.1/", "k=v; Domain=127.0.0.1", "http://127.0.0.1/", "k=v"),
        ("http://127.0.0.1/", "k=v; Domain=0.0.1", "http://127.0.0.1/", ""),
        ("http://127.0.0.1/", "k=v; Domain=1", "http://127.0.0.1/", ""),
        ("http://[::1]/", "k=v; Domain=[::1]", "http://[::1]/", "k=v"),
        # The port does not count (8.5).
        ("http://example.com:81/", "k=v", "http://example.com:82/", "k=v"),
        # Path (5.1.4).
        ("https://h.test/a/b", "k=v", "https://h.test/a", "k=v"),
        ("https://h.test/a/b", "k=v", "https://h.test/a/c?x", "k=v"),
        ("https://h.test/a/b", "k=v", "https://h.test/ab", ""),
        ("https://h.test/a/b", "k=v", "https://h.test/", ""),
        ("https://h.test/a", "k=v", "https://h.test/other", "k=v"),
        ("https://h.test/a?b/c", "k=v", "https://h.test/other", "k=v"),
        ("https://h.test/", "k=v; Path=/a", "https://h.test/a/b", "k=v"),
        ("https://h.test/", "k=v; Path=/a/", "https://h.test/a", ""),
        ("https://h.test/", "k=v; Path=/a", "https://h.test/a?x", "k=v"),
        ("https://h.test/", "k=v; Path=/aX", "https://h.test/aX", "k=v"),
        ("https://h.test/", "k=v; PathX=/a", "https://h.test/", "k=v"),
        ("https://h.test/x/y", "k=v; Path=a", "https://h.test/x", "k=v"),
        ("https://h.test/x", "k=v; Path=/", "https://h.test/", "k=v"),
        # Secure: set by https, sent by https.
        ("https://h.test/", "k=v; Secure", "https://h.test/", "k=v"),
        ("https://h.test/", "k=v; secure", "http://h.test/", ""),
        ("http://h.test/", "k=v; Secure", "https://h.test/", ""),
        # Nobody else can read what does not leave the machine.
        ("http://localhost/", "k=v; Secure", "http://localhost/", "k=v"),
        ("http://127.0.0.1/", "k=v; Secure", "http://127.0.0.1/", "k=v"),
        ("http://[::1]/", "__Host-k=v; Secure; Path=/", "http://[::1]/", "__Host-k=v"),
        ("http://localhost.evil.test/", "k=v; Secure", "http://localhost.evil.test/", ""),
        ("http://127.0.0.1.evil.test/", "k=v; Secure", "http://127.0.0.1.evil.test/", ""),
        ("https://h.test/", "k=v", "http://h.test/", "k=v"),
        # Prefixes (6265bis 4.1.3).
        ("https://h.test/", "__Secure-k=v", "https://h.test/", ""),
        ("https://h.test/", "__Secure-k=v; Secure", "https://h.test/", "__Secure-k=v"),
        ("https://h.test/", "__HOST-k=v; Secure", "https://h.test/", ""),
        ("https://h.test/", "__Host-k=v; Secure; Path=/", "https://h.test/", "__Host-k=v"),
        ("https://h.test/", "__Host-k=v; Path=/", "https://h.test/", ""),
        ("https://h.test/", "__Host-k=v; Secure; Path=/; Domain=h.test", "https://h.test/", ""),
        # Malformed cookies.
        ("https://h.test/", "k", "https://h.test/", ""),
        ("https://h.test/", "=v", "https://h.test/", ""),
        ("https://h.test/", "", "https://h.test/", ""),
        ("https://h.test/", "k=v\x00", "https://h.test/", ""),
        ("https://h.test/", "k=\ud800", "https://h.test/", ""),
        ("https://h.test/", "k=" + "v" * 4096, "https://h.test/", ""),
        ("https://h.test/", "k=" + "v" * 4095, "https://h.test/", "k=" + "v" * 4095),
        # Parsed as servers write them.
        ("https://h.test/", ' k = "a=b, c" ; HttpOnly ;', "https://h.test/", 'k="a=b, c"'),
        ("https://h.test/", "k=", "https://h.test/", "k="),
        ("https://h.test/", "kX=vX", "https://h.test/", "kX=vX"),
        ("https://h.test/", "k=v; Path=/" + "a" * 1024, "https://h.test/", "k=v"),
        ("https://h.test/", "k=v; Path=/" + "a" * 1023, "https://h.test/", ""),
    ],
)
def test_a_cookie_is_sent_only_where_it_belongs(url: str, line: str, to: str, sent: str) -> None:
    """By host, path and scheme; a cookie that the server may not set is ignored."""
    assert jar_with(url, line).header(to, NOW) == sent


@each_row(
    ("attributes", "lives_for"),
    [
        ("", None),
        ("; Max-Age=60", 60.0),
        ("; Max-Age=1", 1.0),
        ("; max-age=0", 0.0),
        ("; Max-Age=-1", 0.0),
        ("; Max-Age=x", None),
        ("; Max-Age=6 0", None),
        ("; Max-Age=" + "9" * 500, 400 * A_DAY),
        ("; Expires=Sat, 16 Jan 2027 08:00:00 GMT", A_DAY),
        ("; Expires=Fri, 15 Jan 2027 08:00:00 GMT", 0.0),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("; Expires=Fri, 31 Dec 9999 23:59:59 GMT", 400 * A_DAY),
        ("; Expires=never", None),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", 60.0),
        ("; Max-Age=60; Max-Age=30", 30.0),
        # One that cannot be read is none (5.2.1, 5.2.2), and leaves the one before it.
        ("; Max-Age=0; Max-Age=soon", 0.0),
        ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Expires=never", 0.0),
    ],
)
def test_a_cookie_expires(attributes: str, lives_for: float | None) -> None:
    """By Max-Age, else by Expires, and after 400 days at most; without both it lives as long as the jar."""
    jar = jar_with("https://h.test/", f"k=v{attributes}")
    if lives_for is None:
        assert jar.header("https://h.test/", NOW + 10_000 * A_DAY) == "k=v"
        return
    assert len(jar) == (lives_for > 0)
    assert jar.header("https://h.test/", NOW + lives_for) == ""
    assert len(jar) == 0
    jar = jar_with("https://h.test/", f"k=v{attributes}")
    if lives_for:
        assert jar.header("https://h.test/", NOW + lives_for - 0.5) == "k=v"


def test_a_later_cookie_of_the_same_name_domain_and_path_replaces_the_first() -> None:
    """An expired one removes it."""
    jar = jar_with("https://h.test/", "k=1", "j=x", "k=2")
    assert jar.header("https://h.test/", NOW) == "k=2; j=x"
    jar.store("https://h.test/", ["k=; Max-Age=0"], NOW)
    assert jar.header("https://h.test/", NOW) == "j=x"
    assert len(jar) == 1


@pytest.mark.parametrize(
    "moved", [["k=new; Domain=h.test", "k=; Max-Age=0"], ["k=; Max-Age=0", "k=new; Domain=h.test"]]
)
def test_a_cookie_of_a_host_and_one_of_its_domain_are_two(moved: list[str]) -> None:
    """A server that moves a session from its host to its domain deletes the old one, in either order (6265bis 5.7, step 23)."""
    jar = jar_with("https://h.test/", "k=old")
    jar.store("https://h.test/", moved[:1], NOW)
    assert jar.header("https://h.test/", NOW) == ("k=old; k=new" if "new" in moved[0] else "")
    jar.store("https://h.test/", moved[1:], NOW)
    assert jar.header("https://h.test/", NOW) == jar.header("https://a.h.test/", NOW) == "k=new"


def test_longer_paths_come_first_and_then_older_cookies() -> None:
    """5.4, step 2."""
    jar = jar_with("https://h.test/", "a=1", "b=2; Path=/x", "c=3; Path=/x/y", "d=4; Path=/x")
    assert jar.header("https://h.test/x/y/z", NOW) == "c=3; b=2; d=4; a=1"


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The list of public suffixes is installed, and has github.io."""
    library = ModuleType("publicsuffixlist")
    library.PublicSuffixList = lambda: SimpleNamespace(is_public={"github.io"}.__contains__)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "publicsuffixlist", library)
    suffixes._known.cache_clear()
    yield
    suffixes._known.cache_clear()


@pytest.mark.usefixtures("listed")
def test_nobody_sets_cookies_for_a_public_suffix() -> None:
    """Pages of strangers are below it. Its own cookies are its own, and those of a page are not affected."""
    jar = jar_with("https://a.github.io/", "evil=1; Domain=github.io", "page=1; Domain=a.github.io")
    assert jar.header("https://a.github.io/", NOW) == "page=1"
    assert jar.header("https://b.github.io/", NOW) == ""


@pytest.mark.usefixtures("listed")
def test_the_cookies_of_a_public_suffix_are_its_own() -> None:
    """The host that is one may name itself as the domain: the pages below it get nothing of that (5.3, step 5)."""
    jar = jar_with("https://github.io/", "k=v; Domain=github.io")
    assert jar.header("https://github.io/", NOW) == "k=v"
    assert jar.header("https://a.github.io/", NOW) == ""


def test_without_the_list_a_registry_is_known_by_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is optional."""
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    suffixes._known.cache_clear()
    jar = jar_with("https://a.github.io/", "kept=1; Domain=github.io")
    jar.store("https://a.co.uk/", ["evil=1; Domain=co.uk"], NOW)
    jar.store("https://co.uk/", ["own=1; Domain=co.uk"], NOW)
    suffixes._known.cache_clear()
    assert jar.header("https://b.github.io/", NOW) == "kept=1"
    assert jar.header("https://b.co.uk/", NOW) == ""
    assert jar.header("https://co.uk/", NOW) == "own=1"


def test_of_equal_paths_the_earlier_cookie_comes_first() -> None:
    """Also when it is of a domain above the host, and after a new value, which keeps the cookie's age."""
    jar = jar_with(
        "https://a.example.com/", "k=above; Domain=example.com", "k=host", "b=2; Domain=example.com"
    )
    jar.store("https://a.example.com/", ["k=again; Domain=example.com", "c=3; Path=/x"], NOW)
    assert jar.header("https://a.example.com/x", NOW) == "c=3; k=again; k=host; b=2"


def test_a_header_has_at_most_8190_bytes() -> None:
    """What does not fit is left out, not all of it: a server's 431 would end the session."""
    jar = jar_with("https://h.test/", f"a={'x' * 4000}; Path=/x", f"b={'x' * 4000}", f"c={'x' * 4000}", "d=4")
    assert [pair[0] for pair in jar.header("https://h.test/x", NOW).split("; ")] == ["a", "b", "d"]
    assert [pair[0] for pair in jar.header("https://h.test/x", NOW, taken=4100).split("; ")] == ["a", "d"]
    exact = jar_with("https://h.test/", f"a={'x' * 4000}", f"b={'é' * 2000}", "c=" + "x" * 180)
    assert len(exact.header("https://h.test/", NOW).encode()) == 8190
    assert exact.header("https://h.test/", NOW, taken=1).count("=") == 2


def test_a_name_that_the_request_has_already_is_not_sent_twice() -> None:
    """The call's own cookie wins."""
    jar = jar_with("https://h.test/", "a=1", "b=2")
    assert jar.header("https://h.test/", NOW, besides=["a"]) == "b=2"


def test_https_changes_a_secure_cookie() -> None:
    """Its own; one that is no longer secure too."""
    jar = jar_with("https://h.test/", "k=1; Secure", "k=2; Secure")
    assert jar.header("https://h.test/", NOW) == "k=2"
    jar.store("https://h.test/", ["k=3"], NOW)
    assert jar.header("http://h.test/", NOW) == "k=3"


@pytest.mark.parametrize(
    "line", ["k=evil", "k=evil; Domain=example.com", "k=; Max-Age=0", "k=e; Path=/login/x"]
)
def test_plain_http_does_not_change_a_secure_cookie(line: str) -> None:
    """An attacker who can write into plain http must not replace, hide or remove it (6265bis 5.7)."""
    jar = jar_with("https://a.example.com/", "k=good; Secure; Path=/login")
    jar.store("http://a.example.com/login/", [line], NOW)
    jar.store("http://a.example.com/login/", ["other=1"], NOW)
    assert jar.header("https://a.example.com/login", NOW).split("; ") in (["k=good", "other=1"], ["k=good"])


# By hand.


def test_cookies_can_be_set_listed_and_cleared() -> None:
    """For a session from elsewhere; values stay out of reprs."""
    jar = CookieJar()
    jar.set("https://h.test/login", "session", "s3cret")
    jar.set("https://h.test/", "gone", None)
    (cookie,) = jar
    assert (cookie.name, cookie.value, cookie.domain, cookie.path) == ("session", "s3cret", "h.test", "/")
    assert (cookie.is_secure, cookie.is_host_only, cookie.expires_at) == (True, True, None)
    assert jar.header("https://h.test/x", NOW) == "session=s3cret"
    assert "s3cret" not in f"{jar!r} {cookie!r}"
    jar.clear()
    assert (list(jar), len(jar), bool(jar)) == ([], 0, True)


@pytest.mark.parametrize(
    ("name", "value"), [("a b", "x"), ("a", "x;y"), ("a", "x\r\n"), ("", "x"), ("a", object())]
)
def test_a_malformed_cookie_cannot_be_set(name: str, value: object) -> None:
    """cookies= of a call refuses it too."""
    with pytest.raises(InvalidRequestError, match="cookie"):
        CookieJar().set("https://h.test/", name, value)


def test_a_jar_crosses_processes() -> None:
    """Without its lock."""
    jar = jar_with("https://h.test/", "k=v")
    jar.share(threading.RLock())
    twin = pickle.loads(pickle.dumps(jar))
    assert twin.header("https://h.test/", NOW) == "k=v"
    assert len(twin) == 1


# Any input.

HOSTS = st.sampled_from(["a.example.com", "example.com", "co.uk", "localhost", "127.0.0.1", "[::1]", "com"])


PIECES = st.sampled_from(
    [
        "k=v",
        "a=",
        "=b",
        "; Domain=",
        "; Path=",
        "/",
        "example.com",
        ".",
        "com",
        "[::1]",
        "; Max-Age=",
        "9",
        "-1",
        "; Secure",
    ]
)


LINES = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(host=HOSTS, to=HOSTS, scheme=st.sampled_from(["http", "https"]), lines=st.lists(LINES))
def test_no_server_breaks_the_jar_or_reaches_another_site(
    host: str, to: str, scheme: str, lines: list[str]
) -> None:
    """Nothing raises, the header is one line, and no cookie is sent to a site that did not set it."""
    jar = jar_with(f"{scheme}://{host}/x/y", *lines)
    sent = jar.header(f"{scheme}://{to}/x/y", NOW)
    assert not set("\r\n\0") & set(sent)
    if host != to and not {host, to} <= {"a.example.com", "example.com"}:
        assert sent == ""
    assert len(jar) == len(list(jar))


def test_a_client_with_a_jar_reads_the_list_before_its_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes 40 ms, in which an event loop would stand still, and calls import nothing in their midst."""
    monkeypatch.setattr(imports, "_DONE", set())
    suffixes._known.cache_clear()
    HttpServiceClient(HttpClientConfig(cookies=False))
    assert suffixes._known.cache_info().currsize == 0
    HttpServiceClient(HttpClientConfig(cookies=True))
    assert suffixes._known.cache_info().currsize == 1


@each_row("label", ["ac", "co", "com", "edu", "gob", "gov", "info", "int", "mil", "net", "nom", "or", "org"])
def test_names_are_sold_below_these_labels_of_a_country(label: str) -> None:
    """So strangers share such a domain: none of them sets cookies for all of it."""
    shop, other = f"https://shop.{label}.uk/", f"https://other.{label}.uk/"
    assert jar_with(shop, f"a=b; domain={label}.uk").header(other, NOW) == ""
    assert jar_with(shop, f"a=b; domain=shop.{label}.uk").header(shop, NOW) == "a=b"


def test_plain_http_may_set_a_name_at_another_path() -> None:
    """It hides the secure cookie of that name only where both would be sent."""
    jar = jar_with("https://a.test/x/y", "id=secure; Secure; Path=/x")
    for path, expected in (("/x", "secure"), ("/x/deep", "secure"), ("/z", "plain")):
        jar.store(f"http://a.test{path}", [f"id=plain; Path={path}"], NOW)
        assert jar.header(f"https://a.test{path}", NOW) == f"id={expected}"
