"""The handler of a signal raises during a blocking call: a time limit of the program's own, as workers have it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import requests

from http_service_client import (
    Cache,
    CircuitBreakerPolicy,
    ConstantBackoff,
    FallbackPolicy,
    HttpClientConfig,
    HttpServiceClient,
    MemoryStorage,
    ResultCachePolicy,
    RetryPolicy,
)
from http_service_client.client import backends
from http_service_client.integrations import ResilientAdapter, ResilientTransport
from http_service_client.testing import LoopbackServer, raw, respond, stall, stall_reading
from kit.threads import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no timer that sends a signal")

LIMIT = TimeoutError("the time limit of the job")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"


class Job:
    """Has a handler that is a method, as that of a queue's worker."""

    def end(self, number: int, frame: FrameType | None) -> None:
        raise LIMIT


def end(number: int, frame: FrameType | None) -> None:
    raise LIMIT


def end_whatever(*arguments: Any) -> None:
    end(*arguments)


@pytest.fixture(params=[end, Job().end, end_whatever], ids=["function", "method", "wrapper"])
def alarm(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Sends the signal in some milliseconds."""
    before = signal.signal(signal.SIGALRM, request.param)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.05)  # type: ignore[func-returns-value]
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def client(server: LoopbackServer) -> Iterator[HttpServiceClient]:
    config = HttpClientConfig(
        circuit_breaker_config={"failure_threshold": 1},
        max_connections=1,
        retry_policy_config={"initial_delay": 0.0},
        trust_env_proxy_settings=False,
    )
    with HttpServiceClient(config, base_url=server.url) as client:
        yield client


@pytest.mark.parametrize(
    "hangs", [stall(), raw(HEAD, b"half", *[b""] * 1000, every=1.0)], ids=["head", "body"]
)
def test_what_it_raises_ends_the_call(
    hangs: Any, client: HttpServiceClient, server: LoopbackServer, alarm: Callable[[], None]
) -> None:
    """As it is: no timeout of the server's, which would be retried, and would count against it."""
    server.script("/", hangs, respond(200))
    with pytest.raises(TimeoutError) as caught:
        alarm()
        client.get("/")
    assert caught.value is LIMIT
    assert len(server.received("/")) == 1
    assert client.get_circuit_breaker_states() == {server.url: "closed"}
    assert client.get("/").status_code == 200  # by the only connection


def test_what_it_raises_ends_a_stream(
    client: HttpServiceClient, server: LoopbackServer, alarm: Callable[[], None]
) -> None:
    """While the next piece is waited for."""
    server.script("/", raw(HEAD, b"half", *[b""] * 1000, every=1.0), respond(200))
    with pytest.raises(TimeoutError) as caught, client.stream("GET", "/") as response:
        pieces = response.iter_bytes()
        assert next(pieces) == b"half"
        alarm()
        next(pieces)
    assert caught.value is LIMIT
    assert client.get("/").status_code == 200


@contextmanager
def raising(limit: Exception) -> Iterator[None]:
    """The handler raises this."""

    def raise_limit(number: int, frame: FrameType | None) -> None:
        raise limit

    before = signal.signal(signal.SIGALRM, raise_limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_it_is_not_taken_for_a_server_that_closed_during_an_upload(
    client: HttpServiceClient, server: LoopbackServer
) -> None:
    """Whose response would be waited for."""
    server.script("/", stall_reading(), respond(200))
    pieces = [b"x" * 1_000_000] * 50

    def source() -> Iterator[bytes]:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        yield from pieces

    limit = ConnectionResetError("the time limit of the job")
    with raising(limit), pytest.raises(ConnectionResetError) as caught:
        client.put("/", data=source())
    assert caught.value is limit
    assert "open" not in client.get_circuit_breaker_states().values()
    assert client.get("/").status_code == 200


def by_requests(client: HttpServiceClient, url: str) -> Any:
    with requests.Session() as session:
        session.mount("http://", ResilientAdapter(client=client))
        return session.get(url)


@pytest.fixture(params=["requests", "httpx", "httpx2"])
def get(request: pytest.FixtureRequest) -> Callable[[HttpServiceClient, str], Any]:
    """A call by another library, with the resilience of the client."""
    if request.param == "requests":
        return by_requests
    library = pytest.importorskip(request.param, reason=f"{request.param} is not installed")

    def by_httpx(client: HttpServiceClient, url: str) -> Any:
        with library.Client(transport=ResilientTransport(client=client)) as session:
            return session.get(url, timeout=10.0)

    return by_httpx


@pytest.mark.parametrize("kind", [TimeoutError, ConnectionResetError])
def test_it_is_found_in_the_error_of_a_library(
    kind: type[OSError],
    get: Callable[[HttpServiceClient, str], Any],
    client: HttpServiceClient,
    server: LoopbackServer,
) -> None:
    """A library makes an error of its own of it, as of any that a socket raises."""
    limit = kind("the time limit of the job")
    server.script("/", stall(), respond(200), raw(b""))

    def strike() -> None:
        wait_until(lambda: server.received("/"))
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    striking = threading.Thread(target=strike, daemon=True)
    with raising(limit), pytest.raises(kind) as caught:
        striking.start()
        get(client, f"{server.url}/")
    assert caught.value is limit
    assert get(client, f"{server.url}/").status_code == 200
    assert "open" not in client.get_circuit_breaker_states().values()
    try:
        raise limit
    except kind:
        with pytest.raises(Exception, match="without") as failed:
            get(client, f"{server.url}/")
    assert failed.value is not limit  # a failure while it is handled is a failure
    assert client.get_circuit_breaker_states() == {server.url: "open"}


def arrive(*arguments: Any, **options: Any) -> None:
    """The signal comes while this runs."""
    signal.raise_signal(signal.SIGALRM)


@pytest.mark.parametrize(
    ("owner", "name"), [(backends, "import_apart"), (requests.Session, "send")], ids=["import", "mock"]
)
@pytest.mark.usefixtures("alarm")
def test_what_it_raises_elsewhere_is_no_failure_of_a_connection_either(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a first call imports what it needs, or in a mock, which may raise errors of the network by itself."""
    monkeypatch.setattr(owner, name, arrive)
    client = HttpServiceClient(HttpClientConfig(retry_policy_config={"initial_delay": 0.0}))
    with pytest.raises(TimeoutError) as caught:
        client.get("http://127.0.0.1:9/")
    client.close()
    assert caught.value is LIMIT


class RemoteStorage(MemoryStorage):
    """Waits for another machine."""

    blocks = True

    def get(self, *arguments: Any) -> Any:
        arrive()


def test_what_it_raises_in_a_storage_ends_the_call(server: LoopbackServer, alarm: Callable[[], None]) -> None:
    """A storage that fails costs no call. A time limit does."""
    config = HttpClientConfig(trust_env_proxy_settings=False)
    with HttpServiceClient(config, base_url=server.url, cache=Cache(storage=RemoteStorage())) as client:
        with pytest.raises(TimeoutError) as caught:
            client.get("/")
        assert caught.value is LIMIT
        assert client._backends.calls_in_flight == 0
    assert not server.received("/")


def test_policies_around_functions_pass_it_on(alarm: Callable[[], None]) -> None:
    """Nothing is retried, nothing stands in for it, and it counts against nobody."""
    breaker = CircuitBreakerPolicy(failure_threshold=1, minimum_calls=1)
    begun = []

    @FallbackPolicy(value="instead", failures=[TimeoutError]).apply
    @ResultCachePolicy(60.0, cache_errors=60.0).apply
    @RetryPolicy(3, ConstantBackoff(0.001)).apply
    @breaker.apply
    def job() -> str:
        begun.append(True)
        alarm()
        while True:
            pass

    with pytest.raises(TimeoutError) as caught:
        job()
    assert caught.value is LIMIT
    assert len(begun) == 1
    assert breaker.snapshot().state == "closed"


def fail_to_show(frame: FrameType, number: int) -> None:
    raise TimeoutError("no source")


def test_an_error_of_a_function_that_gets_a_frame_is_none_of_a_handler() -> None:
    """As those of `inspect` do: it is retried as any other."""
    begun = []

    @RetryPolicy(2, ConstantBackoff(0.0)).apply
    def show() -> None:
        begun.append(True)
        fail_to_show(sys._getframe(), 1)

    with pytest.raises(TimeoutError):
        show()
    assert len(begun) == 2


def test_a_failure_after_it_is_a_failure(
    client: HttpServiceClient, server: LoopbackServer, alarm: Callable[[], None]
) -> None:
    """Code that cleans up while it is handled makes calls as any other code does: they are retried."""
    server.script("/undo", raw(b""), respond(200))
    alarm()
    try:
        while True:
            pass
    except TimeoutError:
        assert client.delete("/undo", circuit_breaker=None).attempts == 2
