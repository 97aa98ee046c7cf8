"""The pool of one event loop's connections, without a network."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

from http_service_client.transports.over_aiohttp.connection import Connection
from http_service_client.transports.over_aiohttp.pool import Pool
from kit.front_ends import run_task


def test_the_last_step_of_making_a_connection_wakes_its_caller() -> None:
    """No iteration of the loop comes between the two."""

    async def steps() -> int:
        pool, ended = Pool(Mock()), asyncio.get_running_loop().create_future()

        async def make() -> Connection:
            return Mock(Connection)

        task, steps = pool.begin(make, ended), 0
        while not ended.done():
            await asyncio.sleep(0)
            steps += 1
        assert task.done()
        return steps

    assert run_task(steps()) == 1


def test_a_caller_whose_connection_is_cancelled_before_its_first_step_is_woken() -> None:
    """The client may be closed at that very moment."""

    async def run() -> None:
        pool, ended = Pool(Mock()), asyncio.get_running_loop().create_future()

        async def make() -> Connection:
            raise AssertionError("it was cancelled")

        task = pool.begin(make, ended)
        await pool.close()
        await ended
        assert task.cancelled()

    run_task(run())
