"""What callers get of the look-up of a name, on a thread or in a task: addresses, an error, or nothing any more."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import EgressPolicy
from http_service_client.transports.network import resolver
from http_service_client.transports.network.resolver import address_text, permitted, resolve, resolve_async
from kit.front_ends import run_task

WITHIN = 5.0  # seconds: a look-up that never ends fails the test
FOUND: list[Any] = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
]

Find = Callable[[str], Any]


def find(host: str) -> Any:
    return resolve(host, 443, WITHIN)


def find_async(host: str) -> Any:
    return run_task(asyncio.wait_for(resolve_async(host, 443), WITHIN))


FIND = pytest.mark.parametrize("find_by", [find, find_async], ids=["blocking", "asyncio"])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the system's resolver was asked. It finds two addresses of each host."""
    asked: list[tuple[Any, ...]] = []

    def getaddrinfo(*given: Any) -> list[Any]:
        asked.append(given)
        return list(FOUND)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@FIND
def test_a_name_has_the_addresses_that_the_system_finds(find_by: Find, asked: list[Any]) -> None:
    """In its order, for a stream."""
    assert find_by("found.test") == FOUND
    assert asked == [("found.test", 443, 0, socket.SOCK_STREAM)]


@FIND
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "fe80::1%1"])
def test_an_address_needs_no_thread(
    find_by: Find, address: str, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resolved at once, even while all threads wait for a dead name server."""
    none = SimpleNamespace(start=lambda work: pytest.fail("a thread was used"), is_full=True)
    monkeypatch.setattr(resolver, "_THREADS", none)
    monkeypatch.setattr(resolver, "_RESERVED_THREADS", none)
    assert find_by(address) == FOUND
    assert [given[0] for given in asked] == [address]


@FIND
@pytest.mark.parametrize(
    ("outcome", "args"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "Try again"), (socket.EAI_AGAIN, "Try again")),
        (UnicodeError("label too long"), (socket.EAI_NONAME, "Name or service not known")),
        ([], (socket.EAI_NONAME, "Name or service not known")),
        (PermissionError(13, "Permission denied"), (13, "Permission denied")),
    ],
    ids=["failed", "too long", "empty", "forbidden"],
)
def test_a_name_that_is_not_found_is_an_error_of_the_resolver(
    find_by: Find, outcome: Any, args: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system says of it."""

    def getaddrinfo(*given: Any) -> list[Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for host in ("lost.test", "192.0.2.1"):
        with pytest.raises(OSError) as caught:
            find_by(host)
        assert caught.value.args == args
        assert isinstance(caught.value, PermissionError if args[0] == 13 else socket.gaierror)


def test_a_look_up_that_ends_after_its_callers_have_gone_ends_in_silence(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One was cancelled, and the event loop of another is closed by then."""
    works: list[Callable[[], None]] = []
    monkeypatch.setattr(resolver, "_THREADS", SimpleNamespace(start=works.append, is_full=False))

    async def begin(host: str, ends: bool) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(resolve_async(host, 443))
        await asyncio.sleep(0)
        if ends:
            works.pop()()  # its result is on the way
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        return task

    run_task(begin("cancelled.test", True))
    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(begin("closed.test", False))
    loop.close()
    works.pop()()
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    assert [given[0] for given in asked] == ["cancelled.test", "closed.test"]


def test_the_text_of_an_address_is_that_of_its_host() -> None:
    """Of both families."""
    assert [address_text(address) for address in FOUND] == ["2001:db8::1", "192.0.2.1"]


def test_a_policy_refuses_nothing_where_there_is_nothing() -> None:
    """Only an address can be refused."""
    assert permitted([], str, "a.test", 443, EgressPolicy()) == []


# What callers share.


class Threads:
    """Keeps the work; a test runs it."""

    def __init__(self) -> None:
        self.works: list[Callable[[], None]] = []
        self.is_full = False

    def start(self, work: Callable[[], None]) -> None:
        self.works.append(work)


class System:
    """The parts of the system beneath look-ups, as a test sets them.

    now: the time.   meanwhile: called during each look-up.   fails: whether they find nothing.
    """

    def __init__(self) -> None:
        self.now = 100.0
        self.meanwhile: Callable[[], object] = lambda: None
        self.fails = False
        self.usual, self.reserved = Threads(), Threads()

    def getaddrinfo(self, *given: Any) -> list[Any]:
        self.meanwhile()
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Try again")
        return list(FOUND)

    def run(self) -> None:
        """Make the look-ups that wait for a thread."""
        for threads in (self.usual, self.reserved):
            while threads.works:
                threads.works.pop(0)()

    def resolve(self, *hosts: str) -> None:
        for host in hosts:
            ask(host)
            self.run()


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    """A process that has looked up no name yet."""
    made = System()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    monkeypatch.setattr(resolver, "time", SimpleNamespace(monotonic=lambda: made.now))
    for name, value in (
        ("_THREADS", made.usual), ("_RESERVED_THREADS", made.reserved), ("_RUNNING", {}), ("_RESOLVED", {}),
    ):  # fmt: skip
        monkeypatch.setattr(resolver, name, value)
    return made


def ask(host: str, port: int = 443) -> list[Any]:
    """What a caller gets, once there is something."""
    results: list[Any] = []
    resolver._join(host, port, results.append)
    return results


def test_callers_of_one_name_share_a_look_up_that_is_not_over(system: System) -> None:
    """Each gets its result; those of another name or port have one of their own, as has a later caller."""
    first, second, other, another = ask("a.test"), ask("a.test"), ask("b.test"), ask("a.test", 80)
    assert len(system.usual.works) == 3
    system.run()
    assert first == second == other == another == [FOUND]
    assert resolver._RUNNING == {}
    ask("a.test")
    assert len(system.usual.works) == 1


@pytest.mark.parametrize(("age", "is_shared"), [(0.0, True), (4.999, True), (5.0, False), (60.0, False)])
def test_a_look_up_accepts_callers_for_five_seconds(system: System, age: float, is_shared: bool) -> None:
    """From its beginning on, however long it waited for a thread. A later caller may reach another server."""
    first = ask("a.test")
    system.now += 1000.0
    late: list[list[Any]] = []

    def meanwhile() -> None:
        system.now += age
        late.append(ask("a.test"))
        system.meanwhile = lambda: None

    system.meanwhile = meanwhile
    system.usual.works.pop(0)()
    assert first == [FOUND]
    assert late == [[FOUND] if is_shared else []]
    assert len(system.usual.works) == (not is_shared)
    system.run()
    assert late == [[FOUND]]
    assert resolver._RUNNING == {}


def test_a_look_up_whose_callers_have_all_left_is_not_made(system: System) -> None:
    """It had no thread yet. A caller leaves once, and not when it has its result."""
    asked: list[object] = []
    system.meanwhile = lambda: asked.append(None)
    results: list[Any] = []
    look_up = resolver._join("a.test", 443, results.append)
    receive = look_up._receivers[0]
    assert look_up.leave(receive)
    assert not look_up.leave(receive)
    system.run()
    assert (asked, results, resolver._RUNNING) == ([], [], {})
    look_up = resolver._join("a.test", 443, results.append)
    system.run()
    assert not look_up.leave(receive)
    assert (len(asked), results) == (1, [FOUND])


def test_a_caller_that_joins_as_a_look_up_is_given_up_has_it_made(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread has found no caller, and looks once more."""
    is_ending, has_joined, is_looking, is_certain = (threading.Event() for _ in range(4))

    class Running(dict[Any, Any]):
        def get(self, key: Any, default: Any = None) -> Any:
            is_ending.set()
            assert has_joined.wait(WITHIN)
            return super().get(key, default)

    class Receivers(deque[Any]):
        def append(self, receiver: Any) -> None:
            super().append(receiver)
            has_joined.set()
            assert is_looking.wait(WITHIN)

    def meanwhile() -> None:
        is_looking.set()
        assert is_certain.wait(WITHIN)

    monkeypatch.setattr(resolver, "_RUNNING", Running())
    system.meanwhile = meanwhile
    look_up = resolver._LookUp("a.test", 443)
    look_up._receivers = Receivers()
    thread = threading.Thread(target=look_up.run)
    thread.start()
    assert is_ending.wait(WITHIN)
    results: list[Any] = []
    assert look_up.join(results.append)
    is_certain.set()
    thread.join()
    assert results == [FOUND]


def test_a_caller_that_comes_when_a_look_up_is_over_has_another(system: System) -> None:
    """It would wait for ever."""
    look_up = resolver._join("a.test", 443, lambda result: None)
    system.run()
    late: list[Any] = []
    receive = late.append
    assert not look_up.join(receive)
    assert not look_up.leave(receive)  # it would be called twice
    resolver._RUNNING["a.test", 443] = look_up
    late = ask("a.test")
    system.run()
    assert late == [FOUND]


@pytest.mark.parametrize("has_next", [False, True])
def test_a_look_up_that_is_over_before_others_can_find_it_is_found_by_nobody(
    has_next: bool, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread was faster than the one that publishes it. The next one, of another thread, is left alone."""
    following = resolver._LookUp("a.test", 443)

    class Running(dict[Any, Any]):
        def __setitem__(self, key: Any, look_up: Any) -> None:
            look_up._end()
            super().__setitem__(key, following if has_next else look_up)

    monkeypatch.setattr(resolver, "_RUNNING", Running())
    resolver._LookUp("a.test", 443).publish()
    assert list(resolver._RUNNING.values()) == [following] * has_next


def test_names_that_resolved_the_last_time_have_threads_of_their_own(system: System) -> None:
    """Where all others wait for a dead name server. A name that fails loses its right."""
    system.resolve("good.test", "bad.test")
    system.fails = True
    system.resolve("bad.test")
    for is_full in (False, True):
        system.usual.is_full = is_full
        for host, is_reserved in (("good.test", is_full), ("bad.test", False), ("new.test", False)):
            ask(host)
            assert (len(system.reserved.works), len(system.usual.works)) == (is_reserved, not is_reserved)
            system.usual.works.clear()
            system.reserved.works.clear()
            resolver._RUNNING.clear()


def test_the_names_that_resolved_last_are_remembered(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many of them."""
    monkeypatch.setattr(resolver, "_MAX_RESOLVED", 2)
    system.resolve("a.test", "b.test")
    assert list(resolver._RESOLVED) == ["a.test", "b.test"]
    system.resolve("a.test", "c.test")
    assert list(resolver._RESOLVED) == ["a.test", "c.test"]


def test_a_thousand_names_are_remembered(system: System) -> None:
    """The one that resolved least recently makes room."""
    resolver._RESOLVED.update(dict.fromkeys(map(str, range(1023))))
    system.resolve("a.test")
    assert len(resolver._RESOLVED) == 1024
    system.resolve("b.test")
    assert len(resolver._RESOLVED) == 1024
    assert "0" not in resolver._RESOLVED


@pytest.mark.parametrize("error", [StopIteration, RuntimeError])
def test_names_that_another_thread_forgets_meanwhile_are_its_business(
    system: System, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changed them between the look and the step."""

    class Changed(dict[str, None]):
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> str:
            raise error

    monkeypatch.setattr(resolver, "_RESOLVED", Changed.fromkeys(["a", "b"]))
    monkeypatch.setattr(resolver, "_MAX_RESOLVED", 1)
    found = ask("a.test")
    system.run()
    assert found == [FOUND]


def test_an_error_that_callers_share_keeps_no_frame(system: System) -> None:
    """It lasts as long as the slowest of them."""
    system.fails = True
    found = ask("a.test")
    system.run()
    assert found[0].__traceback__ is None


def test_a_caller_stops_waiting_on_time(system: System) -> None:
    """The message says for what, and it has left the look-up."""
    with pytest.raises(TimeoutError, match="the host name was not resolved in time"):
        resolve("slow.test", 443, 0.001)
    assert not resolver._RUNNING["slow.test", 443]._receivers


def test_a_task_that_is_cancelled_leaves_the_look_up(system: System) -> None:
    """So that it is not made for nobody."""

    async def run() -> None:
        task = asyncio.ensure_future(resolve_async("slow.test", 443))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    run_task(run())
    assert not resolver._RUNNING["slow.test", 443]._receivers
