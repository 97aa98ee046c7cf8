"""Makes a row's call in one world, and gives what was recorded."""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from http_service_client import ConnectionPoolConfig, HttpServiceClient
from http_service_client.errors import HttpClientError
from kit.front_ends import FrontEnd
from wire.requests.recorder import Recorded, Recorder
from wire.requests.rows import BOUNDARY, Fresh, Row

__all__ = ["Runner", "Told", "all_names_are_loopback"]

_PATIENCE = 10.0  # seconds; nothing here has a reason to wait
_CLIENTS = 20  # kept open at once, for each holds connections

Told = tuple["int | str", list[Recorded]]
_BOUNDARY = re.compile(rb"boundary=([0-9a-f]{32})")


class Runner:
    """One world on the recorder, its clients kept for rows of the same settings.

    keeps_connections: whether a request may go out on the connection of the one before. The asyncio world
        writes its requests in two ways: on a new connection aiohttp does it, on a kept one we do.
    streams: whether the response is streamed.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        recorder: Recorder,
        *,
        keeps_connections: bool = True,
        streams: bool = False,
    ) -> None:
        self._world = front_end
        self._streams = streams
        self._keeps_connections = keeps_connections
        self._recorder = recorder
        self._clients: dict[str, HttpServiceClient] = {}

    def play(self, row: Row) -> Told:
        """The status, or the name of the error, and the requests with real addresses taken out."""
        self._recorder.begin(
            [
                type(answer)(
                    answer.status, [(name, self._named(value)) for name, value in answer.headers], answer.body
                )
                for answer in row.answers
            ]
        )
        try:
            client = self._client(row)
        except HttpClientError as error:
            return type(error).__name__, []
        for method, url, call in row.calls:
            self._call(client, method, url, call)
        ends = self._call(client, row.method, row.url, row.call)
        requests = self._recorder.requests
        for each in requests:
            each.raw = self._recorder.unnamed(_with_one_boundary(each.raw))
            each.body = _with_one_boundary(each.body)
        return ends, requests

    def forget(self) -> None:
        """Empty the jars of all clients."""
        for client in self._clients.values():
            if client.cookies is not None:
                client.cookies.clear()

    def _call(self, client: HttpServiceClient, method: str, url: str, call: Mapping[str, Any]) -> int | str:
        made: list[Any] = []
        try:
            options = self._made(call, made)
            if self._streams:
                with self._world.stream(client, method, self._named(url), **options) as response:
                    response.read()
                    return int(response.status_code)
            return self._world.request(client, method, self._named(url), **options).status_code
        except HttpClientError as error:
            return type(error).__name__
        finally:
            for each in made:
                if isinstance(each, io.IOBase):
                    each.close()

    def _client(self, row: Row) -> HttpServiceClient:
        # A jar is the memory of one row.
        key = row.name if "cookies" in row.config else repr((row.config, row.base_url, row.environ))
        if key not in self._clients:
            while len(self._clients) >= _CLIENTS:
                self._world.close(self._clients.pop(next(iter(self._clients))))
            settings: dict[str, Any] = {"enable_circuit_breaker": False, "enable_retry_policy": False}
            pool = replace(
                row.config.get("connection_pool", ConnectionPoolConfig()), request_timeout=_PATIENCE
            )
            if not self._keeps_connections:
                pool = replace(pool, keep_alive_max_requests=1)
            settings |= {**row.config, "connection_pool": pool}
            base_url = None if row.base_url is None else self._named(row.base_url)
            environ = {name: self._named(value) for name, value in row.environ.items()}
            proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
            with patch.dict(os.environ, environ):
                for name in proxies - environ.keys():
                    del os.environ[name]
                self._clients[key] = self._world.client(base_url=base_url, **settings)
        return self._clients[key]

    def _made(self, value: Any, made: list[Any]) -> Any:
        """The value with what is to be fresh in it made; `made` takes note of that."""
        if isinstance(value, Fresh):
            made.append(value.make[self._world.name]())
            return made[-1]
        if type(value) is dict:
            return {name: self._made(inner, made) for name, inner in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._made(inner, made) for inner in value)
        return value

    def _named(self, text: str) -> str:
        return self._recorder.named(text)


def _with_one_boundary(raw: bytes) -> bytes:
    match = _BOUNDARY.search(raw)
    return raw if match is None else raw.replace(match[1], BOUNDARY.encode())


def all_names_are_loopback(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """`socket.getaddrinfo` for a world in which every host is this machine."""

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return look_up("127.0.0.1", port, socket.AF_INET, socket.SOCK_STREAM)

    return getaddrinfo
