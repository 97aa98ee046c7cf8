"""neuroglia: registering the client, twice and with wrong arguments."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, HttpServiceClient
from http_service_client.integrations.neuroglia import add_http_service_client, install, uninstall

pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)

from kit.neuroglia_apps import ServiceCollection, WebApplicationBuilder


class TestRegisteringTwice:
    """neuroglia uses the first registration, so a second one with other settings must be an error."""

    def test_with_the_same_settings_changes_nothing(self) -> None:
        """So `create_app()` may run twice in a process, as it does in tests."""
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

    def test_after_a_registration_by_hand_is_an_error(self) -> None:
        """Nothing would close a client that was registered in another way."""
        services = ServiceCollection().add_singleton(HttpServiceClient)
        with pytest.raises(ConfigurationError, match="registered already"):
            add_http_service_client(services)

    def test_beside_another_config_is_an_error(self) -> None:
        """The client would use the other of the two."""
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
        """The message recommends a collection of its own for the next builder."""
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
        """Not only when the application receives its first request."""
        with pytest.raises(ConfigurationError, match=message):
            add_http_service_client(*arguments, **options)


@pytest.mark.parametrize(
    "use",
    [lambda: add_http_service_client(ServiceCollection()), install, uninstall],
    ids=["add", "install", "uninstall"],
)
def test_a_neuroglia_that_cannot_be_imported_is_named(
    use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install, and on which Python."""
    monkeypatch.setitem(sys.modules, "neuroglia.dependency_injection", None)
    message = r"3\.10 to 3\.13.*pip install 'http-service-client\[neuroglia\]'"
    with pytest.raises(ImportError, match=message):
        use()


def test_without_hosts_there_is_nothing_to_close_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """What neuroglia needs for them may not be installed. The client is registered all the same."""
    monkeypatch.setitem(sys.modules, "neuroglia.hosting.abstractions", None)
    services = add_http_service_client(ServiceCollection())
    assert [one.service_type for one in services] == [HttpClientConfig, HttpServiceClient]
    assert isinstance(services.build().get_service(HttpServiceClient), HttpServiceClient)
