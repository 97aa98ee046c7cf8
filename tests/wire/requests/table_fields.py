"""Header fields: names, values, order, authorization, cookies of a call, and what may not be set."""

from __future__ import annotations

import base64
import enum
from pathlib import Path
from typing import Any

from http_service_client import Headers, auth
from http_service_client.auth import SignableRequest
from wire.requests.rows import STANDARD, PerCall, Row, redirect, request, sent

__all__ = ["ROWS"]


class Level(enum.Enum):
    HIGH = "high"


def basic(credentials: bytes) -> str:
    return f"Authorization: Basic {base64.b64encode(credentials).decode()}"


def names_signed(request: SignableRequest, context: Any) -> None:
    """A signature that names the headers that it covers."""
    request.headers["X-Signed"] = " ".join(name for name in request.headers if name in ("Host", "User-Agent"))


SIGNED = "X-Signed: User-Agent Host"


# headers=, the lines after the standard ones.
HEADERS: list[tuple[str, Any, list[str]]] = [
    ("none", None, []),
    ("empty mapping", {}, []),
    ("order and case as given", {"x-b": "1", "X-A": "2", "x-C": "3"}, ["x-b: 1", "X-A: 2", "x-C: 3"]),
    ("pairs", [("X-B", "1"), ("X-A", "2")], ["X-B: 1", "X-A: 2"]),
    ("an iterator", PerCall(lambda: iter([("X-A", "1"), ("X-B", None)])), ["X-A: 1"]),
    ("Headers", Headers({"X-A": "1"}), ["X-A: 1"]),
    ("repeats are joined", [("X-A", "1"), ("X-B", "2"), ("x-a", "3")], ["X-A: 1, 3", "X-B: 2"]),
    ("a repeat in a mapping", {"X-A": "1", "x-a": "2"}, ["X-A: 1, 2"]),
    ("repeated cookies are one list", [("Cookie", "a=1"), ("cookie", "b=2")], ["Cookie: a=1; b=2"]),
    ("empty value", {"X-A": ""}, ["X-A: "]),
    ("white space around", {"X-A": "  a \t b  "}, ["X-A: a \t b"]),
    ("only white space", {"X-A": " \t "}, ["X-A: "]),
    ("None is left out", {"X-A": None, "X-B": "1"}, ["X-B: 1"]),
    ("number", {"X-A": 5, "X-B": 1.5, "X-C": -0.0}, ["X-A: 5", "X-B: 1.5", "X-C: -0.0"]),
    ("bool", {"X-A": True, "X-B": False}, ["X-A: true", "X-B: false"]),
    ("enum", {"X-A": Level.HIGH}, ["X-A: high"]),
    ("bytes", {b"X-A": b"abc"}, ["X-A: abc"]),
    ("Latin-1", {"X-A": "Zoë"}, ["X-A: Zoë"]),
    ("beyond Latin-1", {"X-A": "日本 🍕"}, ["X-A: 日本 🍕"]),
    ("UTF-8 bytes", {"X-A": "日本 🍕".encode()}, ["X-A: 日本 🍕"]),
    ("C1 and no-break space", {"X-A": "a\x80\x9f\xa0b"}, ["X-A: a\x80\x9f\xa0b"]),
    ("every visible character", {"X-A": "".join(map(chr, range(33, 127)))}, ["X-A: " + "".join(map(chr, range(33, 127)))]),
    ("every character of a name", {"!#$%&'*+-.^_`|~09azAZ": "1"}, ["!#$%&'*+-.^_`|~09azAZ: 1"]),
    ("a long value", {"X-A": "v" * 300_000}, ["X-A: " + "v" * 300_000]),
    ("many", {f"X-{n}": str(n) for n in range(150)}, [f"X-{n}: {n}" for n in range(150)]),
    ("Connection: close", {"Connection": "close"}, ["Connection: close"]),
    ("Connection: keep-alive", {"Connection": "keep-alive"}, ["Connection: keep-alive"]),
    ("upgrade", {"Connection": "Upgrade", "Upgrade": "h2c"}, ["Connection: Upgrade", "Upgrade: h2c"]),
    ("TE", {"TE": "trailers", "Connection": "TE"}, ["TE: trailers", "Connection: TE"]),
    ("TE alone", {"TE": "trailers"}, ["TE: trailers", "Connection: TE"]),
    ("upgrade alone", {"Upgrade": "h2c"}, ["Upgrade: h2c", "Connection: Upgrade"]),
    ("Proxy-Authorization", {"Proxy-Authorization": "Basic eA=="}, ["Proxy-Authorization: Basic eA=="]),
    ("conditional", {"If-None-Match": '"x", W/"y"'}, ['If-None-Match: "x", W/"y"']),
    ("Referer and Origin", {"Referer": "http://a/", "Origin": "null"}, ["Referer: http://a/", "Origin: null"]),
    ("Content-Type without a body", {"Content-Type": "text/x"}, ["Content-Type: text/x"]),
    ("Content-Length: 0 without a body", {"Content-Length": "0"}, ["Content-Length: 0"]),
    ("Content-Length as a number", {"content-length": 0}, ["content-length: 0"]),
    ("Idempotency-Key", {"Idempotency-Key": "k"}, ["Idempotency-Key: k"]),
    ("a Cookie header", {"Cookie": 'a="b c"; d=é'}, ['Cookie: a="b c"; d=é']),
    ("an Authorization header", {"authorization": "Digest x=y"}, ["authorization: Digest x=y"]),
]  # fmt: skip
BAD_HEADERS: list[tuple[str, Any]] = [
    ("CR LF in a value", {"X-A": "a\r\nX-B: c"}),
    ("LF in a value", {"X-A": "a\nb"}),
    ("CR in a value", {"X-A": "a\rb"}),
    ("NUL in a value", {"X-A": "a\0b"}),
    ("bell in a value", {"X-A": "\a"}),
    ("DEL in a value", {"X-A": "\x7f"}),
    ("surrogate in a value", {"X-A": "\ud800"}),
    ("bytes that are not UTF-8", {"X-A": b"\xff"}),
    ("space in a name", {"X A": "1"}),
    ("colon in a name", {"X-A:": "1"}),
    ("line break in a name", {"X-A\r\nX-B": "1"}),
    ("empty name", {"": "1"}),
    ("name beyond ASCII", {"X-É": "1"}),
    ("Transfer-Encoding", {"Transfer-Encoding": "chunked"}),
    ("Transfer-Encoding: identity", {"transfer-encoding": "identity"}),
    ("a wrong Content-Length", {"Content-Length": "5"}),
    ("two Content-Lengths", [("Content-Length", "0"), ("content-length", "0")]),
    ("Expect", {"Expect": "100-continue"}),
    ("an empty Host", {"Host": ""}),
    ("two Hosts", [("Host", "a"), ("Host", "b")]),
    ("a Host with a path", {"Host": "a/b"}),
    ("a list", {"X-A": ["1", "2"]}),
    ("an object", {"X-A": object()}),
    ("NaN", {"X-A": float("nan")}),
    ("text", "X-A: 1"),
]

