"""neuroglia: the document's registration code runs as written, with one client that the host closes."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

try:
    from neuroglia.dependency_injection import ServiceCollection, ServiceProviderBase
    from neuroglia.hosting.abstractions import ApplicationBuilderBase, Host, HostedService
    from neuroglia.hosting.web import WebApplicationBuilder
except Exception as error:  # on a Python that is too new for it, not always an ImportError
    pytest.skip(f"neuroglia cannot be imported here: {error!r}", allow_module_level=True)

with warnings.catch_warnings():
    # Imported by the first build(): rx 3.2, which neuroglia pins, calls datetime.utcfromtimestamp.
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("neuroglia.mvc.controller_base")

import http_service_client
from http_service_client import (
    ClientClosedError,
    ConfigurationError,
    HttpClientConfig,
    HttpMetrics,
    HttpResponse,
    HttpServiceClient,
)
from http_service_client.integrations import neuroglia as integration
from http_service_client.integrations.neuroglia import add_http_service_client, install, uninstall


class Interceptor:
    """Passes everything on; knows how often one was made."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def intercept_request(self, request: Any, context: Any) -> Any:
        return HttpResponse(200, content=b"intercepted")


class Settings:
    """Something that only the container can hand out."""


class NeedsSettings:
    """An interceptor that the container has to build."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def intercept_request(self, request: Any, context: Any) -> Any:
        return HttpResponse(200, content=type(self.settings).__name__.encode())


class NeedsTheClient:
    """An interceptor that asks for the client that it is to be part of."""

    def __init__(self, client: HttpServiceClient) -> None:
        self.client = client

    def intercept_request(self, request: Any, context: Any) -> Any:
        return request


@pytest.fixture(autouse=True)
def _own_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """All builders share one collection; here each test has its own."""
    monkeypatch.setattr(ApplicationBuilderBase, "services", ServiceCollection())
    monkeypatch.setattr(Interceptor, "made", 0)


@pytest.fixture
def installed() -> Iterator[None]:
    """neuroglia as the document knows it."""
    install()
    yield
    uninstall()


@pytest.fixture
def echo_server() -> Iterator[str]:
    """The URL of a server on loopback that answers with the Authorization header."""

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


async def is_closed(client: HttpServiceClient) -> bool:
    """Whether the client refuses calls. Give it an `Interceptor`, so that a call needs no network."""
    try:
        return (await client.get_async("https://localhost.invalid")).text != "intercepted"
    except ClientClosedError:
        return True


def intercepted(*interceptors: Any) -> HttpClientConfig:
    return HttpClientConfig(request_interceptors=list(interceptors))


class TestTheClient:
    """One client, with the settings that it was registered with."""

    def test_is_the_same_for_everybody_who_asks(self) -> None:
        """Provider, scopes and injected services all see one object."""
        services = add_http_service_client(ServiceCollection())
        provider = services.build()
        client = provider.get_service(HttpServiceClient)
        scope = provider.create_scope()
        assert isinstance(client, HttpServiceClient)
        assert provider.get_required_service(HttpServiceClient) is client
        assert scope.get_service(HttpServiceClient) is client
        assert provider.get_services(HttpServiceClient) == [client]
        assert scope.get_services(HttpServiceClient) == [client]

    def test_is_made_once_however_many_threads_ask(self) -> None:
        """16 threads at once, through the provider and through scopes: one client, one interceptor."""

        provider = add_http_service_client(ServiceCollection(), intercepted(Interceptor)).build()
        barrier, clients = threading.Barrier(16), []

        def ask(through: Callable[[], Any]) -> None:
            barrier.wait()
            clients.append(through())

        askers = [
            lambda: provider.get_service(HttpServiceClient),
            lambda: provider.create_scope().get_service(HttpServiceClient),
            lambda: provider.create_scope().get_services(HttpServiceClient)[0],
            lambda: provider.get_required_service(HttpServiceClient),
        ] * 4
        threads = [threading.Thread(target=ask, args=(asker,)) for asker in askers]
        before = sys.getswitchinterval()
        sys.setswitchinterval(5e-6)  # so that races show
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=30)
        finally:
            sys.setswitchinterval(before)
        assert len(clients) == 16
        assert len({id(client) for client in clients}) == 1
        assert Interceptor.made == 1

    def test_belongs_to_one_application(self) -> None:
        """Two providers of one collection are two applications; each has its own client."""
        services = add_http_service_client(ServiceCollection())
        first, second = services.build(), services.build()
        assert first.get_service(HttpServiceClient) is not second.get_service(HttpServiceClient)

    def test_survives_the_end_of_a_scope(self) -> None:
        """A request's scope disposes of what is its own; the client is not."""
        provider = add_http_service_client(ServiceCollection(), intercepted(Interceptor)).build()
        scope = provider.create_scope()
        client = scope.get_service(HttpServiceClient)
        scope.get_services(HttpServiceClient)
        scope.dispose()
        assert client.get("https://localhost.invalid").text == "intercepted"

    def test_has_the_settings_it_was_registered_with(self) -> None:
        """The config, which the container hands out as well, and the client's further options."""
        config, metrics = HttpClientConfig(max_connections=7), HttpMetrics()
        provider = add_http_service_client(ServiceCollection(), config, metrics=metrics).build()
        client = provider.get_service(HttpServiceClient)
        assert client.config is config
        assert client.metrics is metrics
        assert provider.get_service(HttpClientConfig) is config

    def test_takes_the_config_that_the_container_has(self) -> None:
        """Without a config of its own, the registered one counts; without either, the defaults."""
        config = HttpClientConfig(max_connections=7)
        services = ServiceCollection().add_singleton(HttpClientConfig, singleton=config)
        assert add_http_service_client(services).build().get_service(HttpServiceClient).config is config
        provider = add_http_service_client(ServiceCollection()).build()
        assert provider.get_service(HttpServiceClient).config == HttpClientConfig()
        assert provider.get_service(HttpClientConfig) == HttpClientConfig()


