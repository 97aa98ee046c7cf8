"""neuroglia: the host closes the client of its application."""

from __future__ import annotations

import asyncio
import linecache
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from http_service_client import ClientClosedError, HttpServiceClient
from http_service_client.core.deadline import AMBIENT_DEADLINE, remaining
from http_service_client.integrations.asgi import DeadlineMiddleware
from http_service_client.integrations.neuroglia import add_http_service_client

pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)

from neuroglia.dependency_injection import ServiceProviderBase
from neuroglia.hosting.abstractions import Host, HostedService

from kit.neuroglia_apps import (
    Interceptor,
    ServiceCollection,
    WebApplicationBuilder,
    built_app,
    intercepted,
    is_closed,
)


@pytest.fixture
def echo_server() -> Iterator[str]:
    """The URL of a server on loopback that responds with the Authorization header of the request."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.headers["Authorization"].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class TestTheHost:
    """The host closes the client, by neuroglia's hosted services."""

    @pytest.mark.asyncio
    async def test_closes_the_client_when_it_stops(self) -> None:
        """By the lifespan that a server runs."""
        app = built_app()
        client = app.services.get_service(HttpServiceClient)
        async with app.router.lifespan_context(app):
            assert not await is_closed(client)
        assert await is_closed(client)

    @pytest.mark.asyncio
    async def test_closes_sync_and_async_connections(self, echo_server: str) -> None:
        """No ResourceWarning, which would be an error, is left of those that were opened while it ran."""
        builder = WebApplicationBuilder()
        add_http_service_client(builder.services, base_url=echo_server)
        app = builder.build()
        async with app.router.lifespan_context(app):
            client = app.services.get_service(HttpServiceClient)
            assert (await client.get_async("/", auth="async")).text == "Bearer async"
            assert (await asyncio.to_thread(client.get, "/", auth="plain")).text == "Bearer plain"
        with pytest.raises(ClientClosedError):
            await client.get_async("/")

    @pytest.mark.asyncio
    async def test_closes_the_client_of_build_app_with_lifespan(self) -> None:
        """The lifespan of that method starts and stops hosted services too."""
        builder = WebApplicationBuilder()
        add_http_service_client(builder.services, intercepted(Interceptor))
        app = builder.build_app_with_lifespan(title="Marios")
        async with app.router.lifespan_context(app):
            client = app.state.services.get_service(HttpServiceClient)
        assert await is_closed(client)

    @pytest.mark.asyncio
    async def test_makes_no_client_only_to_close_it(self) -> None:
        """An application that never resolved the client stops without one."""
        app = built_app()
        async with app.router.lifespan_context(app):
            pass
        assert Interceptor.made == 0

    @pytest.mark.asyncio
    async def test_closes_only_the_client_of_its_application(self) -> None:
        """Builders share one collection, but each provider has its own client."""
        apps = [built_app(), built_app()]
        first, second = (app.services.get_service(HttpServiceClient) for app in apps)
        async with apps[0].router.lifespan_context(apps[0]):
            pass
        assert await is_closed(first)
        assert not await is_closed(second)

    @pytest.mark.asyncio
    async def test_runs_twice_with_a_client_each_time(self) -> None:
        """`create_app()` may run twice in a process, on the shared collection: each app has its own client."""
        clients = []
        for _ in range(2):
            app = built_app()
            async with app.router.lifespan_context(app):
                client = app.services.get_service(HttpServiceClient)
                assert not await is_closed(client)
            assert await is_closed(client)
            clients.append(client)
        assert clients[0] is not clients[1]

    @pytest.mark.asyncio
    async def test_runs_the_other_hosted_services_as_well(self) -> None:
        """Also those registered after ours with a factory `-> HostedService`: ours is not mistaken for one."""
        steps: list[str] = []

        class Worker(HostedService):
            async def start_async(self) -> None:
                steps.append("started")

            async def stop_async(self) -> None:
                steps.append("stopped")

        def worker(provider: ServiceProviderBase):  # type: ignore[no-untyped-def]  # annotated below
            return Worker()

        worker.__annotations__["return"] = HostedService
        services = add_http_service_client(ServiceCollection(), intercepted(Interceptor))
        services.add_singleton(HostedService, implementation_factory=worker)
        host = Host(services.build())
        client = host.services.get_service(HttpServiceClient)
        await host.start_async()
        await host.stop_async()
        assert steps == ["started", "stopped"]
        assert await is_closed(client)

    @pytest.mark.asyncio
    async def test_warns_of_a_service_that_neuroglia_would_skip(self) -> None:
        """A factory without annotation that is registered after ours would never run; neuroglia's line is named."""
        services = add_http_service_client(ServiceCollection(), intercepted(Interceptor))
        services.add_singleton(HostedService, implementation_factory=lambda provider: HostedService())
        with pytest.warns(RuntimeWarning, match="annotate that factory, or register it before") as warned:
            await Host(services.build()).start_async()
        assert "implementation_factory(" in linecache.getline(warned[0].filename, warned[0].lineno)

    @pytest.mark.asyncio
    async def test_does_not_warn_of_other_services(self) -> None:
        """Those that are no hosted services, and a hosted one whose class is known."""

        class Worker(HostedService):
            pass

        services = add_http_service_client(ServiceCollection(), intercepted(Interceptor))
        services.add_singleton(list, implementation_factory=lambda provider: [])
        services.add_singleton(HostedService, Worker)
        await Host(services.build()).start_async()  # a warning would be an error

    @pytest.mark.asyncio
    async def test_runs_a_service_without_annotation_that_came_before(self) -> None:
        """The order that the warning recommends works."""
        started: list[bool] = []

        class Worker(HostedService):
            async def start_async(self) -> None:
                started.append(True)

        services = ServiceCollection()
        services.add_singleton(HostedService, implementation_factory=lambda provider: Worker())
        host = Host(add_http_service_client(services, intercepted(Interceptor)).build())
        client = host.services.get_service(HttpServiceClient)
        await host.start_async()
        await host.stop_async()
        assert started == [True]
        assert await is_closed(client)


class TestARequestToTheHost:
    """A web application of neuroglia is one of FastAPI."""

    @pytest.mark.asyncio
    async def test_is_handled_within_the_time_of_its_caller(self) -> None:
        """With the middleware for ASGI, as anywhere."""
        app = WebApplicationBuilder().build()
        app.add_middleware(DeadlineMiddleware)
        left: list[float | None] = []

        @app.get("/orders")
        async def show_orders() -> None:
            left.append(remaining(time.monotonic, AMBIENT_DEADLINE.get()))

        async def send(message: Any) -> None:
            pass

        headers = [(b"x-request-timeout-ms", b"2000")]
        scope = {"type": "http", "method": "GET", "path": "/orders", "query_string": b"", "headers": headers}
        await app(scope, None, send)
        assert left[0] is not None
        assert 0 < left[0] <= 2.0
