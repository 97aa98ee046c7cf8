"""The response to a caller whose request failed because a service behind this one did.

what failed                                       status   why
the circuit is open, the service asked            503      with Retry-After: nothing was sent, and nothing will be
for a pause, 429 or 503 of the service                     until then
no free connection of our own                     503      this service has more to do than it can
a timeout, the deadline, 504 of the service       504
any other failure of an exchange or a response,   502      the caller can do nothing about it, so a 404 of a service
any other 4xx or 5xx                                       behind is none of its own
there is no token                                 likewise by the failure of the token request
a wrong call, a wrong setting, a closed client    none     a bug here, which is to be seen as one
"""

from __future__ import annotations

import json
import math
import time
from typing import NamedTuple

from ..core.outcomes import behind_token
from ..errors import (
    CallRefusedError,
    DeadlineTooShortError,
    HttpClientError,
    HttpStatusError,
    OperationTimeoutError,
    PoolTimeoutError,
    RequestTimeoutError,
    ResponseError,
    TokenError,
    TransportError,
)
from ..events import RetryStopped, StopReason
from ..http.fields.retry_after import requested_delay
from ..http.messages import HttpResponse

__all__ = ["ErrorResponse", "error_response"]

_TITLES = {
    502: "A service that this one depends on failed",
    503: "A service that this one depends on is not available",
    504: "A service that this one depends on did not respond in time",
}


class ErrorResponse(NamedTuple):
    """A response for any framework. Nothing in it names the service that failed.

    status: 502, 503 or 504.   headers: by name.   body: problem details in JSON (RFC 9457).
    """

    status: int
    headers: dict[str, str]
    body: bytes


def error_response(error: BaseException) -> ErrorResponse | None:
    """The response to a request that failed by this error of a call; None for one that is a bug of this service.

    An open circuit, a pause and this service's own overload make a 503, a timeout or a deadline a 504, and any other
    failure of a service behind this one a 502. `Retry-After` is set where it is known when a repetition has a chance.
    `x-should-retry: false` is set when retries were made here and are used up, or the service behind forbids them, so
    that the caller does not multiply them.
    """
    failed = behind_token(error) if isinstance(error, HttpClientError) else error
    status = _status(failed)
    if status is None:
        return None
    headers = {"Content-Type": "application/problem+json"}
    seconds = _pause(error) if status == 503 else None
    if seconds is not None and math.isfinite(seconds):  # one of a test may be infinite
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if _is_given_up(failed):
        headers["x-should-retry"] = "false"
    problem = {"type": "about:blank", "title": _TITLES[status], "status": status}
    return ErrorResponse(status, headers, json.dumps(problem).encode())


def _status(error: BaseException) -> int | None:
    if isinstance(error, HttpStatusError):
        return {429: 503, 503: 503, 504: 504}.get(error.status_code, 502)
    if isinstance(error, DeadlineTooShortError):
        return 504
    if isinstance(error, (CallRefusedError, PoolTimeoutError)):
        return 503
    if isinstance(error, (OperationTimeoutError, RequestTimeoutError)):
        return 504
    if isinstance(error, TokenError):
        # Without a cause, the token service responded, but not by a token. Else a provider has a bug.
        return 502 if error.__cause__ is None else None
    return 502 if isinstance(error, (TransportError, ResponseError)) else None


def _pause(error: BaseException) -> float | None:
    if isinstance(error, (CallRefusedError, TokenError)):
        return error.retry_after
    response = getattr(error, "response", None)
    return requested_delay(response.headers, time.time()) if isinstance(response, HttpResponse) else None


def _is_given_up(error: BaseException) -> bool:
    """Whether the retries of this level ended without success, and those of the next would only come on top."""
    for event in reversed(getattr(error, "timeline", None) or ()):
        if isinstance(event, RetryStopped):
            if event.reason is StopReason.EXHAUSTED:
                return event.attempt > 1
            return event.reason in (StopReason.BUDGET, StopReason.PUSHBACK)
    return False
