"""The effects that a plan asks for. How they are performed is the drivers' business.

A **plan** is a generator. It yields **effects** and is sent their answers, so the same plan runs on a
thread, in an asyncio task or in virtual time: a **driver** performs each effect in its own way.

    answer  = yield Send(request, timeout)           one exchange on the wire    -> Outcome
    answer  = yield Open(request, timeout)           one, its body left to come  -> Outcome
    data    = yield Receive(source, timeout)         more bytes of such a body   -> bytes | Failure
              yield from Sleep(seconds)              wait
    granted = yield from Acquire(waiter, timeout)    wait for a permit           -> bool
    value   = yield from Invoke(function, *args)     user code that may await    -> its value
    value   = yield from Work(function, *args)       slow code of our own        -> its value
    started = yield from Start(make_plan)            another plan, beside this one -> bool
    begun   = yield from Begin(branch)               another plan, as a part of this one -> bool
    index   = yield from FirstOf(branches, timeout)  wait until one of those has ended -> int | None

The rules of plans, each learned from a measured trap:

- The plan itself calls user code that is known to be plain: there is nothing to wait for.
- Always use `yield from`: nothing would notice a bare `Sleep(...)`, which does nothing; and a type checker knows
  the answer. `Send`, `Open` and `Receive` are in every call or come with every piece of a body. They are yielded
  directly, which halves their time, and the type of the answer is written beside them.
- Expected failures come back as values. Only bugs and cancellation are thrown into a plan.
- Never yield while handling an exception or cleaning up: an abandoned plan is closed, and a generator that
  yields during `close()` raises RuntimeError. A `finally` releases what the plan holds by plain calls.
- A plan owns what it waits for *before* it waits: it makes the waiter, then asks for the wait. So a
  KeyboardInterrupt between the grant and the plan's next step cannot lose a permit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ..errors import Failure
from ..http.messages import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from .machines.limits.semaphore import Waiter
    from .timeouts import Timeout

__all__ = [
    "TIMED_OUT",
    "Acquire",
    "Begin",
    "BodySource",
    "Branch",
    "Effect",
    "FirstOf",
    "Invoke",
    "Open",
    "Outcome",
    "Plan",
    "Receive",
    "Send",
    "Sleep",
    "Start",
    "Work",
]

T = TypeVar("T")
Answer = TypeVar("Answer")

TIMED_OUT = object()  # the answer of an Invoke or a Work whose timeout expired

Outcome = HttpResponse | Failure
Plan = Generator["Effect[Any]", Any, T]


class Effect(Generic[Answer]):
    """Something to be performed outside the plan. `yield from effect` evaluates to its answer."""

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
    """One exchange up to the response's headers. A response other than 2xx is read whole all the same."""

    __slots__ = ()


class BodySource(Protocol):
    """The undecoded body of a response on its connection.

    A blocking source has `read(timeout)`, an asyncio one `await read_async(timeout)`: some bytes, b"" at the end, or
    a Failure. timeout: `read` is the longest time without bytes, `total` what is left in all.

    A source may have `prefer_long_pieces()`, called before the first read by a reader to which fewer, longer pieces
    are worth the memory.
    """

    def close(self) -> None:
        """Release the connection, closing it unless the body was read to its end. A second time does nothing."""
        ...


class Receive(Effect["bytes | Failure"]):
    """More bytes of a body that was left open."""

    __slots__ = ("source", "timeout")

    def __init__(self, source: BodySource, timeout: Timeout) -> None:
        self.source = source
        self.timeout = timeout


class Sleep(Effect[None]):
    """Wait for so many seconds (>= 0).

    waiter: its grant, or its `interrupt`, ends the wait. None: only closing the client does.
    """

    __slots__ = ("seconds", "waiter")

    def __init__(self, seconds: float, waiter: Waiter | None = None) -> None:
        self.seconds = seconds
        self.waiter = waiter


class Acquire(Effect[bool]):
    """Wait until the waiter is granted its permit, at most `timeout` seconds (None: no limit)."""

    __slots__ = ("timeout", "waiter")

    def __init__(self, waiter: Waiter, timeout: float | None) -> None:
        self.waiter = waiter
        self.timeout = timeout


