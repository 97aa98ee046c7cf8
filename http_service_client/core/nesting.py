"""The policies and calls that enclose the running code, from the inside out.

A scope is entered around a guarded function and around a client's call. It answers two questions: is a
retry policy in charge already (then inner ones make a single attempt), and what was the last HTTP outcome
inside (so that a condition sees the 503 that caused the function's own exception).

The scope is an object in a context variable, not a value: tasks started inside inherit a reference to
it, so the outcomes that they record are seen outside.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import Failure
    from ..http.messages import HttpResponse

__all__ = ["Scope", "current_scope"]


_CURRENT: ContextVar[Scope | None] = ContextVar("http_service_client.scope", default=None)

current_scope = _CURRENT.get


class Scope:
    """One guarded function or one call. It is the current scope from its creation until `leave()`.

    last_outcome: of the calls inside.
    has_ended: `leave()` was called. A task that was started inside and outlives the scope is on its own from then on.
    """

    __slots__ = ("_retries", "_token", "has_ended", "last_outcome", "outer")

    def __init__(self, retries: bool) -> None:
        outer = _CURRENT.get()
        while outer is not None and outer.has_ended:  # a chain of tasks that start the next must not grow
            outer = outer.outer
        self.outer: Scope | None = outer
        self._retries = retries
        self.has_ended: bool = False
        self.last_outcome: HttpResponse | Failure | None = None
        self._token: Token[Scope | None] | None = _CURRENT.set(self)

    def leave(self) -> None:
        """Return to the enclosing scope."""
        self.has_ended = True
        token, self._token = self._token, None
        try:
            _CURRENT.reset(token)  # type: ignore[arg-type]  # left once
        except ValueError:
            pass  # the coroutine is being closed from another context, whose scope must stay as it is

    @property
    def retries(self) -> bool:
        """Whether a retry policy is in charge, here or further out."""
        scope: Scope | None = self
        while scope is not None:
            if scope._retries and not scope.has_ended:
                return True
            scope = scope.outer
        return False

    def record_outcome(self, outcome: HttpResponse | Failure) -> None:
        """Record the outcome of a call in this scope and in those around it."""
        scope: Scope | None = self
        while scope is not None:
            scope.last_outcome = outcome
            scope = scope.outer
