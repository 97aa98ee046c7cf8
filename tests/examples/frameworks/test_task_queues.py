"""The examples of task queues: the queue retries, under one key, after as long as the service asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from examples.frameworks.conftest import Load
from http_service_client.testing import LoopbackServer, reset, respond

# arq closes its Redis by a name that redis-py has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")

PATH = "/reservations"
Run = Callable[[], tuple[str, Any]]  # the id of the task, and its result or its error


class Delays:
    """The waits that an example asks its queue for. They are not waited for, and one beyond 1000 s ends the task."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, float | None]] = []

    def replace_in(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        real = module.retry_delay

        def retry_delay(error: BaseException, run: int, **options: Any) -> float | None:
            delay = real(error, run, **options)
            self.asked.append((type(error).__name__, run, delay))
            return None if delay is None or delay > 1000 else 0.0

        monkeypatch.setattr(module, "retry_delay", retry_delay)


@pytest.fixture
def delays() -> Delays:
    return Delays()


@pytest.fixture
def celery(load: Load, delays: Delays, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The task of the example, run by Celery in this process, as its `task_always_eager` does."""
    module = load("celery_orders", "celery")
    delays.replace_in(module, monkeypatch)

    def run() -> tuple[str, Any]:
        with module.stock:
            return "task-7", module.reserve.apply(args=[7], task_id="task-7").result

    return run


@pytest.fixture
def taskiq(load: Load, delays: Delays, monkeypatch: pytest.MonkeyPatch) -> Run:
    """By taskiq's broker in memory."""
    module = load("taskiq_orders", "taskiq")
    delays.replace_in(module, monkeypatch)

    async def run() -> tuple[str, Any]:
        await module.broker.startup()
        try:
            task = await module.reserve.kiq(7)
            while True:
                result = await task.wait_result(timeout=30)
                if not isinstance(result.error, module.NoResultError):
                    break
        finally:
            await module.broker.shutdown()
        return task.task_id, result.error or result.return_value

    return lambda: asyncio.run(run())


@pytest.fixture
def arq(load: Load, delays: Delays, monkeypatch: pytest.MonkeyPatch) -> Run:
    """By a worker of arq, on a Redis in memory."""
    module = load("arq_orders", "arq", "fakeredis")
    delays.replace_in(module, monkeypatch)
    from arq.connections import ArqRedis
    from arq.worker import Worker
    from fakeredis import FakeAsyncRedis

    class Redis(ArqRedis, FakeAsyncRedis):  # type: ignore[misc]  # its pool is that of the latter
        pass

    async def log_nothing(*about: Any) -> None:  # the fake has no INFO
        pass

    monkeypatch.setattr("arq.worker.log_redis_info", log_nothing)

    async def run() -> tuple[str, Any]:
        settings = {name: value for name, value in vars(module.WorkerSettings).items() if name[0] != "_"}
        redis = Redis()
        job = await redis.enqueue_job("reserve", 7)
        worker = Worker(**settings, redis_pool=redis, burst=True, poll_delay=0.01, handle_signals=False)
        try:
            await worker.main()
            info = await job.result_info()
        finally:
            await worker.close()
        return job.job_id, info.result

    return lambda: asyncio.run(run())


@pytest.fixture(params=["celery", "taskiq", "arq"])
def run(request: pytest.FixtureRequest) -> Any:
    """The task of each example."""
    return request.getfixturevalue(request.param)


def keys(stock: LoopbackServer) -> set[str | None]:
    return {request.header("Idempotency-Key") for request in stock.received(PATH)}


def test_a_task_runs_again_under_the_same_key(run: Run, stock: LoopbackServer, delays: Delays) -> None:
    """After failures in which the reservation may have been made: the service knows the key of the task."""
    stock.script(PATH, reset(), respond(500), respond(json={"id": 5}))
    task, result = run()
    assert result == {"id": 5}
    assert keys(stock) == {task}
    assert [(error, run) for error, run, _ in delays.asked] == [
        ("ConnectionLostError", 1),
        ("HttpStatusError", 2),
    ]
    assert all(delay is not None and delay <= 20 for _, _, delay in delays.asked)


def test_the_pause_that_a_service_asks_for_is_the_queue_s_to_wait(
    run: Run, stock: LoopbackServer, delays: Delays
) -> None:
    """Half an hour, which no call would wait."""
    stock.script(PATH, respond(503, headers={"Retry-After": "1800"}))
    run()
    ((error, _, delay),) = delays.asked
    assert (error, delay) == ("HttpStatusError", 1800.0)


def test_a_task_that_cannot_succeed_runs_once(run: Run, stock: LoopbackServer) -> None:
    """The queue reports the error of the call."""
    stock.script(PATH, respond(404))
    _, result = run()
    assert type(result).__name__ == "HttpStatusError"
    assert len(stock.received(PATH)) == 1


def test_the_client_leaves_the_retries_to_the_queue(run: Run, stock: LoopbackServer, delays: Delays) -> None:
    """One request for each run."""
    stock.script(PATH, respond(500), respond(500), respond(json={}))
    run()
    assert len(stock.received(PATH)) == len(delays.asked) + 1 == 3
