"""What the tests of neuroglia share: interceptors, and ways to see whether a client is closed.

Importing it raises ImportError where neuroglia cannot be used, so that tests skip themselves by
`pytest.importorskip`.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

try:
    from neuroglia.dependency_injection import ServiceCollection
    from neuroglia.hosting.abstractions import ApplicationBuilderBase
    from neuroglia.hosting.web import WebApplicationBuilder
except Exception as error:  # not always an ImportError, on a Python that is too new for it
    raise ImportError(f"neuroglia cannot be imported here: {error!r}") from error

with warnings.catch_warnings():
    # Imported by the first build(): rx 3.2, which neuroglia pins, calls datetime.utcfromtimestamp.
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("neuroglia.mvc.controller_base")

from http_service_client import ClientClosedError, HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.integrations.neuroglia import add_http_service_client

__all__ = [
    "URL",
    "ApplicationBuilderBase",
    "Interceptor",
    "NeedsSettings",
    "NeedsTheClient",
    "ServiceCollection",
    "Settings",
    "WebApplicationBuilder",
    "built_app",
    "intercepted",
    "is_closed",
]

URL = "https://localhost.invalid"  # an `Interceptor` answers, so no call needs the network


class Interceptor:
    """Answers each request itself. made: how many were made in this test."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def intercept_request(self, request: Any, context: Any) -> Any:
        return HttpResponse(200, content=b"intercepted")


class Settings:
    """A service that only the container can provide."""


class NeedsSettings:
    """An interceptor that the container has to build."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def intercept_request(self, request: Any, context: Any) -> Any:
        return HttpResponse(200, content=type(self.settings).__name__.encode())


class NeedsTheClient:
    """An interceptor that depends on the client that it belongs to."""

    def __init__(self, client: HttpServiceClient) -> None:
        self.client = client

    def intercept_request(self, request: Any, context: Any) -> Any:
        return request


def intercepted(*interceptors: Any) -> HttpClientConfig:
    """A configuration with these interceptors."""
    return HttpClientConfig(request_interceptors=list(interceptors))


def built_app() -> Any:
    """An application whose client answers by an `Interceptor`."""
    builder = WebApplicationBuilder()
    add_http_service_client(builder.services, intercepted(Interceptor))
    return builder.build()


async def is_closed(client: HttpServiceClient) -> bool:
    """Whether the client refuses calls. It needs an `Interceptor`."""
    try:
        return (await client.get_async(URL)).text != "intercepted"
    except ClientClosedError:
        return True
