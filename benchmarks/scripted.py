"""Calls without a network: the cost of the core and the drivers, and of each promise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import requests

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpResponse, HttpServiceClient

from .blocking_peers import RAW, raw_socket
from .clients import OURS, Forgetful, OnLoop, Slow, Tenant, our_config, repeated
from .measuring import Work
from .scenarios import Scenario
from .server import JSON

URL = "https://api.example.com/orders/42"


@contextmanager
def drivers(base: str) -> Iterator[dict[str, Work]]:
    """A call by each driver. For comparison, a GET over a connection, by ours, by requests and by a bare socket."""
    scenario = Scenario(f"{base}/orders/42")
    script = Forgetful(HttpResponse(200, content=JSON))
    blocking_client = HttpServiceClient(our_config(), transport=script)
    async_client = HttpServiceClient(our_config(), transport=script)
    with ExitStack() as stack, OnLoop() as on_loop:
        ours = stack.enter_context(HttpServiceClient(our_config()))
        session = stack.enter_context(requests.Session())
        yield {
            "blocking driver": repeated(lambda: blocking_client.get(URL)),
            "asyncio driver": on_loop.repeated(lambda: async_client.get_async(URL)),
            OURS: repeated(lambda: ours.get(scenario.url).json()),
            "requests": repeated(lambda: session.get(scenario.url)),
            RAW: repeated(raw_socket(stack, scenario)),
        }


@contextmanager
def promises(base: str) -> Iterator[dict[str, Work]]:
    """A call over the scripted transport with everything on, and with one promise less or more each time."""
    response = HttpResponse(200, content=JSON)

    class Waiting(Tenant):
        async def intercept_request(self, request: Any, context: Any) -> Any:
            return request

    configs = {
        "everything on": our_config(),
        "no circuit breaker": our_config(enable_circuit_breaker=False),
        "no retries": our_config(enable_retry_policy=False),
        "no retry budget": our_config(enable_retry_budget=False),
        "no timeout": our_config(connection_pool=ConnectionPoolConfig(request_timeout=None)),
        "no interceptors": HttpClientConfig(),
        "a deadline too": our_config(total_timeout=10.0),
        "an async interceptor too": HttpClientConfig(
            request_interceptors=[Tenant, Waiting], response_interceptors=[Slow]
        ),
    }
    clients = {
        name: HttpServiceClient(config, transport=Forgetful(response)) for name, config in configs.items()
    }
    yield {name: repeated(partial(client.get, URL)) for name, client in clients.items()}
