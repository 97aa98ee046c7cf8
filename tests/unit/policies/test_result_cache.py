"""Results of functions that are kept: for how long, for which arguments, and what is forgotten."""

from __future__ import annotations

import concurrent.futures
import contextlib
import copy
import gc
import pickle
import weakref
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from http_service_client import (
    ConfigurationError,
    DeadlineExceededError,
    ResiliencePipeline,
    ResultCachePolicy,
)
from http_service_client.events import CacheUsed
from http_service_client.testing import VirtualClock
from kit.front_ends import FrontEnd
from kit.rows import each_row


def test_a_function_is_called_once(front_end: FrontEnd) -> None:
    """For each key; the events and the snapshot say how each call has come by its result."""
    calls: list[str] = []
    events: list[Any] = []
    policy = ResultCachePolicy(60.0)
    pipeline = ResiliencePipeline(policy, name="prices", on_event=events.append)

    def price(sku: str) -> str:
        calls.append(sku)
        return sku.upper()

    guarded = pipeline.apply(front_end.function(price))
    assert [front_end.run(guarded, sku) for sku in "aab"] == ["A", "A", "B"]
    assert calls == ["a", "b"]
    used = [event for event in events if isinstance(event, CacheUsed)]
    assert [(event.key, event.result.value, event.is_stored) for event in used] == [
        ("prices", "miss", True),
        ("prices", "hit", False),
        ("prices", "miss", True),
    ]
    assert str(used[1]) == "from the cache, 0 s old, fresh for another 60 s"
    assert policy.snapshot() == (2, 1, 2, 0, 0)


def test_a_stale_result_during_a_kept_failure_is_counted_and_recorded(front_end: FrontEnd) -> None:
    """The function is not called, and the event says why."""
    clock, events = VirtualClock(), list[Any]()
    policy = ResultCachePolicy(5.0, stale_on_error=60.0, cache_errors=4.0, clock=clock)
    outcomes: list[Any] = ["good", ValueError()]

    def function() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    guarded = ResiliencePipeline(policy, name="prices", on_event=events.append).apply(
        front_end.function(function)
    )
    results = []
    for pause in (0.0, 6.0, 3.0):
        clock.advance(pause)
        results.append(front_end.run(guarded))
    assert (results, outcomes) == (["good"] * 3, [])
    used = [event for event in events if isinstance(event, CacheUsed)]
    assert [(event.result.value, event.age, event.reason) for event in used] == [
        ("miss", None, ""),
        ("stale", 6.0, "ValueError"),
        ("stale", 9.0, "the function failed lately"),
    ]
    shown = policy.snapshot()
    assert (shown.hits, shown.misses, shown.stale) == (0, 1, 2)


@each_row(
    ("one", "other"),
    [
        ((1,), (True,)),
        ((1,), (1.0,)),
        ((1, 2), (2, 1)),
        (("a", 1), ("a", 2)),
        (({"b": 1},), ({"b": 2},)),
        (({"b": 1},), ({"b": True},)),
        (({"b": 1},), (1,)),
    ],
)
def test_other_arguments_have_results_of_their_own(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    """Also those that Python calls equal: 1 and True lead to different texts."""

    def text(*args: Any, **kwargs: Any) -> str:
        return f"{args} {kwargs}"

    guarded = ResultCachePolicy(60.0).apply(text)

    def call(args: tuple[Any, ...]) -> str:
        return guarded(**args[0]) if isinstance(args[0], dict) else guarded(*args)

    assert call(one) != call(other)
    assert call(one) == call(one)


def test_the_order_of_names_does_not_matter() -> None:
    """They are the same arguments."""
    calls: list[int] = []
    guarded = ResultCachePolicy(60.0).apply(lambda **kwargs: calls.append(1))
    guarded(a=1, b=2)
    guarded(b=2, a=1)
    assert calls == [1]


def test_arguments_that_cannot_be_hashed_are_named(front_end: FrontEnd) -> None:
    """With the remedy; the function is not called. A key of one's own may take them."""
    find = front_end.function(lambda query, limit=10: query["sku"])
    guarded = ResultCachePolicy(60.0).apply(find)
    with pytest.raises(TypeError, match=r"argument 1 of .* is a dict, which cannot be hashed.*or key=,"):
        front_end.run(guarded, {"sku": "a"})
    keyed = ResultCachePolicy(60.0, key=lambda query: query["sku"]).apply(find)
    assert front_end.run(keyed, {"sku": "a"}) == "a"
    wrong = ResultCachePolicy(60.0, key=lambda query: [query]).apply(find)
    with pytest.raises(TypeError, match="key= returned a list"):
        front_end.run(wrong, {"sku": "a"})
    with pytest.raises(TypeError, match="argument 'tags' of"):
        ResultCachePolicy(60.0).call(lambda tags: None, tags=[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 0}, "seconds must be a positive"),
        ({"seconds": 1, "max_entries": 0}, "max_entries must be a whole number of 1 or more, not 0"),
        ({"seconds": 1, "key": "sku"}, "key must be a function, not 'sku'"),
        ({"seconds": 1, "stale_on_error": -1}, "stale_on_error must be a finite number of seconds"),
        ({"seconds": 1, "cache_errors": "yes"}, "cache_errors must be a finite number of seconds"),
    ],
)
def test_a_wrong_setting_is_named(arguments: dict[str, Any], message: str) -> None:
    """With its value."""
    with pytest.raises(ConfigurationError) as caught:
        ResultCachePolicy(**arguments)
    assert str(caught.value).startswith(message)


