"""Whatever is asked and answered: both worlds alike, errors of ours only, and no bytes that h11 refuses."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wire.requests.recorder import Answer
from wire.requests.rows import Row, moved
from wire.requests.runner import Runner

# By a proxy, so that every host and port leads to the recorder.
EVERYWHERE = {"HTTP_PROXY": "http://here", "HTTPS_PROXY": "http://here"}

quick = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])

any_text = st.text(max_size=12)
pieces = st.sampled_from(
    ["http", "https", "ftp", "HTTP", ":", "/", "//", "://", "?", "#", "&", "=", "@", "%", "%2e", "%2F", "%zz", "%C3", "\\", ".", "..", "[", "]", "[::1]", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "a.test", "bücher.test", "xn--a", "xn--", ".test", "①②⑦", "\u3002", "\uff0e", "\u00ad", "\u200d", "ß", ":80", ":443", ":0", ":99999", ":٣", "u:p@", "a b", " ", "\t", "\r\n", "\0", "\x85", "é", "日本", "🍕", "\ud800", "{}|^`<>\"", "'", ";", "+", "~"]
)  # fmt: skip
patchwork = st.lists(pieces, max_size=8).map("".join)
urls = st.one_of(
    any_text,
    patchwork,
    st.one_of(any_text, patchwork).map("http://a.test/".__add__),
    st.one_of(any_text, patchwork).map("http://".__add__),
)


def as_sent(raw: bytes) -> str:
    """Bytes of a response's header as text for an `Answer`, which cannot say the end of a line in one."""
    return raw.translate(None, b"\r\n\0").decode("utf-8", "surrogateescape")


locations = st.one_of(urls.map(lambda url: url.encode("utf-8", "surrogatepass")), st.binary(max_size=12)).map(
    as_sent
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    any_text,
    st.binary(max_size=8),
    st.decimals(),
    st.dates(),
    st.uuids(),
    st.builds(object),
)
keys = st.one_of(any_text, st.binary(max_size=8), st.integers(), st.none())
mappings = st.dictionaries(keys, st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=4)
pairs = st.lists(st.one_of(st.tuples(keys, scalars), st.tuples(keys), scalars), max_size=4)
field_names = st.one_of(
    st.sampled_from(["X-A", "x-a", "Host", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding", "Cookie", "Expect", "Upgrade", "TE", "Trailer", "Authorization", "Accept", "Content-Encoding"]),
    keys,
)  # fmt: skip
field_values = st.one_of(
    st.sampled_from(["0", "1", "chunked", "close", "100-continue", "a.test", "", "h2c"]), scalars
)
headers = st.one_of(
    st.dictionaries(field_names, field_values, max_size=4),
    st.lists(st.tuples(field_names, field_values), max_size=4),
)
json_values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)


def alike(runners: list[Runner], row: Row) -> None:
    """Play the row in both worlds. An exception that is none of ours comes out of here."""
    (ends, requests), *others = [runner.play(row) for runner in runners]
    for ends_too, requests_too in others:
        assert [request.raw for request in requests] == [request.raw for request in requests_too]
        assert ends == ends_too
    assert [request.refused for request in requests] == [None] * len(requests)
    assert "Timeout" not in str(ends)  # a request without an end is one that h11 waits for


@quick
@given(url=urls, params=st.one_of(scalars, mappings, pairs), method=st.sampled_from(["GET", "POST"]))
def test_any_url_and_query(runners: list[Runner], url: str, params: Any, method: str) -> None:
    """Sent in a form that every server reads alike, or refused."""
    alike(runners, Row("", (), method=method, url=url, call={"params": params}, environ=EVERYWHERE))


@quick
@given(base=urls, url=urls)
def test_any_url_under_any_base(runners: list[Runner], base: str, url: str) -> None:
    """What is below the base stays there (see `tests/unit/http/test_urls.py`), and is sent alike."""
    alike(runners, Row("", (), url=url, base_url=base, environ=EVERYWHERE))


@quick
@given(
    method=st.one_of(any_text, st.sampled_from(["GET", "HEAD", "TRACE", "CONNECT", "post", "M-SEARCH"])),
    given_headers=headers,
)
def test_any_method_and_headers(runners: list[Runner], method: str, given_headers: Any) -> None:
    """No header injects another, and none says another length than the body has."""
    alike(runners, Row("", (), method=method, call={"headers": given_headers}))


@quick
@given(
    kind=st.sampled_from(["json", "data", "files", "cookies", "auth"]),
    value=st.one_of(json_values, mappings, pairs, st.lists(st.binary(max_size=5), max_size=3)),
    given_headers=st.one_of(st.none(), headers),
)
def test_any_body(runners: list[Runner], kind: str, value: Any, given_headers: Any) -> None:
    """Encoded alike, or refused."""
    alike(runners, Row("", (), method="POST", call={kind: value, "headers": given_headers}))


@quick
@given(
    chain=st.lists(st.tuples(st.sampled_from([301, 302, 303, 307, 308]), locations), min_size=1, max_size=3),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
)
def test_any_redirect(runners: list[Runner], chain: list[tuple[int, str]], method: str) -> None:
    """Followed alike to where it leads, or refused; nothing in a Location becomes anything but a target."""
    answers: list[Answer] = [moved(status, location) for status, location in chain]
    call = {"headers": {"Authorization": "Bearer t"}, "data": b"x"} if method in ("POST", "PUT") else {}
    alike(
        runners,
        Row("", (), method=method, url="http://a.test/b/c?d", call=call, answers=answers, environ=EVERYWHERE),
    )


@quick
@given(cookies=st.lists(locations, max_size=3), path=st.sampled_from(["/", "/a/b"]))
def test_any_cookie_that_is_set(runners: list[Runner], cookies: list[str], path: str) -> None:
    """What a server puts into the jar comes out as one line of a header, or not at all."""
    answers = [moved(302, path, *(("Set-Cookie", f"a={cookie}") for cookie in cookies))]
    for runner in runners:
        runner.forget()
    alike(runners, Row("any cookie", (), config={"cookies": True}, answers=answers))