class TestInterceptors:
    """Classes in the config become objects of the container."""

    def test_come_from_the_container(self) -> None:
        """The client uses the object that the application gets too, with what it depends on."""
        services = ServiceCollection().add_singleton(Settings).add_singleton(NeedsSettings)
        provider = add_http_service_client(services, intercepted(NeedsSettings)).build()
        interceptor = provider.get_service(NeedsSettings)
        response = provider.get_service(HttpServiceClient).get("https://localhost.invalid")
        assert response.text == "Settings"
        assert provider.get_service(NeedsSettings) is interceptor

    def test_are_called_where_the_container_does_not_know_them(self) -> None:
        """A class that needs nothing need not be registered."""
        provider = add_http_service_client(ServiceCollection(), intercepted(Interceptor)).build()
        assert provider.get_service(HttpServiceClient).get("https://localhost.invalid").text == "intercepted"

    def test_may_be_made_by_a_factory_of_ones_own(self) -> None:
        """An `interceptor_factory` among the options takes the container's place."""
        made: list[type] = []

        def make(cls: type) -> Any:
            made.append(cls)
            return Interceptor()

        services = add_http_service_client(
            ServiceCollection(), intercepted(NeedsSettings), interceptor_factory=make
        )
        services.build().get_service(HttpServiceClient)
        assert made == [NeedsSettings]

    def test_that_the_container_cannot_make_are_named(self) -> None:
        """The container's complaint comes with the interceptor that it is about."""
        services = ServiceCollection().add_singleton(NeedsSettings)
        provider = add_http_service_client(services, intercepted(NeedsSettings)).build()
        with pytest.raises(ConfigurationError, match=r"the interceptor NeedsSettings: .*'Settings'"):
            provider.get_service(HttpServiceClient)

    def test_of_one_request_are_refused(self) -> None:
        """A scoped interceptor cannot be part of a client that outlives the scope."""
        services = ServiceCollection().add_scoped(Interceptor)
        provider = add_http_service_client(services, intercepted(Interceptor)).build()
        with pytest.raises(ConfigurationError, match=r"the interceptor Interceptor: .*scoped"):
            provider.get_service(HttpServiceClient)

    def test_that_need_the_client_are_refused(self) -> None:
        """A circle is an error that says so, not a recursion without end; and the next try fails alike."""
        services = ServiceCollection().add_singleton(NeedsTheClient)
        provider = add_http_service_client(services, intercepted(NeedsTheClient)).build()
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="cannot depend on the HttpServiceClient"):
                provider.get_service(HttpServiceClient)

    def test_may_be_put_right_after_a_failure(self) -> None:
        """A client that could not be made is made when it can be."""
        services = ServiceCollection().add_singleton(NeedsSettings)
        provider = add_http_service_client(services, intercepted(NeedsSettings)).build()
        with pytest.raises(ConfigurationError):
            provider.get_service(HttpServiceClient)
        services.add_singleton(Settings)
        assert isinstance(provider.get_service(HttpServiceClient), HttpServiceClient)


