"""Calls over HTTP/2 that are made at the same time, and responses to them."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from http_service_client import HttpServiceClient
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.http2_server import Exchange, Http2Server

__all__ = ["at_once", "each_at_once", "echo", "ok", "paths"]


def ok(exchange: Exchange) -> None:
    exchange.respond(200, [("content-type", "text/plain")], b"ok")


def echo(exchange: Exchange) -> None:
    exchange.respond(200, body=exchange.body)


def paths(server: Http2Server) -> list[str]:
    return [exchange.path for exchange in server.exchanges]


def at_once(client: HttpServiceClient, front_end: FrontEnd, urls: list[str], **options: Any) -> list[Any]:
    """The responses or errors of calls that are made at the same time, with the same options."""
    return each_at_once(client, front_end, [(url, options) for url in urls])


def each_at_once(
    client: HttpServiceClient, front_end: FrontEnd, calls: list[tuple[str, dict[str, Any]]]
) -> list[Any]:
    """The responses or errors of calls that are made at the same time."""
    if isinstance(front_end, AsyncioFrontEnd):

        async def gather() -> list[Any]:
            awaited = [client.get_async(url, **options) for url, options in calls]
            return await asyncio.gather(*awaited, return_exceptions=True)

        return front_end.loop.run_until_complete(gather())

    def call(url: str, options: dict[str, Any]) -> Any:
        try:
            return client.get(url, **options)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(lambda each: call(*each), calls))
