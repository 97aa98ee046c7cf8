"""URLs: one normal form that both transports send; a URL that two readers could understand differently is refused."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http import urls
from http_service_client.http.urls import (
    RawUrl,
    Url,
    is_secret_parameter,
    location_url,
    normalise_url,
    path_span,
    redact_url,
    show_url,
    split_url,
)
from http_service_client.transports.over_aiohttp.hooked.exchanges import yarl_url
from kit.rows import each_row


@each_row(
    ("url", "normal"),
    [
        ("https://api.example.com", "https://api.example.com/"),
        ("HTTPS://API.Example.COM:443/A", "https://api.example.com/A"),
        ("http://h:80", "http://h/"),
        ("http://h:443/", "http://h:443/"),
        ("http://h:/x", "http://h/x"),
        ("http://h:0080/x", "http://h/x"),
        ("http://h/a/./b/../c", "http://h/a/c"),
        ("http://h/a/%2e%2E/b", "http://h/b"),
        ("http://h/../../x", "http://h/x"),
        ("http://h/a/..", "http://h/"),
        ("http://h/a/.", "http://h/a/"),
        ("http://h/a//b", "http://h/a//b"),
        ("http://h/a b?c d", "http://h/a%20b?c%20d"),
        ("http://h/é?ü", "http://h/%C3%A9?%C3%BC"),
        ("http://h/%c3%a9%7E", "http://h/%c3%a9%7E"),
        ("http://h/100%?x=%zz&y=%4", "http://h/100%25?x=%25zz&y=%254"),
        ("http://h/a#frag", "http://h/a"),
        ("http://h?x=1", "http://h/?x=1"),
        ("http://h/?", "http://h/?"),
        ("http://h/x?a=b?c/d", "http://h/x?a=b?c/d"),
        ('http://h/[x]{y}|^`"<>', "http://h/%5Bx%5D%7By%7D%7C%5E%60%22%3C%3E"),
        ("http://h/?p=C:\\x", "http://h/?p=C:%5Cx"),
        ("http://h/@user:x", "http://h/@user:x"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://BÜCHER.example/", "http://xn--bcher-kva.example/"),
        ("http://my_service.local./", "http://my_service.local./"),
        ("http://192.0.2.1/", "http://192.0.2.1/"),
        ("http://[2001:DB8:0:0::1]:80/", "http://[2001:db8::1]/"),
        ("http://[::]/", "http://[::]/"),
        ("http://[1:0:0:2:0:0:0:3]/", "http://[1:0:0:2::3]/"),
        ("http://[1::]/", "http://[1::]/"),
        ("http://[::ffff:192.0.2.1]/", "http://[::ffff:c000:201]/"),
    ],
)
def test_a_url_has_one_normal_form(url: str, normal: str) -> None:
    """RFC 3986 6.2.2 and 6.2.3, but only as far as both libraries leave it unchanged."""
    assert normalise_url(url) == normal
    assert normalise_url(normal) == normal


@each_row(
    ("url", "says"),
    [
        ("", "not absolute"),
        ("/path", "not absolute"),
        ("example.com/x", "not absolute"),
        ("localhost:8080", "not absolute"),
        ("//h/x", "not absolute"),
        ("http:h/x", "not absolute"),
        ("ftp://h/x", "'ftp'"),
        ("file:///etc/passwd", "'file'"),
        ("http://", "no host"),
        ("http:///x", "no host"),
        ("http://:80/", "no host"),
        ("http://user:pw@h/", "auth="),
        ("http://u@h/", "auth="),
        ("http://127.0.0.1\\@evil/", "backslash"),
        ("http://h\\x", "backslash"),
        ("http://h/\n", "control"),
        ("http://h/\x00", "control"),
        ("http://h/\x85", "control"),
        (" http://h/", "white space"),
        ("http://h/ ", "white space"),
        ("http://a b/", "host"),
        ("http://h:0/", "1 to 65535"),
        ("http://h:65536/", "1 to 65535"),
        ("http://h:99999999999/", "1 to 65535"),
        ("http://h:8o/", "1 to 65535"),
        ("http://h:٣/", "1 to 65535"),
        ("http://h:-1/", "1 to 65535"),
        ("http://127.1/", "IPv4"),
        ("http://0x7f000001/", "IPv4"),
        ("http://0X7F.1/", "IPv4"),
        ("http://2130706433/", "IPv4"),
        ("http://0177.0.0.1/", "IPv4"),
        ("http://127.0.0.01/", "IPv4"),
        ("http://127.0.0.1./", "IPv4"),
        ("http://1.2.3.256/", "IPv4"),
        ("http://foo.1/", "IPv4"),
        ("http://①②⑦.0.0.1/", "IPv4"),
        ("http://127。0。0。1/", "IPv4"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://[fe80::1%eth0]/", "zone"),
        ("http://[::1/", "IPv6"),
        ("http://[::1]x/", "IPv6"),
        ("http://[]/", "IPv6"),
        ("http://[v1.x]/", "IPv6"),
        ("http://[::g]/", "IPv6"),
        ("http://ex%61mple.com/", "character"),
        ("http://a*b/", "character"),
        ("http://a<b/", "character"),
        ("http://a:b:c/", "character"),
        ("http://h]/", "character"),
        ("http://a..b/", "label"),
        ("http://.a/", "label"),
        ("http://./", "label"),
        (f"http://{'a' * 64}.x/", "label"),
        (f"http://{'a.' * 130}x/", "label"),
        ("http://a℀b.example/", "international"),
        ("http://☃☃\u200d.example/", "international"),
        ("http://h/\ud800", "surrogate"),
    ],
)
def test_an_ambiguous_or_malformed_url_is_refused(url: str, says: str) -> None:
    """The error names the fault; nothing is guessed."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)):
        normalise_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (None, "not NoneType; check where it comes from"),
        (b"http://h/", "not bytes; decode it"),
        (3, "not int; convert it by str()"),
        (PurePosixPath("/o"), "not PurePosixPath; convert it by str()"),
    ],
)
def test_a_url_is_text(url: Any, says: str) -> None:
    """The error names the other type, and a remedy that makes a URL of it."""
    with pytest.raises(InvalidRequestError, match=re.escape(f"must be text, {says}")):
        normalise_url(url)


