"""Reservations at a stock service, by Celery: the queue retries, and the client does not.

    celery --app celery_orders worker
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient, deadline
from http_service_client.integrations.task_queues import retry_delay

app = Celery("orders", broker=os.environ.get("BROKER_URL", "redis://localhost"))
app.conf.task_acks_late = True  # a worker that dies gives the task back

# Made at import: each worker process opens connections of its own after the fork.
stock = HttpServiceClient(
    HttpClientConfig(base_timeout=10.0, enable_retry_policy=False),
    base_url=os.environ.get("STOCK_URL", "https://stock.internal"),
)


@app.task(bind=True, max_retries=None)
def reserve(self: Task, order: int) -> Any:
    """The id of the task is the same in all of its runs, so a reservation that was made is not made again."""
    try:
        with deadline(60.0):
            response = stock.post(
                "/reservations", json={"order": order}, headers={"Idempotency-Key": self.request.id}
            )
        return response.raise_for_status().json()
    except HttpClientError as error:
        delay = retry_delay(error, self.request.retries + 1, idempotent=True)
        if delay is None:
            raise
        raise self.retry(exc=error, countdown=delay) from error
