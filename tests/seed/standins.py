"""Names of neuroglia that samples only mention, where neuroglia cannot be imported.

The payment, delivery and notification services name `ServiceProviderBase` in an annotation and use
whatever has `get_service`. So they run without neuroglia, which does not import on Python 3.14.
"""

from __future__ import annotations

from typing import Any

__all__ = ["HAS_NEUROGLIA", "Provider", "ServiceProviderBase"]

try:
    from neuroglia.dependency_injection import ServiceProviderBase

    HAS_NEUROGLIA = True
except Exception:  # where it is installed and yet cannot be imported, it is not always an ImportError
    HAS_NEUROGLIA = False

    class ServiceProviderBase:  # type: ignore[no-redef]  # the one or the other
        """In the place of neuroglia's."""


class Provider:
    """The least that the services need of a service provider: each type has one object."""

    def __init__(self, *services: object) -> None:
        self._services = {type(service): service for service in services}

    def get_service(self, kind: type) -> Any:
        """The object of this type, None when there is none, as neuroglia's does."""
        return self._services.get(kind)
