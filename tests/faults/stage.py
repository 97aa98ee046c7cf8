"""One call against one fault: what is set up for it, and what it left behind.

A **site** sets up a server that misbehaves and says where it is (`Place`). `play` makes one call to it, in one
world, and takes down what the call came to, what the server saw of it, how long it took, and what is
still taken when it is over.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from http_service_client import HttpClientError, HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from http_service_client.testing.actions import Action, Received
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport  # noqa: F401  # its import takes a while
from http_service_client.transports.over_requests.transport import RequestsTransport  # noqa: F401  # likewise
from kit.front_ends import FrontEnd
from kit.metronome import Metronome
from network.faults import Certificates, places_in_use, served

__all__ = [
    "KEY",
    "MARGIN",
    "Place",
    "Played",
    "Serve",
    "Stage",
    "Talk",
    "name_for",
    "play",
    "resolving",
]

# Seconds that a call may take beyond its timeouts, plus those for which the machine itself stood still.
MARGIN = 0.3

# Seconds for which the machine may stand still during a call: beyond, the call says nothing about the client.
_STILL = 0.15
_PLAYS = 4  # at most, until it did not

KEY = "Idempotency-Key"


@dataclass
class Place:
    """Where the fault is.

    url: to be called.   server: which knows what it saw and how many connections are open, or None.
    healthy: the URL of a path that works; None for the stage's own server.
    settings: of the client.   environ: of the process while the client is made.
    prepare: called with world and client before the call.   heal: called after it.
    """

    url: str
    server: LoopbackServer | RawServer | None = None
    healthy: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[FrontEnd, HttpServiceClient], object] = lambda front_end, client: None
    heal: Callable[[], object] = lambda: None


Serve = Callable[["Talk"], object]


class Talk:
    """One connection of a raw server."""

    def __init__(self, server: RawServer, accepted: socket.socket, is_over: threading.Event) -> None:
        self._server = server
        self.socket = accepted
        self.is_over = is_over

    def read_head(self) -> None:
        """Read a request's head, and have the server remember it."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError
            received += data
        self._server.note(received)

    def hold(self) -> None:
        """Read nothing, say nothing, until the client hangs up or the test is over."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        while not poll.poll(20) and not self.is_over.is_set():
            pass

    def read_late(self) -> None:
        """Read nothing for longer than anybody's patience; then all there is, to see the client hang up."""
        if not self.is_over.wait(0.8):
            while self.socket.recv(1 << 20):
                pass

    def reset(self) -> None:
        """Have the connection end with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(frozen=True)
class Head:
    """The head of a request."""

    text: str

    def header(self, name: str) -> str | None:
        """The value of a header."""
        fields = [line.partition(": ") for line in self.text.split("\r\n")]
        return next((value for known, _, value in fields if known == name), None)


class RawServer:
    """Gives each connection to a function. Knows the requests that it read, and the connections that are open."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._changed = threading.Condition()
        self.requests: list[Head] = []
        self.open_connections = 0

    def serve(self, accepted: socket.socket, is_over: threading.Event) -> None:
        """Serve one connection."""
        self._count(1)
        try:
            self._serve(Talk(self, accepted, is_over))
        finally:
            accepted.close()
            self._count(-1)

    def note(self, head: bytes) -> None:
        """Remember a request."""
        self.requests.append(Head(head.decode("latin-1")))

    def _count(self, step: int) -> None:
        with self._changed:
            self.open_connections += step
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """Whether it becomes true in good time."""
        with self._changed:
            return self._changed.wait_for(condition, 5.0)


class Stage(ExitStack):
    """Servers for one call, closed at the end of the block.

    certificates: those that the client trusts.   strangers: of an authority that it does not know.
    """

    def __init__(self, certificates: Certificates, strangers: Certificates) -> None:
        super().__init__()
        self.certificates = certificates
        self.strangers = strangers

    def loopback(self, *script: Action, tls: Any = None) -> Place:
        """A scripted server: the fault at /fault, and /healthy beside it."""
        server = self.enter_context(LoopbackServer(tls=tls))
        server.script("/fault", *script)
        server.script("/healthy", respond(204))
        return Place(server.url + "/fault", server, server.url + "/healthy", heal=server.accept)

    def raw(self, serve: Serve, scheme: str = "http") -> Place:
        """A server on raw sockets."""
        server = RawServer(serve)
        return Place(f"{scheme}://{self.enter_context(served(server.serve))}/fault", server)


@dataclass
class Played:
    """What one call came to.

    result: the status, or the name of the error.   sent: its sent-state.   attempts: how many were made.
    seen: the requests that the server took.   seconds: how long it took, without those of the machine.
    stood_still: seconds for which the machine did.
    left_over: what was still taken afterwards; empty when all is well.
    """

    result: str
    sent: str
    attempts: int
    seen: list[Received | Head]
    seconds: float
    stood_still: float
    left_over: list[str]
    message: str