@pytest.mark.parametrize("host", ["[::1", "[::1:80"])
def test_a_bracket_that_is_not_closed_is_shown_with_all_behind_it(host: str) -> None:
    """No part of it is taken for a port."""
    with pytest.raises(InvalidRequestError, match=re.escape(f"the host {host!r} is not an IPv6 address")):
        normalise_url(f"http://{host}/")


@pytest.mark.parametrize(
    ("url", "parts", "origin"),
    [
        ("https://h/", Url("https", "h", 443, "/"), "https://h"),
        ("http://h:8080/a?b", Url("http", "h", 8080, "/a?b"), "http://h:8080"),
        ("http://[::1]/", Url("http", "::1", 80, "/"), "http://[::1]"),
        ("https://[::1]:1/x", Url("https", "::1", 1, "/x"), "https://[::1]:1"),
        ("HTTPS://H", Url("https", "h", 443, "/"), "https://h"),
    ],
)
def test_a_url_is_split(url: str, parts: Url, origin: str) -> None:
    """Into the parts that a connection needs; the origin has no default port."""
    assert split_url(url) == parts
    assert split_url(url).origin == origin


_URLISH = st.text(st.sampled_from("/?#[]@:%.\\ é☃&=+a0xA-" + "\n\ud800"), max_size=30)


_HOST = st.one_of(
    st.sampled_from(["h", "EXAMPLE.com", "[::1]", "[1::8]", "127.0.0.1", "bücher.example", "a.b.", "x_y"]),
    _URLISH,
)


@given(
    st.one_of(
        st.text(),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["http://", "HTTPS://", "http:", ""]),
            _HOST,
            st.one_of(st.text(), _URLISH),
        ),
        st.builds("http://h/{}".format, _URLISH),
    )
)
@example("http://h/%%41")
@example("http://h/%2%65")
@example("http://h//..//.")
def test_the_normal_form_is_stable_and_printable(url: str) -> None:
    """normalise(normalise(x)) == normalise(x), in visible ASCII; or InvalidRequestError and no other error."""
    redact_url(url)
    try:
        normal = normalise_url(url)
    except InvalidRequestError:
        return
    assert normalise_url(normal) == normal
    assert re.fullmatch(r"https?://[!-~]+", normal)
    assert not set(normal) & set('#\\"<>^`{|}')
    assert re.search(r"%(?![0-9A-Fa-f]{2})", normal) is None
    parts = split_url(normal)
    assert f"{parts.origin}{parts.target}" == normal


@given(st.builds("http://{}/{}?{}".format, _HOST, _URLISH, _URLISH))
@example("http://[::1]:81/?")
def test_aiohttp_sends_the_normal_form_unchanged(url: str) -> None:
    """yarl's URL of the normal form has its target, host and port, and the mark of an empty query too."""
    try:
        normal = normalise_url(url)
    except InvalidRequestError:
        return
    parsed = yarl_url(normal)
    assert str(parsed) == normal
    assert (parsed.raw_path_qs, parsed.port) == (split_url(normal).target, split_url(normal).port)
    assert parsed.raw_host == split_url(normal).host


def test_a_raw_url_survives_what_values_survive() -> None:
    """Copies and pickles are a RawUrl, the repr shows no secret, and a second normalisation changes nothing."""
    url = normalise_url(RawUrl("HTTPS://Example.com:443/a%2fb/../{c}?sig=x|y#z"))
    assert url == "https://example.com/a%2fb/../{c}?sig=x|y"
    for other in (copy.copy(url), pickle.loads(pickle.dumps(url)), normalise_url(url)):
        assert (type(other), other) == (RawUrl, url)
    assert repr(url) == "RawUrl('https://example.com/a%2fb/../{c}?sig=***')"
    assert repr(RawUrl("https://example.com/a|b")) == "RawUrl('https://example.com/a|b')"  # nothing to hide


