"""The sockets under a `ResilientAdapter`: bounded by the attempt, shared by threads, not by forked children."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
import urllib3

from http_service_client import HttpClientConfig, HttpServiceClient, SentState, deadline
from http_service_client.events import AttemptFinished
from http_service_client.integrations import ResilientAdapter
from http_service_client.testing import (
    LoopbackServer,
    VirtualClock,
    answer,
    drip,
    raw,
    respond,
    stall_reading,
)
from kit.forks import in_a_child, needs_fork
from kit.threads import run_threads
from network.faults import Certificates, served

HALF_A_SECOND = HttpClientConfig(base_timeout=0.5, enable_retry_policy=False)
SLOW_HEAD = raw(b"HTTP/1.1 200 OK\r\n", *[b"X-Slow: 1\r\n"] * 99, every=0.1)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def session(stack: ExitStack, config: HttpClientConfig | None = None, **options: Any) -> requests.Session:
    """A session with an adapter."""
    session = stack.enter_context(requests.Session())
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, ResilientAdapter(config, **options))
    return session


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("action", "body"),
    [(drip("x" * 70, 0.1), None), (SLOW_HEAD, None), (stall_reading(), bytes(20_000_000))],
    ids=["a body", "a head", "an upload"],
)
def test_what_trickles_ends_with_the_attempt(
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    stack: ExitStack,
    scheme: str,
    action: Any,
    body: bytes | None,
) -> None:
    """requests itself would wait for as long as a byte comes now and then."""
    chosen = server if scheme == "http" else tls_server
    chosen.script("/", action)
    http = session(stack, HALF_A_SECOND)
    began = time.monotonic()
    with pytest.raises(requests.RequestException) as caught:
        http.put(chosen.url, data=body, verify=certificates.ca_file)
    assert 0.4 < time.monotonic() - began < 5.0  # seven at least, for what trickles
    assert caught.value.timeline[0].error == "AttemptTimeoutError"  # type: ignore[attr-defined]


def test_a_stream_has_the_time_that_its_reader_gives_it(server: LoopbackServer, stack: ExitStack) -> None:
    """The attempt ends with the head, and its sockets have their own timeouts again."""
    server.script("/", drip("abc", 0.3))
    with session(stack, HALF_A_SECOND).get(server.url, stream=True) as response:
        assert b"".join(response.iter_content(1)) == b"abc"


def test_a_connection_is_kept(server: LoopbackServer, stack: ExitStack) -> None:
    """From one attempt to the next, and from one call to the next."""
    server.script("/", respond(503), respond(200, body="ok"))
    http = session(stack)
    with deadline(5.0):
        assert http.get(server.url).text == http.get(server.url).text == "ok"
    assert server.connection_count == 1


def test_a_proxy_is_used(server: LoopbackServer, stack: ExitStack) -> None:
    """The session's own, over the same kind of sockets."""
    server.script("*", respond(200, body="by proxy"))
    response = session(stack).get("http://api.example.com/", proxies={"http": server.url})
    assert response.text == "by proxy"


def test_what_trickles_through_a_proxy_ends_with_the_attempt(
    server: LoopbackServer, stack: ExitStack
) -> None:
    """Its connections are bounded, too."""
    server.script("*", drip("x" * 70, 0.1))
    http = session(stack, HALF_A_SECOND)
    began = time.monotonic()
    with pytest.raises(requests.RequestException):
        http.get("http://api.example.com/", proxies={"http": server.url})
    assert 0.4 < time.monotonic() - began < 5.0


def test_threads_share_an_adapter(server: LoopbackServer, stack: ExitStack) -> None:
    """Each gets the response to its own request."""
    server.script("*", answer(lambda request: respond(200, body=request.target, delay=0.01)))
    http = session(stack, pool_maxsize=16)
    found: dict[int, str] = {}
    run_threads(lambda number: found.update({number: http.get(f"{server.url}/{number}").text}))
    assert found == {number: f"/{number}" for number in range(16)}