class TestTheHost:
    """Who runs the client's life: the host, by neuroglia's hosted services."""

    @pytest.mark.asyncio
    async def test_closes_the_client_when_it_stops(self) -> None:
        """By the lifespan that a server runs."""
        builder = WebApplicationBuilder()
        add_http_service_client(builder.services, intercepted(Interceptor))
        app = builder.build()
        client = app.services.get_service(HttpServiceClient)
        async with app.router.lifespan_context(app):
            assert not await is_closed(client)
        assert await is_closed(client)

    @pytest.mark.asyncio
    async def test_closes_the_connections_of_both_worlds(self, echo_server: str) -> None:
        """What was opened while it ran is closed after: no ResourceWarning, which would be an error."""
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
    async def test_closes_the_client_in_the_advanced_mode_too(self) -> None:
        """By the lifespan that `build_app_with_lifespan` makes, which starts the services as well."""
        builder = WebApplicationBuilder()
        add_http_service_client(builder.services, intercepted(Interceptor))
        app = builder.build_app_with_lifespan(title="Marios")
        async with app.router.lifespan_context(app):
            client = app.state.services.get_service(HttpServiceClient)
        assert await is_closed(client)

    @pytest.mark.asyncio
    async def test_makes_no_client_only_to_close_it(self) -> None:
        """An application that never asked for the client stops without one."""
        builder = WebApplicationBuilder()
        add_http_service_client(builder.services, intercepted(Interceptor))
        app = builder.build()
        async with app.router.lifespan_context(app):
            pass
        assert Interceptor.made == 0

    @pytest.mark.asyncio
    async def test_leaves_other_applications_alone(self) -> None:
        """Builders share one collection; a host closes the client of its own provider."""
        apps = []
        for _ in range(2):
            builder = WebApplicationBuilder()
            add_http_service_client(builder.services, intercepted(Interceptor))
            apps.append(builder.build())
        first, second = (app.services.get_service(HttpServiceClient) for app in apps)
        async with apps[0].router.lifespan_context(apps[0]):
            pass
        assert await is_closed(first)
        assert not await is_closed(second)

    @pytest.mark.asyncio
    async def test_runs_the_other_hosted_services_as_well(self) -> None:
        """Also those registered after ours with a factory `-> HostedService`: ours is not mistaken for one."""
        told: list[str] = []

        class Worker(HostedService):
            async def start_async(self) -> None:
                told.append("started")

            async def stop_async(self) -> None:
                told.append("stopped")

        def worker(provider: ServiceProviderBase):  # type: ignore[no-untyped-def]  # annotated below
            return Worker()

        worker.__annotations__["return"] = HostedService
        services = add_http_service_client(ServiceCollection(), intercepted(Interceptor))
        services.add_singleton(HostedService, implementation_factory=worker)
        host = Host(services.build())
        client = host.services.get_service(HttpServiceClient)
        await host.start_async()
        await host.stop_async()
        assert told == ["started", "stopped"]
        assert await is_closed(client)

    @pytest.mark.asyncio
    async def test_warns_of_a_service_that_neuroglia_would_skip(self) -> None:
        """A factory without annotation, registered after ours, would never run: not in silence."""
        services = add_http_service_client(ServiceCollection(), intercepted(Interceptor))
        services.add_singleton(HostedService, implementation_factory=lambda provider: HostedService())
        with pytest.warns(RuntimeWarning, match="annotate that factory, or register it before"):
            await Host(services.build()).start_async()

    @pytest.mark.asyncio
    async def test_runs_a_service_without_annotation_that_came_before(self) -> None:
        """The order that the warning asks for is right."""
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


