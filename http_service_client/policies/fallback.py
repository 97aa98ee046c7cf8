"""The fallback policy: what stands in for a result that could not be had."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from functools import reduce
from typing import Any

from ..core.checks import suggests_keywords
from ..core.effects import TIMED_OUT, Invoke, Plan
from ..core.layers.fallback import set_context
from ..core.machines.fallback import NOTHING, RENAMED, FallbackSettings, LastGood
from ..core.machines.function_keys import key_of
from ..core.machines.other_libraries import status_of
from ..core.operation import Operation, Proceed, shown
from ..core.outcomes import sent_state_of
from ..drivers.clocks import Clock, SystemClock
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError, SentState, errors_behind, worst
from ..events import FallbackSource, FallbackUsed
from ..http.messages import HttpResponse
from .functions import is_interruption
from .items import is_step
from .listeners import judging
from .strategy import StatefulStrategy

__all__ = ["FallbackPolicy"]


@suggests_keywords(RENAMED)
class FallbackPolicy(StatefulStrategy[FallbackSettings]):
    """A value, a function's result or the last good result in the place of a failure: ``fallback=FallbackPolicy(value=[])``.

    Around a function, it returns the result in the place of an exception. In a client's configuration, or with one call, it stands in for the response to a request that failed after all
    attempts. `response.is_fallback` says so, and `response.timeline.fallback_used` says which and for what.

    value: the result. For a client's call: an `HttpResponse`, or the data of a JSON response with status 200. Each user of
        a list, a dictionary or a set gets a copy.
    function: called with the error, or with a result that counts as a failure; plain or async; if it takes more than one argument, also with the arguments of the
        guarded function, or with the `HttpRequest` of a client's call. It returns the result, as for `value`. Where it raises
        the error that it was given, nothing stands in.
    last_good: seconds for which the last good result of the same request, or of the function with the same arguments, stands
        in. It comes first; `value` or `function` is for when there is none.
    failures: what counts as a failure, in place of the rules below: a list of statuses, ranges of them, and exception
        classes, such as [503, range(520, 530), ConnectError].
    is_failure: judges each result and each exception in their place: True where the fallback stands in.
    unsafe_methods: also for a POST and other requests that change something. A fallback hides that they failed, and that they
        may have been processed, so the default is GET, HEAD, OPTIONS, TRACE and QUERY alone. Around a function, it does not
        stand in for an error of such a request that may have been processed.
    single_user: the credentials that interceptors, auth flows, signers and a cookie jar add are always those of one user. By
        default, a response to a request with such credentials is not kept, since another user must not get it.
    key: of a guarded function's result: a function of the same arguments; by default the arguments themselves.
    max_entries, max_bytes: limits of the results that are kept: their number, and of responses their size.
    name: in events.   clock: the source of time.   A client has its own.

    A function's result is kept as it is, and not copied: a caller that changes it changes what stands in later.

    Failures are: what a policy refuses, such as an open circuit; transport errors, of this package and of requests, urllib3,
    aiohttp, httpx and httpx2; timeouts; 408, 429 and 5xx. Not: any other status, errors of the program such as a TypeError, a
    certificate that is not trusted, cancellation.

    Raises ConfigurationError (a ValueError) that names the argument, its value and the remedy.
    """

    rank = 10
    repeats = True
    _live = ("_results",)
    _data = ("value",)

    def __init__(
        self,
        *,
        value: Any = NOTHING,
        function: Callable[..., Any] | None = None,
        last_good: float | None = None,
        failures: Iterable[int | range | type[BaseException]] | None = None,
        is_failure: Callable[[Any], bool | None] | None = None,
        unsafe_methods: bool = False,
        single_user: bool = False,
        key: Callable[..., Hashable] | None = None,
        max_entries: int = 1000,
        max_bytes: int = 16 * 1024 * 1024,
        name: str = "",
        clock: Clock = SystemClock(),  # noqa: B008  # it has no state
    ) -> None:
        settings = FallbackSettings(
            value=value,
            function=function,
            last_good=last_good,
            failures=failures,
            is_failure=is_failure,
            unsafe_methods=unsafe_methods,
            single_user=single_user,
            key=key,
            max_entries=max_entries,
            max_bytes=max_bytes,
        )
        self._set_up(replace(settings, is_failure=judging(is_failure)), name, clock)

    @property
    def used_clock(self) -> Clock | None:  # type: ignore[override]  # wider: it goes by the clock of its pipeline
        return None if type(self._clock) is SystemClock else self._clock

    def _begin(self, settings: FallbackSettings) -> None:
        self._results: LastGood[Any] = LastGood(settings.max_entries, settings.max_bytes, lock=ForkSafeLock())

    def _change(self, settings: FallbackSettings) -> None:
        self._results.resize(settings.max_entries, settings.max_bytes)

    def reconfigure(self, **changes: Any) -> None:
        if "is_failure" in changes:
            changes["is_failure"] = judging(changes["is_failure"])
        StatefulStrategy.reconfigure(self, **changes)

    def clear(self) -> None:
        """Forget the last good results. One that is on its way is not kept when it comes."""
        self._results.clear()

    def _key(self, operation: Operation) -> Hashable:
        """Equal for calls whose results may stand in for each other."""
        if is_step(operation.args):
            raise ConfigurationError(
                "last_good keeps results, and no items of a generator; guard the function that it calls"
            )
        function: Any = operation.guarded.function  # blocks do not come here
        return key_of(function, operation.args, operation.kwargs, self._settings.key)

    def guard(self, proceed: Proceed, operation: Operation) -> Plan[Any]:
        settings, key = self._settings, None
        if settings.last_good is not None:
            key = self._key(operation)
        failed: Any = None
        generation = self._results.generation
        try:
            result = yield from proceed(operation)
            if not _counts_as_failure(settings, result):
                if key is not None:
                    self._results.keep(key, result, operation.clock(), generation=generation)
                return result
            failed = result
        except BaseException as error:
            handled = operation.handled
            if (
                is_interruption(error)
                or not settings.covers(shown(error), handled)
                or not settings.may_hide(error, handled)
            ):
                raise
            failed = error
        try:
            return (yield from self._stand_in(settings, key, failed, operation))
        finally:
            del failed  # an error's traceback holds this frame

    def _stand_in(
        self, settings: FallbackSettings, key: Hashable, failed: Any, operation: Operation
    ) -> Plan[Any]:
        """The result in the place of an exception, or of a result; without one, they are what the operation came to."""
        if settings.last_good is not None:
            found = self._results.find(key, operation.clock(), settings.last_good)
            if found is not None:
                self._used(FallbackSource.LAST_GOOD, failed, operation, found.age)
                return found.result
        if settings.value is not NOTHING:
            self._used(FallbackSource.VALUE, failed, operation)
            return settings.ready_value()
        result: Any = TIMED_OUT
        if settings.function is not None:
            result = yield from self._ask(settings, failed, operation)
        if result is not TIMED_OUT:
            self._used(FallbackSource.FUNCTION, failed, operation)
            return result
        if not isinstance(failed, BaseException):
            return failed
        try:
            raise failed
        finally:
            del failed

    def _ask(self, settings: FallbackSettings, failed: Any, operation: Operation) -> Plan[Any]:
        """What the function returns; TIMED_OUT if no time is left for it, or it leaves the failure as it is."""
        given: list[Any] = [*settings.arguments(shown(failed), operation.args, operation.kwargs)]
        remaining = operation.remaining()
        try:
            return (
                yield from Invoke(
                    lambda: settings.function(*given[0], **given[1]),  # type: ignore[misc]  # the caller has looked
                    timeout=None if remaining is None else max(0.0, remaining),
                )
            )
        except Exception as raised:
            if raised is shown(failed):
                return TIMED_OUT
            if isinstance(failed, BaseException):
                set_context(raised, failed)
            raise
        finally:
            given.clear()  # an error's traceback holds this frame
            del failed

    def _used(
        self, source: FallbackSource, failed: Any, operation: Operation, age: float | None = None
    ) -> None:
        reason, states = "the result", []
        if isinstance(failed, BaseException):
            reason = type(shown(failed)).__name__
            states = [sent_state_of(each) for each in errors_behind(failed, operation.handled)]
        elif (status := status_of(failed)) is not None:
            reason = f"status {status}"
            states = [failed.sent_state] if isinstance(failed, HttpResponse) else []
        state: SentState | None = reduce(worst, states) if states else None
        operation.record(
            FallbackUsed(
                operation.elapsed(), operation.attempt, self.name or operation.key, source, reason, state, age,
                operation.call_id, operation.call_name,
            )
        )  # fmt: skip


def _counts_as_failure(settings: FallbackSettings, result: object) -> bool:
    if not settings.covers(result):
        return False
    return not isinstance(result, HttpResponse) or settings.may_hide_response(result)
