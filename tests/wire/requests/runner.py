"""Makes a row's call with one front end, and returns the recorded requests."""

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
from wire.requests.rows import BOUNDARY, PerCall, Row

__all__ = ["Result", "Runner", "all_names_are_loopback"]

_TIMEOUT = 10.0  # seconds; nothing here should wait
_CLIENTS = 20  # open at once at most, since each holds connections

Result = tuple["int | str", list[Recorded]]
_BOUNDARY = re.compile(rb"boundary=([0-9a-f]{32})")


class Runner:
    """One front end that calls the recorder. It keeps a client for the rows that have the same settings.

    keeps_connections: whether a request may use the connection of the one before: code of its own sends it there.
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
        self._front_end = front_end
        self._streams = streams
        self._keeps_connections = keeps_connections
        self._recorder = recorder
        self._clients: dict[str, HttpServiceClient] = {}

    def run(self, row: Row) -> Result:
        """The status, or the name of the error, and the requests without real addresses."""
        self._recorder.reset(
            [
                replace(
                    response, headers=[(name, self._with_ports(value)) for name, value in response.headers]
                )
                for response in row.responses
            ]
        )
        try:
            client = self._client(row)
        except HttpClientError as error:
            return type(error).__name__, []
        for method, url, call in row.earlier_calls:
            self._call(client, method, url, call)
        result = self._call(client, row.method, row.url, row.call)
        requests = self._recorder.requests
        for each in requests:
            each.raw = self._recorder.without_ports(_with_one_boundary(each.raw))
            each.body = _with_one_boundary(each.body)
        return result, requests

    def clear_cookies(self) -> None:
        """Empty the cookie jars of all clients."""
        for client in self._clients.values():
            if client.cookies is not None:
                client.cookies.clear()

    def _call(self, client: HttpServiceClient, method: str, url: str, call: Mapping[str, Any]) -> int | str:
        made: list[Any] = []
        try:
            options = self._values_made(call, made)
            if self._streams:
                with self._front_end.stream(client, method, self._with_ports(url), **options) as response:
                    response.read()
                    return int(response.status_code)
            return self._front_end.request(client, method, self._with_ports(url), **options).status_code
        except HttpClientError as error:
            return type(error).__name__
        finally:
            for each in made:
                if isinstance(each, io.IOBase):
                    each.close()

    def _client(self, row: Row) -> HttpServiceClient:
        # A row with a jar has a client of its own: a jar remembers.
        key = row.name if "cookies" in row.config else repr((row.config, row.base_url, row.environ))
        if key not in self._clients:
            while len(self._clients) >= _CLIENTS:
                self._front_end.close(self._clients.pop(next(iter(self._clients))))
            settings: dict[str, Any] = {"enable_circuit_breaker": False, "enable_retry_policy": False}
            pool = replace(
                row.config.get("connection_pool", ConnectionPoolConfig()), request_timeout=_TIMEOUT
            )
            if not self._keeps_connections:
                pool = replace(pool, keep_alive_max_requests=1)
            settings |= {**row.config, "connection_pool": pool}
            base_url = None if row.base_url is None else self._with_ports(row.base_url)
            environ = {name: self._with_ports(value) for name, value in row.environ.items()}
            proxies = {name for name in os.environ if name.lower().endswith("_proxy")}
            with patch.dict(os.environ, environ):
                for name in proxies - environ.keys():
                    del os.environ[name]
                self._clients[key] = self._front_end.client(base_url=base_url, **settings)
        return self._clients[key]

    def _values_made(self, value: Any, made: list[Any]) -> Any:
        """The value with each `PerCall` in it replaced by a new value, which is added to `made`."""
        if isinstance(value, PerCall):
            made.append(value.make[self._front_end.name]())
            return made[-1]
        if type(value) is dict:
            return {name: self._values_made(inner, made) for name, inner in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._values_made(inner, made) for inner in value)
        return value

    def _with_ports(self, text: str) -> str:
        return type(text)(self._recorder.with_ports(text))  # a RawUrl stays one


def _with_one_boundary(raw: bytes) -> bytes:
    match = _BOUNDARY.search(raw)
    return raw if match is None else raw.replace(match[1], BOUNDARY.encode())


def all_names_are_loopback(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """A `socket.getaddrinfo` to which every host is this machine."""

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return look_up("127.0.0.1", port, socket.AF_INET, socket.SOCK_STREAM)

    return getaddrinfo
