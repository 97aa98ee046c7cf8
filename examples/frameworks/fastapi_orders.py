"""Orders that ask a stock service, with FastAPI; all of it but the annotations holds for Starlette too.

One client for the application, made and closed by its lifespan. Each request is handled within the time of its caller,
and a failure of the stock service becomes a 502, 503 or 504.

    uvicorn fastapi_orders:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient, Propagation
from http_service_client.integrations.asgi import DeadlineMiddleware, HealthEndpoint
from http_service_client.integrations.error_responses import error_response

CONFIG = HttpClientConfig(base_timeout=5.0, propagation=Propagation())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    base_url = os.environ.get("STOCK_URL", "https://stock.internal")
    async with HttpServiceClient(CONFIG, base_url=base_url) as client:
        app.state.stock = client
        yield
        await client.close_async(grace=10)  # what is still in flight may end


def stock_client(request: Request) -> HttpServiceClient:
    """For tests: `app.dependency_overrides[stock_client] = lambda: a_client`."""
    client: HttpServiceClient = request.app.state.stock
    return client


Stock = Annotated[HttpServiceClient, Depends(stock_client)]

app = FastAPI(lifespan=lifespan)
app.add_middleware(DeadlineMiddleware, max_timeout=30.0)
app.mount("/health/clients", HealthEndpoint(lambda: app.state.stock))  # for a readiness probe


@app.exception_handler(HttpClientError)
async def a_service_behind_failed(request: Request, error: HttpClientError) -> Response:
    response = error_response(error)
    if response is None:
        raise error  # a bug of ours: FastAPI's 500, and its log
    return Response(response.body, response.status, response.headers)


@app.get("/orders/{order}")
async def show_order(order: int, stock: Stock) -> Any:
    items = await stock.get_async("/items/{order}", path_params={"order": order})
    return items.raise_for_status().json()


@app.get("/reports/{order}")
def show_report(order: int, stock: Stock) -> Any:
    """A plain function runs on a thread, with the context of its request: blocking calls, the same deadline."""
    return stock.get("/items/{order}", path_params={"order": order}).raise_for_status().json()
