"""What is known of one key of a cache of results, and the errors that callers get."""

from __future__ import annotations

import copy
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

from http_service_client.core.machines.caching.flights import Flight
from http_service_client.core.machines.caching.result_cache import (
    Entry,
    Outcome,
    ResultCache,
    ResultCacheSettings,
)

SETTINGS = ResultCacheSettings(seconds=10.0, stale_on_error=5.0, cache_errors=3.0)


def flight(key: str, *, is_overtaken: bool = False) -> Flight[Outcome]:
    """A call of the function that has just ended."""
    ended: Flight[Outcome] = Flight(key, "", threading.Lock())
    ended.is_overtaken = is_overtaken
    return ended


def entry(*, result: bool = False, error: bool = False) -> Entry:
    """What is known of a key whose function ended at 100 s."""
    cache = ResultCache(9, threading.Lock)
    if result:
        cache.keep(flight("key"), "result", 100.0)
    if error:
        cache.keep_error(flight("key"), OSError(), 100.0)
    return cache.find("key") or Entry()


def uses(known: Entry, now: float) -> tuple[bool, bool, bool]:
    """Whether the result is fresh, whether it may stand in, and whether the function is left in peace."""
    return (
        known.is_fresh(now, SETTINGS),
        known.may_stand_in(now, SETTINGS),
        known.has_failed(now, SETTINGS),
    )


@pytest.mark.parametrize(
    ("age", "is_fresh", "may_stand_in"),
    [(0.0, True, True), (9.5, True, True), (10.0, False, True), (14.5, False, True), (15.0, False, False)],
)
def test_a_result_is_fresh_and_then_stale_and_then_gone(
    age: float, is_fresh: bool, may_stand_in: bool
) -> None:
    """Each time has ended at its last instant."""
    assert uses(entry(result=True), 100.0 + age) == (is_fresh, may_stand_in, False)


@pytest.mark.parametrize(("age", "is_kept"), [(0.0, True), (2.5, True), (3.0, False)])
def test_an_error_is_kept_for_its_time(age: float, is_kept: bool) -> None:
    """It leaves the result before it as it was."""
    assert uses(entry(error=True), 100.0 + age) == (False, False, is_kept)
    assert uses(entry(result=True, error=True), 100.0 + age) == (True, True, is_kept)


@pytest.mark.parametrize("now", [0.0, 1.0, 100.0])
def test_nothing_is_known_of_a_new_key(now: float) -> None:
    """Also where the clock has just begun, as that of a machine that has."""
    assert uses(entry(), now) == (False, False, False)


def test_a_result_ends_the_error_before_it() -> None:
    """Though its time is not over."""
    cache = ResultCache(9, threading.Lock)
    cache.keep_error(flight("key"), OSError(), 100.0)
    cache.keep(flight("key"), "result", 101.0)
    known = cache.find("key")
    assert known is not None
    assert uses(known, 101.0) == (True, True, False)


def test_a_smaller_cache_forgets_at_once() -> None:
    """The results that were used longest ago."""
    cache = ResultCache(3, threading.Lock)
    for key in "abc":
        cache.keep(flight(key), key, 0.0)
    cache.find("a")
    cache.resize(2)
    assert cache.snapshot().entries == 2
    assert [cache.find(key) is not None for key in "abc"] == [True, False, True]


def test_what_comes_after_it_was_overtaken_is_not_kept() -> None:
    """It may be older than what overtook it."""
    cache = ResultCache(9, threading.Lock)
    late = flight("key", is_overtaken=True)
    assert cache.keep(late, "result", 100.0) is False
    cache.keep_error(late, OSError(), 100.0)
    assert cache.find("key") is None
    assert cache.keep(flight("key"), "result", 100.0) is True


class Uncopied(Exception):
    """It says how it is copied, and that is wrong."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("uncopied")

    def __reduce__(self) -> Any:
        return Uncopied, ("one",)


class Mixin:
    """Something that is no exception."""


class OfItsOwn(Mixin, Exception):
    """Its constructor takes something else than it passes on."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"code {code}")
        self.detail = detail