class Invoke(Effect[Any]):
    """Call user code, plain or async; its exceptions are thrown into the plan.

    timeout: seconds after which an async function is cancelled and the answer is `TIMED_OUT`. A plain
        function cannot be interrupted. None: no limit.
    """

    __slots__ = ("arguments", "function", "timeout")

    def __init__(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> None:
        self.function = function
        self.arguments = arguments
        self.timeout = timeout


class Work(Effect[Any]):
    """Call a slow plain function of our own (disk, compression): in a thread, where an event loop must go on.

    timeout: seconds after which that thread is abandoned and the answer is `TIMED_OUT`. The function may still be
        running then, and its result is dropped. On the calling thread it cannot be interrupted. None: no limit.
    is_needed: the call cannot do without it. If it can, the threads of what is needed are not used: functions that hang
        keep theirs.
    """

    __slots__ = ("arguments", "function", "is_needed", "timeout")

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        timeout: float | None = None,
        is_needed: bool = True,
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.timeout = timeout
        self.is_needed = is_needed


class Start(Effect[bool]):
    """Run another plan beside this one, which goes on at once: neither ends with the other. The answer: whether it runs.

    make_plan: returns the plan, which must not raise. It runs outside the scopes and deadlines of the caller, on a
        thread of its own, or in a task of the running loop. When that loop ends first, the plan is closed.
    for_caller: it is done for this caller alone, and the user's code in it sees the caller's context variables. If not, it
        sees none.
    context: in which it runs; for the drivers.
    is_needed: somebody waits for it, or it must be done. If not, it is left out while many such plans run.
    on_end: called when the plan has ended, also if that was before its first step: a generator that was never begun has
        no `finally` to run.
    """

    __slots__ = ("context", "is_needed", "make_plan", "on_end")

    def __init__(
        self,
        make_plan: Callable[[], Plan[None]],
        *,
        is_needed: bool = True,
        for_caller: bool = False,
        on_end: Callable[[], object] | None = None,
    ) -> None:
        self.make_plan = make_plan
        self.is_needed = is_needed
        self.context = _context_of_user() if for_caller else Context()
        self.on_end = on_end


def _context_of_user() -> Context:
    """The variables of the present context without our own: the deadline of a block, and the policies around it."""
    context = Context()
    for variable, value in copy_context().items():
        if not variable.name.startswith("http_service_client."):
            context.run(variable.set, value)
    return context


class Branch(Generic[T]):
    """A plan that runs as a part of another one, which owns it: it waits for it, or cancels it.

    is_done: it has ended, and nothing of it runs any more.   result, error: its return value, or the exception that it raised.
    is_cancelled: `cancel` was called.

    The owner makes the branch, and only then begins it, so that no interrupt can come between the two and leave a plan
    without an owner. It cancels it in a `finally`.
    """

    __slots__ = ("_end_now", "_make_plan", "_on_end", "error", "is_cancelled", "is_done", "result")

    def __init__(self, make_plan: Callable[[], Plan[T]]) -> None:
        self._make_plan: Callable[[], Plan[T]] | None = make_plan
        self.is_done = self.is_cancelled = False
        self.result: T | None = None
        self.error: BaseException | None = None
        self._end_now: Callable[[], object] | None = None
        self._on_end: Callable[[], object] | None = None

    def cancel(self) -> None:
        """End it as soon as possible, and do not wait for that. It releases what it holds; its result is dropped."""
        self.is_cancelled = (
            True  # first: a driver that begins it on another thread sees it, or is called below
        )
        end_now = self._end_now
        if end_now is not None and not self.is_done:
            end_now()

    def take(self) -> T:
        """Its result, once it is done. Raises its error, once: it is not kept, since its traceback holds the branch."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
            return self.result  # type: ignore[return-value]  # it has ended
        finally:
            del error

    # For the drivers.

    def new_plan(self) -> Plan[T]:
        """The plan, once. What makes it is forgotten, since it may hold the branch."""
        make_plan, self._make_plan = self._make_plan, None
        assert make_plan is not None
        return make_plan()

    def wrap(self, plan_of: Callable[[Callable[[], Plan[T]]], Plan[T]]) -> None:
        """Have the plan run inside another one.   plan_of: makes that of the function that makes the plan."""
        assert self._make_plan is not None
        self._make_plan = partial(plan_of, self._make_plan)

    def begin(self, end_now: Callable[[], object]) -> None:
        """It begins.   end_now: called by `cancel`, from any thread; it does not wait."""
        self._end_now = end_now

    def end(self, result: T | None = None, error: BaseException | None = None) -> None:
        """It has ended."""
        # Nobody takes the error of a branch that was cancelled, and its traceback holds the branch.
        if not self.is_cancelled:
            self.result, self.error = result, error
        self.is_done, self._end_now = True, None
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()


class Begin(Effect[bool]):
    """Begin a branch, which runs at the same time as its owner. False: there is no thread for it, and it will not run."""

    __slots__ = ("branch",)

    def __init__(self, branch: Branch[Any]) -> None:
        self.branch = branch


class FirstOf(Effect["int | None"]):
    """Wait until one of the branches has ended: the index of the first that has, or None after `timeout` seconds.

    Each of them was begun. timeout: None for no limit.
    """

    __slots__ = ("branches", "timeout")

    def __init__(self, branches: Sequence[Branch[Any]], timeout: float | None = None) -> None:
        self.branches = branches
        self.timeout = timeout

    # For the drivers.

    def notify(self, on_end: Callable[[], object]) -> None:
        """Have `on_end` called when a branch ends, from any thread, perhaps several times; also if one has ended by now."""
        for branch in self.branches:
            branch._on_end = on_end
        if self.found() is not None:  # it may have ended before, or just now on another thread
            on_end()

    def forget(self) -> None:
        """Call it no more."""
        for branch in self.branches:
            branch._on_end = None

    def found(self) -> int | None:
        """The index of the first branch that has ended, or None."""
        return next((index for index, branch in enumerate(self.branches) if branch.is_done), None)
