"""What the doctor says about a GET: its status, its time, its size, and what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import ConnectError, HttpClientConfig, HttpClientError
from http_service_client.cli.doctor.calls import Reply, examine_response, get, get_async
from http_service_client.cli.doctor.findings import Finding, Level
from http_service_client.http.headers import Headers
from http_service_client.http.printable import printable
from http_service_client.testing import LoopbackServer, raw, respond
from kit.rows import each_row


def reply(status: int = 200, *, headers: list[tuple[str, str]] | None = None, **changes: Any) -> Reply:
    made = Reply("blocking")
    made.status, made.phrase, made.headers = status, "OK", Headers(headers or [])
    made.version, made.seconds, made.size, made.is_whole = "HTTP/1.1", 0.0123, 5000, True
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def checks(url: str, seen: Reply) -> dict[str, Finding]:
    return {found.check: found for found in examine_response(url, seen, accepts_codings=True)}


Call = Callable[[str, HttpClientConfig, dict[str, Any]], Reply]
CONFIG = HttpClientConfig(enable_retry_policy=False)


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as running:
        yield running


@pytest.fixture(params=[get, get_async], ids=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Call:
    made: Call = request.param
    return made


def test_a_get_notes_the_head_and_counts_the_body(server: LoopbackServer, call: Call) -> None:
    """With the keywords that it is given."""
    server.script("/x", respond(body=b"x" * 5000, headers={"X-A": "b"}))
    seen = call(f"{server.url}/x", CONFIG, {"headers": {"X-Key": "k"}})
    assert (seen.status, seen.phrase, seen.version, seen.headers.get("X-A")) == (200, "OK", "HTTP/1.1", "b")
    assert (seen.size, seen.is_whole, seen.error, seen.requests, seen.hops) == (5000, True, None, 1, [])
    assert 0 < seen.seconds < 60
    assert seen.front_end == ("blocking" if call is get else "asyncio")
    assert [(request.method, request.header("X-Key")) for request in server.requests] == [("GET", "k")]


def test_a_body_is_not_read_to_its_end_if_that_is_far(server: LoopbackServer, call: Call) -> None:
    """So a stream without one is no problem."""
    server.script("/x", respond(body=b"x" * 1_000_000))
    seen = call(f"{server.url}/x", CONFIG, {})
    assert 65536 <= seen.size < 1_000_000
    assert (seen.is_whole, seen.error) == (False, None)


def test_redirects_are_noted_on_the_way(server: LoopbackServer, call: Call) -> None:
    """Each is a request of its own. A location alone makes none, nor does a status alone."""
    server.script("/a", respond(301, headers={"Location": "/b"}))
    server.script("/b", respond(302, headers={"Location": "/c"}))
    server.script("/c", respond(201, headers={"Location": "/d"}))
    seen = call(f"{server.url}/a", CONFIG, {})
    assert (seen.status, seen.hops, seen.requests) == (201, [(301, "/b"), (302, "/c")], 3)
    server.script("/d", respond(302))
    assert call(f"{server.url}/d", CONFIG, {}).hops == []


def test_a_body_that_breaks_off_is_an_error_after_its_head(server: LoopbackServer, call: Call) -> None:
    """What came of it is counted."""
    server.script("/x", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntea"))
    seen = call(f"{server.url}/x", CONFIG, {})
    assert (seen.status, seen.size, seen.is_whole, seen.requests) == (200, 3, False, 1)
    assert isinstance(seen.error, HttpClientError)


def test_a_request_that_never_left_is_none(call: Call) -> None:
    """There is an error, and no head."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen = call(f"http://127.0.0.1:{port}/", CONFIG, {})
    assert (seen.status, seen.requests) == (None, 0)
    assert isinstance(seen.error, ConnectError)


