"""Redirects, hop by hop: method, body, URL, credentials; cookies of a jar; and requests through a proxy."""

from __future__ import annotations

import io
from typing import Any

from wire.requests.recorder import ScriptedResponse
from wire.requests.rows import STANDARD, PerCall, Row, redirect, request, sent
from wire.requests.table_bodies import COMPRESSING, LONG, PACKED, chunked, of, pieces

__all__ = ["ROWS"]

BODY = ["Content-Type: application/json", "Content-Length: 2"]

# Status, method, the next method, whether the body is sent again.
CHANGES = [
    (301, "GET", "GET", False),
    (302, "HEAD", "HEAD", False),
    (303, "HEAD", "HEAD", False),
    (307, "OPTIONS", "OPTIONS", False),
    (308, "GET", "GET", False),
    (301, "POST", "GET", False),
    (302, "POST", "GET", False),
    (303, "POST", "GET", False),
    (303, "PUT", "GET", False),
    (303, "DELETE", "GET", False),
    (307, "POST", "POST", True),
    (308, "POST", "POST", True),
    (301, "PUT", "PUT", True),
    (302, "PATCH", "PATCH", True),
    (307, "DELETE", "DELETE", True),
]

# URL, Location, the next target; None if it is not followed.
LOCATIONS = [
    ("http://here/a/b?c=d", "e", "/a/e"),
    ("http://here/a/b?c=d", "/e", "/e"),
    ("http://here/a/b?c=d", "?e=f", "/a/b?e=f"),
    ("http://here/a/b?c=d", "", None),
    ("http://here/a/b?c=d", "#x", "/a/b?c=d"),
    ("http://here/a/b", "../e", "/e"),
    ("http://here/a/b", "../../../e", "/e"),
    ("http://here/a/b", "./e/.", "/a/e/"),
    ("http://here/a/b", "e?f#g", "/a/e?f"),
    ("http://here/a/b", "//127.0.0.1:here/e", "/e"),
    ("http://here/a/b", "HTTP://here/e", "/e"),
    ("http://here/a/b", "http://here", "/"),
    ("http://here/a/b", "http://here?e", "/?e"),
    ("http://here/a/b", "/e f", "/e%20f"),
    ("http://here/a/b", "/é", "/%C3%A9"),
    ("http://here/a/b", "/%c3%a9", "/%c3%a9"),
    ("http://here/a/b", "/Ã©", "/%C3%83%C2%A9"),
    ("http://here/a/b", "/\udce9", "/%E9"),
    ("http://here/a/b", "/%zz", "/%zz"),
    ("http://here/a/b", "/e;x=1?y='", "/e;x=1?y='"),
    ("http://here/a/b", "/x://y?", "/x://y?"),
    ("http://here/a/b", "  /e  ", "/e"),
    ("http://here/a/b", "./c:d", "/a/c:d"),
]
BAD_LOCATIONS = [
    "ftp://here/",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "http://u:p@here/",
    "http:e",
    "http:///e",
    "http://127.1:here/",
    "http://0x7f.1/",
    "http://here\\@there/",
    "//",
    "http://here:99999/",
]

SECRETS = {
    "Authorization": "Bearer t",
    "Proxy-Authorization": "Basic eA==",
    "Cookie": "a=b",
    "X-Api-Key": "k",
    "X-Partner": "p",
    "Accept-Language": "de",
}
SECRET_LINES = [f"{name}: {value}" for name, value in SECRETS.items()]


def change(status: int, method: str, next_method: str, keeps_body: bool) -> Row:
    has_body = method not in ("GET", "HEAD", "OPTIONS")
    fields, body = (BODY, b"{}") if has_body else ([], b"")
    next_fields, next_body = (fields, body) if keeps_body else ([], b"")
    call: dict[str, Any] = {"json": {}} if has_body else {}
    return Row(
        f"{status} on {method}",
        [sent(f"{method} /a", *fields, body=body), sent(f"{next_method} /b", *next_fields, body=next_body)],
        method=method,
        url="http://here/a",
        call=call,
        responses=[redirect(status, "/b")],
    )


