"""The runners of the demo: the work of an evening on threads, and the same on tasks."""

from __future__ import annotations

import asyncio
import contextvars
import random
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import CircuitOpenError, ConnectError
from http_service_client.cli.demo.orders import Call, Pause, Plan, Status
from http_service_client.cli.demo.runners import WORKERS, Runner, TaskRunner, ThreadRunner
from http_service_client.cli.demo.script import Order
from http_service_client.core.machines.circuit_breaker.breaker import CircuitBreaker

URLS = {"payment": "http://127.0.0.1:1", "delivery": "http://127.0.0.1:2"}
ORDERS = [Order(number=number, customer="Ada", pizza="Funghi", amount=9.9) for number in (1, 2, 3)]
RUNNERS = [ThreadRunner, TaskRunner]


class Work(Future[None]):
    """Work that nobody does, so that a wait for it would not end."""

    def result(self, timeout: float | None = None) -> None:
        assert self.done(), "somebody waits for this"
        return super().result(timeout)


class Collecting(Runner):
    """A runner that performs nothing: a test takes its plans and ends its futures."""

    name = library = "collecting"

    def __init__(self, tempo: float = 1.0) -> None:
        self.plans: list[Plan] = []
        self.announced: list[tuple[str, str]] = []
        self.closings = 0
        services: Any = SimpleNamespace(urls=URLS)
        super().__init__(services, 3, tempo, lambda runner, text, _: self.announced.append((runner, text)))

    def submit(self, plan: Plan) -> Future[None]:
        self.plans.append(plan)
        return Work()

    def _close(self) -> None:
        self.closings += 1
        self.client.close()


def circuit_of_delivery(runner: Runner) -> CircuitBreaker:
    """The circuit, which the first call made."""
    with pytest.raises(ConnectError):
        runner.client.get(URLS["delivery"], retry_policy=False)
    circuit = runner.client.get_circuit_breaker(URLS["delivery"])
    assert circuit is not None
    return circuit


@pytest.fixture
def runner() -> Iterator[Collecting]:
    made = Collecting()
    yield made
    made.close()


def test_an_order_is_submitted(runner: Collecting) -> None:
    """Its plan begins with the payment."""
    runner.take(ORDERS[0])
    assert [ticket.order for ticket in runner.tickets] == ORDERS[:1]
    assert len(runner.futures) == 1
    call = next(runner.plans[0])
    assert isinstance(call, Call)
    assert call.service == "payment"


def test_only_postponed_orders_are_resumed(runner: Collecting) -> None:
    """With the step that was postponed; the work before it stays in sight."""
    for order in ORDERS:
        runner.take(order)
    runner.tickets[1].statuses = {"payment": Status.DONE, "delivery": Status.POSTPONED}
    runner.resume_postponed()
    assert len(runner.futures) == len(runner.plans) == 4
    call = next(runner.plans[3])
    assert isinstance(call, Call)
    assert call.path == "/deliveries/order-002"


def test_services_with_a_closed_circuit_are_not_checked(runner: Collecting) -> None:
    """A service that was never called has a closed one. The check ends when the circuit has closed."""
    runner.call_until_closed(patience=60.0)
    assert runner.plans == []
    assert runner.states() == {"payment": "closed", "delivery": "closed"}
    circuit = circuit_of_delivery(runner)
    circuit.isolate()
    assert runner.states()["payment"] == "closed" != runner.states()["delivery"]
    runner.call_until_closed(patience=60.0)
    assert len(runner.futures) == 1
    assert next(runner.plans[0]) == Call("delivery", "GET", "/health")
    runner.plans[0].send(CircuitOpenError())
    circuit.reset()
    with pytest.raises(StopIteration):
        next(runner.plans[0])


def test_changes_of_circuits_are_announced_with_the_runner(runner: Collecting) -> None:
    """And with the name of the service instead of its origin."""
    circuit_of_delivery(runner).isolate()
    assert [(name, text.partition(" (")[0]) for name, text in runner.announced] == [
        ("collecting", "delivery: closed → open")
    ]


def test_a_runner_is_idle_when_all_work_is_done(runner: Collecting) -> None:
    """The exception of a worker, a bug, is raised; work that is done is forgotten. A look waits for nothing."""
    for order in ORDERS[:2]:
        runner.take(order)
    first, second = runner.futures
    first.set_result(None)
    assert not runner.is_idle()
    assert runner.futures == [second]
    second.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        runner.is_idle()
    runner.futures = [first]
    assert runner.is_idle()
    assert runner.futures == []


def test_a_runner_is_closed_once() -> None:
    """A second call does nothing."""
    runner = Collecting()
    runner.close()
    runner.close()
    assert runner.closings == 1


def test_the_client_of_the_demo_gives_up_often_enough_to_be_interesting() -> None:
    """Three attempts, a budget that runs out once, a circuit that opens; it recovers sooner in a quick evening."""
    runner = Collecting(tempo=0.5)
    runner.close()
    settings = runner.client.config.resolved
    assert settings.timeout.total == 5.0
    assert settings.circuit_breaker is not None
    assert settings.circuit_breaker.failure_threshold == 5
    assert settings.circuit_breaker.recovery_timeout == 0.5
    assert settings.circuit_breaker.success_threshold == 2
    assert settings.retry is not None
    assert settings.retry.max_attempts == 3
    assert runner.client.config.retry_policy_config == {
        "max_attempts": 3,
        "initial_delay": 0.1,
        "max_delay": 2.0,
    }
    assert runner.client.config.retry_budget_config == {"ratio": 0.2, "min_per_second": 0.4}
    assert runner.client.config.trust_env_proxy_settings is False


