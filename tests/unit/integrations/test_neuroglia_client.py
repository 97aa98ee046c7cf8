"""neuroglia: one client for each application, with the interceptors of the container."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, HttpMetrics, HttpServiceClient
from http_service_client.integrations.neuroglia import add_http_service_client
from kit.threads import run_threads

pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)

from kit.neuroglia_apps import (
    URL,
    Interceptor,
    NeedsSettings,
    NeedsTheClient,
    ServiceCollection,
    Settings,
    intercepted,
)


class TestTheClient:
    """One client, with the settings that it was registered with."""

    def test_is_one_object_for_provider_and_scopes(self) -> None:
        """However it is resolved."""
        services = add_http_service_client(ServiceCollection())
        provider = services.build()
        client = provider.get_service(HttpServiceClient)
        scope = provider.create_scope()
        assert isinstance(client, HttpServiceClient)
        assert provider.get_required_service(HttpServiceClient) is client
        assert scope.get_service(HttpServiceClient) is client
        assert provider.get_services(HttpServiceClient) == [client]
        assert scope.get_services(HttpServiceClient) == [client]

    def test_is_made_once_however_many_threads_resolve_it(self) -> None:
        """16 threads at once, through the provider and through scopes: one client, one interceptor."""
        provider = add_http_service_client(ServiceCollection(), intercepted(Interceptor)).build()
        barrier, clients = threading.Barrier(16), []
        resolvers: list[Callable[[], Any]] = [
            lambda: provider.get_service(HttpServiceClient),
            lambda: provider.create_scope().get_service(HttpServiceClient),
            lambda: provider.create_scope().get_services(HttpServiceClient)[0],
            lambda: provider.get_required_service(HttpServiceClient),
        ]

        def resolve(number: int) -> None:
            barrier.wait()
            clients.append(resolvers[number % 4]())

        run_threads(resolve)
        assert len(clients) == 16
        assert len({id(client) for client in clients}) == 1
        assert Interceptor.made == 1

    def test_belongs_to_one_application(self) -> None:
        """Two providers of one collection are two applications; each has its own client."""
        services = add_http_service_client(ServiceCollection())
        first, second = services.build(), services.build()
        assert first.get_service(HttpServiceClient) is not second.get_service(HttpServiceClient)

    def test_survives_the_end_of_a_scope(self) -> None:
        """A request's scope disposes of its own services; the client belongs to the application."""
        provider = add_http_service_client(ServiceCollection(), intercepted(Interceptor)).build()
        scope = provider.create_scope()
        client = scope.get_service(HttpServiceClient)
        scope.get_services(HttpServiceClient)
        scope.dispose()
        assert client.get(URL).text == "intercepted"

    def test_has_the_settings_it_was_registered_with(self) -> None:
        """Its config, which the container provides as well, and its further options."""
        config, metrics = HttpClientConfig(max_connections=7), HttpMetrics()
        provider = add_http_service_client(ServiceCollection(), config, metrics=metrics).build()
        client = provider.get_service(HttpServiceClient)
        assert client.config is config
        assert client.metrics is metrics
        assert provider.get_service(HttpClientConfig) is config

    def test_takes_the_config_that_is_registered(self) -> None:
        """If none is given; without either, the defaults."""
        config = HttpClientConfig(max_connections=7)
        services = ServiceCollection().add_singleton(HttpClientConfig, singleton=config)
        assert add_http_service_client(services).build().get_service(HttpServiceClient).config is config
        provider = add_http_service_client(ServiceCollection()).build()
        assert provider.get_service(HttpServiceClient).config == HttpClientConfig()
        assert provider.get_service(HttpClientConfig) == HttpClientConfig()


class TestInterceptors:
    """Interceptor classes in the config become objects of the container."""

    def test_come_from_the_container(self) -> None:
        """The client uses the object that the application resolves too, with its dependencies."""
        services = ServiceCollection().add_singleton(Settings).add_singleton(NeedsSettings)
        provider = add_http_service_client(services, intercepted(NeedsSettings)).build()
        interceptor = provider.get_service(NeedsSettings)
        response = provider.get_service(HttpServiceClient).get(URL)
        assert response.text == "Settings"
        assert provider.get_service(NeedsSettings) is interceptor

    def test_that_are_not_registered_are_called(self) -> None:
        """A class without dependencies need not be registered."""
        provider = add_http_service_client(ServiceCollection(), intercepted(Interceptor)).build()
        assert provider.get_service(HttpServiceClient).get(URL).text == "intercepted"

    def test_run_in_the_order_of_the_configuration(self) -> None:
        """Three classes, one object each: the container's own, for requests and for responses."""
        calls: list[str] = []

        class First:
            def intercept_request(self, request: Any, context: Any) -> Any:
                calls.append("first")
                return request

            def intercept_response(self, response: Any, context: Any) -> Any:
                calls.append("first saw the response")
                return response

        class Second:
            async def intercept_request(self, request: Any, context: Any) -> Any:
                calls.append("second")
                return request

            async def intercept_response(self, response: Any, context: Any) -> Any:
                calls.append("second saw the response")
                return response

        config = HttpClientConfig(
            request_interceptors=[First, Second, Interceptor], response_interceptors=[Second, First]
        )
        services = ServiceCollection().add_singleton(First).add_singleton(Second)
        with add_http_service_client(services, config).build().get_service(HttpServiceClient) as client:
            assert client.get(URL).text == "intercepted"
        assert calls == ["first", "second", "second saw the response", "first saw the response"]

    def test_may_be_made_by_another_factory(self) -> None:
        """An `interceptor_factory` among the options replaces the container."""
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
        """The error has the interceptor and the container's own message."""
        services = ServiceCollection().add_singleton(NeedsSettings)
        provider = add_http_service_client(services, intercepted(NeedsSettings)).build()
        with pytest.raises(ConfigurationError, match=r"the interceptor NeedsSettings: .*'Settings'"):
            provider.get_service(HttpServiceClient)

    def test_that_are_scoped_are_refused(self) -> None:
        """The client outlives every scope."""
        services = ServiceCollection().add_scoped(Interceptor)
        provider = add_http_service_client(services, intercepted(Interceptor)).build()
        with pytest.raises(ConfigurationError, match=r"the interceptor Interceptor: .*scoped"):
            provider.get_service(HttpServiceClient)

    def test_that_need_the_client_are_refused(self) -> None:
        """A circular dependency is an error, not an infinite recursion, and so it is the next time."""
        services = ServiceCollection().add_singleton(NeedsTheClient)
        provider = add_http_service_client(services, intercepted(NeedsTheClient)).build()
        for _ in range(2):
            with pytest.raises(
                ConfigurationError, match=r"^an interceptor cannot depend on the HttpServiceClient"
            ):
                provider.get_service(HttpServiceClient)

    def test_that_failed_may_be_repaired(self) -> None:
        """A client that could not be made is made once its dependencies are there."""
        services = ServiceCollection().add_singleton(NeedsSettings)
        provider = add_http_service_client(services, intercepted(NeedsSettings)).build()
        with pytest.raises(ConfigurationError):
            provider.get_service(HttpServiceClient)
        services.add_singleton(Settings)
        assert isinstance(provider.get_service(HttpServiceClient), HttpServiceClient)