class TestRegisteringTwice:
    """The first registration is the one that neuroglia uses; a second must not seem to count."""

    def test_with_the_same_settings_changes_nothing(self) -> None:
        """So a `create_app()` may run twice in a process, as it does in tests."""
        services = ServiceCollection()
        for _ in range(2):
            add_http_service_client(services, HttpClientConfig(max_connections=7), base_url="https://x.test")
        assert len(services) == 3

    @pytest.mark.parametrize(
        ("config", "options"),
        [
            (HttpClientConfig(max_connections=8), {}),
            (None, {}),
            (HttpClientConfig(max_connections=7), {"base_url": "https://x.test"}),
        ],
    )
    def test_with_other_settings_is_an_error(self, config: HttpClientConfig | None, options: Any) -> None:
        """The message says what to do, for one application and for two."""
        services = add_http_service_client(ServiceCollection(), HttpClientConfig(max_connections=7))
        with pytest.raises(
            ConfigurationError, match=r"put all settings into one .*WebApplicationBuilder\.services ="
        ):
            add_http_service_client(services, config, **options)
        assert len(services) == 3

    def test_once_by_hand_is_an_error(self) -> None:
        """A client that was registered without us is one that nobody would close."""
        services = ServiceCollection().add_singleton(HttpServiceClient)
        with pytest.raises(ConfigurationError, match="registered already"):
            add_http_service_client(services)

    def test_beside_another_config_is_an_error(self) -> None:
        """Two configs in one container, of which the client would use the other."""
        services = ServiceCollection().add_singleton(HttpClientConfig, singleton=HttpClientConfig())
        with pytest.raises(ConfigurationError, match="another HttpClientConfig is registered"):
            add_http_service_client(services, HttpClientConfig(max_connections=7))
        assert len(services) == 1

    def test_beside_an_equal_config_is_fine(self) -> None:
        """It does not matter which of two equal configs is used."""
        services = ServiceCollection().add_singleton(HttpClientConfig, singleton=HttpClientConfig())
        provider = add_http_service_client(services, HttpClientConfig()).build()
        assert [one.service_type for one in services].count(HttpClientConfig) == 1
        assert provider.get_service(HttpServiceClient).config == HttpClientConfig()

    def test_the_remedy_for_a_second_application_works(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the message recommends gives the next builder a collection of its own."""
        add_http_service_client(WebApplicationBuilder().services, HttpClientConfig(max_connections=7))
        monkeypatch.setattr(WebApplicationBuilder, "services", ServiceCollection())
        builder = WebApplicationBuilder()
        add_http_service_client(builder.services, HttpClientConfig(max_connections=8))
        assert builder.build().services.get_service(HttpServiceClient).config.max_connections == 8

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            (([],), {}, "services must be a ServiceCollection"),
            ((ServiceCollection(), {"max_connections": 7}), {}, "config must be an HttpClientConfig or None"),
            ((ServiceCollection(),), {"base_ulr": "https://x.test"}, "base_ulr"),
        ],
    )
    def test_wrong_arguments_are_named_at_once(self, arguments: Any, options: Any, message: str) -> None:
        """Not when the first request of the application comes in."""
        with pytest.raises(ConfigurationError, match=message):
            add_http_service_client(*arguments, **options)


SEED_NAMES = (
    "HttpServiceClient, HttpClientConfig, CircuitBreakerPolicy, CircuitBreakerState, RetryPolicy, "
    "ExponentialBackoff, RetryCondition, RequestInterceptor, ResponseInterceptor, HttpContext, HttpRequest, "
    "HttpResponse, HttpMetrics, MetricsCollector, ConnectionPoolConfig"
)


class TestInstall:
    """neuroglia looks as in the document, for as long as it is installed."""

    @pytest.mark.usefixtures("installed")
    def test_makes_the_imports_of_the_document_work(self) -> None:
        """Each name is the package's own."""
        names: dict[str, Any] = {}
        exec(
            f"from neuroglia.http import {SEED_NAMES}\n"
            "from neuroglia.hosting.web import WebApplicationBuilder\n"
            "from neuroglia.dependency_injection import ServiceProviderBase, ServiceCollection\n",
            names,
        )
        for name in SEED_NAMES.split(", "):
            assert names[name] is getattr(http_service_client, name)
        assert names["ServiceCollection"].add_http_service_client is add_http_service_client

    @pytest.mark.usefixtures("installed")
    def test_gives_a_module_like_any_other(self) -> None:
        """It can be found, listed and imported whole; what it lacks, it lacks by name."""
        import neuroglia.http

        assert importlib.util.find_spec("neuroglia.http") is not None
        assert "circuit_breaker" in dir(neuroglia.http)
        names: dict[str, Any] = {}
        exec("from neuroglia.http import *", names)
        assert names["retry_policy"] is http_service_client.retry_policy
        with pytest.raises(ImportError, match="HttpSpam"):
            exec("from neuroglia.http import HttpSpam")

    def test_twice_is_once_and_uninstall_takes_it_back(self) -> None:
        """From 8 threads at once, too."""
        threads = [threading.Thread(target=install) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        module = sys.modules["neuroglia.http"]
        install()
        assert sys.modules["neuroglia.http"] is module
        for _ in range(2):
            uninstall()
            assert "neuroglia.http" not in sys.modules
            assert not hasattr(sys.modules["neuroglia"], "http")
            assert not hasattr(ServiceCollection, "add_http_service_client")

    def test_refuses_to_hide_a_module_of_neuroglias_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A later neuroglia may have what its document promises."""
        monkeypatch.setitem(sys.modules, "neuroglia.http", ModuleType("neuroglia.http"))
        with pytest.raises(ConfigurationError, match=r"module neuroglia\.http of its own"):
            install()
        assert not hasattr(ServiceCollection, "add_http_service_client")

    def test_refuses_to_hide_a_module_that_is_not_yet_imported(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        """It is enough that it could be."""
        (tmp_path / "http.py").write_text("")
        neuroglia = importlib.import_module("neuroglia")
        monkeypatch.setattr(neuroglia, "__path__", [*neuroglia.__path__, str(tmp_path)])
        with pytest.raises(ConfigurationError, match=r"module neuroglia\.http of its own"):
            install()
        assert "neuroglia.http" not in sys.modules

    def test_refuses_to_hide_a_method_of_neuroglias_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And leaves nothing half installed."""
        monkeypatch.setattr(ServiceCollection, "add_http_service_client", lambda self: self, raising=False)
        with pytest.raises(ConfigurationError, match=r"ServiceCollection\.add_http_service_client"):
            install()
        assert "neuroglia.http" not in sys.modules


def in_a_fresh_python(program: str) -> None:
    """Run a program to its end without an error."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_without_neuroglia_the_extra_is_named() -> None:
    """The module imports; its functions say what to install."""
    in_a_fresh_python("""
        import sys
        sys.modules["neuroglia"] = None
        from http_service_client.integrations.neuroglia import add_http_service_client, install, uninstall
        for function in (install, uninstall, lambda: add_http_service_client([])):
            try:
                function()
            except ImportError as error:
                assert "http-service-client[neuroglia]" in str(error)
            else:
                raise AssertionError
    """)


def test_without_the_web_part_the_container_still_works() -> None:
    """neuroglia's hosting needs fastapi; its container does not, and no more does the registration."""
    in_a_fresh_python("""
        import sys
        sys.modules["fastapi"] = None
        from http_service_client.integrations.neuroglia import install
        install()
        from neuroglia.dependency_injection import ServiceCollection
        from neuroglia.http import HttpServiceClient
        provider = ServiceCollection().add_http_service_client().build()
        provider.get_service(HttpServiceClient).close()
    """)


def test_the_order_of_import_and_install_does_not_matter() -> None:
    """A `ServiceCollection` that was imported before has the method after."""
    in_a_fresh_python("""
        from neuroglia.dependency_injection import ServiceCollection
        services = ServiceCollection()
        from http_service_client.integrations.neuroglia import install
        install()
        assert services.add_http_service_client() is services
    """)


# The document's own code, but for imports gathered and indentation.


@pytest.mark.usefixtures("installed")
class TestTheDocument:
    """Its samples of registration run as they are written."""

    @staticmethod
    def create_app() -> Any:
        from neuroglia.hosting.web import WebApplicationBuilder
        from neuroglia.http import HttpClientConfig

        builder = WebApplicationBuilder()

        # Register HTTP service client
        http_config = HttpClientConfig(
            base_timeout=30.0,
            connection_timeout=5.0,
            max_connections=100,
            max_connections_per_host=20,
            enable_circuit_breaker=True,
            enable_retry_policy=True,
        )

        builder.services.add_http_service_client(http_config)

        app = builder.build()
        return app  # noqa: RET504  # as written

    @pytest.mark.asyncio
    async def test_create_app_runs_and_its_client_lives_as_long_as_the_host(self) -> None:
        """Built, started, used and stopped; then once more, from the shared collection."""
        closed: list[HttpServiceClient] = []
        for _ in range(2):
            app = self.create_app()
            async with app.router.lifespan_context(app):

                class PaymentGatewayService:
                    def __init__(self, service_provider: ServiceProviderBase) -> None:
                        self.http_client = service_provider.get_service(HttpServiceClient)

                client = PaymentGatewayService(app.services).http_client
                assert client.config.base_timeout == 30.0
                assert client.get_health_summary()["total_requests"] == 0
                assert "closed" not in repr(client)
            closed.append(client)
            assert "closed" in repr(client)
        assert closed[0] is not closed[1]

    @staticmethod
    def configure_http_interceptors(services: ServiceCollection, interceptors: dict[str, type]) -> None:
        AuthenticationInterceptor, LoggingInterceptor, RateLimitInterceptor = interceptors.values()

        # Register interceptors in order of execution
        services.add_singleton(AuthenticationInterceptor)
        services.add_singleton(LoggingInterceptor)
        services.add_singleton(RateLimitInterceptor)

        # Configure HTTP client with interceptors
        http_config = HttpClientConfig(
            request_interceptors=[AuthenticationInterceptor, RateLimitInterceptor, LoggingInterceptor],
            response_interceptors=[LoggingInterceptor, RateLimitInterceptor],
        )

        services.add_http_service_client(http_config)  # type: ignore[attr-defined]  # by install()

    def test_its_interceptors_are_resolved_and_run_in_order(self, echo_server: str) -> None:
        """Three classes, one object each, the container's own."""
        from neuroglia.http import (
            HttpContext,
            HttpRequest,
            RequestInterceptor,
            ResponseInterceptor,
        )

        told: list[str] = []

        class AuthenticationInterceptor(RequestInterceptor):
            async def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
                told.append("authentication")
                request.headers["Authorization"] = "Bearer payment_api_key_here"
                request.headers["X-Request-ID"] = context.correlation_id
                return request

        class LoggingInterceptor(RequestInterceptor, ResponseInterceptor):
            async def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
                told.append("logging")
                context.start_time = time.time()
                return request

            async def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
                told.append("logged" if time.time() - context.start_time < 30 else "late")
                return response

        class RateLimitInterceptor(RequestInterceptor):
            def __init__(self) -> None:
                self.rate_limit_trackers: dict[str, Any] = {}

            async def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
                told.append("rate limit")
                return request

            async def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
                told.append("rate limited")
                self.rate_limit_trackers[response.request.url] = response.status_code
                return response

        services = ServiceCollection()
        classes = (AuthenticationInterceptor, LoggingInterceptor, RateLimitInterceptor)
        self.configure_http_interceptors(services, {cls.__name__: cls for cls in classes})
        provider = services.build()
        with provider.get_service(HttpServiceClient) as client:
            response = client.get(echo_server)
        assert response.text == "Bearer payment_api_key_here"
        assert told == ["authentication", "rate limit", "logging", "logged", "rate limited"]
        assert list(provider.get_service(RateLimitInterceptor).rate_limit_trackers.values()) == [200]


def test_the_public_names_are_exact() -> None:
    """What a user may call from here."""
    assert integration.__all__ == ["add_http_service_client", "install", "uninstall"]
