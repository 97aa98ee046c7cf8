"""The questions that a plan asks of the world, and nothing about how they are answered.

A **plan** is a generator. It yields **effects** and is sent their answers, so the same plan runs on a
thread, in an asyncio task or in virtual time: a **driver** performs each effect in its own way.

    answer  = yield Send(request, timeout)           one exchange on the wire    -> Outcome
    answer  = yield Open(request, timeout)           one, its body left to come  -> Outcome
    data    = yield Receive(source, timeout)         some more of such a body    -> bytes | Failure
              yield from Sleep(seconds)              wait
    granted = yield from Acquire(ticket, timeout)    wait for a place            -> bool
    value   = yield from Invoke(function, *args)     user code that may await    -> its value
    value   = yield from Work(function, *args)       ours that takes its time    -> its value

The rules of plans, each learned from a measured trap:

- User code that is known to be plain is called by the plan itself: there is nothing to wait for.
- Always `yield from`: a bare `Sleep(...)` is a no-op that nothing would notice, and a type checker knows the
  answer. `Send`, `Open` and `Receive`, which are in every call or come for every piece of a body, are yielded
  themselves, for half of the time; the type of their answer is written beside them.
- Expected failures come back as values. Only bugs and cancellation are thrown into a plan.
- Never yield while an exception is being handled, nor while cleaning up: an abandoned plan is closed,
  and a generator that yields during `close()` is a RuntimeError. What is held is given back by a
  plain call in a `finally`.
- A plan owns what it waits for *before* it waits: it makes the ticket and asks for the wait. So a
  KeyboardInterrupt between the grant and the plan's next step cannot lose a place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..errors import Failure
from ..http.messages import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from .machines.semaphore import Waiter
    from .timeouts import Timeout

__all__ = [
    "TIMED_OUT",
    "Acquire",
    "BodySource",
    "Effect",
    "Invoke",
    "Open",
    "Outcome",
    "Plan",
    "Receive",
    "Send",
    "Sleep",
    "Work",
]

T = TypeVar("T")
Answer = TypeVar("Answer")

TIMED_OUT = object()  # the answer of an Invoke that was cut by its timeout

Outcome = HttpResponse | Failure
Plan = Generator["Effect[Any]", Any, T]


class Effect(Generic[Answer]):
    """A question to the world. `yield from effect` evaluates to its answer."""

    __slots__ = ()

    def __iter__(self) -> Plan[Answer]:
        answer: Answer = yield self
        return answer


class Send(Effect[Outcome]):
    """One exchange on the wire: this request, within this timeout."""

    __slots__ = ("request", "timeout")

    def __init__(self, request: HttpRequest, timeout: Timeout) -> None:
        self.request = request
        self.timeout = timeout


class Open(Send):
    """One exchange up to the response's headers. A response that is no success (2xx) is read whole all the same."""

    __slots__ = ()


class BodySource(Protocol):
    """The body of a response, on its connection. Undecoded.

    One of the blocking world has `read(timeout)`, one of asyncio `await read_async(timeout)`: some bytes, b""
    at the end, or a Failure. timeout: `read`, the longest silence, and `total`, what is left in all.
    """

    def close(self) -> None:
        """Let go of the connection; what was not read to its end is closed. More than once is once."""
        ...


class Receive(Effect["bytes | Failure"]):
    """Some more bytes of a body that was left open."""

    __slots__ = ("source", "timeout")

    def __init__(self, source: BodySource, timeout: Timeout) -> None:
        self.source = source
        self.timeout = timeout


class Sleep(Effect[None]):
    """Wait for so many seconds (>= 0)."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Acquire(Effect[bool]):
    """Wait until the ticket is granted, at most `timeout` seconds (None: as long as it takes)."""

    __slots__ = ("ticket", "timeout")

    def __init__(self, ticket: Waiter, timeout: float | None) -> None:
        self.ticket = ticket
        self.timeout = timeout


class Invoke(Effect[Any]):
    """Call user code, plain or async; its exceptions are thrown into the plan.

    timeout: seconds after which an async function is cancelled and the answer is `TIMED_OUT`; a plain
        function cannot be interrupted. None: no bound.
    """

    __slots__ = ("arguments", "function", "timeout")

    def __init__(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> None:
        self.function = function
        self.arguments = arguments
        self.timeout = timeout


class Work(Effect[Any]):
    """Call a plain function of ours that takes its time (a disk, a compression): in a thread where a loop goes on."""

    __slots__ = ("arguments", "function")

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function = function
        self.arguments = arguments