class Repeating(Exception):
    """Made of its own arguments, it would have another message."""

    def __init__(self, code: object) -> None:
        super().__init__(f"code {code}")
        self.detail = "why"


class OfTheSystem(ConnectionResetError):
    """With what Python itself keeps beside `args`."""

    def __init__(self, detail: str) -> None:
        super().__init__(104, "reset", "a file")
        self.detail = detail


@pytest.mark.parametrize(
    "error",
    [OfItsOwn(5, detail="why"), Repeating(5), OfTheSystem("why"), copy.copy(OSError(5, "broken", "a file"))],
    ids=repr,
)
def test_a_copy_of_an_error_is_made_without_its_constructor(error: Any) -> None:
    """Which takes other arguments, or makes another message of them."""
    with pytest.raises(type(error)) as raised:
        Outcome(error=error).take()
    twin = raised.value
    assert twin is not error
    assert (str(twin), twin.args, vars(twin)) == (str(error), error.args, vars(error))
    assert [getattr(twin, name, None) for name in ("errno", "filename")] == [
        getattr(error, name, None) for name in ("errno", "filename")
    ]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have no notes")
def test_a_caller_adds_notes_to_its_own_copy() -> None:
    """They would come to all callers of a kept error, and have no end."""
    error = OSError(5, "broken")
    error.add_note("of the function")
    for _ in range(2):
        with pytest.raises(OSError, match="broken") as raised:
            Outcome(error=error).take()
        raised.value.add_note("of the caller")
        assert raised.value.__notes__ == ["of the function", "of the caller"]
    assert error.__notes__ == ["of the function"]


class OfAnotherKind(Exception):
    """Its copies are plain."""

    def __copy__(self) -> Any:
        return Exception("copied")


class Itself(Exception):
    def __copy__(self) -> Any:
        return self


class OfARequest(Exception):
    """It holds what is not copied with it."""

    def __init__(self, request: object, is_copy: bool = False) -> None:
        super().__init__("it failed")
        self.request = request
        self.is_copy = is_copy

    def __copy__(self) -> OfARequest:
        return OfARequest(self.request, is_copy=True)


def test_an_error_that_says_how_it_is_copied_is_copied_so() -> None:
    """Whatever its constructor takes."""
    error = OfARequest(object())
    with pytest.raises(OfARequest) as raised:
        Outcome(error=error).take()
    assert (raised.value.request is error.request, raised.value.is_copy) == (True, True)


@pytest.mark.parametrize("error", [Uncopied(1, 2), OfAnotherKind(), Itself()], ids=repr)
def test_an_error_without_a_true_copy_is_raised_itself(error: Exception) -> None:
    """Callers look at its type, and at what it has."""
    with pytest.raises(Exception) as raised:
        Outcome(error=error).take()
    assert raised.value is error


@pytest.mark.parametrize("is_from_none", [True, False])
def test_a_copy_of_an_error_shows_what_the_error_shows(is_from_none: bool) -> None:
    """Its cause and its context, and whether the context is shown."""
    error = copy.copy(OSError(5, "broken"))
    error.__context__ = KeyError("while this was handled")
    if is_from_none:
        error.__cause__ = None  # as `raise … from None` does, it hides the context
    with pytest.raises(OSError, match="broken") as raised:
        Outcome(error=error).take()
    twin = raised.value
    assert twin is not error
    assert (twin.__cause__, twin.__context__) == (None, error.__context__)
    assert twin.__suppress_context__ is is_from_none


def test_an_error_without_a_copy_is_freed_at_once() -> None:
    """When its last caller has handled it: its traceback holds nothing that holds the error."""

    def fail() -> weakref.ref[Uncopied]:
        error = Uncopied(1, 2)
        reference = weakref.ref(error)
        try:
            Outcome(error=error).take()
        except Uncopied:
            return reference
        finally:
            del error
        raise AssertionError

    gc.disable()
    try:
        assert fail()() is None
    finally:
        gc.enable()