def location(url: str, where: str, target: str | None) -> Row:
    first = sent(f"GET {url.removeprefix('http://here')}")
    return Row(
        f"Location {where!r} from {url}",
        [first] if target is None else [first, sent(f"GET {target}")],
        url=url,
        responses=[redirect(302, where)],
        expected_result=302 if target is None else 200,
    )


REDIRECTS: list[Row] = [
    *(change(*row) for row in CHANGES),
    *(location(*row) for row in LOCATIONS),
    *(
        Row(
            f"Location refused: {where}",
            [sent("GET /")],
            responses=[redirect(302, where)],
            expected_result="UnsafeRedirectError",
        )
        for where in BAD_LOCATIONS
    ),
    Row("300 is not followed", [sent("GET /")], responses=[redirect(300, "/b")], expected_result=300),
    Row("304 is not followed", [sent("GET /")], responses=[redirect(304, "/b")], expected_result=304),
    Row(
        "a redirect without a Location",
        [sent("GET /")],
        responses=[ScriptedResponse(302)],
        expected_result=302,
    ),
    Row(
        "two different Locations are refused",
        [sent("GET /")],
        responses=[redirect(302, "/b", ("Location", "/c"))],
        expected_result="UnsafeRedirectError",
    ),
    Row(
        "the same Location twice",
        [sent("GET /"), sent("GET /b")],
        responses=[redirect(302, "/b", ("Location", "/b"))],
    ),
    Row(
        "redirects switched off",
        [sent("GET /")],
        call={"allow_redirects": False},
        responses=[redirect(302, "/b")],
        expected_result=302,
    ),
    Row(
        "too many redirects",
        [sent("GET /"), sent("GET /1"), sent("GET /2")],
        config={"allowed_redirect_count": 2},
        responses=[redirect(302, "/1"), redirect(302, "/2"), redirect(302, "/3")],
        expected_result="TooManyRedirectsError",
    ),
    Row(
        "a chain: each hop from the one before",
        [sent("GET /"), sent("GET /a/"), sent("GET /a/b"), sent("GET /c")],
        responses=[redirect(301, "/a/"), redirect(302, "b"), redirect(307, "../c")],
    ),
    Row(
        "secrets are not sent to another origin",
        [sent("GET /", *SECRET_LINES), sent("GET /b", SECRET_LINES[-1], host="there")],
        call={"headers": SECRETS},
        config={"sensitive_headers": ["x-partner"]},
        responses=[redirect(307, "http://there/b")],
    ),
    Row(
        "secrets are sent again to their own origin",
        [sent("GET /", *SECRET_LINES), sent("GET /b", *SECRET_LINES)],
        call={"headers": SECRETS},
        responses=[redirect(307, "http://here/b")],
    ),
    Row(
        "secrets do not return after a hop to another origin",
        [sent("GET /", "Authorization: Bearer t"), sent("GET /b", host="there"), sent("GET /c")],
        call={"auth": "t"},
        responses=[redirect(302, "http://there/b"), redirect(302, "http://here/c")],
    ),
    Row(
        "a given Host is for the first origin only",
        [request("GET /", "Host: virtual.test", *STANDARD), sent("GET /b", host="there")],
        call={"headers": {"Host": "virtual.test"}},
        responses=[redirect(302, "http://there/b")],
    ),
    Row(
        "headers that describe a body are dropped with it",
        [
            sent("POST /", "Content-Language: de", "Digest: x", "X: y", "Content-Length: 1", body=b"x"),
            sent("GET /b", "X: y"),
        ],
        method="POST",
        call={"data": b"x", "headers": {"Content-Language": "de", "Digest": "x", "X": "y"}},
        responses=[redirect(303, "/b")],
    ),
    Row(
        "a file is sent again from its first position",
        [sent("PUT /", of(b"bc"), body=b"bc"), sent("PUT /b", of(b"bc"), body=b"bc")],
        method="PUT",
        call={"data": PerCall(lambda: _at_one(io.BytesIO(b"abc")))},
        responses=[redirect(307, "/b")],
    ),
    Row(
        "a stream is not sent again",
        [sent("PUT /", "Transfer-Encoding: chunked", body=chunked(b"abc"))],
        method="PUT",
        call={"data": pieces(b"abc")},
        responses=[redirect(307, "/b")],
        expected_result="UnsafeRedirectError",
    ),
    Row(
        "a compressed body is compressed again",
        [
            sent("POST /", "Content-Encoding: gzip", of(PACKED), body=PACKED),
            sent("POST /b", "Content-Encoding: gzip", of(PACKED), body=PACKED, host="there"),
        ],
        method="POST",
        call={"data": LONG},
        config=COMPRESSING,
        responses=[redirect(307, "http://there/b")],
    ),
    Row(
        "a dropped compressed body leaves no Content-Encoding",
        [sent("POST /", "Content-Encoding: gzip", of(PACKED), body=PACKED), sent("GET /b")],
        method="POST",
        call={"data": LONG},
        config=COMPRESSING,
        responses=[redirect(303, "/b")],
    ),
]


