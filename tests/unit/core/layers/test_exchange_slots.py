"""The slots of an exchange, step by step: how long each wait is, what it reports, and that no slot is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from http_service_client import DeadlineExceededError, HttpResponse, PoolTimeoutError, Timeout
from http_service_client.core.effects import Acquire, Send
from http_service_client.core.layers.exchange import Exchange, _release
from http_service_client.core.machines.limits.semaphore import PermitPair
from http_service_client.events import ConnectionAwaited
from http_service_client.testing import ScriptedTransport
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row

POOL = Timeout(total=6.0, pool=10.0)


class Waiting:
    """An exchange of a client with one connection, or two, of which others hold some.

    host, client: whether others hold the slot of the host, and all of the client.
    """

    def __init__(
        self,
        host: bool = False,
        client: bool = False,
        timeout: Timeout = POOL,
        deadline_in: float | None = None,
        needed: float = 0.0,
        collect: Any = None,
        is_open: bool = False,
    ) -> None:
        harness = Harness(BlockingFrontEnd(), max_connections=2, max_connections_per_host=1)
        self.clock = harness.clock
        self.clock.now = 8.0  # where the sums are exact
        self.origins = harness.client._call_builder.origins
        self.state = harness.state
        self.common = harness.limits[0]
        self.host_holder = self.state.connections.acquire_later() if host else None
        self.holders = [self.common.acquire_later() for _ in range(2)] if client else []
        if is_open:
            self.origins.open_bodies.add(self)
        self.call = harness.client._call_builder.build("GET", URL)
        self.call.options = self.call.options.but(timeout=timeout)
        self.call.deadline_at = None if deadline_in is None else 8.0 + deadline_in
        self.attempt = self.call.current
        self.attempt.needed = needed
        self.exchange = Exchange(self.origins, self.common, collect=collect)
        self.plan: Any = self.exchange(self.call.request, self.call)

    def step(self, answer: Any = None) -> Any:
        """The next effect, after this answer."""
        return self.plan.send(answer)

    def end(self, answer: Any = None) -> Any:
        with pytest.raises(StopIteration) as ended:
            self.plan.send(answer)
        return ended.value.value

    @property
    def in_use(self) -> tuple[int, int]:
        return self.state.connections.in_use, self.common.in_use


def test_an_attempt_is_queued_as_long_as_it_waits() -> None:
    """For either slot; its wait is in the timeline, and counts among those that its host's calls have had."""
    it = Waiting(host=True, client=True)
    assert isinstance(it.step(), Acquire)
    assert it.attempt.is_queued
    it.clock.now += 3.0
    it.host_holder.release()  # type: ignore[union-attr]  # there is one
    it.attempt.expires_at = 12.0
    assert isinstance(it.step(True), Acquire)
    assert (it.attempt.is_queued, len(it.state.queued)) == (True, 1)
    it.clock.now += 1.0
    it.holders[0].release()
    assert isinstance(it.step(True), Send)
    assert (it.attempt.is_queued, len(it.state.queued), it.state.begun) == (False, 0, 1)
    assert (it.attempt.waited, it.attempt.expires_at) == (4.0, 16.0)
    (event,) = it.call.events
    assert isinstance(event, ConnectionAwaited)
    assert (event.waited, event.key) == (4.0, ORIGIN)
    it.end(HttpResponse(200))
    assert it.in_use == (0, 1)


def test_a_slot_that_became_free_meanwhile_is_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at both and the queue."""
    monkeypatch.setattr(PermitPair, "try_acquire", lambda pair: False)
    it = Waiting()
    assert isinstance(it.step(), Send)
    assert (it.attempt.is_queued, it.state.begun, list(it.call.events), it.in_use) == (False, 0, [], (1, 1))
    it.end(HttpResponse(200))
    assert it.in_use == (0, 0)


def test_the_client_s_slot_is_waited_for_when_the_host_s_is_free() -> None:
    """Which the call has, meanwhile."""
    it = Waiting(client=True)
    assert isinstance(it.step(), Acquire)
    assert it.in_use == (1, 2)
    it.plan.close()
    assert (it.in_use, len(it.state.queued)) == ((0, 2), 0)


def test_the_time_of_a_listener_is_not_the_attempt_s() -> None:
    """It hears of the wait while the attempt's time goes on."""
    it = Waiting(host=True)
    it.step()
    it.attempt.expires_at = 12.0

    def listen(event: object) -> None:
        it.clock.now += 7.0

    it.call.listener = listen
    it.host_holder.release()  # type: ignore[union-attr]  # there is one
    it.clock.now += 1.0
    assert it.step(True).timeout.total == 4.0
    assert it.attempt.waited == 8.0
    it.plan.close()


