"""The document's advanced configuration: each field is kept, and what can be seen from outside is done."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from configuration import create_optimized_http_config
from examples.local_services import Answer, ClientMaker, LocalServices, VirtualClock
from http_service_client import (
    HttpServiceClient,
    ResponseTooLargeError,
    Timeout,
    TooManyRedirectsError,
)

CHARGES = "https://api.payment-gateway.com/v1/charges"


def test_every_field_is_kept() -> None:
    """What the document gives can be read back by the name that it gave it under."""
    config = create_optimized_http_config()
    pool = config.connection_pool
    assert pool is not None
    given = {
        "max_connections": 200,
        "max_connections_per_host": 50,
        "connection_timeout": 5.0,
        "request_timeout": 30.0,
        "pool_timeout": 10.0,
        "keep_alive_timeout": 75.0,
        "keep_alive_max_requests": 1000,
        "ssl_verify": True,
        "ssl_cert_file": None,
        "ssl_key_file": None,
        "ssl_ca_file": None,
        "enable_compression": True,
        "compression_threshold": 1024,
    }
    assert {name: getattr(pool, name) for name in given} == given
    assert (config.base_timeout, config.connection_timeout) == (30.0, 5.0)
    assert config.circuit_breaker_config == {
        "failure_threshold": 5,
        "recovery_timeout": 60,
        "success_threshold": 3,
    }
    assert config.retry_policy_config == {"max_attempts": 3, "backoff_factor": 2.0, "max_delay": 60.0}
    assert (config.enable_circuit_breaker, config.enable_retry_policy) == (True, True)
    assert config.max_response_size == 10_485_760
    assert (config.enable_request_compression, config.enable_response_decompression) == (True, True)
    assert (config.allowed_redirect_count, config.trust_env_proxy_settings) == (3, True)


def test_the_fields_become_the_policies_and_the_timeout_of_a_client() -> None:
    """The mappings mean what a CircuitBreakerPolicy, a RetryPolicy and an ExponentialBackoff mean."""
    config = create_optimized_http_config()
    breaker, retry = config.circuit_breaker, config.retry
    assert breaker is not None
    assert retry is not None
    assert (breaker.failure_threshold, breaker.recovery_timeout, breaker.success_threshold) == (5, 60, 3)
    assert (retry.max_attempts, retry.backoff_strategy.backoff_factor, retry.backoff_strategy.max_delay) == (
        3,
        2.0,
        60.0,
    )  # type: ignore[attr-defined]  # an ExponentialBackoff
    assert config.timeout == Timeout(total=30.0, connect=5.0, pool=10.0)


@pytest.mark.asyncio
async def test_a_client_made_of_it_makes_its_calls(new_client: ClientMaker, services: LocalServices) -> None:
    """Three attempts with waits of at most 1 s and 2 s; a large body compressed, a small one not."""
    client = new_client(create_optimized_http_config())
    services.answer(Answer(503), Answer(503), Answer(body={"charge_id": "ch_1"}))
    response = await client.post_async(CHARGES, json={"note": "x" * 2000}, idempotent=True)
    assert (response.json(), response.attempts) == ({"charge_id": "ch_1"}, 3)
    assert [received.headers.get("Content-Encoding") for received in services.received] == ["gzip"] * 3
    assert services.received[0].json == {"note": "x" * 2000}
    await client.post_async(CHARGES, json={"note": "x"})
    assert "Content-Encoding" not in services.received[-1].headers
    assert "gzip" in services.received[-1].headers["Accept-Encoding"]


@pytest.mark.asyncio
async def test_its_circuit_opens_after_five_failures_for_sixty_seconds(
    new_client: ClientMaker, services: LocalServices, clock: VirtualClock
) -> None:
    """And three successes close it."""
    client = new_client(create_optimized_http_config())
    services.answer(Answer(500))
    for _ in range(5):
        await client.post_async(CHARGES)
    state = client.get_circuit_breaker_states
    assert state() == {"https://api.payment-gateway.com": "open"}
    clock.advance(60)
    services.answer(Answer())
    states = []
    for _ in range(3):
        await client.post_async(CHARGES)
        states += state().values()
    assert states == ["half_open", "half_open", "closed"]


@pytest.mark.asyncio
async def test_its_limits_on_redirects_and_size_hold() -> None:
    """The fourth redirect and the byte after 10 MiB are errors, over a plain client and its own transport."""

    async def redirect(request: web.Request) -> web.Response:
        left = int(request.match_info["left"])
        return (
            web.Response()
            if left == 0
            else web.Response(status=302, headers={"Location": f"/redirect/{left - 1}"})
        )

    async def large(request: web.Request) -> web.Response:
        return web.Response(body=bytes(10 * 1024 * 1024 + int(request.match_info["more"])))

    app = web.Application()
    app.router.add_get("/redirect/{left}", redirect)
    app.router.add_get("/large/{more}", large)
    async with TestServer(app) as server, HttpServiceClient(create_optimized_http_config()) as client:
        assert (await client.get_async(str(server.make_url("/redirect/3")))).status_code == 200
        with pytest.raises(TooManyRedirectsError):
            await client.get_async(str(server.make_url("/redirect/4")))
        assert len((await client.get_async(str(server.make_url("/large/0")))).content) == 10_485_760
        with pytest.raises(ResponseTooLargeError):
            await client.get_async(str(server.make_url("/large/1")))
