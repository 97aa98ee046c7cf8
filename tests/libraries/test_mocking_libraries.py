"""responses, requests-mock and aioresponses work with the client as they do with requests and aiohttp.

All that the client does above the wire works under a mock: retries, redirects, the circuit breaker.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest
import requests
from aiohttp.client_reqrep import ConnectionKey

from http_service_client import (
    CircuitOpenError,
    HttpServiceClient,
    RetryPolicy,
    TooManyRedirectsError,
    TransportError,
)
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd
from libraries.libraries import LIBRARIES, Aioresponses, Library

URL = "https://payments.test/charges"
AT_ONCE: dict[str, Any] = {"retry_policy_config": {"initial_delay": 0}}


@pytest.fixture(params=LIBRARIES, ids=lambda kind: kind.name)
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    """Each library in turn, in force: the test runs once with each."""
    with request.param() as library:
        yield library


@pytest.fixture
def front_end(library: Library) -> Iterator[FrontEnd]:
    """The front end that the library mocks."""
    with library.front_end() as front_end:
        yield front_end


def test_a_mocked_response_is_a_response(library: Library, front_end: FrontEnd) -> None:
    """Status, headers and body are those that the test gave."""
    library.add_response("GET", URL, status=404, json={"error": "no charge"}, headers={"X-Request-Id": "7"})
    response = front_end.request(front_end.client(), "GET", URL)
    assert response.status_code == 404
    assert response.headers["X-Request-Id"] == "7"
    assert response.json() == {"error": "no charge"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "QUERY", "POST", "PUT", "PATCH", "DELETE"])
def test_every_verb_is_mocked(library: Library, front_end: FrontEnd, method: str) -> None:
    """A mock for a method gets the request with that method."""
    library.add_response(method, URL, status=204)
    response = front_end.request(front_end.client(), method, URL, data=b"x" if method == "POST" else None)
    assert response.status_code == 204
    assert library.count(method, URL) == 1


def test_the_test_sees_the_json_that_was_sent(library: Library, front_end: FrontEnd) -> None:
    """A library mocks the wire, where a JSON body arrives as bytes."""
    library.add_response("POST", URL, status=201)
    front_end.request(front_end.client(), "POST", URL, json={"order": 42, "amount": 25.5})
    assert library.sent_json("POST", URL) == {"order": 42, "amount": 25.5}


def test_the_query_is_part_of_the_url(library: Library, front_end: FrontEnd) -> None:
    """The mock is compared with the URL after `params` are merged."""
    library.add_response("GET", f"{URL}?page=2&q=a%20b", json=[])
    assert front_end.request(front_end.client(), "GET", URL, params={"page": 2, "q": "a b"}).json() == []


def test_a_mocked_status_is_retried_and_each_attempt_counts(library: Library, front_end: FrontEnd) -> None:
    """Two error statuses and a success are three requests to the mock and one call to the caller."""
    library.add_response("GET", URL, status=503)
    library.add_response("GET", URL, status=429)
    library.add_response("GET", URL, json={"id": 1})
    response = front_end.request(front_end.client(**AT_ONCE), "GET", URL)
    assert (response.json(), response.attempts, library.count("GET", URL)) == ({"id": 1}, 3, 3)


def test_a_mocked_error_status_of_a_post_is_not_retried(library: Library, front_end: FrontEnd) -> None:
    """The rule of safe retries holds under a mock."""
    library.add_response("POST", URL, status=500)
    library.add_response("POST", URL, status=201)
    assert front_end.request(front_end.client(**AT_ONCE), "POST", URL, json={}).status_code == 500
    assert library.count("POST", URL) == 1


def test_a_mocked_error_is_retried_like_a_real_one(library: Library, front_end: FrontEnd) -> None:
    """After a refused connection a POST is retried."""
    library.add_error("POST", URL, ConnectionRefusedError(111, "Connection refused"))
    library.add_response("POST", URL, status=201)
    response = front_end.request(front_end.client(**AT_ONCE), "POST", URL, json={})
    assert (response.status_code, response.attempts) == (201, 2)


def test_mocked_failures_open_the_circuit(library: Library, front_end: FrontEnd) -> None:
    """After five failures in a row the sixth call does not reach the mock."""
    client = front_end.client(circuit_breaker_config={"failure_threshold": 5})
    for _ in range(5):
        library.add_response("GET", URL, status=500)
        front_end.request(client, "GET", URL, retry_policy=False)
    with pytest.raises(CircuitOpenError):
        front_end.request(client, "GET", URL)
    assert library.count("GET", URL) == 5


def _key() -> ConnectionKey:
    return Mock(spec=ConnectionKey, host="payments.test", port=443, ssl=True, is_ssl=True)


_REFUSED = OSError(111, "Connection refused")
_BAD_CERTIFICATE = ssl.SSLCertVerificationError("self-signed certificate")
_NEVER, _MAYBE = "never_sent", "maybe_processed"

# The error that a mock raises, and the error that the caller gets.
COMMON: list[tuple[BaseException, str, str]] = [
    (ConnectionRefusedError(111, "Connection refused"), "ConnectError", _NEVER),
    (socket.gaierror(-2, "Name or service not known"), "NameResolutionError", _NEVER),
    (ConnectionResetError(104, "Connection reset by peer"), "ConnectionLostError", _MAYBE),
    (TimeoutError(), "ReadTimeoutError", _MAYBE),
    (_BAD_CERTIFICATE, "TlsVerificationError", _NEVER),
]
OVER_REQUESTS: list[tuple[BaseException, str, str]] = [
    (requests.ConnectionError("gone"), "ConnectionLostError", _MAYBE),
    (requests.ConnectionError(ConnectionRefusedError(111, "refused")), "ConnectError", _NEVER),
    (requests.ConnectTimeout("slow"), "ConnectTimeoutError", _NEVER),
    (requests.ReadTimeout("slow"), "ReadTimeoutError", _MAYBE),
    (requests.Timeout("slow"), "ReadTimeoutError", _MAYBE),
    (requests.exceptions.SSLError("handshake"), "TlsError", _NEVER),
    (requests.exceptions.SSLError(_BAD_CERTIFICATE), "TlsVerificationError", _NEVER),
    (requests.exceptions.ProxyError("no"), "ProxyError", _NEVER),
    (requests.exceptions.ChunkedEncodingError("cut"), "ProtocolError", _MAYBE),
    (requests.RequestException("something"), "ConnectionLostError", _MAYBE),
]
OVER_AIOHTTP: list[tuple[BaseException, str, str]] = [
    (aiohttp.ClientConnectionError("gone"), "ConnectionLostError", _MAYBE),
    (aiohttp.ServerDisconnectedError(), "ConnectionLostError", _MAYBE),
    (aiohttp.ClientOSError(104, "Connection reset by peer"), "ConnectionLostError", _MAYBE),
    (aiohttp.ClientConnectorError(_key(), _REFUSED), "ConnectError", _NEVER),
    (aiohttp.ConnectionTimeoutError("slow"), "ConnectTimeoutError", _NEVER),
    (aiohttp.SocketTimeoutError("slow"), "ReadTimeoutError", _MAYBE),
    (asyncio.TimeoutError(), "ReadTimeoutError", _MAYBE),
    (aiohttp.ClientConnectorSSLError(_key(), ssl.SSLError(1, "handshake")), "TlsError", _NEVER),
    (
        aiohttp.ClientConnectorCertificateError(_key(), _BAD_CERTIFICATE),
        "TlsVerificationError",
        _NEVER,
    ),
    (aiohttp.ClientProxyConnectionError(_key(), _REFUSED), "ProxyError", _NEVER),
    (aiohttp.ClientPayloadError("cut"), "ProtocolError", _MAYBE),
]


CASES = [
    pytest.param(kind, *row, id=f"{kind.name}-{row[0]!r:.40}")
    for kind in LIBRARIES
    for row in COMMON + (OVER_AIOHTTP if kind is Aioresponses else OVER_REQUESTS)
]


@pytest.mark.parametrize(("kind", "error", "expected", "sent_state"), CASES)
def test_a_mocked_error_becomes_what_a_real_one_would(
    kind: type[Library], error: BaseException, expected: str, sent_state: str
) -> None:
    """Each error of a library below gets the error type and the sent-state that it has without a mock."""
    with kind() as library, kind.front_end() as front_end, pytest.raises(TransportError) as caught:
        library.add_error("GET", URL, error)
        front_end.request(front_end.client(), "GET", URL, retry_policy=False)
    assert (type(caught.value).__name__, caught.value.sent_state) == (expected, sent_state)
    assert "0 s" not in str(caught.value)  # no timeout was set, so the message names none


def test_an_error_of_the_tests_own_comes_out_as_it_is(library: Library, front_end: FrontEnd) -> None:
    """An error that no network raises is not turned into a network failure."""
    library.add_error("GET", URL, LookupError("a bug in the test"))
    with pytest.raises(LookupError, match="a bug in the test"):
        front_end.request(front_end.client(), "GET", URL)


def test_a_request_without_a_mock_is_an_error_of_the_library(library: Library, front_end: FrontEnd) -> None:
    """The message is the library's own."""
    with pytest.raises(Exception, match=r"doesn't match any registered mock|No mock address|refused: GET"):
        front_end.request(front_end.client(), "GET", URL, retry_policy=False)


