"""Which idle connections are closed when an exchange on another one gets no response, without a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.http.proxies.settings import ProxySettings
from http_service_client.http.urls import split_url
from http_service_client.transports.base import TlsSettings, TransportSettings
from http_service_client.transports.over_aiohttp.hooked.connector import WatchingConnector
from http_service_client.transports.over_aiohttp.pool import Pool as AsyncioPool
from http_service_client.transports.over_requests.aborts import OpenConnections
from http_service_client.transports.over_requests.pool import Pool as BlockingPool
from kit.front_ends import AsyncioFrontEnd, FrontEnd, run_task
from kit.rows import each_row

KEY = ("http://api.test", None)


class Idle(SimpleNamespace):
    """An idle connection of both pools, or one that was idle and has failed."""

    def __init__(self, idle_since: float) -> None:
        super().__init__(key=KEY, idle_since=idle_since, is_closed=False)

    def close(self) -> None:
        """Note it."""
        self.is_closed = True

    abort = close
    __hash__ = object.__hash__


def closed(front_end: FrontEnd, failed: Idle, idle: list[Idle]) -> list[float]:
    """Since when those were idle that are closed for this one."""
    settings = TransportSettings(60.0, 100, None, True, TlsSettings(), ProxySettings())

    async def close_in_asyncio() -> None:
        pool: Any = AsyncioPool(settings)
        pool._idle[KEY] = list(idle)
        pool._idle["other", None] = [Idle(0.0)]
        pool.distrust(failed)
        assert pool._idle[KEY] == [each for each in idle if not each.is_closed]
        assert not pool._idle["other", None][0].is_closed

    if isinstance(front_end, AsyncioFrontEnd):
        run_task(close_in_asyncio())
    else:
        pool: Any = BlockingPool(split_url("http://api.test/"), None, settings, OpenConnections())
        pool._idle.extend(idle)
        pool._distrust(failed)
        assert list(pool._idle) == [each for each in idle if not each.is_closed]
    return [each.idle_since for each in idle if each.is_closed]


@each_row(
    ("failed", "expected"),
    [(Idle(3.0), [1.0, 2.0, 3.0]), (Idle(2.5), [1.0, 2.0]), (Idle(0.5), []), (Idle(0.0), [])],
    ids=["idle as long", "some were used since", "all were used since", "a new connection"],
)
def test_those_that_were_idle_for_longer_are_closed(
    front_end: FrontEnd, failed: Idle, expected: list[float]
) -> None:
    """One that was used since works, and a connection that never worked says nothing about those that did."""
    assert closed(front_end, failed, [Idle(1.0), Idle(2.0), Idle(3.0), Idle(4.0)]) == expected


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        ({"idle_since": 1.0}, [1.0, 2.0]),
        ({"idle_since": 0.0}, []),
        ({"idle_since": 1.0, "way": ("other", None)}, []),
    ],
    ids=["idle beside it", "a new connection", "to another origin"],
)
def test_those_that_were_idle_beside_it_are_closed_through_aiohttp(
    failed: dict[str, Any], expected: list[float]
) -> None:
    """aiohttp takes the one that has been idle for the longest time, so the others were idle for less."""

    async def close() -> list[float]:
        connector: Any = WatchingConnector(
            TransportSettings(60.0, 100, None, True, TlsSettings(), ProxySettings())
        )
        idle = [Idle(1.0), Idle(2.0), Idle(3.0)]
        for each in idle:
            each.is_idle, each.way = True, KEY
        used = Idle(1.5)
        used.is_idle, used.way = False, KEY
        connector._WatchingConnector__open = [*idle, used]
        connector.distrust(SimpleNamespace(**{"way": KEY, "busy_since": 2.0, **failed}))
        assert not used.is_closed
        connector._WatchingConnector__open = []
        await connector.close()
        return [each.idle_since for each in idle if each.is_closed]

    assert run_task(close()) == expected