def test_other_words_are_suggested() -> None:
    """Those of other libraries."""
    with pytest.raises(TypeError, match="'ttl'; it is called seconds"):
        ResultCachePolicy(ttl=5)  # type: ignore[call-arg]


def test_each_caller_has_an_error_of_its_own() -> None:
    """A copy: its traceback is that of the caller, and grows with no other call."""
    policy = ResultCachePolicy(60.0, cache_errors=60.0)

    def fail() -> None:
        raise OSError(5, "broken") from KeyError("cause")

    errors = []
    for _ in range(3):
        with pytest.raises(OSError, match="broken") as caught:
            policy.call(fail)
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    assert all(error.errno == 5 and isinstance(error.__cause__, KeyError) for error in errors)
    lengths = [_length(error.__traceback__) for error in errors]
    assert lengths[1] == lengths[2]


def _length(traceback: Any) -> int:
    count = 0
    while traceback is not None:
        traceback, count = traceback.tb_next, count + 1
    return count


def test_an_error_that_cannot_be_copied_is_raised_itself() -> None:
    """One may say itself that it cannot."""

    class Odd(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__("odd")

        def __copy__(self) -> Any:
            raise TypeError("an error of this kind is not copied")

    policy = ResultCachePolicy(60.0, cache_errors=60.0)

    def fail() -> None:
        raise Odd(1, 2)

    for _ in range(2):
        with pytest.raises(Odd, match="odd"):
            policy.call(fail)


def test_a_result_may_be_forgotten(front_end: FrontEnd) -> None:
    """By the function as it is called, or as it was; for one set of arguments, or for all."""
    calls: list[Any] = []
    policy = ResultCachePolicy(60.0)
    find = front_end.function(lambda number: calls.append(number) or len(calls))
    guarded = policy.apply(find)
    assert [front_end.run(guarded, 1), front_end.run(guarded, 2)] == [1, 2]
    assert policy.forget(guarded, 1) is True
    assert policy.forget(find, 1) is False
    assert [front_end.run(guarded, 1), front_end.run(guarded, 2)] == [3, 2]
    policy.clear()
    assert front_end.run(guarded, 2) == 4


def test_a_result_on_its_way_is_forgotten_too(front_end: FrontEnd) -> None:
    """The record has changed since it was read; kept, the old one would be used for all of its time."""
    rows = {1: "old", 2: "old"}
    policy = ResultCachePolicy(60.0)

    def read(number: int) -> str:
        row = rows[number]
        if number == 1:
            rows[number] = "new"
            policy.forget(find, number)
        return row

    find = policy.apply(front_end.function(read))
    assert [front_end.run(find, number) for number in (1, 2)] == ["old", "old"]
    rows[2] = "new"
    assert [front_end.run(find, number) for number in (1, 2)] == ["new", "old"]


def test_methods_of_two_objects_are_apart() -> None:
    """`self` is an argument."""
    policy = ResultCachePolicy(60.0)

    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @policy.apply
        def title(self) -> str:
            return self.name

    assert [Shop("a").title(), Shop("b").title()] == ["a", "b"]


def test_a_generator_is_refused() -> None:
    """Its items come once only."""

    @ResultCachePolicy(60.0).apply
    def numbers() -> Any:
        yield 1

    with pytest.raises(ConfigurationError, match="keeps results, and no items of a generator"):
        list(numbers())


def test_a_policy_is_a_value_beside_its_results() -> None:
    """A copy and a pickle have the settings, and no results."""
    policy = ResultCachePolicy(60.0, max_entries=5, name="prices")
    policy.call(str.upper, "a")
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy
        assert twin.snapshot().entries == 0
    policy.call(str.upper, "b")
    policy.reconfigure(max_entries=1)
    assert policy.snapshot().entries == 1
    assert policy != twin


def test_a_failure_that_says_nothing_of_the_function_is_not_kept() -> None:
    """A deadline was the caller's own, a cancellation too, and what comes after `clear` is of before."""
    policy = ResultCachePolicy(60.0, cache_errors=60.0)
    outcomes: list[Exception] = [
        DeadlineExceededError("late"),
        concurrent.futures.CancelledError(),
        LookupError("cleared"),
    ]

    def function() -> str:
        if not outcomes:
            return "done"
        outcome = outcomes.pop(0)
        if isinstance(outcome, LookupError):
            policy.clear()
        raise outcome

    for kind in (DeadlineExceededError, concurrent.futures.CancelledError, LookupError):
        with pytest.raises(kind):
            policy.call(function)
    assert policy.call(function) == "done"


def test_nothing_stands_in_for_a_cancellation() -> None:
    """The caller wanted no result any more."""
    clock = VirtualClock()
    policy = ResultCachePolicy(5.0, stale_on_error=60.0, clock=clock)
    outcomes: list[Any] = ["old", concurrent.futures.CancelledError()]

    def function() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert policy.call(function) == "old"
    clock.advance(6.0)
    with pytest.raises(concurrent.futures.CancelledError):
        policy.call(function)


def test_an_error_that_is_not_kept_takes_no_place() -> None:
    """Of the results that are."""
    policy = ResultCachePolicy(60.0, max_entries=1)
    calls: list[str] = []

    def find(name: str) -> str:
        calls.append(name)
        if name == "missing":
            raise LookupError
        return name

    for name in ("a", "missing", "a"):
        with contextlib.suppress(LookupError):
            policy.call(find, name)
    assert (calls, policy.snapshot().entries) == (["a", "missing"], 1)


def test_an_event_says_how_old_a_result_is_and_how_long_it_is_fresh(front_end: FrontEnd) -> None:
    """In seconds of the policy's clock."""
    clock, events = VirtualClock(), list[Any]()
    pipeline = ResiliencePipeline(ResultCachePolicy(60.0), clock=clock, on_event=events.append)
    guarded = pipeline.apply(front_end.function(int))
    front_end.run(guarded)
    clock.advance(10.0)
    front_end.run(guarded)
    used = [event for event in events if isinstance(event, CacheUsed)]
    assert [(event.age, event.ttl) for event in used] == [(None, None), (10.0, 50.0)]


def test_nothing_holds_what_was_forgotten() -> None:
    """Neither a flight nor an event keeps a result."""

    class Result:
        pass

    policy = ResultCachePolicy(60.0)
    reference = weakref.ref(policy.call(Result))
    assert reference() is not None
    policy.clear()
    gc.collect()
    assert reference() is None


class Model(RuleBasedStateMachine):
    """One caller at a time, against a model: when the function is called, and what comes of it."""

    SECONDS, STALE, ERRORS, MOST = 5.0, 7.0, 3.0, 3

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.policy = ResultCachePolicy(
            self.SECONDS, stale_on_error=self.STALE, cache_errors=self.ERRORS, max_entries=self.MOST
        )
        self.fails, self.calls = False, 0
        self.counts = {"hits": 0, "misses": 0, "stale": 0}
        self._guarded = ResiliencePipeline(self.policy, clock=self.clock).apply(self._function)
        # Key to the result, when it came, and when the function failed since then (or None), the last used one last.
        self.model: OrderedDict[str, tuple[int | None, float, float | None]] = OrderedDict()

    def _function(self, key: str) -> int:
        self.calls += 1
        if self.fails:
            raise OSError(key)
        return self.calls

    @rule(fails=st.booleans())
    def change(self, fails: bool) -> None:
        self.fails = fails

    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 9.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def clear(self) -> None:
        self.policy.clear()
        self.model.clear()

    @rule(key=st.sampled_from("abcd"))
    def forget(self, key: str) -> None:
        assert self.policy.forget(self._function, key) is (self.model.pop(key, None) is not None)

    @rule(key=st.sampled_from("abcde"))
    def call(self, key: str) -> None:
        before, now = self.calls, self.clock.monotonic()
        expected: int | None
        result, kept_at, failed_at = self.model.get(key, (None, 0.0, None))
        age = now - kept_at
        if result is not None and age < self.SECONDS:
            expected, calls, counted = result, 0, "hits"
        elif failed_at is not None and now - failed_at < self.ERRORS:
            expected, calls = (result if result is not None and age < self.SECONDS + self.STALE else None), 0
            counted = "hits" if expected is None else "stale"
        else:
            calls, counted = 1, "misses"
            if not self.fails:
                expected, result, kept_at, failed_at = before + 1, before + 1, now, None
            else:
                failed_at = now
                expected = result if result is not None and age < self.SECONDS + self.STALE else None
                counted = "misses" if expected is None else "stale"
        self.counts[counted] += 1
        found: int | None = None
        with contextlib.suppress(OSError):
            found = self._guarded(key)
        assert found == expected
        assert self.calls - before == calls
        self.model.pop(key, None)
        self.model[key] = (result, kept_at, failed_at)
        if len(self.model) > self.MOST:
            self.model.popitem(last=False)

    @invariant()
    def memory_is_bounded(self) -> None:
        """As the model says."""
        assert self.policy.snapshot().entries == len(self.model)

    @invariant()
    def each_call_is_counted_once(self) -> None:
        """By how it came to its outcome."""
        shown = self.policy.snapshot()
        assert {"hits": shown.hits, "misses": shown.misses, "stale": shown.stale} == self.counts


TestModel = Model.TestCase
