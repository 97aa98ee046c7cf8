"""neuroglia: `install` adds the names that its documentation uses, `uninstall` removes them."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import http_service_client
from http_service_client import ConfigurationError
from http_service_client.integrations import neuroglia as integration
from http_service_client.integrations.neuroglia import add_http_service_client, install, uninstall

pytest.importorskip("kit.neuroglia_apps", exc_type=ImportError)

from kit.neuroglia_apps import ServiceCollection


@pytest.fixture
def installed() -> Iterator[None]:
    """neuroglia with the names that its documentation uses."""
    install()
    yield
    uninstall()


DOCUMENTED_NAMES = (
    "HttpServiceClient, HttpClientConfig, CircuitBreakerPolicy, CircuitBreakerState, RetryPolicy, "
    "ExponentialBackoff, RetryCondition, RequestInterceptor, ResponseInterceptor, HttpContext, HttpRequest, "
    "HttpResponse, HttpMetrics, MetricsCollector, ConnectionPoolConfig"
)


class TestInstall:
    """neuroglia has our names until `uninstall`."""

    @pytest.mark.usefixtures("installed")
    def test_makes_the_documented_imports_work(self) -> None:
        """Each name is the package's own object."""
        names: dict[str, Any] = {}
        exec(
            f"from neuroglia.http import {DOCUMENTED_NAMES}\n"
            "from neuroglia.hosting.web import WebApplicationBuilder\n"
            "from neuroglia.dependency_injection import ServiceProviderBase, ServiceCollection\n",
            names,
        )
        for name in DOCUMENTED_NAMES.split(", "):
            assert names[name] is getattr(http_service_client, name)
        assert names["ServiceCollection"].add_http_service_client is add_http_service_client

    @pytest.mark.usefixtures("installed")
    def test_adds_a_module_like_any_other(self) -> None:
        """It can be found, listed and imported by `*`; the error of a missing name shows the name."""
        import neuroglia.http

        assert importlib.util.find_spec("neuroglia.http") is not None
        assert "circuit_breaker" in dir(neuroglia.http)
        assert neuroglia.http.__name__ == "neuroglia.http"
        assert "http_service_client" in str(neuroglia.http.__doc__)
        assert neuroglia.http.__package__ == "neuroglia"
        assert neuroglia.http.__spec__ is not None
        assert neuroglia.http.__spec__.name == "neuroglia.http"
        assert neuroglia.http.__spec__.origin == integration.__file__
        assert "__version__" not in neuroglia.http.__all__
        names: dict[str, Any] = {}
        exec("from neuroglia.http import *", names)
        assert names["retry_policy"] is http_service_client.retry_policy
        with pytest.raises(ImportError, match="HttpSpam"):
            exec("from neuroglia.http import HttpSpam")

    def test_may_be_repeated_and_undone(self) -> None:
        """Also from 8 threads at once."""
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

    def test_refuses_to_hide_a_module_of_neuroglia(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A later neuroglia may have what its documentation promises."""
        monkeypatch.setitem(sys.modules, "neuroglia.http", ModuleType("neuroglia.http"))
        with pytest.raises(ConfigurationError, match=r"module neuroglia\.http of its own"):
            install()
        assert not hasattr(ServiceCollection, "add_http_service_client")

    def test_refuses_to_hide_a_module_that_is_not_yet_imported(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        """It is enough that it could be imported."""
        (tmp_path / "http.py").write_text("")
        neuroglia = importlib.import_module("neuroglia")
        monkeypatch.setattr(neuroglia, "__path__", [*neuroglia.__path__, str(tmp_path)])
        with pytest.raises(ConfigurationError, match=r"module neuroglia\.http of its own"):
            install()
        assert "neuroglia.http" not in sys.modules

    def test_refuses_to_hide_a_method_of_neuroglia(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is half installed then."""
        monkeypatch.setattr(ServiceCollection, "add_http_service_client", lambda self: self, raising=False)
        with pytest.raises(ConfigurationError, match=r"ServiceCollection\.add_http_service_client"):
            install()
        assert "neuroglia.http" not in sys.modules


def in_a_fresh_python(program: str) -> None:
    """Run a program, which must end without an error."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


def test_without_neuroglia_the_extra_is_named() -> None:
    """The module can be imported; its functions say what to install."""
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
    """neuroglia's hosting needs fastapi; its container and our registration do not."""
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
    """A `ServiceCollection` that was imported before `install` has the method afterwards."""
    in_a_fresh_python("""
        from neuroglia.dependency_injection import ServiceCollection
        services = ServiceCollection()
        from http_service_client.integrations.neuroglia import install
        install()
        assert services.add_http_service_client() is services
    """)


def test_the_public_names_are_exact() -> None:
    """Users may call these three functions."""
    assert integration.__all__ == ["add_http_service_client", "install", "uninstall"]