@each_row("character", [" ", "ä", "\u2028"])
@each_row("url", ["https://h/a{}b", "https://h/a?b={}c"])
def test_a_raw_url_has_no_character_that_would_have_to_be_escaped(url: str, character: str) -> None:
    """It is sent as it is; what is not sent at all may have any."""
    with pytest.raises(InvalidRequestError, match="cannot be sent as it is"):
        normalise_url(RawUrl(url.format(character)))
    assert normalise_url(RawUrl(f"https://h/a#{character}b")) == "https://h/a"


@given(_URLISH, st.one_of(_URLISH, st.text()))
def test_a_relative_url_never_leaves_the_base(url: str, more: str) -> None:
    """Whatever the text after the base_url, the request stays under it."""
    try:
        normal = normalise_url(f"x{url}/{more}", None, "https://h/v1")
    except InvalidRequestError:
        return
    assert normal.startswith("https://h/v1/")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("http://h/!$%&'()*+,-./:;=@[]_|~", "http://h/!$%&'()*+,-./:;=@[]_|~"),
        ('http://h/ "<>^`{}', "http://h/%20%22%3C%3E%5E%60%7B%7D"),
        ("http://h/?!$%&'()*+,-./:;=?@[\\]^_`{|}~", "http://h/?!$%&'()*+,-./:;=?@[\\]^_`{|}~"),
        ('http://h/? "<>', "http://h/?%20%22%3C%3E"),
        ("http://h/\u00e9?\u00e9", "http://h/%C3%A9?%C3%A9"),
    ],
)
def test_a_location_is_escaped_where_browsers_escape_it(given: str, sent: str) -> None:
    """More in a path than in a query (WHATWG URL): a presigned URL must arrive as the server wrote it, and again."""
    assert location_url(given) == sent
    assert normalise_url(location_url(given)) == sent


@each_row(
    ("url", "path"),
    [
        ("http://h/a/b?c/d#e", "/a/b"),
        ("http://h/a#e?c", "/a"),
        ("http://h/a", "/a"),
        ("http://h?c", ""),
        ("a/b?c", "a/b"),
        ("a/b", "a/b"),
    ],
)
def test_the_path_of_a_url_in_its_text(url: str, path: str) -> None:
    """Absolute or relative, up to the query or the fragment."""
    begin, end = path_span(url)
    assert url[begin:end] == path


@pytest.mark.parametrize(("length", "is_kept"), [(30, True), (2048, True), (2049, False)])
def test_a_url_of_usual_length_is_normalised_once(length: int, is_kept: bool) -> None:
    """A longer one is not kept: a thousand of these would fill the memory."""
    url = "https://length.test/".ljust(length, "a")
    assert (normalise_url(url) is normalise_url(url)) is is_kept


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://h:1/", "http://h:1/"),
        ("http://h:65535/", "http://h:65535/"),
        ("http://h:" + "0" * 5000 + "80/", "http://h/"),
        (RawUrl("http://h"), "http://h/"),
        (RawUrl("http://h?a"), "http://h/?a"),
    ],
    ids=lambda text: text[:20],
)
def test_every_port_and_a_raw_url_without_a_path(url: str, normal: str) -> None:
    """From 1 to 65535, with zeros before it; a request needs a path (RFC 9112, 3.2.1)."""
    assert normalise_url(url) == normal


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://h/", "the URL's scheme is 'ftp'; only http and https can be sent"),
        (
            "unix://run/a.sock",
            "the URL's scheme is 'unix'; only http and https can be sent; "
            "for a Unix socket write http+unix://%2Frun%2Fapp.sock/path",
        ),
        ("http://h:" + "1" * 30, f"the URL's port is '{'1' * 20}'; it must be a number from 1 to 65535"),
        ("http://h:a/", "the URL's port is not a number; it must be a number from 1 to 65535"),
    ],
)
def test_the_message_about_a_scheme_or_a_port_in_full(url: str, message: str) -> None:
    """It shows no more than the beginning: a port may be a misplaced password."""
    with pytest.raises(InvalidRequestError) as caught:
        normalise_url(url)
    assert str(caught.value) == message


def test_a_refused_url_is_shown_up_to_200_characters() -> None:
    """The rest of a longer one says nothing."""
    assert show_url("https://h/" + "a" * 300) == repr("https://h/" + "a" * 190)


@pytest.mark.parametrize(("length", "is_kept"), [(1, True), (100, True), (101, False)])
def test_names_of_parameters_are_remembered_up_to_100_characters(length: int, is_kept: bool) -> None:
    """A peer may choose them."""
    urls._is_secret_name.cache_clear()
    assert not is_secret_parameter("q" * length)
    assert urls._is_secret_name.cache_info().currsize == is_kept