@each_row(
    ("changes", "message"),
    [
        ({}, "200 OK in 12 ms, 5,000 bytes"),
        ({"phrase": ""}, "200 in 12 ms, 5,000 bytes"),
        ({"seconds": 0.00456}, "200 OK in 4.6 ms, 5,000 bytes"),
        ({"seconds": 0.01}, "200 OK in 10 ms, 5,000 bytes"),
        ({"version": "HTTP/2"}, "200 OK in 12 ms, by HTTP/2, 5,000 bytes"),
        ({"is_whole": False, "size": 70_000}, "200 OK in 12 ms, at least 70,000 bytes"),
    ],
)
def test_a_call_is_told_in_a_line(changes: dict[str, Any], message: str) -> None:
    """Its status, how long it took to the head, and how much came."""
    found = reply(**changes).finding()
    assert (found.check, found.message) == ("GET, blocking", message)
    details = {"seconds": 0.0123, "bytes_read": 5000, "is_whole": True, "version": "", **changes}
    assert found.details == {
        **{name: changes.get(name, details[name]) for name in ("seconds", "is_whole")},
        "status": 200, "is_http2": details["version"] == "HTTP/2", "error": None,
        "bytes_read": changes.get("size", 5000),
    }  # fmt: skip


@each_row(
    ("status", "level", "advice"),
    [
        (399, Level.OK, ""),
        (400, Level.WARN, "is it the right URL for a GET?"),
        (401, Level.WARN, "give the credentials of the service: --auth, --bearer or --header"),
        (402, Level.WARN, "is it the right URL for a GET?"),
        (403, Level.WARN, "give the credentials of the service: --auth, --bearer or --header"),
        (429, Level.WARN, "the service asks for fewer calls"),
        (499, Level.WARN, "is it the right URL for a GET?"),
        (500, Level.FAIL, "the service fails: look at its log"),
        (599, Level.FAIL, "the service fails: look at its log"),
    ],
)
def test_a_status_has_its_advice(status: int, level: Level, advice: str) -> None:
    """None for a success."""
    found = reply(status).finding()
    assert (found.level, found.advice, found.details["status"]) == (level, advice, status)


def test_a_call_that_failed_says_why() -> None:
    """Before the head, and after it; an error's text does nothing to a terminal."""
    seen = Reply("asyncio")
    seen.error = ConnectError("no\x1b[2J one")
    found = seen.finding()
    assert (found.check, found.level, found.message, found.advice) == (
        "GET, asyncio", Level.FAIL, "no [2J one", "",
    )  # fmt: skip
    assert found.details == {"error": "ConnectError"}
    assert list(examine_response("https://h/", seen, accepts_codings=True)) == []
    broken = reply(error=ConnectError("gone"), is_whole=False, size=3).finding()
    assert broken.message == "200 OK in 12 ms, at least 3 bytes, and then gone"
    assert broken.advice == "the headers arrive, and the body does not: look at the service"
    assert broken.details["error"] == "ConnectError"


def test_so_many_bytes_are_enough() -> None:
    """64 KiB of a body: it may have no end."""
    seen = Reply("blocking")
    assert [seen.take(b"x" * size) for size in (65535, 1, 1)] == [False, True, True]
    assert seen.size == 65537


@each_row(
    ("kind", "size", "coding", "level", "message"),
    [
        ("text/plain", 1399, None, Level.OK, "none; there is little to gain"),
        ("text/plain", 1400, None, Level.WARN, "1,400 bytes of text/plain came uncompressed"),
        ("Text/HTML", 5000, None, Level.WARN, "5,000 bytes of text/html came uncompressed"),
        ("application/problem+json", 5000, None, Level.WARN, "5,000 bytes of application/problem+json came uncompressed"),
        ("image/svg+xml", 5000, None, Level.WARN, "5,000 bytes of image/svg+xml came uncompressed"),
        ("application/javascript", 5000, None, Level.WARN, "5,000 bytes of application/javascript came uncompressed"),
        ("image/png", 5000, None, Level.OK, "none; there is little to gain"),
        ("a/text/b", 5000, None, Level.OK, "none; there is little to gain"),
        (None, 5000, None, Level.OK, "none; there is little to gain"),
        ("text/plain", 5000, "gzip", Level.OK, "the response is compressed: gzip"),
        ("text/plain", 5000, "g\x1bzip", Level.OK, "the response is compressed: g zip"),
        ("text/" + "x" * 80, 5000, None, Level.WARN, f"5,000 bytes of {printable('text/' + 'x' * 80, 60)} came uncompressed"),
    ],
)  # fmt: skip
def test_text_of_more_than_a_packet_gains_by_compression(
    kind: str | None, size: int, coding: str | None, level: Level, message: str
) -> None:
    """Other media types are compressed by themselves."""
    headers = [("Content-Type", kind)] if kind is not None else []
    headers += [("Content-Encoding", coding)] if coding is not None else []
    found = checks("https://h/", reply(headers=headers, size=size))["compression"]
    assert (found.level, found.message) == (level, message)
    assert found.details == {"coding": coding}
    assert bool(found.advice) is (level is Level.WARN)