AUTH: list[tuple[str, Any, list[str]]] = [
    ("basic", ("Aladdin", "open sesame"), [basic(b"Aladdin:open sesame")]),
    ("basic in UTF-8", ("zoë", "pä:ß"), [basic("zoë:pä:ß".encode())]),
    ("basic in bytes", (b"a", b"\xff"), [basic(b"a:\xff")]),
    ("basic, both empty", ("", ""), [basic(b":")]),
    ("basic, as a list", ["a", "b"], [basic(b"a:b")]),
    ("bearer", "abc.def-_~+/==", ["Authorization: Bearer abc.def-_~+/=="]),
    ("none", None, []),
]
BAD_AUTH: list[tuple[str, Any]] = [
    ("a colon in the user", ("a:b", "c")),
    ("a control character", ("a", "b\n")),
    ("three values", ("a", "b", "c")),
    ("an empty token", ""),
    ("a token with a line break", "abc\n"),
    ("a token beyond ASCII", "é"),
    ("a number", 5),
]

COOKIES: list[tuple[str, Any, list[str]]] = [
    ("one", {"a": "1"}, ["Cookie: a=1"]),
    ("several in order", {"b": "1", "a": 2, "c": True}, ["Cookie: b=1; a=2; c=true"]),
    ("None is left out", {"a": None, "b": "1"}, ["Cookie: b=1"]),
    ("only None", {"a": None}, []),
    ("empty", {}, []),
    ("empty value", {"a": ""}, ["Cookie: a="]),
    ("quotes, spaces, equals", {"a": '"x y=z"'}, ['Cookie: a="x y=z"']),
]
BAD_COOKIES: list[tuple[str, Any]] = [
    ("a semicolon", {"a": "b;c"}),
    ("a line break", {"a": "b\r\nc"}),
    ("a space in the name", {"a b": "c"}),
    ("an empty name", {"": "c"}),
    ("beyond ASCII", {"a": "é"}),
    ("text", "a=b"),
]


NETRC = {"netrc": str(Path(__file__).with_name("logins.netrc"))}
JOE = basic(b"joe:open sesame")


def lines(name: str, options: dict[str, Any], extra: list[str]) -> Row:
    return Row(name, [sent("GET /", *extra)], call=options)


