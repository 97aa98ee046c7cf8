"""The client in a neuroglia application: registered in its container, closed with its host.

`add_http_service_client` registers; `install` is optional and adds this client to neuroglia's own names. What
looks odd here has its reason in neuroglia-python 0.9.4:

- Its container has no lock, and a scope's `get_services` calls the factories of singletons again. So our
  factory keeps the one client of an application, under a lock.
- An application is a service provider, not a `ServiceCollection`: all `WebApplicationBuilder`s share one
  collection, so two applications in one process are built from the same registration.
- It reads the return annotation of a factory at run time, to know whether it has built a service already.
  So annotations are real classes in this module: no `from __future__ import annotations`.
- Nothing disposes of singletons. A host does call `HostedService.stop_async`.
"""

import importlib.util
import inspect
import sys
import warnings
from functools import partial
from importlib.machinery import ModuleSpec
from itertools import dropwhile
from types import ModuleType
from typing import TYPE_CHECKING, Any

import http_service_client as package

from ..client.client import HttpServiceClient
from ..client.config.client_config import HttpClientConfig
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from neuroglia.dependency_injection import ServiceCollection, ServiceProviderBase

__all__ = ["add_http_service_client", "install", "uninstall"]

_MODULE = "neuroglia.http"
_METHOD = "add_http_service_client"
_CLIENT = "_http_service_client"  # the attribute of a service provider that holds its client


def add_http_service_client(
    services: "ServiceCollection", config: HttpClientConfig | None = None, **client_options: Any
) -> "ServiceCollection":
    """Register `HttpServiceClient` and its `HttpClientConfig`: one client for each application.

    config: None for the `HttpClientConfig` that is registered already, or else the defaults.
    client_options: further arguments of `HttpServiceClient`, such as `base_url`.

    The client is made when it is first resolved: once, however many threads resolve it. Interceptor classes
    in the config are resolved from the container, or called if they are not registered. The client is closed
    when the host stops; without a host, close it yourself. Register it after hosted services whose factory has
    no class as its return annotation: neuroglia considers those as built once any other is.

    The same registration again changes nothing, so `create_app()` may run twice.

    Returns the collection. Raises ConfigurationError for a wrong argument, or when an `HttpServiceClient` is
    registered already with other settings; ImportError without neuroglia.
    """
    if not isinstance(services, _import_services()):
        raise ConfigurationError(f"services must be a ServiceCollection, not {services!r}")
    if config is not None and not isinstance(config, HttpClientConfig):
        from ..client.config.remedies import config_remedy

        raise ConfigurationError(
            f"config must be an HttpClientConfig or None, not {config!r}{config_remedy(config)}"
        )
    try:
        inspect.signature(HttpServiceClient).bind(config, **client_options)
    except TypeError as error:
        raise ConfigurationError(f"HttpServiceClient does not accept these options: {error}") from None
    with _LOCK:
        if not _is_registered(services, config, client_options):
            registration = _Registration(services, config, client_options)
            if _descriptor(services, HttpClientConfig) is None:
                services.add_singleton(HttpClientConfig, singleton=config or HttpClientConfig())
            services.add_singleton(HttpServiceClient, implementation_factory=registration)
            hosted_service = _hosted_service()
            if hosted_service is not None:
                services.add_singleton(hosted_service, implementation_factory=registration.close_with_host)
    return services


def install() -> None:
    """Add this client to neuroglia under the names that its documentation uses.

    After it, `from neuroglia.http import HttpServiceClient` works, as for every other public name of this
    package, and each `ServiceCollection` has the method `add_http_service_client`. A second call does
    nothing.

    Raises ConfigurationError when neuroglia has these names itself; ImportError without neuroglia.
    """
    with _LOCK:
        services = _import_services()
        is_ours = isinstance(sys.modules.get(_MODULE), _HttpModule)
        if not is_ours and (_MODULE in sys.modules or importlib.util.find_spec(_MODULE) is not None):
            raise ConfigurationError(
                f"this neuroglia has a module {_MODULE} of its own, which install() does not replace; "
                f"import from {package.__name__} instead"
            )
        if getattr(services, _METHOD, add_http_service_client) is not add_http_service_client:
            raise ConfigurationError(
                f"this neuroglia has a ServiceCollection.{_METHOD} of its own, which install() does not "
                f"replace; call {__name__}.{_METHOD}(services, config) instead"
            )
        module = sys.modules.setdefault(_MODULE, _HttpModule())
        sys.modules["neuroglia"].__dict__["http"] = module
        setattr(services, _METHOD, add_http_service_client)


def uninstall() -> None:
    """Undo `install`. Names that were imported through it keep working."""
    with _LOCK:
        services = _import_services()
        if isinstance(sys.modules.get(_MODULE), _HttpModule):
            del sys.modules[_MODULE]
            sys.modules["neuroglia"].__dict__.pop("http", None)
        if getattr(services, _METHOD, None) is add_http_service_client:
            delattr(services, _METHOD)


