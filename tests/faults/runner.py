"""Makes one call against one fault, and records what came of it.

A **setup** starts a server that misbehaves and returns its address (`Target`). `run` makes one call to it with one
front end. It records how the call ended, what the server received, how long it took, and which connections,
slots and permits were not released.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from unittest import mock

from http_service_client import HttpClientError, HttpServiceClient, SentState
from http_service_client.events import AttemptFinished
from http_service_client.testing import LoopbackServer, respond
from http_service_client.testing.actions import Action, Received
from http_service_client.transports.over_aiohttp.transport import AiohttpTransport  # noqa: F401  # its import takes a while
from http_service_client.transports.over_requests.transport import RequestsTransport  # noqa: F401  # likewise
from kit.front_ends import FrontEnd
from kit.metronome import Metronome
from network.faults import Certificates, served, slots_in_use

__all__ = [
    "KEY",
    "MARGIN",
    "PROMPT",
    "TIMEOUT",
    "Connection",
    "Handler",
    "Result",
    "Servers",
    "Target",
    "fake_resolver",
    "resolve_by",
    "run",
    "run_in_parallel",
]

# Seconds that a call may take beyond the timeouts that it waits for, plus those for which the machine stood still.
# Less than any timeout of a row: a call that waits for one more of them is late.
MARGIN = 0.3

# Seconds for a call that has nothing to wait for: half of `TIMEOUT`, which it would wait for if it did wait.
PROMPT = 1.5
TIMEOUT = 3.0

# Seconds for which the machine may stand still during a call. If it was longer, the call says nothing about the client
# and is made again.
_STILL = 0.15
_RUNS = 4  # at most

KEY = "Idempotency-Key"


@dataclass
class Target:
    """Where the fault is.

    url: of the call.   server: has the requests that it received and the number of open connections; or None.
    healthy: a URL that works; None for one on another server.
    settings: of the client.   environ: of the process while the client is made.
    prepare: called with front end and client before the call.   heal: called after it.
    """

    url: str
    server: LoopbackServer | RawServer | None = None
    healthy: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[FrontEnd, HttpServiceClient], object] = lambda front_end, client: None
    heal: Callable[[], object] = lambda: None


Handler = Callable[["Connection"], object]


class Connection:
    """One connection of a raw server."""

    def __init__(self, server: RawServer, accepted: socket.socket, is_over: threading.Event) -> None:
        self._server = server
        self.socket = accepted
        self.is_over = is_over

    def read_head(self) -> None:
        """Read the head of a request, which the server records."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError
            received += data
        self._server.record(received)

    def hold(self, secured: ssl.SSLSocket | None = None) -> None:
        """Read and send nothing until the client closes or the test is over. secured: the socket under TLS."""
        poll = select.poll()
        poll.register(secured or self.socket, select.POLLRDHUP)
        while not poll.poll(20) and not self.is_over.is_set():
            pass

    def read_late(self, seconds: float) -> None:
        """Read nothing for so long; then read everything, to see the client close."""
        if not self.is_over.wait(seconds):
            while self.socket.recv(1 << 20):
                pass

    def reset(self) -> None:
        """Make the connection end with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@dataclass(frozen=True)
class RequestHead:
    """The head of a request."""

    text: str

    def header(self, name: str) -> str | None:
        """The value of a header."""
        fields = [line.partition(": ") for line in self.text.split("\r\n")]
        return next((value for known, _, value in fields if known == name), None)


class RawServer:
    """Gives each connection to a handler. Records the requests, and the number of open connections."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._changed = threading.Condition()
        self.requests: list[RequestHead] = []
        self.open_connections = 0

    def serve(self, accepted: socket.socket, is_over: threading.Event) -> None:
        """Serve one connection."""
        self._count(1)
        try:
            self._handle(Connection(self, accepted, is_over))
        finally:
            accepted.close()
            self._count(-1)

    def record(self, head: bytes) -> None:
        """Record a request."""
        self.requests.append(RequestHead(head.decode("latin-1")))

    def _count(self, step: int) -> None:
        with self._changed:
            self.open_connections += step
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout: float = 20.0) -> bool:
        """Whether it becomes true within so many seconds."""
        with self._changed:
            return self._changed.wait_for(condition, timeout)


class Servers(ExitStack):
    """Servers for one call, closed at the end of the block.

    certificates: those that the client trusts.   strangers: those of an authority that it does not know.
    """

    def __init__(self, certificates: Certificates, strangers: Certificates) -> None:
        super().__init__()
        self.certificates = certificates
        self.strangers = strangers

    def loopback(self, *script: Action, tls: Any = None) -> Target:
        """A scripted server: the fault at /fault, and /healthy beside it."""
        server = self.enter_context(LoopbackServer(tls=tls))
        server.script("/fault", *script)
        server.script("/healthy", respond(204))
        return Target(server.url + "/fault", server, server.url + "/healthy", heal=server.accept)

    def raw(self, handle: Handler, scheme: str = "http") -> Target:
        """A server on raw sockets."""
        server = RawServer(handle)
        return Target(f"{scheme}://{self.enter_context(served(server.serve))}/fault", server)