def test_mocked_redirects_are_followed_by_our_rules(library: Library, front_end: FrontEnd) -> None:
    """303 turns POST into GET without the body, and the history has the redirect."""
    library.add_response("POST", URL, status=303, headers={"Location": "/charges/1"})
    library.add_response("GET", f"{URL}/1", json={"id": 1})
    response = front_end.request(front_end.client(), "POST", URL, json={"amount": 25})
    assert response.json() == {"id": 1}
    assert [(past.status_code, past.url) for past in response.history] == [(303, URL)]


def test_a_307_sends_the_body_again(library: Library, front_end: FrontEnd) -> None:
    """The next request has the same method and body."""
    library.add_response("POST", URL, status=307, headers={"Location": "https://payments.test/v2/charges"})
    library.add_response("POST", "https://payments.test/v2/charges", status=201)
    assert front_end.request(front_end.client(), "POST", URL, json={"amount": 25}).status_code == 201
    assert library.sent_json("POST", "https://payments.test/v2/charges") == {"amount": 25}


def test_a_mocked_redirect_loop_ends(library: Library, front_end: FrontEnd) -> None:
    """It ends after as many redirects as are allowed."""
    for _ in range(3):
        library.add_response("GET", URL, status=302, headers={"Location": URL})
    with pytest.raises(TooManyRedirectsError):
        front_end.request(front_end.client(allowed_redirect_count=2), "GET", URL)
    assert library.count("GET", URL) == 3


