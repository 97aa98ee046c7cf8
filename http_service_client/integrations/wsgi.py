"""For WSGI applications, such as those of Flask and Django.

Adopt the deadline of each request, and say how the services behind are doing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any

from ..core.checks import suggests_keywords
from .health import RENAMED as RENAMED_OF_HEALTH
from .health import HealthReport
from .inbound import RENAMED, SPENT, InboundMiddleware, InboundRequest

__all__ = ["DeadlineMiddleware", "HealthEndpoint"]

_App = Callable[[dict[str, Any], Any], Iterable[bytes]]


@suggests_keywords(RENAMED)
class DeadlineMiddleware(InboundMiddleware[_App]):
    """The calls that the handling of a request makes end when its caller stops waiting, and leave retries to that caller.

    app: the WSGI application.   The settings are those of `integrations.asgi.DeadlineMiddleware`, and so is what they do.

    The limits hold until the body has been iterated or closed, also where a generator makes it piece by piece. Threads that
    the handling starts have a context of their own; give them its context by ``contextvars.copy_context().run``.

    Raises ConfigurationError for a wrong setting.
    """

    _may_be_async = False

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = self._limits.begin(lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}"))
        if request is None:
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(SPENT)))]
            start_response("504 Gateway Timeout", headers)
            return [SPENT]
        try:
            body = self.app(environ, start_response)
        except BaseException:
            request.leave()
            raise
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, (list, tuple)) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            # It is complete, or a file that the server has its own way to send. Servers look for these types.
            request.leave()
            return body
        return _Body(body, request)


@suggests_keywords(RENAMED_OF_HEALTH)
class HealthEndpoint(HealthReport):
    """A WSGI application that responds with the health summaries of clients, in JSON.

    The settings are those of `integrations.asgi.HealthEndpoint`, and so are the responses.

    Raises ConfigurationError for a wrong setting.
    """

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        path = environ.get("PATH_INFO", "")
        response = self.respond(environ["REQUEST_METHOD"], path, environ.get("SCRIPT_NAME", "") + path)
        status = f"{response.status} {HTTPStatus(response.status).phrase}"
        start_response(status, list(response.headers.items()))
        return [response.body]


class _Body:
    """The body of a response that may still make calls."""

    def __init__(self, body: Iterable[bytes], request: InboundRequest) -> None:
        self._body = body
        self._pieces: Iterator[bytes] | None = None
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._pieces is None:
                self._pieces = iter(self._body)
            return next(self._pieces)
        except BaseException:  # StopIteration, too
            self._request.leave()
            raise

    def close(self) -> None:
        """Called by the server in any case (PEP 3333). Cleaning up is not limited."""
        self._request.leave()
        close = getattr(self._body, "close", None)
        if close is not None:
            close()
