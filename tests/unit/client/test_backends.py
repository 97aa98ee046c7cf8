"""The drivers of a client: shared by its views, each with the connections through its proxies, and ended with it."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from http_service_client import (
    ClientClosedError,
    ConnectionPoolConfig,
    HttpClientConfig,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    SentState,
    Timeout,
)
from http_service_client.client import backends as backends_module
from http_service_client.core.effects import Send
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd, run_task
from kit.rows import each_row
from kit.streaming import StreamingTransport

ONE, OTHER = "http://one.example:3128", "http://other.example:3128"


def test_views_through_the_same_proxies_are_one_whatever_they_are_made_of() -> None:
    """So each connection is used by all calls that may use it. Those of the client are its own."""
    client = HttpServiceClient()
    view = client.with_options(proxy=ONE)
    inner = view.with_options(proxy=OTHER)
    assert len({id(each._backends) for each in (client, view, inner)}) == 3
    assert view.with_options(timeout=5)._backends is view._backends
    assert inner.with_options(proxy=ONE)._backends is view._backends
    assert client.with_options(proxy={"all": OTHER})._backends is inner._backends
    assert inner.with_options(proxy={})._backends is client._backends


def test_nothing_behind_a_unix_socket_leads_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", ONE)
    pool = ConnectionPoolConfig(uds="/run/service.sock")
    client = HttpServiceClient(HttpClientConfig(connection_pool=pool))
    assert client.with_options(proxy={})._backends is client._backends
    elsewhere = HttpServiceClient()
    assert elsewhere.with_options(proxy={})._backends is not elsewhere._backends


DRIVERS = ["blocking", "blocking_apart", "foreign_blocking", "asyncio", "foreign_asyncio"]
OF_A_CALL_THAT_HAS_BEGUN = ["blocking_apart", "foreign_blocking", "foreign_asyncio"]


def sent_by(driver: Any, name: str) -> Any:
    """The outcome of an exchange."""

    def plan() -> Any:
        return (yield Send(HttpRequest("GET", URL), Timeout()))

    result = driver.run(plan())
    return run_task(result) if "asyncio" in name else result


@each_row(
    ("name", "when"),
    [
        *((name, "before") for name in DRIVERS),
        *((name, "after") for name in OF_A_CALL_THAT_HAS_BEGUN),
    ],
)
@each_row("how", ["close", "close_async"])
def test_no_driver_of_a_client_that_has_ended_sends_anything(name: str, when: str, how: str) -> None:
    """Nor one that is made while the client ends, for a call that has begun before."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    make = getattr(client._backends, name)
    driver = make() if when == "before" else None
    if how == "close":
        client.close()
    else:
        run_task(client.close_async())
    outcome = sent_by(driver or make(), name)
    assert (outcome.error_type, outcome.sent_state) == (ClientClosedError, SentState.NEVER_SENT)


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize("how", ["close", "close_async"])
def test_only_an_abort_ends_the_exchanges_of_another_library(how: str, abort: bool) -> None:
    """Without one, they go on to their end."""
    client = HttpServiceClient()
    client._backends.foreign_asyncio()
    if how == "close":
        client.close(abort=abort)
    else:
        run_task(client.close_async(abort=abort))
    aborts = client._backends.foreign_aborts
    assert aborts is not None
    assert aborts.are_over is abort


def test_drivers_are_made_once() -> None:
    """But for those whose waits end apart."""
    backends: Any = HttpServiceClient()._backends
    for name in DRIVERS:
        assert (getattr(backends, name)() is getattr(backends, name)()) is (name != "blocking_apart")


@needs_fork
def test_a_forked_child_begins_anew() -> None:
    """Nothing there is in use: the threads and tasks of its parent, and what they hold, are the parent's."""
    client = HttpServiceClient(HttpClientConfig(max_connections=1), transport=StreamingTransport(b"one"))
    backends: Any = client._backends
    closed: list[str] = []
    with client.stream("GET", URL):
        drivers = {name: getattr(backends, name)() for name in DRIVERS}
        aborts = backends.foreign_aborts
        backends._settings.idle.add("a connection", 0.0, closed.append)

        def work() -> None:
            assert backends.idle_connections == 0
            assert closed == []
            with client.stream("GET", URL, timeout=5) as own:
                assert own.read() == b"one"
            assert not [name for name in DRIVERS if getattr(backends, name)() is drivers[name]]
            assert backends.foreign_aborts is not aborts

        assert in_a_child(work) == 0
    assert backends.idle_connections == 1


def test_a_client_is_idle_without_calls_and_open_streams(front_end: FrontEnd) -> None:
    """Whichever view makes them."""
    seen: list[bool] = []

    def respond(request: Any) -> Any:
        seen.append(client._backends.is_idle())
        return HttpResponse(200)

    client = front_end.client(transport=ScriptedTransport(respond))
    view = client.with_options(proxy=ONE)
    for each in (client, view):
        front_end.request(each, "GET", URL)
        seen.append(client._backends.is_idle())
    assert seen == [False, True] * 2
    client = front_end.client(transport=StreamingTransport(b"one", b"two"))
    with front_end.stream(client, "GET", URL):
        assert not client._backends.is_idle()
    assert client._backends.is_idle()


def test_the_error_of_a_signal_handler_stays_what_it_is(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs while a first call waits for its imports, and says nothing about them."""
    has_run = threading.Event()

    def handle(number: int, frame: object) -> None:
        has_run.set()
        raise OSError("of the handler")

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        has_run.wait(10)

    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    for name in ("_load_blocking", "_load_aio"):
        monkeypatch.setattr(backends_module, name, lambda: interrupt())
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with pytest.raises(OSError, match=r"^of the handler$"):
            front_end.request(client, "GET", URL)
    finally:
        signal.signal(signal.SIGUSR1, before)
