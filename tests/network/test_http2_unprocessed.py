"""What an HTTP/2 server says about requests that it did not process (RFC 9113, 8.7), and which of them are sent again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

pytest.importorskip("h2", reason="the extra http2 is not installed")

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import StreamEnded

from http_service_client import ConstantBackoff, HttpServiceClient, RetryPolicy
from kit.front_ends import FrontEnd
from kit.http2_server import Exchange, Http2Server, NewClient
from network.faults import Certificates, failing, served
from network.http2_calls import echo, ok


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
