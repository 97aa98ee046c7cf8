"""For ASGI applications, such as those of FastAPI, Starlette, Litestar and Django.

Adopt the deadline of each request, and say how the services behind are doing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from ..core.checks import suggests_keywords
from .health import RENAMED as RENAMED_OF_HEALTH
from .health import HealthReport, HealthResponse
from .inbound import RENAMED, SPENT, InboundMiddleware, InboundRequest

__all__ = ["DeadlineMiddleware", "HealthEndpoint", "HealthResponse"]

_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[Any, Any, Any], Awaitable[None]]


@suggests_keywords(RENAMED)
class DeadlineMiddleware(InboundMiddleware[_App]):
    """The calls that the handling of a request makes end when its caller stops waiting, and leave retries to that caller.

    app: the ASGI application.
    propagation: the headers to read; None for those of `Propagation()`.
    max_timeout: seconds that a request may take at most, whatever its headers say, and if it has none; None for no limit.
    reserve: seconds of the caller's time, 0 or more, kept for the response: an error or a fallback that comes when the
        caller is gone helps nobody.
    reject_spent: respond with 504 to a request whose time is spent when it comes; False leaves it to the application,
        whose calls then fail.

    The limits hold in the tasks and threads of the handling, as a `deadline` does, until the last piece of the body has
    been sent; background tasks after the response are free of them. Where the caller announced retries, the calls make one
    attempt each (see "only one level retries"), but those of a `RetryPolicy(nested=True)`. A header that is not valid
    counts for nothing, and is logged at DEBUG. WebSockets and the lifespan pass through.

    Raises ConfigurationError for a wrong setting.
    """

    _may_be_async = True

    async def __call__(self, scope: Any, receive: Any, send: _Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = self._limits.begin(partial(_value, scope["headers"]))
        if request is None:
            await _reject(send)
            return
        try:
            await self.app(scope, receive, partial(_send, send, request))
        finally:
            request.leave()


@suggests_keywords(RENAMED_OF_HEALTH)
class HealthEndpoint(HealthReport):
    """An ASGI application that responds with the health summaries of clients, in JSON: ``app.mount("/health/clients", …)``.

    clients: an `HttpServiceClient`, a function that returns one (for one that is made when the application starts), or a
        mapping of these by name.
    requires: origins, such as ``https://payments.internal``, without which the service can do nothing: 503 while the
        circuit of one is open, until a trial is due.
    is_ready: another rule, in place of `requires`: called with the `HealthSummary` of each client by name; False for 503.
    window: seconds, up to 600, as for `HttpServiceClient.get_health_summary`.
    details: False for nothing but the status, where strangers may ask: the summaries name the services behind.
    show_keys: also the keys of calls, which may be users or tenants.
    max_origins: how many origins of each client are shown, those that need attention first.
    path: the only path that it responds at, for an application that is not mounted; None for every path that it gets.

    The response is 503 if a client is closed, is not there yet, or a required origin is not available; otherwise 200, and
    ``status`` is "ok" or "degraded". It is for readiness probes and people, not for liveness probes: see *Health* in the
    documentation. It makes no call, and raises nothing: if the rule fails, that is logged, and the response is 200 with
    "unknown". Any other method than GET and HEAD is a 405, another path than `path` a 404.

    Raises ConfigurationError for a wrong setting.
    """

    async def __call__(self, scope: Any, receive: Any, send: _Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":  # it is the whole application of a server
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif kind == "websocket":
            await send({"type": "websocket.close"})
        else:
            path = scope["path"]
            response = self.respond(scope["method"], path, path.removeprefix(scope.get("root_path", "")))
            headers = [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": response.body})


async def _send(send: _Send, request: InboundRequest, message: Any) -> None:
    try:
        await send(message)
    finally:
        kind = message["type"]
        is_last = kind == "http.response.body" and not message.get("more_body", False)
        if is_last or kind == "http.response.pathsend":  # an extension: the server sends a file
            request.end()


def _value(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """A repeated header is one list, as in WSGI and RFC 9110, 5.2, and then no valid value."""
    key = name.encode()
    values = [value for field, value in headers if field == key]
    return b", ".join(values).decode("latin-1") if values else None


async def _reject(send: _Send) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(SPENT))]
    await send({"type": "http.response.start", "status": 504, "headers": headers})
    await send({"type": "http.response.body", "body": SPENT})