@dataclass
class Result:
    """How one call ended.

    result: the status, or the name of the error.   sent: its sent-state.   attempts: how many were made.
    unsent: those whose time was over before anything was sent.
    seen: the requests that the server received.   seconds: how long it took, without the time of `stood_still`.
    stood_still: seconds for which the machine stood still.
    left_over: what was not released afterwards; empty if all is well.
    """

    result: str
    sent: str
    attempts: int
    unsent: int
    seen: list[Received | RequestHead]
    seconds: float
    stood_still: float
    left_over: list[str]
    message: str

    def is_conclusive(self, limit: float, sent: str) -> bool:
        """Whether it says something about the client, and not about the machine alone.

        A call that is late may have waited for a processor. So may an attempt that was over before it was sent, where the
        fault comes later: the client makes another one, as it should, and the numbers are not those of the fault.

        limit: seconds that the call may take.   sent: the sent-state of an attempt that meets the fault.
        """
        return self.seconds <= limit and (self.unsent == 0 or sent == "never_sent")


_ENVIRONMENT = threading.Lock()
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def make_client(front_end: FrontEnd, servers: Servers, target: Target, **settings: Any) -> HttpServiceClient:
    """A client that trusts the servers' certificates, made in the environment of the target."""
    pool = servers.certificates.pool(**target.settings.get("connection_pool", {}))
    settings |= {**target.settings, "connection_pool": pool}
    with _ENVIRONMENT, mock.patch.dict(os.environ, target.environ):
        for name in (*_PROXY_VARIABLES, *map(str.upper, _PROXY_VARIABLES)):
            if name not in target.environ:
                os.environ.pop(name, None)
        return front_end.client(**settings)


def run_once(
    front_end: FrontEnd,
    servers: Servers,
    setup: Callable[[Servers], Target],
    act: Callable[[FrontEnd, HttpServiceClient, str, str], Any],
    metronome: Metronome,
    **settings: Any,
) -> Result:
    """Set up the fault, make the call, and check afterwards what was not released.

    act: makes the call. It gets the front end, the client, the URL, and an id to send with the request.
    """
    target = setup(servers)
    events: list[Any] = []
    client = make_client(front_end, servers, target, on_event=events.append, **settings)
    target.prepare(front_end, client)
    events.clear()
    settled_before = settled_permits(client)
    call_id = uuid.uuid4().hex
    started = time.monotonic()
    error: Exception | None = None
    try:
        response = act(front_end, client, target.url, call_id)
        ended = time.monotonic()
    except Exception as failed:  # a foreign error is a finding: it becomes the result
        ended = time.monotonic()
        error, response = failed, None
    attempts = [event for event in events if isinstance(event, AttemptFinished)]
    made = len(attempts)
    left_over = []
    target.heal()
    if slots := slots_in_use(client):
        left_over.append(f"{slots} slots")
    if (settled := settled_permits(client) - settled_before) != made:
        left_over.append(f"{made - settled} permits")
    healthy = target.healthy or servers.loopback(respond(204)).url.replace("/fault", "/healthy")
    next_call = front_end.request(client, "POST", healthy, retry_policy=None, timeout=20)
    if next_call.status_code != 204:
        left_over.append(f"the next call ends with {next_call.status_code}")
    server, kept = target.server, 0 if target.healthy is None else 1
    if server is not None and not server.wait_for(lambda: server.open_connections <= kept, 20.0):
        left_over.append(f"{server.open_connections} connections")
    if slots := slots_in_use(client):
        left_over.append(f"{slots} slots after the next call")
    # Last of all: by now even a server that had to wait for a processor has read the requests.
    seen: list[Received | RequestHead] = []
    if target.server is not None:
        seen = [request for request in target.server.requests if request.header("X-Call") == call_id]
    stood_still = metronome.stood_still(started, ended)
    is_foreign = error is not None and not isinstance(error, HttpClientError)
    outcome: Any = response if error is None else error
    return Result(
        type(error).__name__ if error is not None else str(response.status_code),
        "foreign" if is_foreign else outcome.sent_state.value,
        made,
        sum(
            (each.error or "").endswith("TimeoutError") and each.sent_state is SentState.NEVER_SENT
            for each in attempts
        ),
        seen,
        ended - started - stood_still,
        stood_still,
        left_over,
        str(error or ""),
    )


def run(*case: Any, **settings: Any) -> Result:
    """Like `run_once`, but again if the machine stood still meanwhile."""
    for _ in range(_RUNS):
        result = run_once(*case, **settings)
        if result.stood_still <= _STILL:
            break
    return result


Case = TypeVar("Case")


def run_in_parallel(
    cases: Sequence[Case],
    run_one: Callable[[Case], Result],
    is_conclusive: Callable[[Case, Result], bool],
    threads: int,
) -> list[Result]:
    """Run cases on this many threads; then run each of those with an inconclusive result again, alone.

    In parallel, a call waits for the processors, too: on a busy machine for longer than any margin. A client that
    waits too long is late each time, and one that sends nothing sends nothing each time.
    """
    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(run_one, cases))
    for index, case in enumerate(cases):
        for _ in range(_RUNS):
            if is_conclusive(case, results[index]):
                break
            results[index] = run_one(case)
    return results


def settled_permits(client: HttpServiceClient) -> int:
    """How many permits of all circuits were settled."""
    breakers = [
        state.breaker for _, state in client._call_builder.origins.items() if state.breaker is not None
    ]
    snapshots = [breaker.snapshot() for breaker in breakers]
    return sum(each.successes + each.failures + each.abandoned + each.late for each in snapshots)


# Host names that resolve to what a test sets, in all threads.

_NAMES: dict[str, Callable[[], list[Any]]] = {}


def resolve_by(host: str, look_up: Callable[[], list[Any]]) -> str:
    """Have a function resolve this host name: it returns host:port pairs, or raises. Returns the name."""
    _NAMES[host] = look_up
    return host


@contextmanager
def fake_resolver() -> Iterator[None]:
    """Names that were given to `resolve_by` resolve."""
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