class _CloseWithHost:
    """A hosted service that closes the client of an application, if one was made.

    It does not derive from `HostedService`, which no host requires: so it is not mistaken for a service that
    was registered with a factory `-> HostedService`.
    """

    def __init__(self, provider: "ServiceProviderBase") -> None:
        self._provider = provider

    async def start_async(self) -> None:
        """Do nothing: the client is made when it is first resolved."""

    async def stop_async(self) -> None:
        """Close the client."""
        client = vars(self._provider).get(_CLIENT)
        if client is not None:
            await client.close_async()


class _Registration:
    """The factory of the client; it makes one for each service provider.

    The provider holds its client, not a table here: the client's interceptors may refer to the provider, so a
    table would keep both alive forever.
    """

    def __init__(
        self, services: "ServiceCollection", config: HttpClientConfig | None, options: dict[str, Any]
    ) -> None:
        self.config = config
        self.options = options
        self._services = services
        self._lock = ForkSafeLock()
        self._is_making = False

    def __call__(self, provider: "ServiceProviderBase") -> HttpServiceClient:
        """The client of the application that has this provider."""
        with self._lock:
            client: HttpServiceClient | None = vars(provider).get(_CLIENT)
            if client is None:
                client = vars(provider)[_CLIENT] = self._make(provider)
            return client

    def close_with_host(self, provider: "ServiceProviderBase") -> _CloseWithHost:
        """The hosted service that closes that client."""
        hosted_service = _hosted_service()
        after = dropwhile(lambda one: one.implementation_factory != self.close_with_host, self._services)
        if any(one.service_type is hosted_service and one.get_implementation_type() is None for one in after):
            warnings.warn(
                "neuroglia does not build a HostedService whose factory lacks a class as its return annotation "
                f"once another is built; annotate that factory, or register it before {_METHOD}()",
                RuntimeWarning,
                stacklevel=2,
            )
        return _CloseWithHost(provider)

    def _make(self, provider: "ServiceProviderBase") -> HttpServiceClient:
        if self._is_making:  # in this very thread: the others wait for the lock
            raise ConfigurationError(
                "an interceptor cannot depend on the HttpServiceClient that it belongs to; resolve the client later"
            )
        self._is_making = True
        try:
            config = provider.get_required_service(HttpClientConfig)
            return HttpServiceClient(
                config, **{"interceptor_factory": partial(_resolve, provider), **self.options}
            )
        finally:
            self._is_making = False


class _HttpModule(ModuleType):
    """The module `neuroglia.http` after `install`: the public names of this package."""

    def __init__(self) -> None:
        super().__init__(_MODULE, "The public names of http_service_client, added by its install().")
        self.__package__ = "neuroglia"
        self.__spec__ = ModuleSpec(_MODULE, None, origin=__file__)
        self.__all__ = [name for name in vars(package)["__all__"] if name != "__version__"]

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__.get("__all__", ()):
            return getattr(package, name)
        raise AttributeError(f"module {_MODULE!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return [*self.__dict__, *self.__all__]


_LOCK = ForkSafeLock()


def _import_services() -> "type[ServiceCollection]":
    try:
        from neuroglia.dependency_injection import ServiceCollection
    except Exception as error:  # not always an ImportError, on a Python that is too new for it
        raise ImportError(
            "neuroglia is not installed, or does not run on this Python (it needs 3.10 to 3.13); "
            "install it with: pip install 'http-service-client[neuroglia]'"
        ) from error
    services: type[ServiceCollection] = ServiceCollection
    return services


def _hosted_service() -> type | None:
    """neuroglia's `HostedService`; None if hosts cannot be used because their dependencies are missing."""
    try:
        from neuroglia.hosting.abstractions import HostedService
    except Exception:
        return None
    hosted_service: type = HostedService
    return hosted_service


def _descriptor(services: "ServiceCollection", service_type: type) -> Any:
    return next((one for one in services if one.service_type is service_type), None)


def _is_registered(
    services: "ServiceCollection", config: HttpClientConfig | None, options: dict[str, Any]
) -> bool:
    """Whether the same was registered before. Raises ConfigurationError when it was something else."""
    client = _descriptor(services, HttpServiceClient)
    if client is None:
        settings = _descriptor(services, HttpClientConfig)
        if config is not None and settings is not None and settings.singleton != config:
            raise ConfigurationError(
                "another HttpClientConfig is registered already, and neuroglia would keep using that one; "
                "leave out config to use it, or remove its registration"
            )
        return False
    before = client.implementation_factory
    if isinstance(before, _Registration) and (before.config, before.options) == (config, options):
        return True
    raise ConfigurationError(
        "an HttpServiceClient is registered already, with other settings; put all settings into one "
        "HttpClientConfig. For a second application: all WebApplicationBuilders share their services; "
        "WebApplicationBuilder.services = ServiceCollection() gives the next ones their own"
    )


def _resolve(provider: "ServiceProviderBase", interceptor: type) -> Any:
    """The container's object of an interceptor class, or a new one when it is not registered."""
    try:
        found = provider.get_service(interceptor)
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"the container cannot make the interceptor {interceptor.__name__}: {error}"
        ) from error
    return interceptor() if found is None else found
