"""Redirects on the wire: unusual Locations, and bodies that are sent again or dropped."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client.testing.server import LoopbackServer, raw, respond
from kit.front_ends import FrontEnd
from network.faults import failing


def redirect(*locations: bytes, status: int = 302) -> Any:
    """A redirect with exactly these bytes as its Location."""
    lines = [b"HTTP/1.1 %d Moved" % status, b"Content-Length: 0"]
    lines += [b"Location: " + location for location in locations]
    return raw(b"\r\n".join(lines) + b"\r\n\r\n", close=False)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/x", "/x"),
        (b"x", "/a/x"),
        (b"./x", "/a/x"),
        (b"../x", "/x"),
        (b"../../../x", "/x"),
        (b"/x/./y/../z", "/x/z"),
        (b"/x/%2e%2E/y", "/y"),
        (b"?e=f", "/a/b?e=f"),
        (b"?", "/a/b?"),
        (b"#fragment", "/a/b?c=d"),
        (b"/x#fragment", "/x"),
        (b"/x?y#z?w", "/x?y"),
        (b"//127.0.0.1:{port}/x", "/x"),
        (b"http://127.0.0.1:{port}", "/"),
        (b"HTTP://127.0.0.1:{port}/x", "/x"),
        (b"http://127.0.0.1:0{port}/x", "/x"),
        (b"  /x \t", "/x"),
        (b"/a b", "/a%20b"),
        (b"/x?a b", "/x?a%20b"),
        (b'/"<>^`{|}', "/%22%3C%3E%5E%60%7B|%7D"),
        (b'/x?"<>^`{|}[]', "/x?%22%3C%3E^`{|}[]"),
        (b"/100%", "/100%"),
        (b"/%zz", "/%zz"),
        (b"/a%2fb/c%2e?X-Signature=%2b%2F+~%7e==&e=&", "/a%2fb/c%2e?X-Signature=%2b%2F+~%7e==&e=&"),
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b"/caf\xe9", "/caf%E9"),  # octets that are not UTF-8 are requested as they came
        (b"/\xff\xfe?\xe9", "/%FF%FE?%E9"),
        (b"/\xc3\xa9\xe9", "/%C3%A9%E9"),
        (b"/x?u=http://other.test/%2F", "/x?u=http://other.test/%2F"),
        (b"./a:b", "/a/a:b"),
        (b"/" + b"l" * 8000, "/" + "l" * 8000),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_an_unusual_location_is_resolved(
    front_end: FrontEnd, server: LoopbackServer, location: bytes, target: str
) -> None:
    """RFC 3986 5.2, applied to the raw bytes; characters are escaped where browsers escape them, and escapes stay."""
    server.script("/a/b", redirect(location.replace(b"{port}", b"%d" % server.port)))
    server.script("*", respond(200))
    if target.startswith("/a/b"):
        server.script("/a/b", redirect(location), respond(200))
    response = front_end.request(front_end.client(), "GET", server.url + "/a/b?c=d")
    assert response.status_code == 200
    assert [request.target for request in server.requests] == ["/a/b?c=d", target]
    assert response.url == server.url + target


@pytest.mark.parametrize("locations", [(), (b"",), (b" ",), (b"\t",)], ids=str)
def test_a_redirect_without_a_location_is_the_response(
    front_end: FrontEnd, server: LoopbackServer, locations: tuple[bytes, ...]
) -> None:
    """There is nothing to follow."""
    server.script("/", redirect(*locations))
    response = front_end.request(front_end.client(), "GET", server.url + "/")
    assert (response.status_code, len(server.requests)) == (302, 1)


@pytest.mark.parametrize(
    ("locations", "reason"),
    [
        ((b"ftp://h/x",), "'ftp'"),
        ((b"file:///etc/passwd",), "'file'"),
        ((b"javascript:alert(1)",), "'javascript'"),
        ((b"unix:/var/run/docker.sock",), "'unix'"),
        ((b"a:b",), "'a'"),
        ((b"http:x",), "no host"),
        ((b"http:/x",), "no host"),
        ((b"http:///x",), "no host"),
        ((b"///x",), "no host"),
        ((b"http://joe:hush@127.0.0.1/",), "user information"),
        ((b"//joe:hush@127.0.0.1/",), "user information"),
        ((b"http://127.0.0.1:{port}\\@other.test/",), "backslash"),
        ((b"/\\other.test",), "backslash"),
        ((b"/x\ty",), "control"),
        ((b"http://127.1/",), "IPv4"),
        ((b"http://0x7f000001/",), "IPv4"),
        ((b"http://[::1",), "IPv6"),
        ((b"http://[fe80::1%25eth0]/",), "IPv6"),
        ((b"http://127.0.0.1:0/",), "port"),
        ((b"http://127.0.0.1:99999/",), "port"),
        ((b"http://a b/",), "character"),
        ((b"/x", b"/y"), "more than one Location"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_dangerous_location_is_not_followed(
    front_end: FrontEnd, server: LoopbackServer, locations: tuple[bytes, ...], reason: str
) -> None:
    """One that leaves HTTP, has credentials of its own, or is read differently by different parsers."""
    server.script("/", redirect(*(each.replace(b"{port}", b"%d" % server.port) for each in locations)))
    server.script("*", respond(200))
    caught = failing(front_end, front_end.client(), "GET", server.url + "/")
    assert (caught.type, caught.sent) == ("UnsafeRedirectError", "answered")
    assert reason in caught.message
    assert "hush" not in caught.message
    assert len(server.requests) == 1


def a_file() -> io.BytesIO:
    """A file whose header was read before."""
    file = io.BytesIO(b"header;" + b"body" * 50_000)
    file.seek(7)
    return file


class Repeatable:
    """Chunks that can be iterated repeatedly."""

    def __iter__(self) -> Any:
        return iter([b"one", b"two"])


BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "bytes": lambda: {"data": b"x" * 300_000},
    "json": lambda: {"json": {"amount": 25.5}},
    "form": lambda: {"data": {"a": "1", "b": ["2", "3"]}},
    "multipart": lambda: {"data": {"a": "1"}, "files": {"f": ("f.txt", a_file(), "text/plain")}},
    "file": lambda: {"data": a_file()},
    "iterable": lambda: {"data": Repeatable()},
    "none": dict,
}
BODY_HEADERS = [
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Digest",
    "Transfer-Encoding",
]


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("status", "method"),
    [(307, "POST"), (308, "POST"), (307, "PUT"), (301, "PUT"), (302, "PATCH"), (308, "DELETE")],
)
def test_a_redirect_that_keeps_the_method_keeps_the_body(
    front_end: FrontEnd, server: LoopbackServer, kind: str, status: int, method: str
) -> None:
    """The same method and bytes, with the same framing; a file from its original position."""
    server.script("/", redirect(b"/there", status=status))
    server.script("/there", respond(200))
    front_end.request(
        front_end.client(), method, server.url + "/", headers={"Content-Language": "en"}, **BODIES[kind]()
    )
    first, second = server.requests
    assert (first.method, second.method) == (method, method)
    assert second.body == first.body
    assert bool(first.body) is (kind != "none")
    for name in BODY_HEADERS:
        assert second.header(name) == first.header(name)


@pytest.mark.parametrize("kind", [*BODIES, "stream"])
@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "DELETE", "GET"),
    ],
)
def test_a_redirect_to_get_drops_the_body_and_its_headers(
    front_end: FrontEnd, server: LoopbackServer, kind: str, status: int, method: str, becomes: str
) -> None:
    """No header describes a body that is not sent (RFC 9110 15.4). A body that can be read only once is no obstacle."""
    server.script("/", redirect(b"/there", status=status))
    server.script("/there", respond(200))
    body = {"data": iter([b"once"])} if kind == "stream" else BODIES[kind]()
    front_end.request(
        front_end.client(),
        method,
        server.url + "/",
        headers={"Content-Language": "en", "Digest": "x"},
        **body,
    )
    first, second = server.requests
    assert (first.method, second.method, second.body) == (method, becomes, b"")
    assert [name for name in BODY_HEADERS if second.header(name) is not None] == []


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_that_can_be_read_only_once_is_not_redirected(
    front_end: FrontEnd, server: LoopbackServer, status: int
) -> None:
    """It is not sent empty: no second request is made."""
    server.script("/", redirect(b"/there", status=status))
    server.script("/there", respond(200))
    caught = failing(front_end, front_end.client(), "POST", server.url + "/", data=iter([b"once"]))
    assert (caught.type, caught.sent) == ("UnsafeRedirectError", "answered")
    assert "was a stream" in caught.message
    assert [request.path for request in server.requests] == ["/"]


def test_a_retry_after_a_redirect_starts_from_the_first_request(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """Method, URL, body and file position of the second attempt are those of the first, not of its last hop."""
    server.script("/", redirect(b"/there", status=307))
    server.script("/there", respond(503), respond(200))
    client = front_end.client(retry_policy_config={"initial_delay": 0.0})
    response = front_end.request(client, "PUT", server.url + "/", data=a_file())
    assert (response.attempts, len(response.history)) == (2, 1)
    assert [(each.method, each.path) for each in server.requests] == [("PUT", "/"), ("PUT", "/there")] * 2
    assert len({each.body for each in server.requests}) == 1