TO_HOST = f"to {ORIGIN} became free within the pool timeout (1 in use); raise max_connections_per_host"


@pytest.mark.parametrize(
    ("host", "words", "setting"),
    [
        (True, TO_HOST, ("max_connections_per_host", 1, 1, 0)),
        (False, "became free within the pool timeout (2 in use); raise max_connections", ("max_connections", 2, 2, 0)),
    ],
)  # fmt: skip
def test_a_wait_in_vain_names_the_limit(host: bool, words: str, setting: tuple[str, int, int, int]) -> None:
    """With its value, and how many had or wanted a connection when the call came."""
    it = Waiting(host=host, client=not host)
    it.step()
    failure = it.end(False)
    assert failure.error_type is PoolTimeoutError
    assert failure.message == f"no connection {words}, or look for streams that are not closed"
    assert (tuple(it.attempt.decision), it.attempt.is_queued) == (setting, True)  # type: ignore[arg-type]
    assert it.in_use == ((1, 0) if host else (0, 2))


def test_a_call_inside_of_the_one_that_holds_the_connection_says_so(front_end: FrontEnd) -> None:
    """Such as that of a generator that makes the body: the other one keeps its connection until this one returns."""

    def body() -> Iterator[bytes]:
        client.get(URL, timeout=Timeout(pool=0.01), retry_policy=None)
        yield b""

    async def body_async() -> AsyncIterator[bytes]:
        await client.get_async(URL, timeout=Timeout(pool=0.01), retry_policy=None)
        yield b""

    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)), max_connections_per_host=1)
    data = body() if front_end.name == "blocking" else body_async()
    message = (
        r"\(1 in use\); this call was made inside of another one, which may keep its connection until this one "
        "returns; raise max_connections_per_host, or make it before that one$"
    )
    with pytest.raises(PoolTimeoutError, match=message):
        front_end.request(client, "PUT", URL, data=data)


@pytest.mark.parametrize(("host", "where"), [(True, f" to {ORIGIN} (1 in use)"), (False, " (2 in use)")])
def test_a_wait_that_the_deadline_ends_says_so(host: bool, where: str) -> None:
    """And for what the call waited."""
    it = Waiting(host=host, client=not host, deadline_in=1.0)
    it.step()
    failure = it.end(False)
    assert failure.error_type is DeadlineExceededError
    assert failure.message == f"the deadline expired while the call waited for a connection{where}"


def test_without_a_pool_timeout_the_message_says_how_long_nothing_became_free() -> None:
    """Ten seconds longer than an attempt may take."""
    it = Waiting(host=True, timeout=Timeout(total=6.0, pool=None))
    assert it.step().timeout == 16.0
    assert " became free for 16 s (1 in use); " in it.end(False).message


@pytest.mark.parametrize("deadline_in", [None, 9.0])
def test_without_any_timeout_a_wait_has_no_end_but_the_deadline(deadline_in: float | None) -> None:
    """As the caller wants it."""
    it = Waiting(host=True, timeout=Timeout(total=None, pool=None), deadline_in=deadline_in)
    assert it.step().timeout == deadline_in
    it.plan.close()


