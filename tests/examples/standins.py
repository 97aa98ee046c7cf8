"""A service provider for the examples, and a stand-in for neuroglia where it cannot be imported.

The payment, delivery and notification services name neuroglia's `ServiceProviderBase` in an annotation and use
whatever has `get_service`. So they run without neuroglia, which does not import on Python 3.14.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

__all__ = ["HAS_NEUROGLIA", "Provider", "importable_neuroglia"]

try:
    import neuroglia.dependency_injection  # noqa: F401  # only to see whether it can be imported
except Exception:  # an installed neuroglia may fail to import with another error than ImportError
    HAS_NEUROGLIA = False
else:
    HAS_NEUROGLIA = True


@contextmanager
def importable_neuroglia() -> Iterator[None]:
    """Inside the block, `from neuroglia.dependency_injection import ServiceProviderBase` works.

    Only there: a stand-in that stayed would make other tests believe that neuroglia is installed.
    """
    if HAS_NEUROGLIA:
        yield
        return
    module: Any = ModuleType("neuroglia.dependency_injection")
    module.ServiceProviderBase = type("ServiceProviderBase", (), {})
    names = {"neuroglia": ModuleType("neuroglia"), module.__name__: module}
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)


class Provider:
    """The least that the services need of a service provider: one object of each type."""

    def __init__(self, *services: object) -> None:
        self._services = {type(service): service for service in services}

    def get_service(self, kind: type) -> Any:
        """The object of this type, or None if there is none, as neuroglia's does."""
        return self._services.get(kind)