def _at_one(file: io.BytesIO) -> io.BytesIO:
    file.seek(1)
    return file


JAR: list[Row] = [
    Row(
        "jar: a cookie that was set is sent",
        [sent("GET /login"), sent("GET /", "Cookie: s=1")],
        earlier_calls=[("GET", "http://here/login", {})],
        responses=[ScriptedResponse(200, [("Set-Cookie", "s=1; Path=/; HttpOnly")])],
        config={"cookies": True},
    ),
    Row(
        "jar: cookies by path, longest first, after those of the call",
        [sent("GET /a/login"), sent("GET /a/b", "X: y", "Cookie: own=1; p=2; s=1")],
        url="http://here/a/b",
        call={"cookies": {"own": "1"}, "headers": {"X": "y"}},
        earlier_calls=[("GET", "http://here/a/login", {})],
        responses=[
            ScriptedResponse(
                200, [("Set-Cookie", "s=1; Path=/"), ("Set-Cookie", "p=2"), ("Set-Cookie", "o=3; Path=/b")]
            )
        ],
        config={"cookies": True},
    ),
    Row(
        "jar: over redirects",
        [sent("GET /"), sent("GET /b", "Cookie: s=1"), sent("GET /c")],
        responses=[
            redirect(302, "/b", ("Set-Cookie", "s=1")),
            redirect(302, "/c", ("Set-Cookie", "s=; Max-Age=0")),
        ],
        config={"cookies": True},
    ),
    Row(
        "jar: text beyond ASCII is sent back unchanged",
        [sent("GET /"), sent("GET /", "Cookie: s=é日")],
        earlier_calls=[("GET", "http://here/", {})],
        responses=[ScriptedResponse(200, [("Set-Cookie", "s=é日")])],
        config={"cookies": True},
    ),
    Row(
        "no jar: nothing is remembered",
        [sent("GET /"), sent("GET /")],
        earlier_calls=[("GET", "http://here/", {})],
        responses=[ScriptedResponse(200, [("Set-Cookie", "s=1")])],
    ),
]

PROXY = {"HTTP_PROXY": "http://here"}
PROXY_LOGIN = {"HTTP_PROXY": "http://us%65r:p%40ss@127.0.0.1:here"}


def by_proxy(name: str, url: str, target: str, host: str, **more: Any) -> Row:
    return Row(f"proxy: {name}", [sent(f"GET {target}", host=host)], url=url, environ=PROXY, **more)


