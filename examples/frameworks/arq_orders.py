"""Reservations at a stock service, by arq: the queue retries, and the client does not.

    arq arq_orders.WorkerSettings
"""

from __future__ import annotations

import os
from typing import Any

from arq import Retry

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient, deadline
from http_service_client.integrations.task_queues import QUEUE_POLICY, retry_delay


async def open_client(ctx: dict[str, Any]) -> None:
    config = HttpClientConfig(base_timeout=10.0, enable_retry_policy=False)
    base_url = os.environ.get("STOCK_URL", "https://stock.internal")
    ctx["stock"] = await HttpServiceClient(config, base_url=base_url).__aenter__()


async def close_client(ctx: dict[str, Any]) -> None:
    await ctx["stock"].close_async(grace=10)


async def reserve(ctx: dict[str, Any], order: int) -> Any:
    """The id of the job is the same in all of its runs, so a reservation that was made is not made again."""
    stock: HttpServiceClient = ctx["stock"]
    try:
        with deadline(60.0):
            response = await stock.post_async(
                "/reservations", json={"order": order}, headers={"Idempotency-Key": ctx["job_id"]}
            )
        return response.raise_for_status().json()
    except HttpClientError as error:
        delay = retry_delay(error, ctx["job_try"], idempotent=True)
        if delay is None:
            raise
        raise Retry(defer=delay) from error


class WorkerSettings:
    functions = [reserve]
    on_startup = open_client
    on_shutdown = close_client
    job_timeout = 120  # seconds: above the deadline, so that the call ends first and says what became of it
    max_tries = QUEUE_POLICY.max_attempts
