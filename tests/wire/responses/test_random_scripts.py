"""Whatever a server does with a request, every front end gives the same response or the same error, at once.

The server reads an upload or does not, sends what `test_random_responses` sends in pieces, and closes its side. So no
caller has anything to wait for, and what it reports does not depend on which of two events came first.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import DecodingError, HttpClientError, HttpServiceClient
from http_service_client.errors import RequestTimeoutError
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from network.faults import Certificates, served, slots_in_use
from network.hooked_path import go_through_aiohttp
from wire.responses.test_random_responses import LIMIT, RESPONSES, mutated

UPLOADS = {"none": None, "short": b"x" * 1000, "long": b"x" * 5_000_000}  # a long one fills every buffer


@dataclass
class Script:
    """What the server does.

    pieces: that it sends, each in its own packet.   reads: the whole upload, first.   upload: the body of the request.
    """

    pieces: list[bytes]
    reads: bool
    upload: str


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Any script."""
    data = draw(mutated(st.sampled_from(RESPONSES)))
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=3))
    pieces = [data[start:end] for start, end in pairwise([0, *sorted(cuts), len(data)])]
    return Script(pieces, draw(st.booleans()), draw(st.sampled_from(sorted(UPLOADS))))


class Server:
    """Plays a script on each connection.

    is_heard: the caller has its outcome. Until then, an upload that the script does not read fills the buffers.
    """

    script: Script

    def __init__(self) -> None:
        self.is_heard = threading.Event()

    def serve(self, accepted: Any, is_over: threading.Event) -> None:
        """Serve one connection."""
        script, received = self.script, b""
        while b"\r\n\r\n" not in received:
            received += accepted.recv(65536) or b"\r\n\r\n"
        left = len(UPLOADS[script.upload] or b"") - len(received.partition(b"\r\n\r\n")[2])
        while script.reads and left > 0 and (data := accepted.recv(1 << 20)):
            left -= len(data)
        for piece in script.pieces:
            accepted.sendall(piece)
            is_over.wait(0.003)
        socket.socket.shutdown(accepted, socket.SHUT_WR)
        self.is_heard.wait(20)
        while accepted.recv(1 << 20):
            pass


@dataclass
class Caller:
    """One way to call. is_hooked: as if a library had hooked into aiohttp."""

    front_end: FrontEnd
    client: HttpServiceClient
    is_hooked: bool = False

    def outcome(self, method: str, url: str, body: bytes | None) -> tuple[Any, ...]:
        """The response, or the error that a caller gets. Any error but ours passes through."""
        with pytest.MonkeyPatch.context() as patch:
            if self.is_hooked:
                go_through_aiohttp(patch)
            try:
                response = self.front_end.request(self.client, method, url, data=body, allow_redirects=False)
            except HttpClientError as error:
                if isinstance(error, RequestTimeoutError):
                    raise AssertionError("the client waits for a server that has ended") from error
                # Of several codings that are damaged, the one that is met first depends on how the bytes arrive.
                codings = () if error.response is None else error.response.headers.get_all("Content-Encoding")
                message = "" if isinstance(error, DecodingError) and "," in ",".join(codings) else str(error)
                return type(error), message, error.sent_state
            finally:
                assert slots_in_use(self.client) == 0
        fields = response.headers.multi_items()
        return response.status_code, response.reason_phrase, fields, response.content


@pytest.fixture(scope="module", params=["plain", "tls"])
def setup(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, str, list[Caller]]]:
    """A server, its URL, and each way to call it."""
    certificates, server = Certificates(tmp_path_factory.mktemp("certificates")), Server()
    tls = certificates.server_context() if request.param == "tls" else None
    options: dict[str, Any] = {
        # No connection serves two scripts: a server that has sent its pieces takes a moment to close it.
        "connection_pool": certificates.pool(max_idle_connections=0),
        "max_response_size": LIMIT,
        "enable_retry_policy": False,
        "enable_circuit_breaker": False,
        "base_timeout": 10.0,
    }
    with (
        served(server.serve, tls) as address,
        BlockingFrontEnd() as blocking,
        AsyncioFrontEnd() as asynchronous,
    ):
        callers = [
            Caller(blocking, blocking.client(**options)),
            Caller(asynchronous, asynchronous.client(**options)),
            Caller(asynchronous, asynchronous.client(**options), is_hooked=True),
        ]
        yield server, f"http{'s' if tls else ''}://{address}/", callers


@given(script=scripts(), method=st.sampled_from(["POST", "POST", "HEAD", "GET"]))
@settings(max_examples=60)
def test_every_way_to_call_has_the_same_outcome(
    setup: tuple[Server, str, list[Caller]], script: Script, method: str
) -> None:
    """The same response, or the same error with the same message and sent-state; no slot is left, and nobody waits."""
    server, url, callers = setup
    server.script = script
    outcomes = []
    for caller in callers:
        server.is_heard.clear()
        outcomes.append(caller.outcome(method, url, UPLOADS[script.upload]))
        server.is_heard.set()
    assert outcomes[0] == outcomes[1] == outcomes[2]
