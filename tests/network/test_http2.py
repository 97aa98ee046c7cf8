"""HTTP/2: when it is used, what is on the wire, and what the server says about requests that it did not process."""

from __future__ import annotations

import asyncio
import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import StreamEnded
from h2.settings import SettingCodes

from http_service_client import ConstantBackoff, EgressPolicy, HttpServiceClient, RetryPolicy
from http_service_client.testing.server import LoopbackServer, respond
from kit.forks import in_a_child, needs_fork
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from network.faults import Certificates, failing, served


def ok(exchange: Exchange) -> None:
    exchange.respond(200, [("content-type", "text/plain")], b"ok")


def echo(exchange: Exchange) -> None:
    exchange.respond(200, body=exchange.body)


def paths(server: Http2Server) -> list[str]:
    return [exchange.path for exchange in server.exchanges]


def at_once(client: HttpServiceClient, front_end: FrontEnd, urls: list[str], **options: Any) -> list[Any]:
    """The responses or errors of calls that are made at the same time, with the same options."""
    return each_at_once(client, front_end, [(url, options) for url in urls])


def each_at_once(
    client: HttpServiceClient, front_end: FrontEnd, calls: list[tuple[str, dict[str, Any]]]
) -> list[Any]:
    """The responses or errors of calls that are made at the same time."""
    if isinstance(front_end, AsyncioFrontEnd):

        async def gather() -> list[Any]:
            awaited = [client.get_async(url, **options) for url, options in calls]
            return await asyncio.gather(*awaited, return_exceptions=True)

        return front_end.loop.run_until_complete(gather())

    def call(url: str, options: dict[str, Any]) -> Any:
        try:
            return client.get(url, **options)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(lambda each: call(*each), calls))


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


# What the server did not process (RFC 9113, 8.7).


def refused_stream(exchange: Exchange) -> None:
    exchange.reset(ErrorCodes.REFUSED_STREAM)


def gone_away(exchange: Exchange) -> None:
    exchange.go_away(max(0, exchange.id - 2))


@pytest.mark.parametrize("refuse", [refused_stream, gone_away])
def test_a_request_that_was_not_processed_is_sent_again(
    front_end: FrontEnd, new_client: NewClient, http2_server: Http2Server, refuse: Any
) -> None:
    """A POST too: the server says that it did nothing with it. It is no evidence against the server."""
    http2_server.on("/", refuse, echo)
    client = new_client(
        retry_policy_config=RetryPolicy(backoff_strategy=ConstantBackoff(0.001)),
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 60},
    )
    response = front_end.request(client, "POST", http2_server.url + "/", data=b"pay")
    assert (response.content, response.attempts) == (b"pay", 2)
    assert [exchange.body for exchange in http2_server.exchanges] == [b"pay", b"pay"]
    assert set(client.get_circuit_breaker_states().values()) == {"closed"}


@pytest.mark.parametrize("refuse", [refused_stream, gone_away])
def test_a_request_that_was_not_processed_is_refused(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, refuse: Any
) -> None:
    """Without retries, the caller learns so."""
    http2_server.on("/", refuse)
    caught = failing(front_end, http2_client, "POST", http2_server.url + "/", data=b"pay")
    assert (caught.type, caught.sent) == ("ConnectionLostError", "refused")
    assert "did not process this request" in caught.message


