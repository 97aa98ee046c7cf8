"""Orders that ask a stock service, with Litestar.

    litestar --app litestar_orders:app run
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, asgi, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath
from litestar.types import Receive, Scope, Send

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient, Propagation
from http_service_client.integrations.asgi import DeadlineMiddleware, HealthEndpoint
from http_service_client.integrations.error_responses import error_response

CONFIG = HttpClientConfig(base_timeout=5.0, propagation=Propagation())


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    base_url = os.environ.get("STOCK_URL", "https://stock.internal")
    async with HttpServiceClient(CONFIG, base_url=base_url) as client:
        app.state.stock = client
        yield
        await client.close_async(grace=10)


def stock_client(state: State) -> HttpServiceClient:
    client: HttpServiceClient = state.stock
    return client


def a_service_behind_failed(request: Request[Any, Any, Any], error: HttpClientError) -> Response[bytes]:
    response = error_response(error)
    if response is None:
        raise error
    return Response(response.body, status_code=response.status, headers=response.headers)


@get("/orders/{order:int}")
async def show_order(order: FromPath[int], stock: NamedDependency[HttpServiceClient]) -> Any:
    items = await stock.get_async("/items/{order}", path_params={"order": order})
    return items.raise_for_status().json()


@get("/reports/{order:int}", sync_to_thread=True)
def show_report(order: FromPath[int], stock: NamedDependency[HttpServiceClient]) -> Any:
    """A plain function on a thread, with the context of its request."""
    return stock.get("/items/{order}", path_params={"order": order}).raise_for_status().json()


health = HealthEndpoint(lambda: app.state.stock)


@asgi("/health/clients", is_mount=True, copy_scope=True)
async def show_health(scope: Scope, receive: Receive, send: Send) -> None:
    """For a readiness probe."""
    await health(scope, receive, send)


app = Litestar(
    [show_order, show_report, show_health],
    lifespan=[lifespan],
    dependencies={"stock": Provide(stock_client, sync_to_thread=False)},
    middleware=[DefineMiddleware(DeadlineMiddleware, max_timeout=30.0)],
    exception_handlers={HttpClientError: a_service_behind_failed},
)
