"""For ASGI applications, such as those of FastAPI, Starlette, Litestar and Django: adopt the deadline of each request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from ..core.checks import suggests_keywords
from .inbound import RENAMED, SPENT, InboundMiddleware, InboundRequest

__all__ = ["DeadlineMiddleware"]

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
