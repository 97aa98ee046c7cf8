"""Adopting what the headers of an inbound request say, for as long as the request is handled.

The calls that the handling makes end when the caller stops waiting, and leave retries to a caller that announced them.
Both hold in every task and thread that has the context of the handling, and end with the response: what runs in the
background after it is nobody's to wait for.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from contextvars import Token
from logging import DEBUG
from typing import ClassVar, Generic, TypeVar

from ..core.checks import check_duration, check_flag, check_number, remedies
from ..core.deadline import AMBIENT_DEADLINE, Deadline, virtual_instants
from ..core.nesting import InboundScope
from ..drivers.loggers import branch, write
from ..errors import ConfigurationError
from ..http.fields.propagation import Propagation

__all__ = ["RENAMED", "SPENT", "InboundLimits", "InboundMiddleware", "InboundRequest"]

App = TypeVar("App")

SPENT = b"the time that the caller allowed was spent before the request was handled\n"
"""The body of the 504 to a request that comes too late."""
RENAMED = remedies(
    {
        "it is called max_timeout": "timeout deadline total_timeout",
        "name them in propagation=Propagation(…)": "headers",
    }
)
"""Remedies for keywords that the middlewares do not have."""


def _check_application(app: object, *, may_be_async: bool) -> None:
    """Raise ConfigurationError for what a middleware cannot wrap."""
    if not callable(app):
        raise ConfigurationError(f"app must be an application, not {app!r}")
    called = app if inspect.isroutine(app) else type(app).__call__
    if not may_be_async and inspect.iscoroutinefunction(called):
        raise ConfigurationError(
            f"app is an ASGI application, {app!r}; use the DeadlineMiddleware of integrations.asgi"
        )


class InboundLimits:
    """The settings of a middleware. What they mean is said in `integrations.asgi.DeadlineMiddleware`."""

    def __init__(
        self, propagation: Propagation | None, max_timeout: float | None, reserve: float, reject_spent: bool
    ) -> None:
        if propagation is not None and not isinstance(propagation, Propagation):
            raise ConfigurationError(f"propagation must be a Propagation or None, not {propagation!r}")
        check_duration("max_timeout", max_timeout)
        check_number("reserve", reserve, unit="of seconds ")
        check_flag("reject_spent", reject_spent)
        self._propagation = Propagation() if propagation is None else propagation
        self._max_timeout = max_timeout
        self._reserve = reserve
        self._reject_spent = reject_spent

    def begin(self, get: Callable[[str], str | None]) -> InboundRequest | None:
        """Open the limits of a request around the running code; None for a request that comes too late.

        get: see `Propagation.inbound`.
        """
        said = self._propagation.inbound(get)
        for name, value in said.ignored:
            fields = {"event": "inbound_header_ignored", "header": name}
            text = "the inbound header %s is ignored, since %r is not valid there"
            write(branch("inbound"), DEBUG, text, name, value[:100], fields=fields)
        seconds = said.seconds
        if seconds is not None:
            seconds -= self._reserve
            if seconds <= 0 and self._reject_spent:
                return None
        if self._max_timeout is not None:
            seconds = self._max_timeout if seconds is None else min(seconds, self._max_timeout)
        return InboundRequest(seconds, said.attempt, said.is_retried_above)


class InboundMiddleware(Generic[App]):
    """What the middlewares of all kinds of applications have in common."""

    _may_be_async: ClassVar[bool]

    def __init__(
        self,
        app: App,
        propagation: Propagation | None = None,
        *,
        max_timeout: float | None = None,
        reserve: float = 0.0,
        reject_spent: bool = True,
    ) -> None:
        _check_application(app, may_be_async=self._may_be_async)
        self.app = app
        self._limits = InboundLimits(propagation, max_timeout, reserve, reject_spent)


class InboundRequest:
    """The handling of one request, from here to `end`.

    seconds: until its deadline, None for none.   attempt, is_retried_above: see `InboundScope`.
    """

    def __init__(self, seconds: float | None, attempt: int, is_retried_above: bool) -> None:
        self._deadline: Deadline | None = None
        self._token: Token[Deadline | None] | None = None
        if seconds is not None:
            clock, outer = time.monotonic, AMBIENT_DEADLINE.get()
            self._deadline = Deadline(clock() + seconds, clock, outer, virtual_instants(seconds))
            self._token = AMBIENT_DEADLINE.set(self._deadline)
        is_special = attempt > 1 or is_retried_above
        self._scope = InboundScope(attempt, is_retried_above) if is_special else None

    def end(self) -> None:
        """The response has been sent. What goes on is free of the limits, in whatever task or thread."""
        if self._deadline is not None:
            self._deadline.has_ended = True
            self._deadline.forget()
        if self._scope is not None:
            self._scope.leave()

    def leave(self) -> None:
        """End, and restore the context of the code that called the middleware."""
        self.end()
        token, self._token = self._token, None
        if token is not None:
            try:
                AMBIENT_DEADLINE.reset(token)
            except ValueError:
                pass  # closed in another context, which has no part in this