PROXIED: list[Row] = [
    by_proxy("the whole URL is the target", "http://api.test/a?b=c#d", "http://api.test/a?b=c", "api.test"),
    by_proxy("an empty path becomes /", "http://api.test", "http://api.test/", "api.test"),
    by_proxy("a port", "http://api.test:8080/", "http://api.test:8080/", "api.test:8080"),
    by_proxy("the default port", "http://api.test:80/", "http://api.test/", "api.test"),
    by_proxy(
        "an international name",
        "http://bücher.test/é",
        "http://xn--bcher-kva.test/%C3%A9",
        "xn--bcher-kva.test",
    ),
    by_proxy("an IPv6 address", "http://[2001:DB8:0::1]/", "http://[2001:db8::1]/", "[2001:db8::1]"),
    by_proxy(
        "an IPv6 address and port",
        "http://[::ffff:192.0.2.1]:81/",
        "http://[::ffff:c000:201]:81/",
        "[::ffff:c000:201]:81",
    ),
    by_proxy("an IPv4 address", "http://192.0.2.1/", "http://192.0.2.1/", "192.0.2.1"),
    by_proxy("a dot at the end", "http://api.test./", "http://api.test./", "api.test."),
    Row(
        "proxy: Proxy-Authorization comes last",
        [sent("GET http://api.test/", "X: y", "Proxy-Authorization: Basic dXNlcjpwQHNz", host="api.test")],
        url="http://api.test/",
        call={"headers": {"X": "y"}},
        environ=PROXY_LOGIN,
    ),
    Row(
        "proxy: a login of the call replaces that of the URL",
        [sent("GET http://api.test/", "proxy-authorization: Bearer t", "X: y", host="api.test")],
        url="http://api.test/",
        call={"headers": {"proxy-authorization": "Bearer t", "X": "y"}},
        environ=PROXY_LOGIN,
    ),
    Row(
        "proxy: a login of the call, without a body",
        [
            sent(
                "POST http://api.test/",
                "Proxy-Authorization: Bearer t",
                "Content-Length: 0",
                host="api.test",
            )
        ],
        method="POST",
        url="http://api.test/",
        call={"headers": {"Proxy-Authorization": "Bearer t"}},
        environ=PROXY_LOGIN,
    ),
    Row(
        "proxy: a body",
        [
            sent(
                "POST http://api.test/",
                *BODY,
                "Proxy-Authorization: Basic dXNlcjpwQHNz",
                body=b"{}",
                host="api.test",
            )
        ],
        method="POST",
        url="http://api.test/",
        call={"json": {}},
        environ=PROXY_LOGIN,
    ),
    Row(
        "proxy: a stream",
        [
            sent(
                "POST http://api.test/",
                "Proxy-Authorization: Basic dXNlcjpwQHNz",
                "Transfer-Encoding: chunked",
                body=chunked(b"ab"),
                host="api.test",
            )
        ],
        method="POST",
        url="http://api.test/",
        call={"data": pieces(b"ab")},
        environ=PROXY_LOGIN,
    ),
    Row(
        "proxy: a tunnel",
        [request("CONNECT api.test:443", "Host: api.test:443")],
        url="https://api.test/",
        environ={"HTTPS_PROXY": "http://here"},
        responses=[ScriptedResponse(403)],
        expected_result="ProxyError",
    ),
    Row(
        "proxy: a tunnel with a login",
        [
            request(
                "CONNECT [2001:db8::1]:8443",
                "Host: [2001:db8::1]:8443",
                "Proxy-Authorization: Basic dXNlcjpwQHNz",
            )
        ],
        url="https://[2001:db8::1]:8443/",
        environ={"HTTPS_PROXY": PROXY_LOGIN["HTTP_PROXY"]},
        responses=[ScriptedResponse(407)],
        expected_result="ProxyError",
    ),
    Row(
        "proxy: a tunnel to a name with a dot at the end",
        [request("CONNECT api.test.:443", "Host: api.test.:443")],
        url="https://api.test./",
        environ={"HTTPS_PROXY": "http://here"},
        responses=[ScriptedResponse(403)],
        expected_result="ProxyError",
    ),
    Row(
        "proxy: a host in NO_PROXY is called directly",
        [sent("GET /", host="api.test:here")],
        url="http://api.test:here/",
        environ={"HTTP_PROXY": "http://there", "NO_PROXY": "api.test"},
    ),
]

ROWS: list[Row] = [*REDIRECTS, *JAR, *PROXIED]
