"""Methods, URLs, queries and base_url: the request line and the Host header."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from typing import Any

from http_service_client import RawUrl
from wire.requests.rows import STANDARD, Row, request, sent

__all__ = ["ROWS"]


class Size(str, enum.Enum):
    LARGE = "large"


METHODS: list[tuple[str, list[bytes] | str]] = [
    ("GET", [sent("GET /")]),
    ("get", [sent("GET /")]),
    ("HEAD", [sent("HEAD /")]),
    ("OPTIONS", [sent("OPTIONS /")]),
    ("TRACE", [sent("TRACE /")]),
    ("POST", [sent("POST /", "Content-Length: 0")]),
    ("PUT", [sent("PUT /", "Content-Length: 0")]),
    ("PATCH", [sent("PATCH /", "Content-Length: 0")]),
    ("DELETE", [sent("DELETE /", "Content-Length: 0")]),
    ("PROPFIND", [sent("PROPFIND /", "Content-Length: 0")]),
    ("QUERY", [sent("QUERY /", "Content-Length: 0")]),
    ("X!#$%&'*+-.^_`|~9", [sent("X!#$%&'*+-.^_`|~9 /", "Content-Length: 0")]),
    ("CONNECT", "InvalidRequestError"),
    ("GET /x", "InvalidRequestError"),
    ("GET\r\nX: y", "InvalidRequestError"),
    ("", "InvalidRequestError"),
    ("GÉT", "InvalidRequestError"),
]

# URL, the target of the request line.
URLS: list[tuple[str, str]] = [
    ("http://here", "/"),
    ("http://here/", "/"),
    ("HTTP://here/a", "/a"),
    ("http://here?a=1", "/?a=1"),
    ("http://here#part", "/"),
    ("http://here/a#part?no=query", "/a"),
    ("http://here/a?", "/a?"),
    ("http://here/a?b#c?d", "/a?b"),
    ("http://here//a//b", "//a//b"),
    ("http://here/a/./b/../c", "/a/c"),
    ("http://here/../../a", "/a"),
    ("http://here/a/..", "/"),
    ("http://here/a/.", "/a/"),
    ("http://here/a/%2e%2e/b", "/b"),
    ("http://here/a/%2E/b", "/a/b"),
    ("http://here/...", "/..."),
    ("http://here/a b", "/a%20b"),
    ("http://here/a+b", "/a+b"),
    ("http://here/a%20b", "/a%20b"),
    ("http://here/a%2fb", "/a%2fb"),
    ("http://here/a%zz", "/a%25zz"),
    ("http://here/100%", "/100%25"),
    ("http://here/%25", "/%25"),
    ("http://here/%00", "/%00"),
    ("http://here/é", "/%C3%A9"),
    ("http://here/%c3%a9", "/%c3%a9"),
    ("http://here/%E9", "/%E9"),
    ("http://here/日本/🍕", "/%E6%97%A5%E6%9C%AC/%F0%9F%8D%95"),
    ("http://here/e\u0301", "/e%CC%81"),
    ("http://here/-._~", "/-._~"),
    ("http://here/:@!$&'()*+,;=", "/:@!$&'()*+,;="),
    ('http://here/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D"),
    ("http://here/[x]", "/%5Bx%5D"),
    ("http://here/http://other/x", "/http://other/x"),
    ("http://here/a;v=1/b;v=2", "/a;v=1/b;v=2"),
    ("http://here/%41%7a", "/%41%7a"),
    ("http://here/a?b=c&b=d&e", "/a?b=c&b=d&e"),
    ("http://here/a?b=c d", "/a?b=c%20d"),
    ("http://here/a?b=c+d", "/a?b=c+d"),
    ("http://here/a?b=%2B%26%3d", "/a?b=%2B%26%3d"),
    ("http://here/a?q=é", "/a?q=%C3%A9"),
    ("http://here/a?q=%", "/a?q=%25"),
    ("http://here/a?x=1?y=2", "/a?x=1?y=2"),
    ("http://here/a?x=/../b", "/a?x=/../b"),
    ("http://here/a?'\"<>`", "/a?'%22%3C%3E%60"),
    ("http://here/a?[]{}|\\^", "/a?%5B%5D%7B%7D%7C%5C%5E"),
    ("http://here/a?&&=&", "/a?&&=&"),
    ("http://here/" + "a" * 3000, "/" + "a" * 3000),
    ("http://here/long?" + "é" * 20_000, "/long?" + "%C3%A9" * 20_000),
]

HOSTS: list[tuple[str, list[bytes] | str]] = [
    ("http://localhost:here/", [sent("GET /", host="localhost:here")]),
    ("http://LocalHost:here/", [sent("GET /", host="localhost:here")]),
    ("http://localhost.:here/", [sent("GET /", host="localhost.:here")]),
    ("http://a_b.test:here/", [sent("GET /", host="a_b.test:here")]),
    ("http://bücher.test:here/", [sent("GET /", host="xn--bcher-kva.test:here")]),
    ("http://XN--BCHER-KVA.test:here/", [sent("GET /", host="xn--bcher-kva.test:here")]),
    ("http://BÜCHER。test:here/", [sent("GET /", host="xn--bcher-kva.test:here")]),
    ("http://\uff45xample.test:here/", [sent("GET /", host="example.test:here")]),
    *[
        (url, "InvalidRequestError")
        for url in (
            "http://127.1:here/",
            "http://2130706433:here/",
            "http://0x7f000001:here/",
            "http://0177.0.0.1:here/",
            "http://①②⑦.0.0.1:here/",
            "http://user:pw@localhost:here/",
            "http://@localhost:here/",
            "http://127.0.0.1\\@evil.test/",
            "http://[::1%25lo]:here/",
            "http://local host:here/",
            "http://local%68ost:here/",
            "http://.test:here/",
            "http:///x",
            "http:/localhost/x",
            "http:localhost",
            "//localhost:here/",
            "/x",
            "",
            "ftp://localhost/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "http://localhost:0/",
            "http://localhost:65536/",
            "http://localhost:8o/",
            "http://localhost:here/\r\nX: y",
            "http://localhost:here/\x00",
            " http://localhost:here/",
            "http://localhost:here/\ud800",
            "http://localhost:here/a\\b",
        )
    ],
]

# The path and the query of a RawUrl, which are the target of the request line.
RAW: list[str] = [
    "/a%2fb?X-Signature=%2b/+~%7e==",
    "/?",
    "/a/./b/../c/%2e%2E",
    "/%zz?100%",
    '/{a}|[b]^`"<>?{a}|[b]^`"<>\\',
]

# params=, the query.
PARAMS: list[tuple[str, Any, str]] = [
    ("none", None, ""),
    ("empty", {}, ""),
    ("None is left out", {"a": None, "b": 1}, "?b=1"),
    ("only None", {"a": None}, ""),
    ("bool", {"a": True, "b": False}, "?a=true&b=false"),
    (
        "numbers",
        {"a": 1, "b": 1.5, "c": decimal.Decimal("1.0"), "d": 10**20, "e": 1e20},
        "?a=1&b=1.5&c=1.0&d=100000000000000000000&e=1e%2B20",
    ),
    ("enum", {"a": Size.LARGE}, "?a=large"),
    ("date", {"a": datetime.date(2026, 1, 2)}, "?a=2026-01-02"),
    (
        "time",
        {"a": datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.timezone.utc)},
        "?a=2026-01-02T03%3A04%3A00%2B00%3A00",
    ),
    ("uuid", {"a": uuid.UUID(int=1)}, "?a=00000000-0000-0000-0000-000000000001"),
    ("list", {"a": [1, "x", None, True]}, "?a=1&a=x&a=true"),
    ("tuple", {"a": ("x", "y")}, "?a=x&a=y"),
    ("empty list", {"a": []}, ""),
    ("pairs", [("b", 1), ("a", 2), ("b", 3)], "?b=1&a=2&b=3"),
    ("empty value", {"a": ""}, "?a="),
    ("empty key", {"": "x"}, "?=x"),
    ("space and plus", {"a b": "c+d"}, "?a%20b=c%2Bd"),
    ("reserved", {"a": ":/?#[]@!$&'()*+,;="}, "?a=%3A%2F%3F%23%5B%5D%40%21%24%26%27%28%29%2A%2B%2C%3B%3D"),
    ("percent", {"a": "100%", "b": "%41"}, "?a=100%25&b=%2541"),
    ("unreserved", {"a-._~": "a-._~"}, "?a-._~=a-._~"),
    ("unicode", {"é": "日🍕"}, "?%C3%A9=%E6%97%A5%F0%9F%8D%95"),
    ("bytes", {b"k": b"\xff\x00"}, "?k=%FF%00"),
    ("line break", {"a": "x\r\ny"}, "?a=x%0D%0Ay"),
    ("text", "a=b&c=d e", "?a=b&c=d%20e"),
    ("encoded bytes", b"a=%41&b=\xc3\xa9", "?a=%41&b=%C3%A9"),
]
BAD_PARAMS: list[tuple[str, Any]] = [
    ("NaN", {"a": float("nan")}),
    ("object", {"a": object()}),
    ("nested", {"a": {"b": 1}}),
    ("set", {"a": {1}}),
    ("surrogate", {"a": "\ud800"}),
    ("None key", {None: 1}),
    ("number", 5),
    ("text with a line break", "a\r\nb"),
]

# base_url, URL, target.
BASES: list[tuple[str, str, str]] = [
    ("http://here", "", "/"),
    ("http://here", "x", "/x"),
    ("http://here", "/x", "/x"),
    ("http://here/", "/x", "/x"),
    ("http://here/v1", "", "/v1"),
    ("http://here/v1/", "", "/v1/"),
    ("http://here/v1", "orders", "/v1/orders"),
    ("http://here/v1", "/orders", "/v1/orders"),
    ("http://here/v1/", "orders", "/v1/orders"),
    ("http://here/v1/", "/orders", "/v1/orders"),
    ("http://here/v1", "/", "/v1/"),
    ("http://here/v1", "?q=1", "/v1?q=1"),
    ("http://here/v1/", "?q=1", "/v1/?q=1"),
    ("http://here/v1", "#part", "/v1"),
    ("http://here/v1", "orders?q=a b#c", "/v1/orders?q=a%20b"),
    ("http://here/a b", "c", "/a%20b/c"),
    ("http://here/v1", "a:b", "/v1/a:b"),
    ("http://here/v1", "orders/42:cancel", "/v1/orders/42:cancel"),
    ("http://here/v1", "./x", "/v1/x"),
    ("http://here/v1", "x/../y", "/v1/y"),
    ("http://here/v1", "x//y", "/v1/x//y"),
    ("http://here/v1", "http://here/other", "/other"),
    ("http://nowhere.test/v1", "http://here/other", "/other"),
]
BAD_BASES: list[tuple[str, str]] = [
    ("http://here/v1", "../x"),
    ("http://here/v1", "%2e%2e/x"),
    ("http://here/v1", "//there/x"),
    ("http://here/v1", "a\\b"),
    ("http://here/v1", "x\r\ny"),
]

ROWS: list[Row] = [
    *(Row(f"method {method!r}", expected, method=method) for method, expected in METHODS),
    Row("TRACE with a body", "InvalidRequestError", method="TRACE", call={"data": b"x"}),
    *(Row(f"URL {url[:60]}", [sent(f"GET {target}")], url=url) for url, target in URLS),
    *(Row(f"raw {target}", [sent(f"GET {target}")], url=RawUrl(f"http://here{target}")) for target in RAW),
    *(
        Row(f"raw {target!r}", "InvalidRequestError", url=RawUrl(f"http://here{target}"))
        for target in ("/a b", "/é", "/\\", "/\n")
    ),
    Row("raw and relative", "InvalidRequestError", url=RawUrl("/a"), base_url="http://here"),
    Row(
        "params after a raw query",
        [sent("GET /?a=%2f&b=/%20")],
        url=RawUrl("http://here?a=%2f"),
        call={"params": "b=/ "},
    ),
    *(Row(f"host {url!r}", expected, url=url) for url, expected in HOSTS),
    *(
        Row(f"params {name}", [sent(f"GET /a{query}")], url="http://here/a", call={"params": params})
        for name, params, query in PARAMS
    ),
    *(
        Row(f"params refused: {name}", "InvalidRequestError", call={"params": params})
        for name, params in BAD_PARAMS
    ),
    Row(
        "params after a query", [sent("GET /a?x=1&y=2")], url="http://here/a?x=1#z", call={"params": {"y": 2}}
    ),
    Row("params after an empty query", [sent("GET /a?y=2")], url="http://here/a?", call={"params": {"y": 2}}),
    *(
        Row(f"base {base} and {url!r}", [sent(f"GET {target}")], url=url, base_url=base)
        for base, url, target in BASES
    ),
    *(
        Row(f"base {base} and {url!r}", "InvalidRequestError", url=url, base_url=base)
        for base, url in BAD_BASES
    ),
    Row(
        "params under a base",
        [sent("GET /v1/a?x=1")],
        url="a",
        base_url="http://here/v1",
        call={"params": {"x": 1}},
    ),
    Row(
        "no standard headers",
        [request("GET /", "Host: here")],
        call={"headers": {"User-Agent": None, "accept": None, "ACCEPT-ENCODING": None}},
    ),
    Row(
        "the other standard headers keep their order",
        [request("GET /", "Host: here", *STANDARD[1:], "User-Agent: orders/2")],
        call={"headers": {"User-Agent": "orders/2"}},
    ),
]
