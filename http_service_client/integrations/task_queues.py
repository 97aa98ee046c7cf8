"""When a task queue should run a task again whose call failed: the client's own rule, for waits of minutes.

    what failed                                            the task runs again
    never sent, refused (429, 503 with Retry-After, an     yes
    open circuit, a pause)
    it may have been processed (a timeout, a lost          only if `idempotent`
    connection, 500)
    409 to a later run under the same key: the service     only if `idempotent`
    still works on an earlier one
    no token, so nothing was sent                          if the failure of the
                                                           token request is one
                                                           that may pass
    nothing that another attempt would mend (404, TLS      no
    verification), a bug

The queue keeps the task meanwhile: over restarts, and for as long as an outage takes. A client's own retries cannot do
that, and would multiply with those of the queue, so a task makes its call with `retry_policy=False`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from ..core.checks import check_count, check_flag
from ..core.machines.retry.backoff import ExponentialBackoff, endless_waits
from ..core.machines.retry.decision import is_in_progress
from ..core.machines.retry.settings import RetrySettings
from ..core.outcomes import behind_token, requested_wait, sent_state_of
from ..drivers.randomness import unseeded_random
from ..errors import (
    CallRefusedError,
    ConfigurationError,
    HttpClientError,
    HttpStatusError,
    SentState,
    TokenError,
)
from ..http.messages import HttpResponse
from ..policies.listeners import report_condition
from ..policies.retry import RetryPolicy

__all__ = ["QUEUE_POLICY", "retry_delay"]

QUEUE_POLICY = RetryPolicy(
    max_attempts=10, backoff_strategy=ExponentialBackoff(initial_delay=10.0, max_delay=900.0)
)
"""Ten runs, over half an hour or so: waits of 10 s at first, and of 15 minutes at most, with full jitter."""


def retry_delay(
    error: BaseException, run: int, *, idempotent: bool = False, policy: RetryPolicy = QUEUE_POLICY
) -> float | None:
    """Seconds after which a queue should run a failed task again; None for not at all.

    error: the one by which the task failed. An error of your own counts as what it was raised from (``raise … from error``),
        and a group as all of its members, none of which may be a bug.
    run: the number of the run that failed, from 1.
    idempotent: the task may run again although its requests may have been processed, since each run sends the same
        Idempotency-Key, made of the id of the task, say, or since a repetition does no harm. A key that the client makes
        is another one in each run.
    policy: how many runs there are, which failures are worth another, and the waits between them.

    The wait is at least what the service asked for, however long: a queue has time. Of a task with several calls, those
    before the one that failed are made again, too.

    Raises ConfigurationError for a run that is not a whole number of 1 or more, and for another wrong argument.
    """
    if not isinstance(error, BaseException):
        remedy = "; pass what its raise_for_status() raises" if isinstance(error, HttpResponse) else ""
        raise ConfigurationError(f"error must be an exception, not {error!r}{remedy}")
    check_count("run", run)
    check_flag("idempotent", idempotent)
    if not isinstance(policy, RetrySettings):
        raise ConfigurationError(f"policy must be a RetryPolicy, not {policy!r}")
    if run >= policy.max_attempts:
        return None
    delays = [_delay(each, run, idempotent, policy) for each in _roots(error)]
    found = [each for each in delays if each is not None]
    return max(found) if found and len(found) == len(delays) else None


def _roots(error: BaseException) -> Iterator[BaseException]:
    """What an error was raised from; itself, if from nothing. One that was merely being handled may be of another call."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop()
        members: Iterable[BaseException] = getattr(current, "exceptions", ())
        behind = list(members) or ([] if current.__cause__ is None else [current.__cause__])
        if isinstance(current, HttpClientError) or not behind:
            yield current
        elif id(current) not in seen:
            seen.add(id(current))
            waiting += behind


def _delay(error: BaseException, run: int, idempotent: bool, policy: RetryPolicy) -> float | None:
    if not isinstance(error, HttpClientError):
        return None
    failed = behind_token(error)
    response = failed.response if isinstance(failed, HttpStatusError) else None
    is_worth_it = isinstance(failed, CallRefusedError) or policy.is_worth_it(
        response or failed, report_condition
    )
    if not is_worth_it and not (idempotent and run > 1 and _is_in_progress(response)):
        return None
    state = sent_state_of(error)
    is_safe = idempotent or state in (SentState.NEVER_SENT, SentState.REFUSED)
    if not is_safe and not (response is not None and policy.is_vouched_for(response, report_condition)):
        return None
    is_throttled = sent_state_of(failed) is SentState.REFUSED or isinstance(failed, CallRefusedError)
    strategy = policy.throttled_backoff if is_throttled else None
    waits = endless_waits(strategy or policy.backoff_strategy, unseeded_random)
    for _ in range(run - 1):
        next(waits)
    if isinstance(error, (CallRefusedError, TokenError)):
        asked = error.retry_after
    else:
        asked = requested_wait(response, time.time)
    return max(next(waits), asked or 0.0)


def _is_in_progress(response: HttpResponse | None) -> bool:
    """Whether the service still works on the request of an earlier run, and says so by a 409 for its key."""
    request = None if response is None else response.request
    return is_in_progress(response, SentState.MAYBE_PROCESSED, request)
