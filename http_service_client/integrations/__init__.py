"""This client under and inside other libraries: one module for each, which names the extra to install when it is missing.

ResilientAdapter: policies under a `requests.Session`.   resilience_middleware: under an aiohttp `ClientSession`.
RedisStorage: where a cache keeps its responses, for all processes.
ResilientTransport, AsyncResilientTransport: under a client of httpx or httpx2.
explain: what happened in the calls behind a response or an error of such a library.
asgi, wsgi: middleware that adopts the deadline of an inbound request.
error_responses: the response to a caller when a service behind this one fails.
task_queues: when a task queue should run a failed task again.
neuroglia: the client in the container and the host of a neuroglia application.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .aiohttp_middleware import ResilienceMiddleware as ResilienceMiddleware
    from .aiohttp_middleware import resilience_middleware as resilience_middleware
    from .foreign import explain as explain
    from .httpx_transport import AsyncResilientTransport as AsyncResilientTransport
    from .httpx_transport import ResilientTransport as ResilientTransport
    from .redis import RedisStorage as RedisStorage
    from .requests_adapter import ResilientAdapter as ResilientAdapter

_MODULE_OF = {
    "RedisStorage": "redis",
    "AsyncResilientTransport": "httpx_transport",
    "ResilienceMiddleware": "aiohttp_middleware",
    "ResilientAdapter": "requests_adapter",
    "ResilientTransport": "httpx_transport",
    "explain": "foreign",
    "resilience_middleware": "aiohttp_middleware",
}

__all__ = sorted(_MODULE_OF)  # each is imported when it is first used


if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str) -> object:
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_import_module(f".{module}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
