"""The policies and calls that enclose the running code, from the inside out.

A scope is entered around a guarded function and around a client's call. It answers what an inner one must know:
is a retry policy in charge already (then inner ones make a single attempt), is this circuit's permit held already
(then inner ones need none, and count no result of their own), and which call ended last inside (so that a condition
sees the 503 that caused the function's own exception).

A server's handling of an inbound request is such a scope, too, if its caller announced retries.

A client's call is in charge of no other call's retries: what its interceptors call are calls of their own, whose
errors it does not retry.

The scope is an object in a context variable, not a value: tasks started inside inherit a reference to
it, so the outcomes that they record are seen outside.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..http.messages import HttpRequest, HttpResponse
from .machines.operation_keys import OperationKeys
from .outcomes import is_failure

if TYPE_CHECKING:
    from ..errors import SentState
    from ..events import Event
    from .effects import Outcome
    from .machines.circuit_breaker.breaker import CircuitBreaker
    from .machines.retry.quota import AnyBudget

__all__ = ["CallScope", "EndedCall", "InboundScope", "RetryScope", "Scope", "current_scope"]

_CURRENT: ContextVar[Scope | None] = ContextVar("http_service_client.scope", default=None)

current_scope = _CURRENT.get


class EndedCall(NamedTuple):
    """What the scopes around a call learn of it.

    sent_state: over all its attempts.   budget, listener: of its client, for its origin; None for none.
    """

    outcome: Outcome
    sent_state: SentState
    key: str
    call_id: str
    call_name: str | None
    request: HttpRequest
    budget: AnyBudget | None
    listener: Callable[[Event], None] | None


def _copied(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """The same method, with a code object of its own."""
    return FunctionType(method.__code__.replace(), method.__globals__, method.__name__)


class Scope:
    """One guarded function or one call. It is the current scope from its creation until `leave()`.

    Each guarded call makes one, so it begins with as little as possible.

    breaker: the circuit breaker whose permit it holds now, or None.
    last_call: the call that ended last inside, or None.
    has_sent: since it was last set to False, a call inside was let through by its circuit, if it has one.
    """

    __slots__ = ("_token", "has_sent", "last_call", "outer")

    breaker: CircuitBreaker | None = None
    may_pause: ClassVar[bool] = False  # `has_ended` is true of it for a while, too
    has_sent: bool  # unset at first

    def __init__(self) -> None:
        outer = _CURRENT.get()
        # A chain of tasks that start the next must not grow. The call of a property, only where it matters.
        while outer is not None and (outer._token is None or (outer.may_pause and outer.has_ended)):
            outer = outer.outer
        self.outer: Scope | None = outer
        self.last_call: EndedCall | None = None
        # Ctrl-C may come between the two: the scope is the current one then, and counts as ended.
        self._token: Token[Scope | None] | None = None
        self._token = _CURRENT.set(self)

    @property
    def has_ended(self) -> bool:
        """`leave()` was called. A task that was started inside and outlives the scope is on its own from then on."""
        return self._token is None

    def leave(self) -> None:
        """Return to the enclosing scope. A second time does nothing."""
        token, self._token = self._token, None
        self.last_call = None  # a task that outlives the scope would keep it alive
        while self.outer is not None and self.outer._token is None:  # it has ended before: see above
            self.outer = self.outer.outer
        if token is None:
            return
        try:
            _CURRENT.reset(token)
        except ValueError:
            pass  # the coroutine is being closed from another context, whose scope must stay as it is

    _begin, _end = __init__, leave

    def __init_subclass__(cls) -> None:
        # Since Python 3.11, the interpreter adapts code to the class that it meets there. Guarded calls make scopes of
        # several classes in turn. With one code for all, a retry and a circuit breaker would take 0.4 us more.
        cls._begin = _copied(Scope.__init__)  # type: ignore[assignment]
        cls._end = _copied(Scope.leave)  # type: ignore[assignment]
        if cls.leave is Scope.leave:
            cls.leave = cls._end  # type: ignore[method-assign]

    def in_charge(self) -> RetryScope | None:
        """The outermost scope that retries, this one included; None when none does."""
        found: RetryScope | None = None
        scope: Scope | None = self
        while scope is not None:
            if isinstance(scope, RetryScope) and scope.may_repeat():
                found = scope
            scope = scope.outer
        return found

    def operation_keys(
        self, make: Callable[[], str], lock: AbstractContextManager[Any]
    ) -> OperationKeys | None:
        """The idempotency keys of the innermost operation that may be repeated; None when none may be.

        What the interceptors of a client's call send are operations of their own, and so is all that an inbound
        request leads to: its repetition may come to another process.
        make, lock: see `OperationKeys`.
        """
        scope: Scope | None = self
        while scope is not None and not isinstance(scope, (CallScope, InboundScope)):
            if isinstance(scope, RetryScope) and scope.may_repeat():
                with lock:
                    if scope.keys is None:
                        outer = None if scope.outer is None else scope.outer.operation_keys(make, lock)
                        scope.keys = OperationKeys(make, lock, outer)
                return scope.keys
            scope = scope.outer
        return None

    def earlier_attempts(self) -> int:
        """How many attempts there were before the present ones, of this scope and of those around it."""
        count = 0
        scope: Scope | None = self
        while scope is not None:
            if isinstance(scope, RetryScope) and not scope.has_ended:
                count += scope.attempt - 1
            scope = scope.outer
        return count

    def holds(self, breaker: CircuitBreaker) -> bool:
        """Whether this scope, or one around it, holds a permit of the breaker."""
        scope: Scope | None = self
        while scope is not None:
            if scope.breaker is breaker and not scope.has_ended:
                return True
            scope = scope.outer
        return False

    def record(self, call: EndedCall) -> None:
        """Record a call that ended, in this scope and in those around it."""
        failed = is_failure(call.outcome)
        scope: Scope | None = self
        while scope is not None:
            if not scope.has_ended:
                scope.last_call = call
                if isinstance(scope, RetryScope):
                    if failed:
                        scope.failed_call = call
                    if scope.keys is not None:
                        _record_key(scope.keys, call)
            scope = scope.outer

    def record_sending(self) -> None:
        """Record a call that its circuit lets through, in this scope and in those around it."""
        scope: Scope | None = self
        while scope is not None:
            scope.has_sent = True
            scope = scope.outer


class CallScope(Scope):
    """The scope of a client's call, from `_begin` until `leave()`.

    It is made first, and begins in the `try` block that leaves it: if Ctrl-C came between the two, all later calls of the
    thread would be inside this one.

    call_id: of the call.
    """

    __slots__ = ("breaker", "call_id")

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.breaker: CircuitBreaker | None = None
        self.outer = self._token = None

    @property
    def parent_id(self) -> str | None:
        """The id of the call around this one, or None."""
        scope = self.outer
        while scope is not None and not isinstance(scope, CallScope):
            scope = scope.outer
        return None if scope is None else scope.call_id


class RetryScope(Scope):
    """The scope of a function under a retry policy, over all its attempts: from `_begin` until `leave()`.

    As that of a call, it begins in the `try` block that leaves it.

    attempt: its number, from 1.
    keys: the idempotency keys of its requests, or None before the first.
    failed_call: the call that ended last of those that failed, or None: a retry is on its account.
    """

    __slots__ = ("attempt", "failed_call", "keys")

    def __init__(self) -> None:
        self.outer = self._token = None
        self.attempt = 1
        self.keys: OperationKeys | None = None
        self.failed_call: EndedCall | None = None

    def leave(self) -> None:
        self.failed_call = None
        self._end()

    def may_repeat(self) -> bool:
        """Whether it can still make another attempt: it has not ended, and knows the keys of its requests."""
        return not self.has_ended and (self.keys is None or not self.keys.is_full)

    def begin_attempt(self) -> None:
        """What the attempt before left inside says nothing about the next one."""
        self.last_call = self.failed_call = None
        self.has_sent = False
        self.attempt += 1
        if self.keys is not None:
            self.keys.begin_attempt()


class InboundScope(RetryScope):
    """The scope of a request that a server handles, as one attempt of its caller. It begins when it is made.

    attempt: as the caller counts.   is_retried_above: the caller retries, or a service above it.
    """

    __slots__ = ("is_retried_above",)

    def __init__(self, attempt: int, is_retried_above: bool) -> None:
        RetryScope.__init__(self)
        self._begin()
        self.attempt = attempt
        self.is_retried_above = is_retried_above

    def may_repeat(self) -> bool:
        return self.is_retried_above and not self.has_ended


def _record_key(keys: OperationKeys, call: EndedCall) -> None:
    """Let an operation know that the request of a key succeeded."""
    key = call.request.headers.get("Idempotency-Key")
    if key is not None and isinstance(call.outcome, HttpResponse) and call.outcome.status_code < 400:
        keys.record_success(key)
