"""The load shedding policy: its errors, copies and settings."""

from __future__ import annotations

import copy
import pickle
from random import Random

import pytest

from http_service_client import ConfigurationError, LoadSheddingPolicy, LoadShedError, priority
from http_service_client.errors import CallRefusedError, SentState
from http_service_client.http.messages import HttpResponse
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd
from kit.rows import each_row


class ThrottlingError(Exception):
    """A library's own error."""


def zero() -> float:
    return 0.0


def shedding(**settings: object) -> LoadSheddingPolicy:
    return LoadSheddingPolicy(**{"min_rate": 0.0, "random": zero, **settings})  # type: ignore[arg-type]


def overload(policy: LoadSheddingPolicy, calls: int = 9) -> None:
    """Let so many calls be rejected, but for those that are shed."""
    for _ in range(calls):
        policy._shedder.record_rejected()


def test_the_error_says_why_and_that_nothing_was_sent(front_end: FrontEnd) -> None:
    """With the numbers, the priority, and what a caller may read from it."""
    policy = shedding(name="rates")
    overload(policy)
    called: list[int] = []
    guarded = policy.apply(front_end.function(lambda: called.append(1)))
    with pytest.raises(LoadShedError) as raised, priority("high"):
        front_end.run(guarded)
    error = raised.value
    assert str(error) == (
        "load shedding for rates refused a call of high priority: the service rejected 9 of the last 9 calls for overload, "
        "so 90% are not sent; nothing was sent"
    )
    assert isinstance(error, CallRefusedError)
    assert (error.key, error.retry_after, error.share) == ("rates", None, pytest.approx(0.9))
    assert error.sent_state is SentState.NEVER_SENT
    assert called == []
    assert pickle.loads(pickle.dumps(error)).share == error.share


@pytest.mark.parametrize("given", [HttpResponse(529), ThrottlingError()])
def test_what_the_user_lists_says_overload(front_end: FrontEnd, given: object) -> None:
    """A status of the service's own, or another library's exception."""

    def function() -> object:
        if isinstance(given, Exception):
            raise given
        return given

    policy = shedding(overloads=[529, ThrottlingError])
    guarded = policy.apply(front_end.function(function))
    try:
        front_end.run(guarded)
    except ThrottlingError:
        pass
    assert policy.snapshot().rejected == 1


@each_row(
    ("result", "rejected"),
    [(ThrottlingError(), 1), (ValueError(), 0), (HttpResponse(529), 1), (HttpResponse(200), 0), ("text", 0)],
    ids=repr,
)
def test_a_returned_exception_is_as_one_that_was_raised(
    front_end: FrontEnd, result: object, rejected: int
) -> None:
    """If the user lists its class: functions that gather results return exceptions among them."""
    policy = shedding(overloads=[529, ThrottlingError])
    assert front_end.run(policy.apply(front_end.function(lambda: result))) is result
    shown = policy.snapshot()
    assert (shown.rejected, shown.accepted) == (rejected, 1 - rejected)


def test_a_block_is_a_call() -> None:
    """It is shed when it is entered."""
    policy = shedding()
    for _ in range(2):
        with pytest.raises(TimeoutError), policy:
            raise TimeoutError
        policy.reconfigure(multiplier=100.0)
        policy._shedder.record_accepted()
    policy.reconfigure(multiplier=1.1)
    with pytest.raises(LoadShedError), policy:
        raise AssertionError("entered")


def test_a_copy_has_the_settings_and_no_counts() -> None:
    """So has a pickle. Policies with the same settings and name are equal."""
    policy = LoadSheddingPolicy(3.0, window=60, name="rates")
    overload(policy)
    for twin in (copy.copy(policy), copy.deepcopy(policy), pickle.loads(pickle.dumps(policy))):
        assert twin == policy
        assert twin.settings == policy.settings
        assert (twin.snapshot().rejected, policy.snapshot().rejected) == (0, 9)
    assert policy != LoadSheddingPolicy(3.0, window=60)
    assert repr(policy) == "<LoadSheddingPolicy 'rates' multiplier=3.0 window=60>"


def test_wrong_settings_are_refused_and_change_nothing() -> None:
    """When it is made, and when it is reconfigured."""
    policy = LoadSheddingPolicy()
    before = policy.settings
    with pytest.raises(ConfigurationError, match=r"max_shed must be at most 0\.99"):
        policy.reconfigure(max_shed=1.0)
    with pytest.raises(TypeError, match="has no argument 'k'"):
        policy.reconfigure(k=3)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(TypeError, match="it is called multiplier"):
        LoadSheddingPolicy(k=3)  # type: ignore[call-arg]  # on purpose
    with pytest.raises(ConfigurationError, match="random must be a function"):
        LoadSheddingPolicy(random=5)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(AttributeError, match="multiplier of a LoadSheddingPolicy cannot be assigned"):
        policy.multiplier = 3.0  # type: ignore[attr-defined]  # on purpose
    assert policy.settings == before


def test_about_as_much_is_sent_as_is_accepted_times_the_multiplier() -> None:
    """The law of the formula, with a service that takes 20 calls a second of 200."""
    clock = FakeClock()
    policy = LoadSheddingPolicy(2.0, window=10.0, clock=clock, random=Random(1).random)
    sent = [0] * 60

    def call(second: int) -> None:
        sent[second] += 1
        if sent[second] > 20:
            raise TimeoutError

    for second in range(60):
        for _ in range(200):
            try:
                policy.call(call, second)
            except (LoadShedError, TimeoutError):
                pass
            clock.now += 1 / 200
    assert 35 <= sum(sent[30:]) / 30 <= 45


def test_without_a_source_of_randomness_the_system_s_is_used() -> None:
    """So much is shed as its share says, if not just which calls."""
    policy = shedding(random=None)
    overload(policy, 99)
    shed = 0
    for _ in range(200):
        try:
            policy.call(dict)
        except LoadShedError:
            shed += 1
    assert 0 < shed < 200
