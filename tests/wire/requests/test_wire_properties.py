"""For any arguments and responses: both front ends do the same, raise our errors only, and send what h11 accepts."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wire.requests.recorder import ScriptedResponse
from wire.requests.rows import Row, redirect
from wire.requests.runner import Runner

# By way of a proxy, so that every host and port leads to the recorder.
EVERYWHERE = {"HTTP_PROXY": "http://here", "HTTPS_PROXY": "http://here"}

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])

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
    """Bytes of a response's header as text for a `ScriptedResponse`; a header cannot hold the end of a line."""
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


def check_parity(runners: list[Runner], row: Row) -> None:
    """Run the row with both front ends. An exception that is not one of ours passes through."""
    (result, requests), *others = [runner.run(row) for runner in runners]
    for other_result, other_requests in others:
        assert [request.raw for request in requests] == [request.raw for request in other_requests]
        assert result == other_result
    assert [request.rejected for request in requests] == [None] * len(requests)
    assert "Timeout" not in str(result)  # h11 would wait for the end of a request that has none


@quick
@given(url=urls, params=st.one_of(scalars, mappings, pairs), method=st.sampled_from(["GET", "POST"]))
def test_any_url_and_query(runners: list[Runner], url: str, params: Any, method: str) -> None:
    """A URL is sent in a form that all servers read in the same way, or refused."""
    check_parity(runners, Row("", (), method=method, url=url, call={"params": params}, environ=EVERYWHERE))


@quick
@given(base=urls, url=urls)
def test_any_url_under_any_base(runners: list[Runner], base: str, url: str) -> None:
    """Both front ends join them to the same URL; it stays below the base (`tests/unit/http/test_urls.py`)."""
    check_parity(runners, Row("", (), url=url, base_url=base, environ=EVERYWHERE))


@quick
@given(
    method=st.one_of(any_text, st.sampled_from(["GET", "HEAD", "TRACE", "CONNECT", "post", "M-SEARCH"])),
    given_headers=headers,
)
def test_any_method_and_headers(runners: list[Runner], method: str, given_headers: Any) -> None:
    """No header injects another, and no header gives another length than the body's."""
    check_parity(runners, Row("", (), method=method, call={"headers": given_headers}))


@quick
@given(
    kind=st.sampled_from(["json", "data", "files", "cookies", "auth"]),
    value=st.one_of(json_values, mappings, pairs, st.lists(st.binary(max_size=5), max_size=3)),
    given_headers=st.one_of(st.none(), headers),
)
def test_any_body(runners: list[Runner], kind: str, value: Any, given_headers: Any) -> None:
    """Both front ends encode a body to the same bytes, or refuse it."""
    check_parity(runners, Row("", (), method="POST", call={kind: value, "headers": given_headers}))


@quick
@given(
    chain=st.lists(st.tuples(st.sampled_from([301, 302, 303, 307, 308]), locations), min_size=1, max_size=3),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]),
)
def test_any_redirect(runners: list[Runner], chain: list[tuple[int, str]], method: str) -> None:
    """Both front ends follow a Location to the same target, or refuse it; it becomes nothing but a target."""
    responses: list[ScriptedResponse] = [redirect(status, location) for status, location in chain]
    call = {"headers": {"Authorization": "Bearer t"}, "data": b"x"} if method in ("POST", "PUT") else {}
    check_parity(
        runners,
        Row(
            "",
            (),
            method=method,
            url="http://a.test/b/c?d",
            call=call,
            responses=responses,
            environ=EVERYWHERE,
        ),
    )


@quick
@given(cookies=st.lists(locations, max_size=3), path=st.sampled_from(["/", "/a/b"]))
def test_any_cookie_that_is_set(runners: list[Runner], cookies: list[str], path: str) -> None:
    """A cookie that a server sets is sent back as one header line, or not at all."""
    responses = [redirect(302, path, *(("Set-Cookie", f"a={cookie}") for cookie in cookies))]
    for runner in runners:
        runner.clear_cookies()
    check_parity(runners, Row("any cookie", (), config={"cookies": True}, responses=responses))