_ENVIRONMENT = threading.Lock()
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def make_client(front_end: FrontEnd, stage: Stage, place: Place, **settings: Any) -> HttpServiceClient:
    """A client that trusts the stage's certificates, in the environment of the place."""
    pool = {"ssl_ca_file": stage.certificates.ca_file, **place.settings.get("connection_pool", {})}
    settings |= {**place.settings, "connection_pool": stage.certificates.pool(**_without_ca(pool))}
    with _ENVIRONMENT, mock.patch.dict(os.environ, place.environ):
        for name in (*_PROXY_VARIABLES, *map(str.upper, _PROXY_VARIABLES)):
            if name not in place.environ:
                os.environ.pop(name, None)
        return front_end.client(**settings)


def _without_ca(pool: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pool.items() if name != "ssl_ca_file"}


def play_once(
    front_end: FrontEnd,
    stage: Stage,
    site: Callable[[Stage], Place],
    act: Callable[[FrontEnd, HttpServiceClient, str, str], Any],
    metronome: Metronome,
    **settings: Any,
) -> Played:
    """Set the site up, make the call, and look around afterwards.

    act: makes the call, given the world, the client, the URL and an id for the request to carry.
    """
    place = site(stage)
    attempts: list[Any] = []
    client = make_client(front_end, stage, place, on_event=attempts.append, **settings)
    place.prepare(front_end, client)
    attempts.clear()
    settled_before = _settled(client)
    call_id = uuid.uuid4().hex
    started = time.monotonic()
    error: Exception | None = None
    try:
        response = act(front_end, client, place.url, call_id)
        ended = time.monotonic()
    except Exception as failed:  # one that is none of ours is a finding, and is shown as the result
        ended = time.monotonic()
        error, response = failed, None
    made = sum(getattr(event, "name", "") == "attempt_finished" for event in attempts)
    left_over = []
    place.heal()
    if places := places_in_use(client):
        left_over.append(f"{places} places")
    if (settled := _settled(client) - settled_before) != made:
        left_over.append(f"{made - settled} permits")
    healthy = place.healthy or stage.loopback(respond(204)).url.replace("/fault", "/healthy")
    if (
        status := front_end.request(client, "POST", healthy, retry_policy=None, timeout=20).status_code
    ) != 204:
        left_over.append(f"the next call comes to {status}")
    server, kept = place.server, 0 if place.healthy is None else 1
    if server is not None and not server.wait_for(lambda: server.open_connections <= kept):
        left_over.append(f"{server.open_connections} connections")
    if places := places_in_use(client):
        left_over.append(f"{places} places after the next call")
    # Last of all: by now even a server that the machine kept waiting has read what came.
    seen: list[Received | Head] = []
    if place.server is not None:
        seen = [request for request in place.server.requests if request.header("X-Call") == call_id]
    stood_still = metronome.stood_still(started, ended)
    is_foreign = error is not None and not isinstance(error, HttpClientError)
    outcome: Any = response if error is None else error
    return Played(
        type(error).__name__ if error is not None else str(response.status_code),
        "foreign" if is_foreign else outcome.sent_state.value,
        made,
        seen,
        ended - started - stood_still,
        stood_still,
        left_over,
        str(error or ""),
    )


def play(*scene: Any, **settings: Any) -> Played:
    """As `play_once`, anew where the machine stood still meanwhile."""
    for _ in range(_PLAYS):
        played = play_once(*scene, **settings)
        if played.stood_still <= _STILL:
            break
    return played


def _settled(client: HttpServiceClient) -> int:
    """Permits of all circuits that were given and settled."""
    breakers = [
        state.breaker for _, state in client._call_builder.origins.items() if state.breaker is not None
    ]
    snapshots = [breaker.snapshot() for breaker in breakers]
    return sum(each.successes + each.failures + each.abandoned + each.late for each in snapshots)


# Names that are resolved to what the test says, in all threads.

_NAMES: dict[str, Callable[[], list[Any]]] = {}


def name_for(host: str, look_up: Callable[[], list[Any]]) -> str:
    """Have the host name resolved by a function that returns host:port pairs, or raises."""
    _NAMES[host] = look_up
    return host


@contextmanager
def resolving() -> Iterator[None]:
    """The names given to `name_for` resolve."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in _NAMES:
            return real(host, port, *arguments, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port)))
            for address, _, port in (each.partition(":") for each in _NAMES[host]())
        ]

    with mock.patch.object(socket, "getaddrinfo", resolve):
        yield
