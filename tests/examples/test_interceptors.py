"""The document's three interceptors, registered as classes, through both front ends.

`registered` is the configuration that the document registers, `HttpClientConfig(...)` with both lists.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import interceptors
from examples.local_services import Answer, ClientMaker, LocalServices
from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient
from interceptors import AuthenticationInterceptor, LoggingInterceptor

pytestmark = pytest.mark.asyncio

CHARGES = "https://api.payment-gateway.com/v1/charges"
Post = Callable[..., Awaitable[HttpResponse]]


@pytest.fixture(params=["blocking", "async"])
def post(request: pytest.FixtureRequest) -> Post:
    """The verb of a front end. The blocking one is called in a thread, since the server lives in this one."""

    async def post_blocking(client: HttpServiceClient, url: str, **options: Any) -> HttpResponse:
        return await asyncio.to_thread(client.post, url, **options)

    return post_blocking if request.param == "blocking" else HttpServiceClient.post_async


class RateLimitInterceptor(interceptors.RateLimitInterceptor):
    """The example, with the method that it calls and does not have.

    waits: what it was asked for. The wait is short, while the limit it learnt of lasts for seconds.
    """

    WAIT = 0.05  # seconds

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def get_rate_limit_wait_time(self, service_key: str) -> float:
        self.waits.append(service_key)
        return self.WAIT


def registered(rate_limit: type = interceptors.RateLimitInterceptor) -> HttpClientConfig:
    """The document's lists, in its order."""
    return HttpClientConfig(
        request_interceptors=[AuthenticationInterceptor, rate_limit, LoggingInterceptor],
        response_interceptors=[LoggingInterceptor, rate_limit],
    )


@pytest.mark.parametrize(
    ("host", "header", "value"),
    [
        ("api.payment-gateway.com", "Authorization", "Bearer payment_api_key_here"),
        ("api.delivery-service.com", "X-API-Key", "delivery_api_key_here"),
        ("api.email-service.com", "Authorization", "Bearer email_api_key_here"),
    ],
)
async def test_each_service_gets_its_own_credentials(
    new_client: ClientMaker, services: LocalServices, post: Post, host: str, header: str, value: str
) -> None:
    """What the authentication interceptor sets is what goes out, over what the caller set."""
    await post(
        new_client(registered()), f"https://{host}/v1", json={}, headers={"Authorization": "Bearer mine"}
    )
    [received] = services.received
    assert received.headers[header] == value
    assert received.headers["User-Agent"] == "MariosPizzeria/1.0"
    assert len(received.headers["X-Request-ID"]) == 36


async def test_a_service_that_the_example_does_not_know_gets_no_credentials(
    new_client: ClientMaker, services: LocalServices, post: Post
) -> None:
    """The common headers only."""
    await post(new_client(registered()), "https://api.example.com/v1")
    [received] = services.received
    assert "Authorization" not in received.headers
    assert "X-API-Key" not in received.headers
    assert received.headers["User-Agent"] == "MariosPizzeria/1.0"


async def test_the_request_id_is_the_same_over_the_attempts_of_a_call_and_new_for_the_next(
    new_client: ClientMaker, services: LocalServices, post: Post
) -> None:
    """The context, and its `correlation_id`, live as long as the call."""
    client = new_client(registered())
    services.answer(Answer(503), Answer())
    await post(client, CHARGES, json={}, idempotent=True)
    await post(client, CHARGES, json={})
    first, second, third = [received.headers["X-Request-ID"] for received in services.received]
    assert first == second != third


async def test_the_log_tells_of_the_request_and_of_the_response(
    new_client: ClientMaker, services: LocalServices, post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    """Last before the wire and first after it: `context.start_time` is there, `request.json` as given."""
    services.answer(Answer(422, {"error": "no amount"}))
    await post(new_client(registered()), CHARGES, json={"order_id": "42"})
    log = capsys.readouterr().out.splitlines()
    assert log[0] == f" HTTP Request: POST {CHARGES}"
    assert log[1].startswith(" Headers: {")
    assert "'User-Agent': 'MariosPizzeria/1.0'" in log[1]
    assert log[2] == " Request Body: {'order_id': '42'}"
    assert log[3].startswith(" HTTP Response: 422 (0.")
    assert log[4] == " Response Size: 22 bytes"
    assert log[5] == ' Error Response: {"error": "no amount"}'
    assert len(log) == 6


async def test_the_log_has_each_attempt(
    new_client: ClientMaker, services: LocalServices, post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interceptors run once for each attempt."""
    services.answer(Answer(503), Answer())
    await post(new_client(registered()), CHARGES, json={}, idempotent=True)
    log = capsys.readouterr().out
    assert log.count(" HTTP Request: ") == log.count(" HTTP Response: ") == 2


async def test_each_class_is_made_once_though_it_is_listed_twice(new_client: ClientMaker) -> None:
    """One LoggingInterceptor and one RateLimitInterceptor for both lists, in the order of the first list."""
    made: list[type] = []

    def make(interceptor: type) -> object:
        made.append(interceptor)
        return interceptor()

    new_client(registered(), interceptor_factory=make)
    assert made == [AuthenticationInterceptor, interceptors.RateLimitInterceptor, LoggingInterceptor]


async def test_what_a_response_teaches_the_next_request_knows(
    new_client: ClientMaker, services: LocalServices, post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    """The 429 of the first attempt delays the second by the example's own `asyncio.sleep`, and no other service.

    In both front ends the sleep is a real one: a blocking call waits for the coroutine.
    """
    client = new_client(registered(RateLimitInterceptor))
    services.answer(Answer(429, headers={"Retry-After": "7"}), Answer(body={"charge_id": "ch_1"}))
    started = time.monotonic()
    response = await post(client, CHARGES, json={})
    elapsed = time.monotonic() - started
    assert (response.json(), response.attempts) == ({"charge_id": "ch_1"}, 2)
    assert elapsed >= RateLimitInterceptor.WAIT
    limited = " Rate limited for payment_gateway, waiting 0.05s"
    assert capsys.readouterr().out.splitlines().count(limited) == 1

    await post(client, "https://api.delivery-service.com/v2/deliveries", json={})
    assert "Rate limited" not in capsys.readouterr().out


async def test_a_429_without_retry_after_counts_as_a_minute(
    new_client: ClientMaker, services: LocalServices, post: Post
) -> None:
    """`response.headers.get(name, default)` and `context.request.url`, as the example uses them."""
    interceptor = RateLimitInterceptor()
    client = new_client(
        HttpClientConfig(
            request_interceptors=[interceptor],
            response_interceptors=[interceptor],
            enable_retry_policy=False,
        )
    )
    services.answer(Answer(429))
    before = time.time()
    assert (await post(client, CHARGES, json={})).status_code == 429
    assert interceptor.is_rate_limited("payment_gateway")
    tracker = interceptor.rate_limit_trackers["payment_gateway"]
    assert before + 60 <= tracker["retry_after"] <= time.time() + 60


async def test_the_example_as_written_lacks_the_wait_time_and_the_call_says_so(
    new_client: ClientMaker, services: LocalServices, post: Post
) -> None:
    """The example's own AttributeError ends the call, unchanged; it is no evidence against the service."""
    client = new_client(registered())
    services.answer(Answer(429, headers={"Retry-After": "7"}))
    with pytest.raises(AttributeError, match="get_rate_limit_wait_time"):
        await post(client, CHARGES, json={})
    assert len(services.received) == 1
    assert client.get_circuit_breaker_states() == {"https://api.payment-gateway.com": "closed"}
