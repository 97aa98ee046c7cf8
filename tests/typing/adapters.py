"""What type checkers know of the adapters. mypy reads this file; nothing runs it."""

from __future__ import annotations

import aiohttp
import requests
from typing_extensions import assert_type

from http_service_client import HttpClientConfig, HttpServiceClient
from http_service_client.integrations import ResilientAdapter, explain, resilience_middleware


async def adapters_fit_the_sessions_of_their_libraries(client: HttpServiceClient) -> None:
    session = requests.Session()
    adapter = ResilientAdapter(HttpClientConfig(total_timeout=30.0))
    session.mount("https://", adapter)
    assert_type(adapter.client, HttpServiceClient)
    assert_type(explain(session.get("https://api.example.com")), str)
    middleware = resilience_middleware(client=client, idempotent=lambda request: "/search" in request.url)
    async with aiohttp.ClientSession(middlewares=[middleware]) as http:
        assert_type(explain(await http.get("https://api.example.com")), str)
    ResilientAdapter(client)  # type: ignore[arg-type]  # refused
    resilience_middleware(read_bodies="yes")  # type: ignore[arg-type]  # refused
