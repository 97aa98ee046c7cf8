"""Who places the orders: worker threads that make blocking calls, and asyncio tasks that await them.

Each runner has its own client, with the same settings, and its own services. The work is a
plan; only `submit` differs.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from random import Random

from ... import HttpClientConfig, HttpServiceClient
from .orders import Plan, Ticket, call_until_closed, perform, perform_async, place
from .scoreboard import Scoreboard
from .script import Order
from .services import Services

__all__ = ["WORKERS", "Runner", "TaskRunner", "ThreadRunner"]

WORKERS = 8  # orders in progress at once, per runner

_CHANCE: ContextVar[Random] = ContextVar("chance")


def _config(tempo: float) -> HttpClientConfig:
    return HttpClientConfig(
        base_timeout=5.0,
        circuit_breaker_config={
            "failure_threshold": 5,
            "recovery_timeout": 1.0 * tempo,
            "success_threshold": 2,
        },
        retry_policy_config={"max_attempts": 3, "initial_delay": 0.1, "max_delay": 2.0},
        # Five calls pay for a retry, and four in ten seconds are free: so little that it runs out once.
        retry_budget_config={"ratio": 0.2, "min_per_second": 0.4},
        trust_env_proxy_settings=False,  # a proxy cannot reach this machine's loopback
    )


class Runner(ABC):
    """A client, its services, its orders.

    services: opened and closed by the caller.
    seed: for the jitter of the waits. Each order has random numbers of its own, since those of one generator would
        go to whichever order comes first.
    tempo: factor on the time after which a circuit recovers.
    on_change: called with the runner's name, each change of a circuit, as a sentence, and whether it is decisive.
    """

    name: str
    verbs: str

    def __init__(
        self, services: Services, seed: int, tempo: float, on_change: Callable[[str, str, bool], None]
    ) -> None:
        self.services = services
        self.tickets: list[Ticket] = []
        self.futures: list[Future[None]] = []
        self._urls = services.urls
        names = {url: name for name, url in self._urls.items()}
        self.board = Scoreboard(names, partial(on_change, self.name))
        self._is_closed = False
        self._seed = seed
        self._chance = Random(seed)  # for whatever is no part of an order
        self._chances: dict[str, Random] = {}
        self.client = HttpServiceClient(_config(tempo), on_event=self.board.listen, random=self._random)

    @abstractmethod
    def submit(self, plan: Plan) -> Future[None]:
        """Have a plan performed."""

    def close(self) -> None:
        """Close the client and cancel unfinished work. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            self._close()

    @abstractmethod
    def _close(self) -> None: ...

    def take(self, order: Order) -> None:
        """Place a new order."""
        ticket = Ticket(order)
        self.tickets.append(ticket)
        self._place(ticket)

    def resume_postponed(self) -> None:
        """Resume every order with a postponed step."""
        for ticket in self.tickets:
            if ticket.is_postponed:
                self._place(ticket)

    def _place(self, ticket: Ticket) -> None:
        self._start(ticket.order.id, place(ticket, self.board.record))

    def call_until_closed(self, patience: float) -> None:
        """Call each service whose circuit is not closed, until it is."""
        for service, state in self.states().items():
            if state != "closed":
                is_closed = partial(self._has_closed, service)
                self._start(service, call_until_closed(service, is_closed, self.board.record, patience))

    def _start(self, whose: str, plan: Plan) -> None:
        """Have a plan performed. whose: an order or a service, which has random numbers of its own."""
        chance = self._chances.setdefault(whose, Random(f"{self._seed} {whose}"))
        self.futures.append(self.submit(_with_chance(plan, chance)))

    def _random(self) -> float:
        return _CHANCE.get(self._chance).random()

    def is_idle(self) -> bool:
        """Whether all work is done. Raises the exception of a worker, which is a bug."""
        unfinished = []
        for future in self.futures:
            if future.done():
                future.result()
            else:
                unfinished.append(future)
        self.futures = unfinished
        return not unfinished

    def states(self) -> dict[str, str]:
        """The state of each service's circuit; closed for a service that was never called."""
        known = self.client.get_circuit_breaker_states()
        return {name: known.get(url, "closed") for name, url in self._urls.items()}

    def _has_closed(self, service: str) -> bool:
        return self.states()[service] == "closed"


def _with_chance(plan: Plan, chance: Random) -> Plan:
    """The plan, whose calls take their random numbers from here."""
    _CHANCE.set(chance)  # in the worker's context: this runs when the worker takes the first step
    yield from plan


class ThreadRunner(Runner):
    """Worker threads, blocking verbs."""

    name = "threads"
    verbs = "blocking"

    def __init__(
        self, services: Services, seed: int, tempo: float, on_change: Callable[[str, str, bool], None]
    ) -> None:
        super().__init__(services, seed, tempo, on_change)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pizzeria")

    def submit(self, plan: Plan) -> Future[None]:
        """On the next free thread."""
        return self._pool.submit(perform, plan, self.client, self._urls)

    def _close(self) -> None:
        self.client.close()  # from here on, it refuses the threads' calls
        self._pool.shutdown(cancel_futures=True)


class TaskRunner(Runner):
    """Asyncio tasks on one event loop, async verbs."""

    name = "tasks"
    verbs = "asyncio"

    def __init__(
        self, services: Services, seed: int, tempo: float, on_change: Callable[[str, str, bool], None]
    ) -> None:
        super().__init__(services, seed, tempo, on_change)
        self._loop = asyncio.new_event_loop()
        self._free_workers = asyncio.Semaphore(WORKERS)
        self._thread = threading.Thread(target=self._loop.run_forever, name="pizzeria-loop", daemon=True)
        self._thread.start()

    def submit(self, plan: Plan) -> Future[None]:
        """As a task, when a worker is free."""
        done: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._begin, plan, done)
        return done

    def _begin(self, plan: Plan, done: Future[None]) -> None:
        # On the loop's thread, because Ctrl-C interrupts the main one: a coroutine made there might never be awaited.
        self._loop.create_task(self._perform(plan)).add_done_callback(partial(_hand_over, done))

    async def _perform(self, plan: Plan) -> None:
        async with self._free_workers:
            await perform_async(plan, self.client, self._urls)

    def _close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.close_async()
        await self._loop.shutdown_asyncgens()


def _hand_over(done: Future[None], task: asyncio.Task[None]) -> None:
    """Pass the result of a task to the thread that waits for it."""
    if task.cancelled():
        done.cancel()
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(None)