@pytest.fixture(params=RUNNERS, ids=["threads", "tasks"])
def working(request: pytest.FixtureRequest) -> Iterator[Runner]:
    made: Runner = request.param(SimpleNamespace(urls=URLS), 3, 1.0, lambda *_: None)
    yield made
    made.close()


def test_the_work_is_done_by_so_many_workers(working: Runner) -> None:
    """Eight at once; the ninth order waits for one of them."""
    entered: list[int] = []
    release = threading.Event()

    def request(*_: Any, **__: Any) -> Any:
        entered.append(1)
        release.wait(10)
        raise ZeroDivisionError

    async def request_async(*_: Any, **__: Any) -> Any:
        entered.append(1)
        while not release.is_set():
            await asyncio.sleep(0.001)
        raise ZeroDivisionError

    working.client.request, working.client.request_async = request, request_async  # type: ignore[method-assign]

    def plan() -> Plan:
        yield Call("payment", "GET", "/")

    futures = [working.submit(plan()) for _ in range(WORKERS + 1)]
    try:
        for _ in range(5000):
            if len(entered) >= WORKERS:
                break
            threading.Event().wait(0.001)
        assert WORKERS == 8
        assert len(entered) == WORKERS
    finally:
        release.set()
    for future in futures:
        with pytest.raises(ZeroDivisionError):
            future.result(timeout=10)
    assert len(entered) == WORKERS + 1


def test_the_threads_of_a_runner_tell_whose_they_are(working: Runner) -> None:
    """By their name, in a dump of all threads; and none keeps the program from ending after an error."""
    where: list[threading.Thread] = []

    def plan() -> Plan:
        where.append(threading.current_thread())
        yield from ()

    working.submit(plan()).result(timeout=10)
    assert where[0].name == {"threads": "pizzeria_0", "tasks": "pizzeria-loop"}[working.name]
    assert where[0].daemon is (working.name == "tasks")


def test_a_plan_that_ends_has_a_result(working: Runner) -> None:
    """None, as soon as it is performed."""

    def plan() -> Plan:
        yield from ()

    assert working.submit(plan()).result(timeout=10) is None


def test_closing_cancels_what_has_not_begun() -> None:
    """And ends what has: nobody waits for the rest of an evening after Ctrl-C."""
    runner: Any = TaskRunner(SimpleNamespace(urls=URLS), 3, 1.0, lambda *_: None)  # type: ignore[arg-type]

    def plan() -> Plan:
        yield Pause(3.0)

    futures = [runner.submit(plan()) for _ in range(WORKERS + 2)]
    runner.close()
    assert all(future.cancelled() for future in futures)
    assert not runner._thread.is_alive()
    assert runner._loop.is_closed()


def test_closing_cancels_what_no_thread_has_begun() -> None:
    """And waits for what a thread is doing."""
    runner: Any = ThreadRunner(SimpleNamespace(urls=URLS), 3, 1.0, lambda *_: None)  # type: ignore[arg-type]
    begun = threading.Barrier(WORKERS + 1)
    waiting: list[Future[None]] = []

    def request(*_: Any, **__: Any) -> Any:
        begun.wait(10)
        for _ in range(300):
            if all(future.cancelled() for future in waiting):
                break
            threading.Event().wait(0.01)
        raise ConnectError

    runner.client.request = request

    def plan() -> Plan:
        yield Call("payment", "GET", "/")

    running = [runner.submit(plan()) for _ in range(WORKERS)]
    waiting += [runner.submit(plan()) for _ in range(2)]
    begun.wait(10)
    runner.close()
    assert all(future.cancelled() for future in waiting)
    assert all(future.done() and not future.cancelled() for future in running)


def test_work_that_is_cancelled_comes_to_its_end() -> None:
    """Though that takes a moment; what it left open is closed before its loop is."""
    runner: Any = TaskRunner(SimpleNamespace(urls=URLS), 3, 1.0, lambda *_: None)  # type: ignore[arg-type]
    begun = threading.Event()
    ended: list[str] = []
    left: list[AsyncIterator[int]] = []

    async def pieces() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("pieces")

    async def request_async(*_: Any, **__: Any) -> Any:
        left.append(pieces())
        await anext(left[0])
        begun.set()
        try:
            await asyncio.sleep(3.0)
        finally:
            await asyncio.sleep(0.01)
            ended.append("work")

    runner.client.request_async = request_async

    def plan() -> Plan:
        yield Call("payment", "GET", "/")

    runner.submit(plan())
    assert begun.wait(10)
    runner.close()
    assert ended == ["work", "pieces"]


def test_the_seed_decides_the_jitter_of_each_order(runner: Collecting) -> None:
    """Whichever order a worker takes first: in two evenings of one seed, an order waits equally long before a retry."""
    for order in ORDERS[:2]:
        runner.take(order)
    waits: dict[str, float] = {}
    for number in (1, 0):
        contextvars.Context().run(
            lambda n=number: (next(runner.plans[n]), waits.update({ORDERS[n].id: runner.client._random()}))
        )
    assert waits == {order.id: random.Random(f"3 {order.id}").random() for order in ORDERS[:2]}