@needs_fork
@pytest.mark.parametrize("is_pickled", [False, True])
@pytest.mark.parametrize("by_proxy", [False, True])
def test_a_forked_child_connects_itself(
    server: LoopbackServer, stack: ExitStack, by_proxy: bool, is_pickled: bool
) -> None:
    """It would read the parent's responses from a connection of both."""
    server.script("*", respond(200))
    http = session(stack, pool_block=True, pool_maxsize=1)
    if is_pickled:
        http.mount("http://", pickle.loads(pickle.dumps(http.adapters["http://"])))
    url, proxies = ("http://api.example.com/", {"http": server.url}) if by_proxy else (server.url, None)
    http.get(url, proxies=proxies)

    def work() -> None:
        assert http.get(url, proxies=proxies).status_code == 200

    assert in_a_child(work) == 0
    assert server.connection_count == 2
    assert http.get(url, proxies=proxies).status_code == 200
    assert server.connection_count == 2


@needs_fork
def test_a_fork_while_a_thread_takes_a_connection(server: LoopbackServer, stack: ExitStack) -> None:
    """A pool is locked for good in the child then, which must not even close it."""
    server.script("/", respond(200))
    http = session(stack)
    http.get(server.url)
    adapter: Any = http.adapters["http://"]

    def work() -> None:
        assert http.get(server.url).status_code == 200

    with adapter.poolmanager.connection_from_url(server.url).pool.mutex:  # as a thread has it for an instant
        assert in_a_child(work) == 0


def test_connections_of_another_class_stay_as_they_are(
    server: LoopbackServer, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder puts its own in place of urllib3's while it records."""
    made: list[object] = []

    class Recorder(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            made.append(self)
            super().connect()

    server.script("/", respond(200, close=True))
    http = session(stack)
    monkeypatch.setattr(urllib3.HTTPConnectionPool, "ConnectionCls", Recorder)
    http.get(server.url)
    assert [type(connection) for connection in made] == [Recorder]


@pytest.mark.parametrize(
    ("ends_in", "requests_made", "state", "story"),
    [
        ("the handshake", 3, SentState.NEVER_SENT, "TlsError"),
        ("its beginning", 3, SentState.NEVER_SENT, "ConnectError"),
        ("the response", 1, SentState.MAYBE_PROCESSED, "ConnectionLostError"),
    ],
)
def test_a_post_is_not_repeated_after_a_fault_of_tls_in_the_response(
    certificates: Certificates,
    stack: ExitStack,
    ends_in: str,
    requests_made: int,
    state: SentState,
    story: str,
) -> None:
    """requests calls both an SSLError; by then the server may have made the payment."""
    connections: list[object] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        connections.append(accepted)
        if ends_in == "its beginning":
            accepted.recv(65536)  # all of it: else the system would reset the connection
            return
        if ends_in == "the handshake":
            accepted.recv(65536)
            accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # a server that speaks no TLS
            return
        with certificates.server_context().wrap_socket(accepted, server_side=True) as wrapped:
            wrapped.recv(1000)
            # A record that cannot be decrypted.
            os.write(wrapped.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
            is_over.wait(5)

    client = HttpServiceClient(clock=VirtualClock())
    adapter = ResilientAdapter(client=client)
    http = session(stack)
    http.mount("https://", adapter)
    with served(serve) as address, pytest.raises(requests.exceptions.SSLError) as caught:
        http.post(f"https://{address}/", data=b"1", verify=certificates.ca_file)
    assert len(connections) == requests_made
    assert caught.value.sent_state is state  # type: ignore[attr-defined]
    errors = {each.error for each in caught.value.timeline if isinstance(each, AttemptFinished)}  # type: ignore[attr-defined]
    assert errors == {story}


def test_a_proxy_that_makes_no_connection_is_to_blame(server: LoopbackServer, stack: ExitStack) -> None:
    """Nothing was sent to the service."""
    server.script("*", respond(407))
    with pytest.raises(requests.exceptions.ProxyError) as caught:
        session(stack, HALF_A_SECOND).post("https://api.example.com/", proxies={"https": server.url})
    (attempt,) = (each for each in caught.value.timeline if isinstance(each, AttemptFinished))  # type: ignore[attr-defined]
    assert (attempt.error, attempt.sent_state) == ("ProxyError", SentState.NEVER_SENT)
