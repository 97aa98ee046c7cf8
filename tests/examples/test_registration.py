"""The document's registration with neuroglia, and its import lines unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import http_service_client
from examples.document import (
    DOCUMENT,
    as_in_the_document,
    document_blocks,
    example_blocks,
    needs_the_document,
)
from examples.local_services import Answer, LocalServices
from examples.standins import HAS_NEUROGLIA
from http_service_client import ClientClosedError, HttpClientConfig, HttpServiceClient
from payment import PaymentGatewayService

if not HAS_NEUROGLIA:
    pytest.skip("neuroglia cannot be imported here", allow_module_level=True)

from neuroglia.dependency_injection import ServiceCollection
from neuroglia.hosting.web import WebApplicationBuilder

import registration
from http_service_client.integrations.neuroglia import install, uninstall
from interceptors import AuthenticationInterceptor, LoggingInterceptor, RateLimitInterceptor

# neuroglia.mvc imports rx 3, which calls a function that is deprecated since Python 3.12.
pytestmark = pytest.mark.filterwarnings("ignore:.*utcfromtimestamp:DeprecationWarning:rx")


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """neuroglia with the names that the document uses, and a collection that no other test's builder shares."""
    monkeypatch.setattr(WebApplicationBuilder, "services", ServiceCollection())
    install()
    yield
    uninstall()


def test_an_application_has_one_client_with_the_document_s_settings() -> None:
    """`create_app()` as it is; every request to the container returns the same client."""
    app = registration.create_app()
    client = app.services.get_service(HttpServiceClient)
    assert isinstance(client, HttpServiceClient)
    assert app.services.get_required_service(HttpServiceClient) is client
    assert client.config == HttpClientConfig(
        base_timeout=30.0,
        connection_timeout=5.0,
        max_connections=100,
        max_connections_per_host=20,
        enable_circuit_breaker=True,
        enable_retry_policy=True,
    )
    client.close()


@pytest.mark.asyncio
async def test_the_payment_service_finds_the_client_in_the_container_and_the_host_closes_it(
    services: LocalServices,
) -> None:
    """`service_provider.get_service(HttpServiceClient)` with a real provider, in a host that starts and stops."""
    app = registration.create_app()
    services.answer(Answer(body={"charge_id": "ch_1"}))
    async with app.router.lifespan_context(app):
        payment = PaymentGatewayService(app.services)
        payment.base_url = f"{services.url}/v1"
        assert (await payment.charge_customer("42", 25.99))["charge_id"] == "ch_1"
    with pytest.raises(ClientClosedError):
        await payment.http_client.get_async(services.url)


@pytest.mark.asyncio
@pytest.mark.parametrize("front_end", ["blocking", "async"])
async def test_the_registered_interceptors_are_the_container_s_own(
    services: LocalServices, front_end: str
) -> None:
    """`configure_http_interceptors` as it is: the client uses the singletons that the container hands out."""
    collection = ServiceCollection()
    registration.configure_http_interceptors(collection)
    provider = collection.build()
    client = provider.get_service(HttpServiceClient)
    # The URL names the gateway, in its path, as the interceptors look at the whole of it.
    url = f"{services.url}/payment-gateway.com/charges"
    services.answer(Answer(429, headers={"Retry-After": "100"}))
    try:
        if front_end == "async":
            response = await client.post_async(url, json={})
        else:
            response = await asyncio.to_thread(client.post, url, json={})
    finally:
        await client.close_async()
    assert response.status_code == 429
    [received] = services.received
    assert received.headers["Authorization"] == "Bearer payment_api_key_here"
    assert provider.get_service(RateLimitInterceptor).is_rate_limited("payment_gateway")
    for interceptor in (AuthenticationInterceptor, LoggingInterceptor, RateLimitInterceptor):
        assert provider.get_service(interceptor) is provider.get_service(interceptor)


IMPORT_LINES = sorted(
    {
        line
        for lines in example_blocks().values()
        for line in map(as_in_the_document, lines)
        if "neuroglia" in line
    }
)


@pytest.mark.parametrize("line", IMPORT_LINES)
def test_an_import_line_of_the_document_works_unchanged(line: str) -> None:
    """`install()` gives neuroglia.http the package's own objects; the rest is neuroglia's own."""
    names: dict[str, object] = {}
    exec(line, names)
    del names["__builtins__"]
    assert names
    if line.startswith("from neuroglia.http "):
        assert all(found is getattr(http_service_client, name) for name, found in names.items())


@needs_the_document
def test_the_document_is_one_program() -> None:
    """All its blocks in turn, not a letter changed, with only the names that it nowhere imports put before."""
    source = "\n".join(line for lines in document_blocks().values() for line in lines)
    program: dict[str, object] = {"__name__": "the_document"}
    exec(
        "import asyncio, time\n"
        "from neuroglia.dependency_injection import ServiceCollection\n"
        "from neuroglia.http import HttpRequest, HttpResponse, circuit_breaker, retry_policy\n",
        program,
    )
    exec(compile(source, str(DOCUMENT), "exec"), program)
    app = program["create_app"]()  # type: ignore[operator]  # a function of the document
    payment = program["PaymentGatewayService"](app.services)  # type: ignore[operator]  # a class of the document
    assert isinstance(payment.http_client, HttpServiceClient)
    assert program["DeliveryTrackingService"](app.services).circuit_breaker.timeout == 10.0  # type: ignore[operator]
    assert program["NotificationService"](app.services).retry_policy.max_attempts == 3  # type: ignore[operator]
    assert program["create_optimized_http_config"]().pool.max_connections == 200  # type: ignore[operator]
    payment.http_client.close()
