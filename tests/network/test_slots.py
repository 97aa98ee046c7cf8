"""Connection slots: how many calls may use a connection at once, in threads and event loops, and how long one waits."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.testing.server import Action, LoopbackServer, Received, answer, respond, stall
from kit.front_ends import FrontEnd
from kit.stopwatch import Stopwatch
from network.faults import failing, slots_in_use


class Gauge:
    """Counts how many requests a server handles at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def action(self, also: Gauge | None = None) -> Action:
        def busy(received: Received) -> Action:
            gauges = [self] if also is None else [self, also]
            for gauge in gauges:
                gauge.add(1)
            time.sleep(0.01)
            for gauge in gauges:
                gauge.add(-1)
            return respond(200, body=received.target)

        return answer(busy)

    def add(self, step: int) -> None:
        with self._lock:
            self.now += step
            self.most = max(self.most, self.now)


def test_the_limits_apply_to_threads_and_loops_together() -> None:
    """Six threads and two loops share one client and its slots."""
    total, one, other = Gauge(), Gauge(), Gauge()
    pool = ConnectionPoolConfig(max_connections=3, max_connections_per_host=2, pool_timeout=20)
    with ExitStack() as stack:
        first, second = (stack.enter_context(LoopbackServer()) for _ in range(2))
        first.script("/", one.action(total))
        second.script("/", other.action(total))
        servers = [first, second] * 4
        client = stack.enter_context(HttpServiceClient(HttpClientConfig(connection_pool=pool)))

        def targets(caller: int) -> list[str]:
            return [f"/?caller={caller}&call={call}" for call in range(len(servers))]

        def by_thread(caller: int) -> list[str]:
            return [
                client.get(server.url + target).text
                for server, target in zip(servers, targets(caller), strict=True)
            ]

        def by_loop(caller: int) -> list[str]:
            async def calls() -> list[HttpResponse]:
                urls = [server.url + target for server, target in zip(servers, targets(caller), strict=True)]
                return await asyncio.gather(*[client.get_async(url) for url in urls])

            return [response.text for response in asyncio.run(calls())]

        with ThreadPoolExecutor(8) as threads:
            waiting = [
                threads.submit(work, caller) for caller, work in enumerate([by_thread] * 6 + [by_loop] * 2)
            ]
            for caller, future in enumerate(waiting):
                assert future.result() == targets(caller)  # each has the responses to its own requests
        assert slots_in_use(client) == 0
    assert 1 <= one.most <= 2
    assert 1 <= other.most <= 2
    assert 2 <= total.most <= 3


def test_a_call_waits_for_a_slot_no_longer_than_the_pool_timeout(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """It then raises PoolTimeoutError, and nothing was sent."""
    server.script("/slow", stall())
    server.script("/", respond(204))
    pool = ConnectionPoolConfig(max_connections_per_host=1, pool_timeout=0.1)
    client = front_end.client(connection_pool=pool)
    errors: list[BaseException] = []
    holder = threading.Thread(target=lambda: errors.append(_error_of(client, server.url + "/slow")))
    holder.start()
    assert server.wait_for(lambda: len(server.requests) == 1)
    try:
        with Stopwatch() as watch:
            front_end.request(client, "GET", server.url + "/", retry_policy=None)
    except TimeoutError as error:
        caught = error
    watch.check_took(0.1)
    assert (type(caught).__name__, caught.sent_state.value) == ("PoolTimeoutError", "never_sent")
    assert "(1 in use)" in str(caught)
    assert len(server.requests) == 1
    server.refuse()  # ends the other call
    holder.join()
    server.accept()
    assert slots_in_use(client) == 0
    assert front_end.request(client, "GET", server.url + "/").status_code == 204


def _error_of(client: HttpServiceClient, url: str) -> BaseException:
    try:
        client.get(url, timeout=9, retry_policy=None)
    except Exception as error:
        return error
    raise AssertionError("no error")


def test_cancelled_calls_release_their_slots(server: LoopbackServer) -> None:
    """Whether a task is cancelled while it waits in the queue or while it uses a connection."""
    server.script("/", answer(lambda received: respond(200, body=received.target, delay=0.01)))
    pool = ConnectionPoolConfig(max_connections=2, max_connections_per_host=2)

    async def calls() -> None:
        async with HttpServiceClient(HttpClientConfig(connection_pool=pool)) as client:
            for round_number in range(5):
                targets = [f"/?round={round_number}&call={call}" for call in range(20)]
                tasks = [asyncio.create_task(client.get_async(server.url + target)) for target in targets]
                await asyncio.sleep(0.004 * round_number)
                for task in tasks[::2]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                # Those that were not cancelled have their own responses, and not those of the cancelled ones.
                assert [isinstance(each, HttpResponse) and each.text for each in results[1::2]] == targets[
                    1::2
                ]
                assert slots_in_use(client) == 0
            assert (await client.get_async(server.url + "/")).text == "/"

    asyncio.run(calls())


def test_calls_that_time_out_release_their_slots(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Ten calls that time out do not use up two slots."""
    server.script("/", stall())
    client = front_end.client(
        connection_pool=ConnectionPoolConfig(max_connections=2), enable_circuit_breaker=False
    )
    for _ in range(10):
        failing(front_end, client, "GET", server.url + "/", timeout=0.02)
    server.script("/", respond(204))
    assert front_end.request(client, "GET", server.url + "/").status_code == 204


def test_a_call_that_finds_no_free_connection_waits_for_one(
    front_end: FrontEnd, server: LoopbackServer
) -> None:
    """It is sent as soon as the other call ends, in one attempt and without an error."""
    client = front_end.client(
        connection_pool=ConnectionPoolConfig(max_connections_per_host=1, pool_timeout=10)
    )

    def once_another_call_waits(received: Received) -> Action:
        for _ in range(1000):
            # The slot of the host and that of the client are in use, and one call waits for the former.
            if slots_in_use(client) == 3:
                return respond(204)
            time.sleep(0.005)
        return respond(500, body="no other call waits")

    server.script("/held", answer(once_another_call_waits))
    server.script("/", respond(204))
    with ThreadPoolExecutor(1) as thread:
        held = thread.submit(client.get, server.url + "/held", retry_policy=None)
        assert server.wait_for(lambda: len(server.requests) == 1)
        assert front_end.request(client, "GET", server.url + "/", retry_policy=None).status_code == 204
        assert held.result().status_code == 204
    assert [request.connection for request in server.requests] == [
        1,
        1 if front_end.name == "blocking" else 2,
    ]
    assert slots_in_use(client) == 0
