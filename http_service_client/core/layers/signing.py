"""Signing each exchange in its final form: innermost, after compression and cookies, for each attempt and redirect.

A signature may contain a time or a number used once, so each exchange has its own. A request that a redirect sends to
another origin is not signed unless the signer asks for it: a signature is a credential, and the other server would
learn one for a URL of its choice. Requests of an auth flow's own do not come here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import (
    AttemptTimeoutError,
    Failure,
    HttpClientError,
    InterceptorError,
    InvalidRequestError,
    SentState,
)
from ...http.auth.signing import SignableRequest
from ...http.messages import HttpRequest
from ..effects import TIMED_OUT, Invoke, Outcome, Plan

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["Signer", "SigningLayer"]


class Signer:
    """A signer's function, and its name for messages.

    is_async: the function is called where its coroutine is awaited. One that was made before might never be, if the call
        ends first.
    signs_other_origins: it is called for redirects to other origins, too.
    """

    __slots__ = ("function", "is_async", "name", "signs_other_origins")

    def __init__(self, name: str, function: Callable[..., Any], signs_other_origins: bool) -> None:
        self.name = name
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.signs_other_origins = signs_other_origins


class SigningLayer:
    """Runs the signers in list order on each request as it goes out. They may add headers, and change nothing else."""

    def __init__(self, signers: Sequence[Signer]) -> None:
        self._signers = tuple(signers)

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        is_elsewhere = call.current.has_left_origin
        signers = [signer for signer in self._signers if signer.signs_other_origins or not is_elsewhere]
        if signers:
            call.current.exchange_timeout = None  # signing takes some of the attempt's time
            signable = SignableRequest(request)
            for signer in signers:
                failure = yield from _signed_by(signer, signable, call)
                if failure is not None:
                    return failure
            try:
                request = signable.final()
            except InvalidRequestError as error:
                return _failed(InvalidRequestError, str(error))
        return (yield from proceed(request, call))


def _signed_by(signer: Signer, signable: SignableRequest, call: Call) -> Plan[Failure | None]:
    expires_at = call.current.expires_at
    left = None if expires_at is None else expires_at - call.clock()
    try:
        if signer.is_async:
            result = yield from Invoke(signer.function, signable, call, timeout=left)
        else:
            result = signer.function(signable, call)
            if hasattr(type(result), "__await__"):
                result = yield from Invoke(lambda: result, timeout=left)
    except InvalidRequestError as error:  # of the signable request
        return _failed(InvalidRequestError, f"{signer.name}: {error}")
    except HttpClientError as error:
        call.admit(error)
        raise
    if result is TIMED_OUT:
        return _failed(
            AttemptTimeoutError, f"the attempt timed out while {signer.name} was signing its request"
        )
    if result is not None and result is not signable:
        message = f"{signer.name} returned {type(result).__name__}; return nothing, or the request that it was given"
        return _failed(InterceptorError, message)
    return None


def _failed(error_type: type[HttpClientError], message: str) -> Failure:
    return Failure(error_type, message, SentState.NEVER_SENT)