ROWS: list[Row] = [
    *(lines(f"headers: {name}", {"headers": given}, extra) for name, given, extra in HEADERS),
    Row(
        "headers: Range",
        [request("GET /", "Host: here", *STANDARD[:2], "Accept-Encoding: identity", "Range: bytes=0-9")],
        call={"headers": {"Range": "bytes=0-9"}},
    ),
    Row(
        "headers: a given Host replaces ours",
        [request("GET /", "Host: virtual.test:8080", *STANDARD)],
        call={"headers": {"Host": "virtual.test:8080"}},
    ),
    *(
        Row(f"headers refused: {name}", "InvalidRequestError", call={"headers": given})
        for name, given in BAD_HEADERS
    ),
    *(lines(f"auth: {name}", {"auth": given}, extra) for name, given, extra in AUTH),
    *(Row(f"auth refused: {name}", "InvalidRequestError", call={"auth": given}) for name, given in BAD_AUTH),
    Row(
        "cookies refused: both cookies= and a Cookie header",
        "InvalidRequestError",
        call={"cookies": {"a": "b"}, "headers": {"cookie": "c=d"}},
    ),
    Row(
        "cookies of the call replace default ones",
        [sent("GET /", "Cookie: c=d")],
        config={"default_headers": {"Cookie": "a=b"}},
        call={"cookies": {"c": "d"}},
    ),
    Row(
        "auth refused: both auth= and an Authorization header",
        "InvalidRequestError",
        call={"auth": "t", "headers": {"Authorization": "x"}},
    ),
    *(lines(f"cookies: {name}", {"cookies": given}, extra) for name, given, extra in COOKIES),
    *(
        Row(f"cookies refused: {name}", "InvalidRequestError", call={"cookies": given})
        for name, given in BAD_COOKIES
    ),
    Row(
        "default headers come before those of the call, which replace them",
        [sent("GET /", "X-A: 1", "X-B: mine", "X-C: 3")],
        config={"default_headers": {"X-A": "1", "x-b": "2"}},
        call={"headers": {"X-B": "mine", "X-C": "3"}},
    ),
    Row(
        "None removes a default header",
        [sent("GET /")],
        config={"default_headers": {"X-A": "1"}},
        call={"headers": {"x-a": None}},
    ),
    Row(
        "a default User-Agent replaces ours",
        [request("GET /", "Host: here", *STANDARD[1:], "User-Agent: orders/2")],
        config={"default_headers": {"User-Agent": "orders/2"}},
    ),
    Row("netrc: a login for the host", [sent("GET /", JOE)], config=NETRC),
    Row(
        "netrc: no login for another host",
        [sent("GET /", host="api.test:here")],
        url="http://api.test:here/",
        config=NETRC,
    ),
    Row(
        "netrc: the call's auth= comes first",
        [sent("GET /", "Authorization: Bearer t")],
        config=NETRC,
        call={"auth": "t"},
    ),
    Row(
        "netrc: no login for a call with an auth flow",
        [sent("GET /", "Authorization: Bearer t")],
        config=NETRC,
        call={"auth": auth.Bearer(lambda: "t")},
    ),
    Row(
        "auth of the client: a token",
        [sent("GET /", "Authorization: Bearer t")],
        config={"auth": "t"},
    ),
    Row(
        "auth of the client: a flow",
        [sent("GET /", "Authorization: Bearer t")],
        config={"auth": auth.Bearer(lambda: "t")},
    ),
    Row(
        "auth of the client: a flow, and a redirect to another origin",
        [sent("GET /", "Authorization: Bearer t"), sent("GET /b", host="there")],
        config={"auth": auth.Bearer(lambda: "t")},
        responses=[redirect(302, "http://there/b")],
    ),
    Row(
        "a signed request",
        [sent("POST /", "Content-Type: application/json", "Content-Length: 9", SIGNED, body=b'{"a":"b"}')],
        method="POST",
        call={"json": {"a": "b"}},
        config={"request_signers": [names_signed]},
    ),
    Row(
        "a signed redirect, and one to another origin",
        [sent("GET /", SIGNED), sent("GET /b", SIGNED), sent("GET /c", host="there")],
        config={"request_signers": [names_signed]},
        responses=[redirect(302, "/b"), redirect(302, "http://there/c")],
    ),
    Row(
        "netrc: a redirect to another origin carries no login and gets none from the file",
        [sent("GET /", JOE), sent("GET /b", host="there")],
        config=NETRC,
        responses=[redirect(302, "http://there/b")],
    ),
    Row(
        "headers, cookies and auth in their order",
        [sent("GET /", "X-A: 1", "Cookie: c=d", "Authorization: Bearer t")],
        call={"auth": "t", "cookies": {"c": "d"}, "headers": {"X-A": "1"}},
    ),
]
