"""Which outcomes each condition holds for: our responses and failures, and a function's errors and values."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ssl
from typing import Any

import pytest
import requests

from http_service_client import (
    ConfigurationError,
    ConnectError,
    ConstantBackoff,
    HttpResponse,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.core.machines.retry.conditions import DEFAULT_CONDITIONS, RETRYABLE_STATUSES
from http_service_client.core.machines.retry.settings import RetrySettings
from http_service_client.errors import (
    ConnectTimeoutError,
    EgressRefusedError,
    Failure,
    NameResolutionError,
    ProtocolError,
    SentState,
    TlsVerificationError,
)
from kit.rows import each_row


def failure(kind: Any, cause: BaseException | None = None) -> Failure:
    return Failure(kind, "it failed", SentState.NEVER_SENT, cause)


def stemming(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


ON_503 = RetryCondition.on_status_codes([503, 599, 100])
ON_ERRORS = RetryCondition.on_exceptions([ConnectError, KeyError])
ON_TIMEOUT = RetryCondition.on_timeout()
ON_RESULT = RetryCondition.on_result(
    lambda value: value == "again" or getattr(value, "content", b"") == b"again"
)
TRANSPORT, STATUSES = DEFAULT_CONDITIONS
THEIR_TIMEOUT = type("ReadTimeout", (type("Timeout", (Exception,), {"__module__": "requests"}),), {})
THEIR_LOSS = type("ConnectionError", (Exception,), {"__module__": "requests.exceptions"})
THEIR_TIMEOUTS = [type(name, (Exception,), {}) for name in ("TimeoutError", "TimeoutException")]
UNVERIFIED = ssl.SSLCertVerificationError(1, "x")
BOTH = RetryCondition("both", statuses=frozenset({503}), predicate=lambda value: value == "again")


def theirs(status: int) -> requests.Response:
    """A response of another library."""
    response = requests.Response()
    response.status_code = status
    return response


@each_row(
    ("condition", "outcome", "holds"),
    [
        (ON_503, HttpResponse(503), True),
        (ON_503, HttpResponse(599), True),
        (ON_503, HttpResponse(502), False),
        (ON_503, failure(ConnectError), False),
        (ON_503, KeyError(), False),
        (ON_503, theirs(503), True),
        (ON_503, theirs(502), False),
        (ON_503, stemming(ValueError(), requests.HTTPError(response=theirs(503))), True),
        (ON_503, stemming(ValueError(), requests.HTTPError(response=theirs(502))), False),
        (ON_503, 503, False),
        (ON_503, None, False),
        (ON_ERRORS, failure(ConnectError), True),
        (ON_ERRORS, failure(NameResolutionError), True),  # a subclass
        (ON_ERRORS, failure(ConnectTimeoutError), False),
        (ON_ERRORS, failure(ProtocolError), False),
        (ON_ERRORS, failure(ProtocolError, KeyError()), True),
        (ON_ERRORS, KeyError(), True),
        (ON_ERRORS, stemming(ValueError(), KeyError()), True),
        (ON_ERRORS, ValueError(), False),
        (ON_ERRORS, HttpResponse(503), False),
        (ON_TIMEOUT, TimeoutError(), True),
        (ON_TIMEOUT, asyncio.TimeoutError(), True),
        (ON_TIMEOUT, concurrent.futures.TimeoutError(), True),
        (ON_TIMEOUT, THEIR_TIMEOUT(), True),
        *((ON_TIMEOUT, kind(), True) for kind in THEIR_TIMEOUTS),
        (ON_TIMEOUT, failure(ConnectTimeoutError), True),
        (ON_TIMEOUT, ConnectionError(), False),
        (ON_ERRORS, THEIR_TIMEOUT(), False),
        (ON_RESULT, "again", True),
        (ON_RESULT, "fine", False),
        (ON_RESULT, HttpResponse(200, content=b"again"), True),
        (ON_RESULT, HttpResponse(503), False),
        (ON_RESULT, KeyError("again"), False),
        (BOTH, HttpResponse(503), True),
        (BOTH, theirs(503), True),
        (BOTH, theirs(502), False),
        (BOTH, "again", True),
        (BOTH, "fine", False),
        (TRANSPORT, ConnectionError(), True),
        (TRANSPORT, TimeoutError(), True),
        (TRANSPORT, ValueError(), False),
        (TRANSPORT, failure(ConnectError), True),
        (TRANSPORT, THEIR_LOSS(), True),
        (TRANSPORT, stemming(ValueError(), THEIR_LOSS()), True),
        (ON_ERRORS, THEIR_LOSS(), False),
        (TRANSPORT, stemming(THEIR_LOSS(), UNVERIFIED), False),  # an attacker could cause it
        (TRANSPORT, stemming(ConnectionError(), UNVERIFIED), False),
        (TRANSPORT, failure(TlsVerificationError), False),
        (RetryCondition.on_exceptions([Exception]), failure(EgressRefusedError), False),
        (RetryCondition.on_exceptions([Exception]), failure(ConnectError, UNVERIFIED), False),
        *(
            (STATUSES, HttpResponse(status), True)
            for status in (408, 425, 429, 500, 502, 503, 504, 520, 524, 529)
        ),
        *(
            (STATUSES, HttpResponse(status), False)
            for status in (407, 409, 424, 428, 430, 501, 505, 519, 525, 526, 528, 530)
        ),
    ],
)
def test_what_a_condition_holds_for(condition: RetryCondition, outcome: Any, holds: bool) -> None:
    """A condition of one kind never holds for an outcome of another."""
    assert condition.holds_for(outcome) is holds
    if isinstance(outcome, BaseException):
        assert condition.holds_for_error(outcome) is holds


async def judge_async(outcome: object) -> bool:
    """Nobody would await it, and what it returns is always true."""
    return False


@each_row(
    ("make", "words"),
    [
        (lambda: RetryCondition.on_status_codes([99]), "from 100 to 599, not 99"),
        (lambda: RetryCondition.on_status_codes([600]), "from 100 to 599, not 600"),
        (lambda: RetryCondition.on_status_codes([True]), "from 100 to 599, not True"),
        (
            lambda: RetryCondition.on_status_codes(503),
            r"takes a list of status codes, not 503; write \[503\] for one",
        ),  # type: ignore[arg-type]
        (lambda: RetryCondition.on_status_codes("503"), "a list of status codes, not '503'"),  # type: ignore[arg-type]
        (lambda: RetryCondition.on_exceptions(KeyError), r"not KeyError; write \[KeyError\] for one"),  # type: ignore[arg-type]
        (lambda: RetryCondition.on_exceptions([KeyError()]), "takes exception classes, not KeyError"),  # type: ignore[list-item]
        (lambda: RetryCondition.on_exceptions([int]), "takes exception classes, not <class 'int'>"),  # type: ignore[list-item]
        (lambda: RetryCondition.on_result(5), "takes a function of one argument, not 5"),  # type: ignore[arg-type]
        (lambda: RetryCondition.on_result(judge_async), "must be a plain function, not the async"),  # type: ignore[arg-type]
        (lambda: RetryCondition("busy", predicate=judge_async), "must be a plain function"),  # type: ignore[arg-type]
        (lambda: RetryCondition.on_status_codes([503], even_if_unsafe=1), "even_if_unsafe"),  # type: ignore[arg-type]
    ],
)
def test_a_wrong_condition_is_refused_when_it_is_made(make: Any, words: str) -> None:
    """The message shows what was given."""
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_condition_of_the_user_s_own_class_judges_errors_itself() -> None:
    """Its `holds_for` is asked, and not what the class above knows of errors."""

    class OnLookups(RetryCondition):
        def holds_for(self, outcome: object) -> bool:
            return isinstance(outcome, LookupError)

    policy = RetryPolicy(2, ConstantBackoff(0.0), retry_conditions=[OnLookups("lookups")])
    for error, calls in ((KeyError("x"), 2), (ValueError("x"), 1)):
        made: list[int] = []

        def fail(error: Exception = error, made: list[int] = made) -> None:
            made.append(1)
            raise error

        with pytest.raises(type(error)):
            policy.apply(fail)()
        assert len(made) == calls


def test_a_condition_shows_what_it_holds_for() -> None:
    """In its repr, and so in that of a policy."""
    assert repr(ON_503) == "<RetryCondition status 100, 503, 599>"
    assert repr(ON_ERRORS) == "<RetryCondition ConnectError or KeyError>"
    assert repr(ON_TIMEOUT) == "<RetryCondition a timeout>"
    assert repr(ON_RESULT) == "<RetryCondition the result>"
    assert [repr(each) for each in DEFAULT_CONDITIONS] == [
        "<RetryCondition a transport error>",
        f"<RetryCondition status {', '.join(map(str, sorted(RETRYABLE_STATUSES)))}>",
    ]
    assert RetryCondition.defaults() == [*DEFAULT_CONDITIONS]
    assert RetryCondition.defaults() is not RetryCondition.defaults()


@each_row(
    ("header", "status", "is_worth_it"),
    [
        (None, 503, True),
        (None, 400, False),
        ("true", 400, True),
        ("true", 404, True),
        ("false", 503, False),
        ("maybe", 503, True),
        ("true", 399, False),  # no error
        ("true", 200, False),
    ],
)
def test_the_server_knows_whether_a_repetition_can_help(
    header: str | None, status: int, is_worth_it: bool
) -> None:
    """By x-should-retry, of an error; not where nothing is retried at all."""
    response = HttpResponse(status, headers={} if header is None else {"x-should-retry": header})
    assert RetrySettings().is_worth_it(response) is is_worth_it
    assert not RetrySettings(retry_conditions=[]).is_worth_it(response)


def test_a_condition_that_raises_does_not_hold() -> None:
    """It is reported; the others are asked all the same."""
    reported: list[RetryCondition] = []

    def broken(value: Any) -> bool:
        raise ValueError

    wrong = RetryCondition.on_result(broken)
    settings = RetrySettings(retry_conditions=[wrong, RetryCondition.on_result(lambda value: value == 1)])
    assert settings.is_worth_it(1, reported.append)
    assert not settings.is_worth_it(2, reported.append)
    assert reported == [wrong, wrong]


@pytest.mark.parametrize(
    ("hops", "is_vouched_for"), [((), True), ((307,), True), ((308, 307), True), ((303,), False), ((307, 302), False)]
)  # fmt: skip
def test_a_response_vouches_for_the_request_that_it_responds_to(
    hops: tuple[int, ...], is_vouched_for: bool
) -> None:
    """Not for a POST that a redirect has turned into a GET: the server has processed that."""
    condition = RetryCondition.on_status_codes([503], even_if_unsafe=True)
    settings = RetrySettings(retry_conditions=[RetryCondition.on_status_codes([503, 500]), condition])
    history = tuple(HttpResponse(hop) for hop in hops)
    assert settings.is_vouched_for(HttpResponse(503, history=history)) is is_vouched_for
    assert not settings.is_vouched_for(HttpResponse(500, history=history))


def test_a_condition_on_several_errors_names_them_all() -> None:
    assert ON_ERRORS.description == "ConnectError or KeyError"