@each_row(
    ("deadline_in", "needed", "waits", "error"),
    [
        (11.0, 0.0, 10.0, PoolTimeoutError),
        (10.0, 0.0, 10.0, DeadlineExceededError),
        (9.0, 0.0, 9.0, DeadlineExceededError),
        (0.5, 0.0, 0.5, DeadlineExceededError),
        (9.0, 3.0, 6.0, DeadlineExceededError),
        (9.0, 9.5, 0.0, DeadlineExceededError),
    ],
)
def test_a_wait_leaves_the_attempt_the_time_that_it_needs(
    deadline_in: float, needed: float, waits: float, error: type
) -> None:
    """If that is known. With the pool timeout, the earlier of the two ends the wait; of both at once, the deadline."""
    it = Waiting(host=True, deadline_in=deadline_in, needed=needed)
    assert it.step().timeout == waits
    assert it.end(False).error_type is error


@pytest.mark.parametrize(("waited", "left"), [(0.0, 10.0), (9.5, 0.5), (10.0, 0.0), (12.0, 0.0)])
def test_the_second_wait_has_what_the_first_has_left_of_the_pool_timeout(waited: float, left: float) -> None:
    """A grant may come late."""
    it = Waiting(host=True, client=True)
    it.step()
    it.host_holder.release()  # type: ignore[union-attr]  # there is one
    it.clock.now += waited
    assert it.step(True).timeout == left
    it.plan.close()


def test_progress_prolongs_a_wait_without_a_pool_timeout() -> None:
    """Of the client's slots, a grant to whomever; of the host's, an exchange that began after a wait."""
    no_limit = Timeout(total=6.0, pool=None)
    it = Waiting(client=True, timeout=no_limit)
    it.step()
    others = [it.common.acquire_later()]
    it.common._queue.move_to_end(others[0], last=False)
    it.holders[0].release()
    assert others[0].is_granted
    assert it.step(False).timeout == 16.0
    assert it.end(False).error_type is PoolTimeoutError

    it = Waiting(host=True, timeout=no_limit)
    it.step()
    it.state.begun += 1
    assert it.step(False).timeout == 16.0
    assert it.end(False).error_type is PoolTimeoutError


@pytest.mark.parametrize("has_queue", [True, False])
def test_the_client_s_grants_are_progress_of_a_host_whose_calls_wait_for_them(has_queue: bool) -> None:
    """Those of other hosts are none for one that has leaked its slots."""
    it = Waiting(host=True, timeout=Timeout(total=6.0, pool=None))
    waiter = it.common.acquire_later()
    if has_queue:
        it.state.queue(waiter)
    it.step()
    it.common.grants += 1
    if has_queue:
        assert it.step(False).timeout == 16.0
        it.plan.close()
    else:
        assert it.end(False).error_type is PoolTimeoutError


@each_row(
    ("collects", "is_open", "options", "waits"),
    [
        (True, True, {}, 2.0),
        (True, False, {}, 10.0),
        (False, True, {}, 10.0),
        (True, True, {"deadline_in": 1.0}, 0.5),
        (True, True, {"deadline_in": 9.0, "needed": 9.5}, 0.0),
        (True, True, {"timeout": Timeout(total=None, pool=None)}, 2.0),
    ],
)
def test_garbage_is_collected_early_in_a_wait_if_a_stream_is_open(
    collects: bool, is_open: bool, options: dict[str, Any], waits: float
) -> None:
    """It may have been lost in a reference cycle."""
    it = Waiting(host=True, collect=(lambda: None) if collects else None, is_open=is_open, **options)
    assert it.step().timeout == waits
    it.plan.close()


def test_a_slot_that_the_collector_released_is_used() -> None:
    """At once. One that was granted before needs no collector."""
    for is_lost in (True, False):
        collections: list[bool] = []

        def collect() -> None:
            collections.append(True)
            it.host_holder.release()  # type: ignore[union-attr]  # there is one

        it = Waiting(host=True, collect=collect, is_open=True)
        it.step()
        if not is_lost:
            it.host_holder.release()  # type: ignore[union-attr]  # there is one
        assert isinstance(it.step(not is_lost), Send)
        assert collections == [True] * is_lost
        it.plan.close()


def test_ctrl_c_amid_the_release_of_two_slots_loses_neither() -> None:
    """All of them are released again, which does nothing to those that were, and the interruption goes on."""
    released: list[str] = []

    def first() -> None:
        released.append("first")
        if len(released) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _release([first, lambda: released.append("second")])
    assert released == ["first", "first", "second"]