@each_row(
    ("name", "is_limit"),
    [
        ("Retry-After", True), ("RateLimit", True), ("RateLimit-Policy", True), ("ratelimit-limit", True),
        ("X-RateLimit-Limit", True), ("x-rate-limit-reset", True), ("X-RateLimits", False), ("X-Request-Id", False),
        ("X-Retry-After", False),
    ],
)  # fmt: skip
def test_limits_are_known_by_the_names_of_their_headers(name: str, is_limit: bool) -> None:
    """In upper or lower case."""
    found = checks("https://h/", reply(headers=[(name, "5")]))["rate limit"]
    assert found.level is Level.OK
    assert found.details == {"headers": {name: "5"} if is_limit else {}}
    assert found.message == (f"{name}: 5" if is_limit else "the response names none")
    assert bool(found.advice) is is_limit


def test_several_limits_are_in_one_line() -> None:
    """With what a refusal asks for among them. A value that has no end is cut off."""
    headers = [("Retry-After", "30"), ("X-RateLimit-Limit", "5"), ("RateLimit", "x" * 200)]
    found = checks("https://h/", reply(429, headers=headers))["rate limit"]
    assert found.level is Level.WARN
    assert found.message == f"Retry-After: 30, X-RateLimit-Limit: 5, RateLimit: {printable('x' * 200, 100)}"
    assert found.advice == "the client waits as long as Retry-After asks; call less often"


def test_encryption_is_said_with_what_browsers_are_told() -> None:
    """Which no client obeys; what a server writes there is cut off and does nothing to a terminal."""
    plain = checks("http://h/", reply())["encryption"]
    assert (plain.level, plain.message, plain.advice) == (
        Level.WARN, "the URL is http://: anyone on the way can read and change it", "use https://",
    )  # fmt: skip
    none = checks("https://h/", reply())["encryption"]
    assert none.message == "https; no Strict-Transport-Security, which matters to browsers only"
    assert (none.level, none.details) == (Level.OK, {"hsts": None})
    value = "max-age=1\x1b" + "x" * 200
    found = checks("https://h/", reply(headers=[("Strict-Transport-Security", value)]))["encryption"]
    assert found.message == f"https; Strict-Transport-Security: {printable(value, 100)}"
    assert found.details == {"hsts": value}


def test_a_mesh_is_named_by_its_headers() -> None:
    """With the attempts that it says it made. A value that has no end is cut off."""
    headers = [("server", "istio-envoy"), ("x-envoy-attempt-count", "2")]
    found = checks("https://h/", reply(headers=headers))["service mesh"]
    assert (found.level, found.details["attempts"]) == (Level.WARN, 2)
    assert set(found.details["headers"]) == {"server", "x-envoy-attempt-count"}
    once = checks("https://h/", reply(headers=[*headers[:1], ("x-envoy-attempt-count", "1")]))["service mesh"]
    assert (once.level, once.details["attempts"]) == (Level.OK, 1)
    assert once.message == "server: istio-envoy, x-envoy-attempt-count: 1"
    endless = checks("https://h/", reply(headers=[("l5d-proxy-error", "x" * 200)]))["service mesh"]
    assert endless.message == f"l5d-proxy-error: {printable('x' * 200, 100)}"


def test_a_location_that_is_no_url_is_another_origin() -> None:
    """Nothing is raised for it."""
    found = checks("https://h/", reply(hops=[(302, "https://[bad/")]))["redirects"]
    assert found.level is Level.WARN
    assert found.advice.startswith("credentials are not sent along")
