"""What type checkers know of policies, contexts and options. mypy reads this file; nothing runs it."""

from __future__ import annotations

from functools import partial

from typing_extensions import Unpack, assert_type

from http_service_client import (
    BulkheadPolicy,
    CircuitBreakerPolicy,
    HttpContext,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    Priority,
    RequestOptions,
    RetryPolicy,
    gather,
    gather_in_threads,
    priority,
)


def twice(number: int, *, plus: int = 0) -> int:
    return 2 * number + plus


async def twice_async(number: int) -> int:
    return 2 * number


async def calls_keep_the_types_of_the_function() -> None:
    for policy in (RetryPolicy(), CircuitBreakerPolicy(), BulkheadPolicy(5)):
        assert_type(policy.call(twice, 1, plus=2), int)
        assert_type(await policy.call_async(twice_async, 1), int)
    RetryPolicy().call(twice, "1")  # type: ignore[arg-type]  # refused
    CircuitBreakerPolicy().call(twice, 1, minus=2)  # type: ignore[call-arg]  # refused
    assert_type(RetryPolicy().apply(twice)(1), int)


def bulkheads_and_priorities_know_their_settings() -> None:
    policy = BulkheadPolicy(5, partitions={"web": 0.5}, partition_by="priority")
    policy.reconfigure(max_concurrent=6, max_wait=None)
    policy.reconfigure(max_concurrent="6")  # type: ignore[arg-type]  # refused
    policy.reconfigure(size=6)  # type: ignore[call-arg]  # refused
    BulkheadPolicy(5, partition_by="tenant")  # type: ignore[arg-type]  # refused
    with priority("low") as block:
        assert_type(block.level, Priority)
    priority("urgent")  # type: ignore[arg-type]  # refused


async def gathered_results_have_the_type_of_one(client: HttpServiceClient) -> None:
    assert_type(await gather(client.get_async(url) for url in ["/a", "/b"]), list[HttpResponse[None]])
    assert_type(await gather([lambda: twice_async(1)], return_exceptions=True), list[int | BaseException])
    assert_type(gather_in_threads([partial(twice, 1)], at_once=2), list[int])
    gather_in_threads([twice(1)])  # type: ignore[arg-type]  # refused: it was called already


class Timed:
    """An interceptor with an attribute of its own."""

    def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
        context.started = 1.0
        assert_type(context.attempt, int)
        return request


def fetch(client: HttpServiceClient, **options: Unpack[RequestOptions]) -> HttpResponse:
    return client.get("/", **options)


def assignments(client: HttpServiceClient, breaker: CircuitBreakerPolicy, bulkhead: BulkheadPolicy) -> None:
    """Settings are changed by methods; assignments of them are rejected, as they are when the program runs."""
    client.timeout = 5.0  # type: ignore[attr-defined]
    breaker.failure_threshold = 5  # type: ignore[misc]
    bulkhead.max_concurrent = 5  # type: ignore[attr-defined]
    bulkhead.name = "reports"  # type: ignore[misc]
    bulkhead.reconfigure(max_concurrent=5)
