"""Host names are resolved on few threads: callers share look-ups, and none waits longer than it may."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.drivers.portal import Portal, _PortalThread
from http_service_client.drivers.threads import DaemonThreads
from http_service_client.errors import (
    CircuitOpenError,
    ConnectionLostError,
    ConnectTimeoutError,
    HttpStatusError,
    NameResolutionError,
    SentState,
)
from http_service_client.testing.server import LoopbackServer, respond
from http_service_client.transports.network import resolver
from kit.front_ends import BlockingFrontEnd, FrontEnd, run_task
from kit.threads import refuse_threads, run_threads, wait_until
from network.test_processes import CHECKOUT, in_a_child, needs_fork

LOOPBACK = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))]


class Resolver:
    """Replaces the system's resolver. Names that begin with "dead" hang until `release`.

    looked_up: the names, in order.
    """

    def __init__(self) -> None:
        self.looked_up: list[str] = []
        self.threads: list[int] = []
        self.before: Callable[[str], None] = lambda host: None
        self._released = threading.Event()
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: Any, *arguments: Any, **options: Any) -> Any:
        self.looked_up.append(host)
        self.threads.append(threading.get_ident())
        self.before(host)
        if host.startswith("dead"):
            self._released.wait(10)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self._real("127.0.0.1" if host.endswith(".test") else host, port, *arguments, **options)

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """A resolver of the test's own, on two threads and a reserved one."""
    names = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    monkeypatch.setattr(resolver, "_THREADS", DaemonThreads(2))
    monkeypatch.setattr(resolver, "_RESERVED_THREADS", DaemonThreads(1))
    monkeypatch.setattr(resolver, "_RESOLVED", {})
    yield names
    names.release()


def together(front_end: FrontEnd, client: HttpServiceClient, urls: list[str]) -> list[Any]:
    """The response or the error of each call; they are made at the same time."""

    def result(url: str) -> Any:
        try:
            return client.get(url)
        except Exception as error:
            return error

    if isinstance(front_end, BlockingFrontEnd):
        with ThreadPoolExecutor(len(urls)) as threads:
            first = threads.submit(result, urls[0])
            wait_until(lambda: resolver._RUNNING or first.done())  # before that, others cannot share it
            others = list(threads.map(result, urls[1:]))
            return [first.result(), *others]

    async def calls() -> list[Any]:
        return await asyncio.gather(*map(client.get_async, urls), return_exceptions=True)

    return run_task(calls())  # type: ignore[no-any-return]


def wait_for_callers(count: int) -> None:
    """Wait until so many callers share the only look-up."""
    wait_until(lambda: [len(each._receivers) for each in resolver._RUNNING.values()] == [count])


def share(resolve: Callable[[], object]) -> None:
    """Two callers, of which the second joins the look-up of the first."""
    thread = threading.Thread(target=resolve)
    thread.start()
    wait_until(lambda: resolver._RUNNING)
    resolve()
    thread.join(5)