def test_allow_redirects_false_returns_the_redirect(library: Library, front_end: FrontEnd) -> None:
    """The mock gets one request."""
    library.add_response("GET", URL, status=302, headers={"Location": "https://elsewhere.test/"})
    assert front_end.request(front_end.client(), "GET", URL, allow_redirects=False).status_code == 302
    assert library.count("GET", URL) == 1


def test_a_request_that_passes_through_reaches_the_network(
    library: Library, front_end: FrontEnd, server: LoopbackServer
) -> None:
    """It uses the client's own connections, which are kept."""
    server.script("/real", respond(200, json={"from": "the server"}))
    library.pass_through(server.url)
    library.add_response("GET", URL, json={"from": "the mock"})
    client = front_end.client()
    assert front_end.request(client, "GET", URL).json() == {"from": "the mock"}
    for _ in range(2):
        assert front_end.request(client, "GET", f"{server.url}/real").json() == {"from": "the server"}
    assert server.connection_count == 1


def test_a_compressed_body_is_decoded(library: Library, front_end: FrontEnd) -> None:
    """A mocked gzip body is decoded like a real one."""
    body = gzip.compress(b"packed")
    library.add_response("GET", URL, body=body, headers={"Content-Encoding": "gzip"})
    assert front_end.request(front_end.client(), "GET", URL).content == b"packed"


def test_a_mocked_body_can_be_streamed_and_downloaded(
    library: Library, front_end: FrontEnd, tmp_path: Path
) -> None:
    """A stream is decoded piece by piece; a download requests an uncompressed body."""
    body = b"line\n" * 100_000
    library.add_response("GET", URL, body=gzip.compress(body), headers={"Content-Encoding": "gzip"})
    library.add_response("GET", URL, body=body)
    client, path = front_end.client(), tmp_path / "file"
    with front_end.stream(client, "GET", URL) as response:
        assert b"".join(response.iter_bytes()) == body
    front_end.download(client, URL, path)
    assert path.read_bytes() == body


def test_a_mocked_stream_may_be_left_early(library: Library, front_end: FrontEnd) -> None:
    """The client still works afterwards."""
    library.add_response("GET", URL, body=b"x" * 100_000)
    library.add_response("GET", URL, json=[])
    client = front_end.client()
    with front_end.stream(client, "GET", URL) as response:
        assert next(iter(response.iter_bytes()))
    assert front_end.request(client, "GET", URL).json() == []


@pytest.mark.parametrize("size", [10, 200_000])
def test_streamed_and_large_uploads_meet_a_mock(library: Library, front_end: FrontEnd, size: int) -> None:
    """A mock may respond without reading the body."""
    library.add_response("POST", URL, status=201)
    response = front_end.request(front_end.client(), "POST", URL, data=(b"x" * size for _ in range(3)))
    assert response.status_code == 201


def test_a_mock_may_begin_while_the_client_exists(library: Library, front_end: FrontEnd) -> None:
    """A client that was made before the mock is mocked, and after the mock it is not."""
    client = front_end.client()
    library.add_response("GET", URL, status=204)
    assert front_end.request(client, "GET", URL).status_code == 204
    library.__exit__(None, None, None)
    try:
        with pytest.raises(TransportError):
            front_end.request(client, "GET", "http://127.0.0.1:9/", retry_policy=RetryPolicy(max_attempts=1))
    finally:
        library.__enter__()


def test_a_client_that_a_service_makes_is_mocked(library: Library) -> None:
    """No session has to be passed in: the client makes its own under the mock."""
    library.add_response("GET", URL, json=[1])
    if isinstance(library, Aioresponses):

        async def call() -> Any:
            async with HttpServiceClient() as client:
                return (await client.get_async(URL)).json()

        assert asyncio.run(call()) == [1]
    else:
        with HttpServiceClient() as client:
            assert client.get(URL).json() == [1]
