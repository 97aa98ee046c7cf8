"""The interceptor chain: user code around each attempt, then the request's final form.

Request interceptors run in list order on a copy made for the attempt. Then the request is encoded and validated
again, since they may have changed anything. Response interceptors run in list order on the response. An
interceptor that raises ends the call: its error reaches the caller and says nothing about the server.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...errors import (
    DeadlineExceededError,
    Failure,
    HttpClientError,
    InterceptorError,
    InvalidRequestError,
    SentState,
)
from ...http.messages import HttpContext, HttpRequest, HttpResponse
from ..effects import TIMED_OUT, Invoke, Outcome, Plan

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["Interceptor", "InterceptorsLayer", "RequestInterceptor", "ResponseInterceptor"]


class Interceptor:
    """One method of an interceptor, and its name for messages.

    call: takes a message and the call's context. A plain method runs; for an async one, the result is the
        effect that runs it: a coroutine that was made before might never be awaited, if the call ends first.
    """

    __slots__ = ("call", "name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.call = partial(_invoked, function) if inspect.iscoroutinefunction(function) else function


def _invoked(function: Callable[..., Any], subject: HttpRequest | HttpResponse, call: Call) -> Invoke:
    return Invoke(function, subject, call, timeout=call.remaining())


def _resolved(result: Any, call: Call) -> Plan[Any]:
    """Resolve an interceptor's result: perform the effect of an async one, await an awaitable."""
    if isinstance(result, Invoke):
        return (yield from result)
    if hasattr(type(result), "__await__"):
        return (yield from Invoke(lambda: result, timeout=call.remaining()))
    return result


class InterceptorsLayer:
    """Runs the chain and puts the request into its final form.

    prepare: called with the attempt's request and the call's original one; brings the former into its final form
        for the wire, in place. Raises InvalidRequestError.
    """

    def __init__(
        self,
        request_interceptors: Sequence[Interceptor],
        response_interceptors: Sequence[Interceptor],
        prepare: Callable[[HttpRequest, HttpRequest], None],
    ) -> None:
        self._request_interceptors = tuple(request_interceptors)
        self._response_interceptors = tuple(response_interceptors)
        self._prepare = prepare

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        original = request
        call.request = request = original.copy()
        outcome: Outcome | None = None
        try:
            for interceptor in self._request_interceptors:
                result: Any = interceptor.call(request, call)
                if result is request:  # nearly always
                    continue
                if not isinstance(result, HttpRequest):
                    result = yield from _resolved(result, call)
                    if isinstance(result, HttpResponse):
                        # A cache may return one object to many calls; each call writes on a copy of its own.
                        call.current.answered_by, outcome = interceptor.name, copy.copy(result)
                        break
                    if not isinstance(result, HttpRequest):
                        expected = "the request, or an HttpResponse to skip the network"
                        return _unusable(interceptor, result, expected)
                call.request = request = result
        except HttpClientError as error:
            call.admit(error)
            raise
        if outcome is None:
            try:
                self._prepare(request, original)
            except InvalidRequestError as error:
                return Failure(InvalidRequestError, str(error), SentState.NEVER_SENT)
            outcome = yield from proceed(request, call)
        if isinstance(outcome, Failure):
            return outcome
        response: HttpResponse = outcome
        if response.request is None:
            response.request = request
        try:
            for interceptor in self._response_interceptors:
                result = interceptor.call(response, call)
                if not isinstance(result, HttpResponse):
                    result = yield from _resolved(result, call)
                    if not isinstance(result, HttpResponse):
                        return _unusable(interceptor, result, "an HttpResponse", response)
                response = result
        except HttpClientError as error:
            if call.current.answered_by is None:  # what an interceptor answered was never sent
                call.admit(error, response.sent_state)
            else:
                call.admit(error)
            raise
        return response


def _unusable(
    interceptor: Interceptor, result: object, expected: str, response: HttpResponse | None = None
) -> Failure:
    state = SentState.NEVER_SENT if response is None else SentState.ABANDONED
    error_type: type[HttpClientError] = InterceptorError
    message = f"{interceptor.name} returned {type(result).__name__}; return {expected}"
    if result is TIMED_OUT:
        error_type, message = (
            DeadlineExceededError,
            f"the deadline expired while {interceptor.name} was running",
        )
    return Failure(error_type, message, state, details={"response": response})


class RequestInterceptor:
    """Base class of interceptors that see each request before it is sent. Deriving from it is optional.

    The method may be plain or `async def`. It returns the request, the same or another; or an `HttpResponse`,
    which skips the network; or it raises, which ends the call with that error.
    """

    def intercept_request(
        self, request: HttpRequest, context: HttpContext
    ) -> HttpRequest | HttpResponse | Awaitable[HttpRequest | HttpResponse]:
        """Called once for each attempt, with the attempt's own copy of the request and the context of the call."""
        raise NotImplementedError(
            f"{type(self).__name__} must define intercept_request(self, request, context)"
        )


class ResponseInterceptor:
    """Base class of interceptors that see each response. Deriving from it is optional.

    The method may be plain or `async def`. It returns the response, the same or another; or it raises.
    """

    def intercept_response(
        self, response: HttpResponse, context: HttpContext
    ) -> HttpResponse | Awaitable[HttpResponse]:
        """Called once for each attempt that got a response, with the context of the call."""
        raise NotImplementedError(
            f"{type(self).__name__} must define intercept_response(self, response, context)"
        )