def test_a_function_in_the_place_of_getaddrinfo_may_take_arguments_by_position_only(
    front_end: FrontEnd, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the usual recipes for pinned addresses do, and as http.client and urllib3 call it."""
    server.script("/", respond(204))
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: real("127.0.0.1", *args[1:]))
    url = server.url.replace("127.0.0.1", "pinned.example")
    assert front_end.request(front_end.client(), "GET", url + "/").status_code == 204


class Lookup(OSError):
    """An error of a resolver library, whose constructor takes something else than its `args`."""

    def __init__(self, code: int, *, server: str) -> None:
        super().__init__(code, f"{server} does not respond")


@pytest.mark.parametrize(
    "raised",
    [
        Lookup(5, server="10.0.0.53"),
        ConnectionLostError("lost", sent_state=SentState.MAYBE_PROCESSED),
        HttpStatusError("answered 500", status_code=500),
        CircuitOpenError("the circuit is open"),
    ],
    ids=["library", "lost", "status", "circuit"],
)
def test_what_a_resolver_of_the_user_raises_is_a_failure_to_connect(
    raised: Exception, front_end: FrontEnd, names: Resolver
) -> None:
    """The request was never sent, whatever became of the question for its address."""

    def fail(host: str) -> None:
        raise raised

    names.before = fail
    client = front_end.client(enable_retry_policy=False, trust_env_proxy_settings=False)
    with pytest.raises(NameResolutionError) as caught:
        front_end.request(client, "POST", "http://any.test/")
    assert caught.value.sent_state is SentState.NEVER_SENT
    assert str(raised) in str(caught.value)


class Bug(Exception):
    def __init__(self, *, host: str) -> None:
        super().__init__(f"{host} is in no table")


def test_a_bug_of_a_resolver_is_raised_as_it_is(front_end: FrontEnd, names: Resolver) -> None:
    """Also one that cannot be copied for each of the callers that share it."""
    bug = Bug(host="any.test")

    def fail(host: str) -> None:
        raise bug

    names.before = fail
    client = front_end.client(trust_env_proxy_settings=False)
    with pytest.raises(Bug) as caught:
        front_end.request(client, "GET", "http://any.test/")
    assert caught.value is bug
    assert len(names.looked_up) == 1


def test_callers_of_one_name_share_a_look_up(
    front_end: FrontEnd, server: LoopbackServer, names: Resolver
) -> None:
    """Five calls that come at the same time need one thread, and each gets its response."""
    server.script("/", respond(204))
    names.before = lambda host: wait_for_callers(5)
    results = together(front_end, front_end.client(), [f"http://one.test:{server.port}/"] * 5)
    assert [result.status_code for result in results] == [204] * 5
    assert names.looked_up == ["one.test"]


def test_there_are_as_many_threads_as_in_an_executor_of_asyncio() -> None:
    """At most 32, and eight for names that resolved the last time."""
    assert (resolver._THREADS._limit, resolver._RESERVED_THREADS._limit) == (32, 8)


def test_the_threads_of_a_dead_name_server_are_limited(front_end: FrontEnd, names: Resolver) -> None:
    """Calls that wait for a thread end on time, too, and nobody looks up what they have left."""
    client = front_end.client(connection_timeout=0.2, enable_retry_policy=False)
    results = together(front_end, client, [f"http://dead{number}.test/" for number in range(6)])
    assert {type(error).__name__ for error in results} == {"ConnectTimeoutError"}
    assert {error.sent_state.value for error in results} == {"never_sent"}
    assert {str(error).partition(" (")[0] for error in results} == {
        f"could not connect to http://dead{number}.test within the connect timeout" for number in range(6)
    }
    names.release()
    wait_until(lambda: not resolver._THREADS._workers)
    assert len(names.looked_up) == 2
    assert not resolver._RUNNING


def test_names_that_resolved_before_do_not_wait_for_dead_ones(
    front_end: FrontEnd, server: LoopbackServer, names: Resolver
) -> None:
    """A flood of names that nobody can resolve does not cut off the services that are in use."""
    server.script("/", respond(204, headers={"Connection": "close"}))
    client = front_end.client(connection_timeout=0.2, enable_retry_policy=False)
    url = f"http://healthy.test:{server.port}/"
    assert front_end.request(client, "GET", url).status_code == 204
    together(front_end, client, ["http://dead1.test/", "http://dead2.test/"])
    assert resolver._THREADS.is_full
    assert front_end.request(client, "GET", url, timeout=5).status_code == 204
    with pytest.raises(ConnectTimeoutError):
        front_end.request(client, "GET", f"http://unknown.test:{server.port}/", timeout=0.1)


def test_a_look_up_that_hangs_is_not_shared_for_long(
    front_end: FrontEnd, server: LoopbackServer, names: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the name server is back, a call need not wait for the look-up that asked the dead one."""
    server.script("/", respond(204))
    hangs = threading.Event()

    def hang_once(host: str) -> None:
        if len(names.looked_up) == 1:
            hangs.wait(10)

    names.before = hang_once
    client = front_end.client(connection_timeout=0.2, enable_retry_policy=False)
    url = f"http://slow.test:{server.port}/"
    with pytest.raises(ConnectTimeoutError):
        front_end.request(client, "GET", url)
    with pytest.raises(ConnectTimeoutError):
        front_end.request(client, "GET", url)
    assert names.looked_up == ["slow.test"]
    monkeypatch.setattr(resolver, "_SHARED_FOR", 0.0)
    assert front_end.request(client, "GET", url, timeout=5).status_code == 204
    hangs.set()


def test_where_no_thread_can_start_the_caller_resolves_the_name(
    front_end: FrontEnd, server: LoopbackServer, names: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an atexit handler on Python 3.12, or at a limit on the number of processes."""
    server.script("/", respond(204))
    refuse_threads(monkeypatch)
    response = front_end.request(front_end.client(), "GET", f"http://here.test:{server.port}/")
    assert response.status_code == 204
    assert names.threads == [threading.get_ident()]


def test_callers_that_share_an_error_raise_their_own(names: Resolver) -> None:
    """An exception that two threads raise would mix their tracebacks."""
    errors: list[BaseException] = []
    names.before = lambda host: wait_for_callers(2)
    names.release()

    def resolve() -> None:
        try:
            resolver.resolve("dead.test", 80, 5.0)
        except socket.gaierror as error:
            errors.append(error)

    share(resolve)
    assert errors[0] is not errors[1]
    assert errors[0].args == errors[1].args == (socket.EAI_AGAIN, "Temporary failure in name resolution")
    assert names.looked_up == ["dead.test"]


def test_callers_get_lists_of_their_own(names: Resolver) -> None:
    """One that changes its list does not change the others'."""
    names.before = lambda host: wait_for_callers(2)
    found: list[Any] = []
    share(lambda: found.append(resolver.resolve("a.test", 80, 5.0)))
    assert found[0] == found[1]
    assert found[0] is not found[1]


def test_no_caller_is_lost_in_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers join, leave and come too late while look-ups begin and end; each that waits gets its result."""
    monkeypatch.setattr(resolver, "_THREADS", DaemonThreads(2))
    monkeypatch.setattr(resolver, "_look_up", lambda host, port: LOOPBACK)
    found: list[Any] = []

    def resolve(number: int) -> None:
        for turn in range(60):
            try:
                found.append(resolver.resolve("a.test", turn % 2, 0.0 if turn % 5 == 0 else 20.0))
            except TimeoutError:
                assert turn % 5 == 0

    run_threads(resolve, 8)
    assert len(found) >= 8 * 48
    assert all(each == LOOPBACK for each in found)
    assert not resolver._RUNNING


def test_a_look_up_that_ends_while_it_is_published_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would remove it any more; one that another caller has published meanwhile stays."""

    class Racing(dict[Any, Any]):
        """The look-up ends just before it is stored; `other` is stored just after it."""

        other: Any = None

        def __setitem__(self, key: Any, look_up: Any) -> None:
            look_up._end()
            super().__setitem__(key, self.other or look_up)

    running = Racing()
    monkeypatch.setattr(resolver, "_RUNNING", running)
    resolver._LookUp("a.test", 80).publish()
    assert running == {}
    running.other = resolver._LookUp("a.test", 80)
    resolver._LookUp("a.test", 80).publish()
    assert running == {("a.test", 80): running.other}
    ended = resolver._LookUp("b.test", 80)
    ended._end()
    ended.publish()
    assert list(running) == [("a.test", 80)]


def test_the_names_that_resolved_are_limited(names: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten, and one that no longer resolves at once."""
    monkeypatch.setattr(resolver, "_MAX_RESOLVED", 2)
    for host in ("a.test", "b.test", "a.test", "c.test"):
        resolver.resolve(host, 80, 5.0)
    assert list(resolver._RESOLVED) == ["a.test", "c.test"]
    names.release()
    resolver._RESOLVED["dead.test"] = None
    with pytest.raises(socket.gaierror):
        resolver.resolve("dead.test", 80, 5.0)
    assert list(resolver._RESOLVED) == ["a.test", "c.test"]


def test_an_interrupted_look_up_fails_for_those_that_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C belongs to the thread that makes the look-up; the others get an error that may be retried."""
    results: list[Any] = []

    def interrupted(host: str, port: int) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(resolver, "_look_up", interrupted)
    look_up = resolver._LookUp("a.test", 80)
    look_up.join(results.append)
    with pytest.raises(KeyboardInterrupt):
        look_up.run()
    assert [result.errno for result in results] == [socket.EAI_AGAIN]


@needs_fork
def test_a_forked_child_does_not_wait_for_a_look_up_of_its_parent(names: Resolver) -> None:
    """Its thread does not exist in the child."""
    is_hanging, may_end = threading.Event(), threading.Event()

    def hang_once(host: str) -> None:
        if len(names.looked_up) == 1:
            is_hanging.set()
            may_end.wait(10)

    names.before = hang_once
    thread = threading.Thread(target=lambda: resolver.resolve("a.test", 80, 10.0))
    thread.start()
    assert is_hanging.wait(5)
    assert in_a_child(lambda: resolver.resolve("a.test", 80, 5.0) and None) == 0
    may_end.set()
    thread.join(5)


# No thread can start.


def test_where_no_thread_can_start_async_code_runs_on_the_calling_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The portal runs it there, and starts its thread as soon as it can."""
    portal = Portal()

    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(_PortalThread, "start", refuse)
        assert portal.run(where()) == threading.get_ident()
        assert portal.run(where(), timeout=5.0) == threading.get_ident()

        async def inside() -> None:
            portal.run(where())

        with pytest.raises(RuntimeError, match="no thread can start"):
            run_task(inside())
    assert portal.run(where()) != threading.get_ident()
    portal.stop()


AT_EXIT = """
import asyncio, atexit, sys
from http_service_client import HttpClientConfig, HttpServiceClient

class Awaits:
    async def intercept_request(self, request, context):
        await asyncio.sleep(0.001)
        return request

client = HttpServiceClient(HttpClientConfig(request_interceptors=[Awaits], enable_request_compression=True))

async def call():
    long_body = "a" * 100_000  # compressed in a thread
    return (await client.post_async(sys.argv[1], data=long_body, timeout=5)).status_code

@atexit.register
def say_goodbye():
    print(client.get(sys.argv[1], timeout=5).status_code, asyncio.run(call()))
    client.close()
"""


def test_a_call_in_an_atexit_handler_succeeds(server: LoopbackServer) -> None:
    """To a named host, with an async interceptor, sync and async, although Python 3.12 starts no thread there."""
    server.script("/", respond(204))
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(AT_EXIT), f"http://localhost:{server.port}/"],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "204 204\n")
