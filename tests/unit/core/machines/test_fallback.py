"""What a fallback covers, and what the last good results are."""

from __future__ import annotations

import copy
import pickle
import ssl
import threading
from collections import OrderedDict
from typing import Any

import pytest
import requests
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from http_service_client import (
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    ConnectError,
    DeadlineExceededError,
    EgressRefusedError,
    HttpRequest,
    HttpResponse,
    HttpStatusError,
    InvalidRequestError,
    ReadTimeoutError,
    ThrottledError,
    TlsVerificationError,
)
from http_service_client.core.machines.fallback import NOTHING, FallbackSettings, LastGood
from http_service_client.errors import SentState
from kit.rows import each_row


def _from(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@each_row(
    ("subject", "covered"),
    [
        (CircuitOpenError("open"), True),
        (ThrottledError("paused"), True),
        (ConnectError("no route"), True),
        (ReadTimeoutError("slow"), True),
        (DeadlineExceededError("late"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (HttpStatusError("503", status_code=503), True),
        (HttpStatusError("429", status_code=429), True),
        (HttpStatusError("404", status_code=404), False),
        (_from(RuntimeError("the price is unknown"), ConnectError("no route")), True),
        (_from(KeyError("price"), ConnectError("no route")), False),
        (TypeError("a bug"), False),
        (ValueError("bad input"), False),
        (InvalidRequestError("bad URL"), False),
        (ClientClosedError("closed"), False),
        (TlsVerificationError("not trusted"), False),
        (_from(ConnectionError(), TlsVerificationError("not trusted")), False),
        (_from(ConnectionError(), ssl.SSLCertVerificationError()), False),
        (EgressRefusedError("denied"), False),
        (requests.Timeout("slow"), True),
        (_from(RuntimeError("the price is unknown"), requests.exceptions.ChunkedEncodingError("cut")), True),
        (HttpResponse(500), True),
        (HttpResponse(408), True),
        (HttpResponse(404), False),
        (HttpResponse(200), False),
        ("a value", False),
    ],
    ids=repr,
)
def test_a_fallback_covers_failures_of_services_only(subject: Any, covered: bool) -> None:
    """Refusals, transport errors, timeouts, 408, 429 and 5xx; never another 4xx, a bug, or a certificate."""
    assert FallbackSettings(value=None).covers(subject) is covered


def test_failures_that_are_listed_replace_the_rules() -> None:
    """Then a listed status or class is covered, and nothing else."""
    settings = FallbackSettings(value=None, failures=[404, range(520, 530), KeyError])
    subjects = [HttpResponse(404), HttpResponse(525), KeyError("x"), HttpResponse(500), ConnectError("no")]
    assert [settings.covers(each) for each in subjects] == [True, True, True, False, False]


SAFE = ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY"]


@each_row("method", [*SAFE, "POST", "PUT", "PATCH", "DELETE", "PURGE", "get"])
def test_a_request_whose_response_may_be_another(method: str) -> None:
    """A safe one: for any other, the caller would think that something had changed. Unless the settings allow it."""
    assert FallbackSettings(value=None).may_answer(method) is (method in SAFE)
    assert FallbackSettings(value=None, unsafe_methods=True).may_answer(method)


@pytest.mark.parametrize(
    ("method", "status", "hidden"),
    [
        (None, 500, True),
        ("GET", 500, True),
        ("POST", 429, True),
        ("POST", 500, False),
        ("DELETE", 500, False),
    ],
)
def test_a_response_that_may_have_changed_something_is_not_hidden(
    method: str | None, status: int, hidden: bool
) -> None:
    """Unless the settings allow it. One without a request was made by a function; a 429 says that nothing was done."""
    request = None if method is None else HttpRequest(method, "https://api.example.com/charges")
    response = HttpResponse(status, request=request)
    assert FallbackSettings(value=None).may_hide_response(response) is hidden
    assert FallbackSettings(value=None, unsafe_methods=True).may_hide_response(response)


def test_one_request_of_several_that_may_have_changed_something_is_enough() -> None:
    """Of a group of errors, say; an error without a request changed nothing."""
    url = "https://api.example.com/"
    errors = [
        ReadTimeoutError("slow", request=HttpRequest(method, url), sent_state=SentState.MAYBE_PROCESSED)
        for method in ("GET", "POST")
    ]
    group: Any = RuntimeError("several")
    group.exceptions = errors
    settings = FallbackSettings(value=None)
    assert not settings.may_hide(group)
    group.exceptions = [errors[0], ReadTimeoutError("slow")]
    assert settings.may_hide(group)


def test_a_function_may_judge_instead() -> None:
    """`is_failure` sees each result and each exception."""
    settings = FallbackSettings(value=None, is_failure=lambda subject: subject == "empty")
    assert [settings.covers(each) for each in ("empty", "full", ConnectError("no"))] == [True, False, False]


def test_the_exception_that_was_handled_before_is_no_reason() -> None:
    """A function that is called while another error is handled does not stem from that one."""
    earlier = ConnectError("of another service")
    error = RuntimeError("mine")
    error.__context__ = earlier
    settings = FallbackSettings(value=None)
    assert (settings.covers(error), settings.covers(error, earlier)) == (True, False)


@each_row(
    ("method", "state", "hidden"),
    [
        ("GET", SentState.MAYBE_PROCESSED, True),
        ("POST", SentState.NEVER_SENT, True),
        ("POST", SentState.REFUSED, True),
        ("POST", SentState.MAYBE_PROCESSED, False),
        ("POST", SentState.ABANDONED, False),
        ("POST", SentState.ANSWERED, False),
        ("DELETE", SentState.MAYBE_PROCESSED, False),
    ],
)
def test_a_request_that_may_have_changed_something_is_not_hidden(
    method: str, state: SentState, hidden: bool
) -> None:
    """Unless the settings allow it."""
    request = HttpRequest(method, "https://api.example.com/charges")
    error = _from(RuntimeError("no charge"), ReadTimeoutError("slow", request=request, sent_state=state))
    assert FallbackSettings(value=None).may_hide(error) is hidden
    assert FallbackSettings(value=None, unsafe_methods=True).may_hide(error)


@each_row(
    ("arguments", "message"),
    [
        ({}, "needs value=, function= or last_good="),
        ({"value": 1, "function": print}, "value and function are both set"),
        ({"value": lambda: 1}, "which would be the result itself; pass it as function="),
        ({"value": FallbackSettings.covers.__get__(1)}, "which would be the result itself"),
        ({"function": lambda: 1}, "takes no arguments; write it as lambda error: …"),
        ({"function": 5}, "function must be a function of the error, not 5; pass a ready result as value="),
        ({"last_good": 0}, "last_good must be a positive, finite number of seconds, not 0"),
        ({"value": 1, "failures": [5]}, "failures must be a list of statuses"),
        ({"value": 1, "failures": [500], "is_failure": bool}, "failures and is_failure are both set"),
        ({"value": 1, "unsafe_methods": 1}, "unsafe_methods must be True or False, not 1"),
        ({"value": 1, "single_user": None}, "single_user must be True or False"),
        ({"value": 1, "max_entries": 0}, "max_entries must be a whole number of 1 or more, not 0"),
        ({"value": 1, "max_bytes": 1.5}, "max_bytes must be a whole number"),
        ({"value": 1, "key": 3}, "key must be a function, not 3"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, Any], message: str) -> None:
    """With its value, and what to write instead."""
    with pytest.raises(ConfigurationError) as caught:
        FallbackSettings(**arguments)
    assert message in str(caught.value)


def test_a_keyword_of_another_library_is_suggested() -> None:
    """The error says how it is called here."""
    with pytest.raises(TypeError, match="it is called value"):
        FallbackSettings(default=[])  # type: ignore[call-arg]


def test_settings_are_values() -> None:
    """They compare, hash, copy and pickle; no value is another thing than None."""
    settings = FallbackSettings(last_good=60.0)
    assert settings.value is NOTHING
    twin = pickle.loads(pickle.dumps(settings))
    assert twin == settings == copy.deepcopy(settings)
    assert twin.value is NOTHING
    assert hash(FallbackSettings(value=[1])) == hash(FallbackSettings(value=[1]))
    assert hash(FallbackSettings(value=1, failures=[503])) == hash(FallbackSettings(value=1, failures=(503,)))
    assert FallbackSettings(value=None) != FallbackSettings(value=1)


def test_each_user_of_a_value_gets_a_copy() -> None:
    """What one changes in a list is not seen by the next."""
    settings = FallbackSettings(value=[{"items": []}])
    settings.ready_value()[0]["items"].append(1)
    assert settings.ready_value() == [{"items": []}]
    single = object()
    assert FallbackSettings(value=single).ready_value() is single, "of anything else there is one"


class OfAnotherKind:
    """A callable whose arguments cannot be known."""

    __signature__ = 5

    def __call__(self, error: BaseException) -> None: ...


@each_row(
    ("function", "given"),
    [
        (lambda error: None, 1),
        (lambda error, log=print: None, 1),
        (lambda error, sku: None, 2),
        (lambda *args: None, 2),
        (lambda error, **named: None, 2),
        (lambda error=None, **named: None, 2),
        (lambda error, *, sku: None, 2),
        (str, 1),
        (OfAnotherKind(), 1),
    ],
)
def test_a_function_gets_as_many_arguments_as_it_takes(function: Any, given: int) -> None:
    """The error alone, or the error and those of the call."""
    settings = FallbackSettings(function=function)
    assert len(settings.arguments(ValueError(), ("sku",), {})[0]) == given


def test_a_result_that_is_too_old_is_not_used() -> None:
    """An age of exactly the limit is still good; the result stays for callers that accept an older one."""
    results: LastGood[str] = LastGood(10, 100, lock=threading.RLock())
    results.keep("key", "good", now=5.0)
    assert results.find("key", 65.0, 60.0) == ("good", 60.0)
    assert results.find("key", 65.1, 60.0) is None
    assert results.find("key", 65.1, 90.0) is not None


def test_a_result_may_be_as_large_as_all_of_them() -> None:
    """A larger one is not kept, and the one before is gone. Without a size, none is counted."""
    results: LastGood[str] = LastGood(10, 100, lock=threading.RLock())
    results.keep("key", "large", now=0.0, size=100)
    assert (len(results), results.size) == (1, 100)
    results.keep("key", "too large", now=0.0, size=101)
    assert (len(results), results.size) == (0, 0)
    results.keep("key", "of no size", now=0.0)
    assert (len(results), results.size) == (1, 0)
    results.clear()
    assert (len(results), results.size) == (0, 0)


def test_a_result_of_before_all_were_forgotten_is_not_kept() -> None:
    """Nor does it replace one that came since."""
    results: LastGood[str] = LastGood(10, 100, lock=threading.RLock())
    generation = results.generation
    results.keep("key", "in time", now=0.0, generation=generation)
    results.clear()
    results.keep("key", "new", now=1.0, generation=results.generation)
    results.keep("key", "late", now=2.0, generation=generation)
    assert results.find("key", now=2.0, max_age=9.0) == ("new", 1.0)


def test_the_limits_of_what_is_kept_can_be_changed() -> None:
    """Those used least lately make room at once, and more fit in later."""
    results: LastGood[str] = LastGood(3, 100, lock=threading.RLock())
    for key in "abc":
        results.keep(key, key, now=0.0, size=10)
    results.find("a", 0.0, 1.0)
    results.resize(2, 100)
    assert [results.find(key, 0.0, 1.0) is not None for key in "abc"] == [True, False, True]
    results.resize(9, 15)
    assert (len(results), results.size) == (1, 10)
    results.resize(9, 100)
    for key in "defgh":
        results.keep(key, key, now=0.0, size=10)
    assert (len(results), results.size) == (6, 60)


class Results(RuleBasedStateMachine):
    """Against a model: an ordered dictionary that is trimmed after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.bytes = 3, 100
        self.results: LastGood[int] = LastGood(self.most, self.bytes, lock=threading.RLock())
        self.model: OrderedDict[str, tuple[int, float, int]] = OrderedDict()
        self.now = 0.0

    @rule(key=st.sampled_from("abcde"), value=st.integers(), size=st.integers(0, 120))
    def keep(self, key: str, value: int, size: int) -> None:
        self.results.keep(key, value, self.now, size)
        self.model.pop(key, None)
        if size <= self.bytes:
            self.model[key] = (value, self.now, size)
        self._trim()

    @rule(key=st.sampled_from("abcde"), max_age=st.sampled_from([1.0, 5.0]))
    def find(self, key: str, max_age: float) -> None:
        found, expected = self.results.find(key, self.now, max_age), self.model.get(key)
        if expected is None or self.now - expected[1] > max_age:
            assert found is None
        else:
            assert found == (expected[0], self.now - expected[1])
            self.model.move_to_end(key)

    @rule(seconds=st.sampled_from([0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 4), size=st.integers(50, 150))
    def resize(self, most: int, size: int) -> None:
        self.most, self.bytes = most, size
        self.results.resize(most, size)
        self._trim()

    @rule()
    def clear(self) -> None:
        self.results.clear()
        self.model.clear()

    def _trim(self) -> None:
        while len(self.model) > self.most or sum(each[2] for each in self.model.values()) > self.bytes:
            self.model.popitem(last=False)

    @invariant()
    def memory_is_bounded(self) -> None:
        """As the model says, which is bounded."""
        assert len(self.results) == len(self.model)
        assert self.results.size == sum(each[2] for each in self.model.values())


TestResults = Results.TestCase
