"""HTTP/2: when it is used, what is on the wire, and which responses are not used."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.settings import SettingCodes

from http_service_client import EgressPolicy, HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from network.faults import Certificates, failing
from network.http2_calls import at_once, echo, ok

# When it is used.


def test_calls_share_one_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Ten calls at the same time, of which none is answered before all have arrived, are on one connection."""
    waiting: list[Exchange] = []

    def answer_all(exchange: Exchange) -> None:
        waiting.append(exchange)
        if len(waiting) == 10:
            for each in reversed(waiting):
                each.respond(body=each.path.encode())

    http2_server.on("/first", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/first")
    urls = [f"/{number}" for number in range(10)]
    for url in urls:
        http2_server.on(url, answer_all)
    responses = at_once(http2_client, front_end, [http2_server.url + url for url in urls])
    assert [response.text for response in responses] == urls
    assert {response.http_version for response in responses} == {"HTTP/2"}
    assert len(http2_server.connections) == 1


def test_calls_wait_for_the_connection_that_is_being_made(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """The first calls, made at the same time, need one handshake together."""
    http2_server.on("/", ok)
    responses = at_once(http2_client, front_end, [http2_server.url + "/"] * 5)
    assert [response.text for response in responses] == ["ok"] * 5
    assert len(http2_server.connections) == 1


def test_a_server_without_http2_is_used_over_http1(
    front_end: FrontEnd, new_client: NewClient, tls_server: LoopbackServer
) -> None:
    """The first handshake shows it. That connection is closed, and the origin is not asked again soon."""
    tls_server.script("/", respond(200, body="old"))
    client = new_client()
    responses = [front_end.request(client, "POST", tls_server.url + "/", data=b"x") for _ in range(3)]
    assert [(each.text, each.http_version) for each in responses] == [("old", "HTTP/1.1")] * 3
    assert [request.body for request in tls_server.requests] == [b"x"] * 3
    assert tls_server.connection_count == 2


def test_plain_http_is_http1(front_end: FrontEnd, new_client: NewClient, server: LoopbackServer) -> None:
    """Without TLS nothing can be agreed."""
    server.script("/", respond(200))
    response = front_end.request(new_client(), "GET", server.url + "/")
    assert response.http_version == "HTTP/1.1"


def test_a_full_connection_gets_a_second_one(
    front_end: FrontEnd, new_client: NewClient, certificates: Certificates
) -> None:
    """A server that takes one stream at a time gets a second connection, not a stream that it refuses."""
    settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
    with Http2Server(certificates.server_context(), settings=settings) as server:
        waiting: list[Exchange] = []

        def answer_both(exchange: Exchange) -> None:
            waiting.append(exchange)
            if len(waiting) == 2:
                for each in waiting:
                    each.respond(body=b"both")

        server.on("/first", ok)
        server.on("/", answer_both)
        client = new_client()
        front_end.request(client, "GET", server.url + "/first")
        responses = at_once(client, front_end, [server.url + "/"] * 2)
        assert [response.text for response in responses] == ["both", "both"]
        assert len(server.connections) == 2


# What is on the wire.


def test_the_fields_of_a_request(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Names in lower case; the authority for Host; no field that is about a connection of HTTP/1.1 (RFC 9113, 8.2.2)."""
    http2_server.on("/a?b=c", echo)
    headers = {"X-Mixed": "É", "Keep-Alive": "timeout=5", "Upgrade": "h2c", "TE": "gzip, trailers"}
    front_end.request(http2_client, "POST", http2_server.url + "/a?b=c", data=b"12345", headers=headers)
    (seen,) = http2_server.exchanges
    assert seen.fields[:4] == [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", http2_server.url.removeprefix("https://")),
        (":path", "/a?b=c"),
    ]
    assert seen.headers.keys() & {"host", "connection", "keep-alive", "upgrade", "transfer-encoding"} == set()
    assert (seen.headers["x-mixed"], seen.headers["te"]) == ("É", "trailers")
    assert (seen.headers["content-length"], seen.body) == ("5", b"12345")


def test_a_host_header_is_the_authority(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Set by hand, it names the virtual host, as in HTTP/1.1."""
    http2_server.on("/", ok)
    front_end.request(http2_client, "GET", http2_server.url + "/", headers={"Host": "other.test"})
    assert http2_server.exchanges[0].headers[":authority"] == "other.test"


def test_connection_close_ends_the_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A request with `Connection: close` is the last one on its connection, as over HTTP/1.1."""
    http2_server.on("/", ok)
    for _ in range(2):
        front_end.request(http2_client, "GET", http2_server.url + "/", headers={"Connection": "close"})
    assert len(http2_server.connections) == 2
    assert "connection" not in http2_server.exchanges[0].headers


def test_responses_are_as_over_http1(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Interim heads and trailers are skipped, codings are removed, repeated fields are kept, redirects are followed."""

    def full(exchange: Exchange) -> None:
        exchange.head(103, [("link", "</style.css>")])
        fields = [("content-encoding", "gzip"), ("x-twice", "1"), ("x-twice", "2")]
        exchange.respond(200, fields, gzip.compress(b"hello"), trailers=[("x-sum", "7")])

    http2_server.on("/", full)
    http2_server.on("/moved", lambda exchange: exchange.respond(302, [("location", "/")], b"see there"))
    response = front_end.request(http2_client, "GET", http2_server.url + "/moved")
    assert (response.content, response.headers.get_all("X-Twice")) == (b"hello", ["1", "2"])
    assert [past.content for past in response.history] == [b"see there"]
    assert (response.reason_phrase, response.url) == ("", http2_server.url + "/")


def test_a_part_of_a_coded_body_is_returned_as_it_came(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """As over HTTP/1.1: a coding can be removed from the whole alone."""
    packed = gzip.compress(b"abc")
    fields = [("content-encoding", "gzip"), ("content-range", f"bytes 5-9/{len(packed)}")]
    http2_server.on("/", lambda exchange: exchange.respond(206, fields, packed[5:10]))
    assert front_end.request(http2_client, "GET", http2_server.url + "/").content == packed[5:10]


@pytest.mark.parametrize("status", [204, 304])
def test_a_response_without_content(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, status: int
) -> None:
    """The length of a HEAD response, and that of a 304, is that of another response (RFC 9110, 8.6)."""
    http2_server.on(
        "/", lambda exchange: exchange.respond(status, [("content-length", "500")] * (status == 304))
    )
    http2_server.on("/head", lambda exchange: exchange.respond(200, [("content-length", "500")]))
    assert front_end.request(http2_client, "GET", http2_server.url + "/").content == b""
    assert front_end.request(http2_client, "HEAD", http2_server.url + "/head").content == b""


# What must not be used.


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([(":status", "200"), ("X-Upper", "1")], "not a token"),
        ([(":status", "200"), ("connection", "close")], "8.2.2"),
        ([(":status", "200"), ("transfer-encoding", "chunked")], "8.2.2"),
        ([(":status", "200"), ("x-lf", "a\nb")], "8.2.1"),
        ([(":status", "200"), ("x-space", " a")], "8.2.1"),
        ([(":status", "200"), (":status", "404")], "not a token"),
        ([("x-status", "200")], "status"),
        ([(":status", "101")], "status"),
        ([(":status", "1")], "not a token"),
        ([(":status", "103"), ("X-Upper", "1")], "not a token"),
        ([(":status", "103"), ("connection", "close")], "8.2.2"),
        ([(":status", "200"), *[("x", "1")] * 300], "too many"),
        ([(":status", "200"), ("x", "1" * 70_000)], "too large"),
    ],
)
def test_a_malformed_response_ends_its_stream_alone(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, fields: Any, words: str
) -> None:
    """It is not used (RFC 9113, 8.1.1); the connection is."""
    http2_server.on("/", lambda exchange: exchange.raw_head(fields))
    http2_server.on("/next", ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert words in caught.message
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert len(http2_server.connections) == 1
    assert http2_server.exchanges[0].was_cancelled.wait(5)


@pytest.mark.parametrize("body", [b"", b"half"])
def test_a_body_that_is_too_short_is_an_error(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, body: bytes
) -> None:
    """The stream ended before the length that was announced."""

    def short(exchange: Exchange) -> None:
        exchange.respond(200, [("content-length", "10")], body, trailers=[("x-sum", "7")] if body else None)

    http2_server.on("/", short)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert f"was cut short after {len(body)} bytes" in caught.message


@pytest.mark.parametrize(
    ("status", "length", "body", "trailers", "words"),
    [
        (200, "10", b"short", None, "was cut short after 5 bytes"),
        (200, "2", b"long", None, "longer than its head allows"),
        (204, None, b"none", None, "longer than its head allows"),
        (200, "ten", b"any", None, "Content-Length"),
        (200, None, b"any", [(":status", "200")], "not a token"),
    ],
)
def test_a_malformed_body_ends_its_stream_alone(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    status: int,
    length: str | None,
    body: bytes,
    trailers: Any,
    words: str,
) -> None:
    """Its length is not that of the head, or its trailers are malformed: others on the connection are not lost."""

    def malformed(exchange: Exchange) -> None:
        fields = [] if length is None else [("content-length", length)]
        exchange.respond(status, fields, body, trailers=trailers)

    http2_server.on("/", malformed)
    http2_server.on("/next", ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert words in caught.message
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert len(http2_server.connections) == 1


def test_frames_that_break_the_protocol_end_the_connection(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A frame that is larger than allowed."""
    http2_server.on(
        "/", lambda exchange: exchange.raw(b"\xff\xff\xff\x00\x00\x00\x00\x00\x01" + b"x" * 70_000)
    )
    http2_server.on("/next", ok)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("ProtocolError", "maybe_processed")
    assert front_end.request(http2_client, "GET", http2_server.url + "/next").text == "ok"
    assert len(http2_server.connections) == 2


# Where it leads.


def test_an_unknown_authority_is_refused(front_end: FrontEnd, http2_server: Http2Server) -> None:
    """The same error as over HTTP/1.1."""
    caught = failing(front_end, front_end.client(http2=True), "POST", http2_server.url + "/")
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


def test_the_egress_policy_holds(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server
) -> None:
    """Before a connection is made."""
    client = new_client(egress_policy=EgressPolicy(allowed_hosts=["localhost"]))
    url = http2_server.url.replace("127.0.0.1", "localhost")
    caught = failing(front_end, client, "GET", url + "/")
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert not http2_server.connections


@needs_fork
def test_a_forked_child_has_connections_of_its_own(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server
) -> None:
    """It leaves those of its parent alone, which goes on with its own."""
    http2_server.on("/", ok)
    client = new_client({"keep_alive_timeout": 60.0})

    def call() -> None:
        calling = front_end.calling(client, "GET", http2_server.url + "/", retry_policy=None)
        assert front_end.run(calling).text == "ok"
        front_end.run(front_end.calling(client, "GET", http2_server.url + "/"))
        client.close(abort=True)

    front_end.request(client, "GET", http2_server.url + "/")
    assert in_a_child(call) == 0
    assert not http2_server.connections[0].is_lost.is_set()
    assert front_end.request(client, "POST", http2_server.url + "/", retry_policy=None).text == "ok"
    assert http2_server.exchanges[-1].connection is http2_server.connections[0]
