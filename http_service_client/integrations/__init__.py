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

from typing import TYPE_CHECKING

from ..lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .adapter_base import explain as explain
    from .aiohttp_middleware import ResilienceMiddleware as ResilienceMiddleware
    from .aiohttp_middleware import resilience_middleware as resilience_middleware
    from .httpx_transport import AsyncResilientTransport as AsyncResilientTransport
    from .httpx_transport import ResilientTransport as ResilientTransport
    from .redis import RedisStorage as RedisStorage
    from .requests_adapter import ResilientAdapter as ResilientAdapter

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            ".aiohttp_middleware": "ResilienceMiddleware resilience_middleware",
            ".adapter_base": "explain",
            ".httpx_transport": "AsyncResilientTransport ResilientTransport",
            ".redis": "RedisStorage",
            ".requests_adapter": "ResilientAdapter",
        },
    )