@pytest.mark.parametrize(
    ("code", "debug", "words"),
    [
        (ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings", "(GOAWAY: ENHANCE_YOUR_CALM, 'too_many_pings')"),
        (ErrorCodes.NO_ERROR, b"max_age", "(GOAWAY, 'max_age')"),
        (ErrorCodes.NO_ERROR, b"", "(GOAWAY)"),
        (4242, b"\x1b[2J\xff\n\xe2\x80\xaeno", "(GOAWAY: error code 4242, '[2J\ufffd no')"),
    ],
    ids=["calm", "age", "nothing", "terminal escapes"],
)
def test_what_a_server_says_when_it_goes_is_in_the_error(
    front_end: FrontEnd,
    http2_client: HttpServiceClient,
    http2_server: Http2Server,
    code: int,
    debug: bytes,
    words: str,
) -> None:
    """Its GOAWAY has the reason: for the requests that it did not process, and for those that it may have."""

    def accuses(exchange: Exchange) -> None:
        exchange.go_away(exchange.id, code, debug)
        http2_server.loop.call_later(0.02, exchange.hang_up)

    http2_server.on("/refused", lambda exchange: exchange.go_away(0, code, debug))
    http2_server.on("/lost", accuses)
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/refused")
    assert caught.sent == "refused"
    assert words in caught.message
    caught = failing(front_end, http2_client, "GET", http2_server.url + "/lost")
    assert caught.sent == "maybe_processed"
    assert (words in caught.message) == (code != ErrorCodes.NO_ERROR)  # an orderly end accuses nobody


@pytest.mark.parametrize("by", ["a reset", "GOAWAY"])
def test_a_request_that_requires_http1_is_sent_again_over_http1(
    front_end: FrontEnd, new_client: NewClient, certificates: Certificates, by: str
) -> None:
    """A POST, too (RFC 9113, 7). Later calls to the origin begin with HTTP/1.1."""
    spoken: list[str | None] = []

    def serve(accepted: Any, is_over: threading.Event) -> None:
        spoken.append(accepted.selected_alpn_protocol())
        if spoken[-1] == "h2":
            refuse(accepted)
        received = b""
        while data := accepted.recv(65536):
            received += data
            if received.endswith(b"\r\n\r\npay"):
                accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def refuse(accepted: Any) -> None:
        server = H2Connection(H2Configuration(client_side=False))
        server.initiate_connection()
        accepted.sendall(server.data_to_send())
        while data := accepted.recv(65536):
            for event in server.receive_data(data):
                if isinstance(event, StreamEnded):
                    if by == "GOAWAY":
                        server.close_connection(ErrorCodes.HTTP_1_1_REQUIRED, last_stream_id=0)
                    else:
                        server.reset_stream(event.stream_id, ErrorCodes.HTTP_1_1_REQUIRED)
                    accepted.sendall(server.data_to_send())
                    return
            accepted.sendall(server.data_to_send())

    tls = certificates.server_context()
    tls.set_alpn_protocols(["h2", "http/1.1"])
    with served(serve, tls) as address:
        client = new_client(retry_policy_config=RetryPolicy(backoff_strategy=ConstantBackoff(0.001)))
        for attempts in (2, 1):
            response = front_end.request(client, "POST", f"https://{address}/", data=b"pay")
            assert (response.text, response.attempts, response.http_version) == ("ok", attempts, "HTTP/1.1")
        assert spoken == ["h2", "http/1.1"]
        other = new_client()
        caught = failing(front_end, other, "POST", f"https://{address}/", data=b"pay")
    assert (caught.type, caught.sent) == ("ConnectionLostError", "refused")
    assert "requires HTTP/1.1" in caught.message


def test_an_orderly_shutdown_loses_nothing(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A server that says GOAWAY completes the streams up to the last one that it names. The next call reconnects."""

    def leave(exchange: Exchange) -> None:
        exchange.go_away(2**31 - 1)  # the first of two, as the RFC recommends (6.8)
        exchange.go_away(exchange.id)
        exchange.respond(body=b"the last one")

    http2_server.on("/", leave, ok)
    responses = [
        front_end.request(http2_client, "POST", http2_server.url + "/", retry_policy=None) for _ in range(2)
    ]
    assert [response.text for response in responses] == ["the last one", "ok"]
    assert len(http2_server.connections) == 2
    assert http2_server.connections[0].is_lost.wait(5)


def test_a_request_that_is_being_answered_was_processed(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """Whatever number a GOAWAY names after its head: the response is used, and a POST is sent once."""

    def contradict(exchange: Exchange) -> None:
        exchange.head(201)
        exchange.go_away(0)
        exchange.data(b"paid", ends=True)

    http2_server.on("/", contradict, ok)
    response = front_end.request(http2_client, "POST", http2_server.url + "/", data=b"pay")
    assert (response.status_code, response.content) == (201, b"paid")
    assert len(http2_server.exchanges) == 1
    assert http2_server.connections[0].is_lost.wait(5)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda exchange: exchange.reset(ErrorCodes.INTERNAL_ERROR), "INTERNAL_ERROR"),
        (lambda exchange: exchange.reset(ErrorCodes.ENHANCE_YOUR_CALM), "ENHANCE_YOUR_CALM"),
        (lambda exchange: (exchange.go_away(exchange.id), exchange.hang_up()), "lost"),
        (lambda exchange: exchange.hang_up(), "lost"),
        (lambda exchange: (exchange.head(200), exchange.reset(ErrorCodes.REFUSED_STREAM)), "REFUSED_STREAM"),
        (lambda exchange: (exchange.head(200), exchange.hang_up()), "lost"),
        (lambda exchange: (exchange.head(200), exchange.go_away(0), exchange.hang_up()), "lost"),
    ],
)
def test_a_request_that_may_have_been_processed_is_not_sent_again(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server, end: Any, words: str
) -> None:
    """Another end says nothing of that: a POST is sent once."""
    http2_server.on("/", end)
    caught = failing(front_end, http2_client, "POST", http2_server.url + "/", data=b"pay")
    assert (caught.type, caught.sent) == ("ConnectionLostError", "maybe_processed")
    assert words in caught.message
    assert len(http2_server.exchanges) == 1


def test_an_error_that_is_being_handled_is_not_that_of_the_request(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """A refused connection, say, by which a request that was sent would be taken for one that was not."""
    http2_server.on("/", lambda exchange: exchange.hang_up())
    handled = ConnectionRefusedError()
    try:
        raise handled
    except ConnectionRefusedError:
        caught = failing(front_end, http2_client, "POST", http2_server.url + "/", data=b"pay")
    assert (caught.type, caught.sent, caught.cause) == (
        "ConnectionLostError",
        "maybe_processed",
        "ConnectionResetError",
    )
    assert handled.__traceback__ is not None


def test_a_reset_after_a_complete_response_is_no_error(
    front_end: FrontEnd, http2_client: HttpServiceClient, http2_server: Http2Server
) -> None:
    """So a server ends an upload that it does not need (RFC 9113, 8.1)."""

    def refuse(exchange: Exchange) -> None:
        exchange.respond(413, body=b"too much")
        exchange.reset(ErrorCodes.NO_ERROR)

    http2_server.on("/", refuse, early=True)
    response = front_end.request(
        http2_client, "POST", http2_server.url + "/", data=(b"x" * 50_000 for _ in range(1000))
    )
    assert (response.status_code, response.content) == (413, b"too much")
    assert len(http2_server.exchanges[0].body) < 2_000_000


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
