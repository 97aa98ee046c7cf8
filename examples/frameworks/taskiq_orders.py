"""Reservations at a stock service, by taskiq: the queue retries, and the client does not.

    taskiq worker taskiq_orders:broker
"""

from __future__ import annotations

import os
from typing import Annotated, Any

from taskiq import Context, InMemoryBroker, SmartRetryMiddleware, TaskiqDepends, TaskiqEvents, TaskiqState
from taskiq.exceptions import NoResultError
from taskiq.kicker import AsyncKicker
from taskiq.message import TaskiqMessage
from taskiq.result import TaskiqResult

from http_service_client import HttpClientConfig, HttpServiceClient, deadline
from http_service_client.integrations.task_queues import retry_delay


class RetryFailedCalls(SmartRetryMiddleware):
    """Runs a task again when its call failed, if that is safe and of use, after as long as the service asked for.

    As its base class, it sends the delay with the task, or needs a `schedule_source` where the broker knows no delays.
    """

    async def on_error(
        self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException
    ) -> None:
        run = int(message.labels.get("_retries", 0)) + 1
        idempotent = str(message.labels.get("idempotent")).lower() == "true"
        delay = retry_delay(exception, run, idempotent=idempotent)
        if delay is None:
            return
        task: AsyncKicker[Any, Any] = AsyncKicker(message.task_name, self.broker, message.labels)
        await self.on_send(task.with_task_id(message.task_id).with_labels(_retries=run), message, delay)
        result.error = NoResultError()  # the result is that of the last run


broker = InMemoryBroker().with_middlewares(RetryFailedCalls())  # in production RabbitMQ, Redis, NATS, …


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_client(state: TaskiqState) -> None:
    config = HttpClientConfig(base_timeout=10.0, enable_retry_policy=False)
    base_url = os.environ.get("STOCK_URL", "https://stock.internal")
    state.stock = await HttpServiceClient(config, base_url=base_url).__aenter__()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_client(state: TaskiqState) -> None:
    await state.stock.close_async(grace=10)


@broker.task(idempotent=True)
async def reserve(order: int, context: Annotated[Context, TaskiqDepends()]) -> Any:
    """The id of the task is the same in all of its runs, so a reservation that was made is not made again."""
    stock: HttpServiceClient = context.state.stock
    with deadline(60.0):
        response = await stock.post_async(
            "/reservations", json={"order": order}, headers={"Idempotency-Key": context.message.task_id}
        )
    return response.raise_for_status().json()
