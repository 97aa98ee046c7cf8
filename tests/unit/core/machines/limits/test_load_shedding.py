"""Load shedding: the share that is shed, its bounds, its window, and the recovery of the service."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from http_service_client.core.machines.limits.load_shedding import LoadShedder, LoadSheddingSettings
from http_service_client.core.priority import Priority
from http_service_client.core.refusals import would_have_been
from http_service_client.errors import ConfigurationError
from kit.fakes import FakeClock
from kit.rows import each_row

BACKGROUND, LOW, NORMAL, HIGH, CRITICAL = Priority


def shedder(
    clock: FakeClock | None = None, random: Callable[[], float] = lambda: 0.0, **settings: float
) -> LoadShedder:
    """It sheds whatever it may: `random` returns 0."""
    return LoadShedder(
        LoadSheddingSettings(**{"min_rate": 0.0, **settings}),
        clock=(clock or FakeClock()).monotonic,
        random=random,
        lock=threading.RLock(),
    )


def admit(shedder: LoadShedder, level: Priority = NORMAL) -> float:
    """The chance that a call had to be shed, if it was; else 0."""
    refusal = shedder.admit(level)
    return 0.0 if refusal is None else refusal.share


def record(shedder: LoadShedder, *, is_rejected: bool) -> None:
    if is_rejected:
        shedder.record_rejected()
    else:
        shedder.record_accepted()


def count(shedder: LoadShedder, accepted: int, rejected: int) -> None:
    for number in range(accepted + rejected):
        record(shedder, is_rejected=number >= accepted)


@each_row(
    ("accepted", "rejected", "multiplier", "expected"),
    [
        (0, 0, 2.0, 0.0),
        (100, 0, 2.0, 0.0),
        (50, 50, 2.0, 0.0),
        (49, 51, 2.0, 2 / 101),
        (0, 1, 2.0, 1 / 2),
        (0, 2, 2.0, 2 / 3),
        (10, 90, 2.0, 80 / 101),
        (10, 90, 3.0, 70 / 101),
        (80, 20, 1.1, 12 / 101),
        (0, 100, 2.0, 0.9),
    ],
)
def test_the_share_that_is_shed(accepted: int, rejected: int, multiplier: float, expected: float) -> None:
    """By the formula of the SRE book, and at most nine of ten calls."""
    shed = shedder(multiplier=multiplier)
    count(shed, accepted, rejected)
    assert shed.share() == pytest.approx(expected)
    assert admit(shed) == pytest.approx(expected)


def test_what_was_shed_counts_as_a_call() -> None:
    """So the share grows while the service accepts no more, instead of settling at the first value."""
    shed = shedder()
    count(shed, 20, 80)
    shares = [admit(shed) for _ in range(3)]
    assert shares == [pytest.approx(60 / 101), pytest.approx(61 / 102), pytest.approx(62 / 103)]
    assert shed.snapshot().shed == 3


@pytest.mark.parametrize(("drawn", "is_shed"), [(0.0, True), (0.59, True), (0.6, False), (0.999, False)])
def test_chance_decides(drawn: float, is_shed: bool) -> None:
    """A call is shed when the number drawn is below the share."""
    shed = shedder(random=lambda: drawn)
    count(shed, 20, 80)
    assert (admit(shed) > 0) is is_shed


def test_a_healthy_service_costs_no_draw() -> None:
    """Nothing is asked of the random source while nothing was rejected."""
    shed = shedder(random=lambda: pytest.fail("drawn"))
    count(shed, 1000, 0)
    assert admit(shed) == 0.0


def test_the_most_important_calls_are_shed_last() -> None:
    """Each level has twice the headroom of the one below."""
    shed = shedder()
    count(shed, 30, 70)
    shares = [round(shed.share(level) * 101, 6) for level in Priority]
    assert shares == [62.5, 55, 40, 10, 0]


def test_priorities_bound_what_is_shed_of_a_dead_service_too() -> None:
    """Nobody's calls pass all, and nobody's are all shed."""
    shed = shedder()
    count(shed, 0, 1000)
    assert {shed.share(level) for level in Priority} == {0.9}


def test_so_many_calls_a_second_always_pass() -> None:
    """A client with few calls sheds none, and any client sees that its service has recovered."""
    shed = shedder(min_rate=2.0, window=10.0)
    count(shed, 0, 19)
    assert (shed.share(), admit(shed)) == (0.0, 0.0)
    count(shed, 0, 1)
    assert admit(shed) == 0.9


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """To a tenth of it."""
    clock = FakeClock()
    shed = shedder(clock, window=10.0)
    count(shed, 0, 50)
    clock.now += 8.9
    assert shed.share() == 0.9
    clock.now += 2.1
    assert shed.share() == 0.0
    assert shed.is_idle
    assert repr(shed) == "<LoadShedder 0 accepted, 0 rejected, 0 shed>"


def test_the_window_goes_on_in_tenths() -> None:
    """What was counted in one is forgotten together."""
    clock = FakeClock()
    began = clock.now
    shed = shedder(clock, window=10.0)
    for instant in (0.95, 1.05):
        clock.now = began + instant
        count(shed, 1, 1)
    counts = []
    for instant in (9.95, 10.05, 10.95, 11.05):
        clock.now = began + instant
        assert shed.share() >= 0.0
        counts.append((shed.accepted, shed.rejected))
    assert counts == [(2, 2), (1, 1), (1, 1), (0, 0)]


@pytest.mark.parametrize("shed_first", [True, False], ids=["shed", "rejected"])
def test_it_is_idle_when_it_remembers_neither_rejected_nor_shed_calls(shed_first: bool) -> None:
    """Accepted ones change nothing."""
    clock = FakeClock()
    shed = shedder(clock)
    count(shed, 5, 0)
    assert (shed.is_idle, shed.passes_all) == (True, True)
    count(shed, 0, 20)
    if shed_first:
        clock.now += 5.0
        assert admit(shed) > 0
        clock.now += 5.0
        assert shed.share() >= 0.0
        assert (shed.rejected, shed.shed) == (0, 1)
    assert (shed.is_idle, shed.passes_all) == (False, False)
    clock.now += 10.0
    assert (shed.is_idle, shed.passes_all) == (True, True)


def test_a_longer_window_forgets_nothing_before_it_is_over() -> None:
    """It begins with all that was counted in the one before."""
    clock = FakeClock()
    shed = shedder(clock, window=10.0)
    count(shed, 10, 50)
    clock.now += 9.5
    count(shed, 10, 50)
    shed.reconfigure(shed.settings.changed({"window": 20.0}))
    for seconds, expected in ((0.0, (20, 100)), (19.9, (20, 100)), (0.2, (0, 0))):
        clock.now += seconds
        assert shed.share() >= 0.0
        assert (shed.accepted, shed.rejected) == expected


@each_row(
    "look",
    [
        admit,
        LoadShedder.share,
        lambda shed: not shed.is_idle,
        lambda shed: shed.snapshot().rejected,
        lambda shed: shed.record_accepted() or shed.rejected,
        lambda shed: shed.record_rejected() or shed.rejected - 1,
        lambda shed: shed.reconfigure(shed.settings.changed({"window": 20.0})) or shed.rejected,
    ],
    ids=["admit", "share", "is_idle", "snapshot", "accepted", "rejected", "reconfigure"],
)
def test_whoever_looks_first_sees_what_is_forgotten(look: Callable[[LoadShedder], float]) -> None:
    """There is no timer: the counts are those of the instant at which somebody asks."""
    clock = FakeClock()
    shed = shedder(clock, window=10.0)
    count(shed, 0, 50)
    clock.now += 10.0
    assert look(shed) == 0


@pytest.mark.parametrize("is_rejected", [True, False])
def test_what_is_counted_at_the_end_of_a_tenth_is_in_the_next_one(is_rejected: bool) -> None:
    """It is forgotten with that one."""
    clock = FakeClock()
    shed, counts = shedder(clock, window=10.0), []
    clock.now += 1.0
    record(shed, is_rejected=is_rejected)
    for seconds in (9.0, 1.0):
        clock.now += seconds
        assert shed.share() >= 0.0
        counts.append(shed.accepted + shed.rejected)
    assert counts == [1, 0]


def test_a_window_of_the_same_length_goes_on() -> None:
    """Other settings prolong nothing."""
    clock = FakeClock()
    shed = shedder(clock, window=10.0)
    count(shed, 0, 50)
    clock.now += 9.5
    shed.reconfigure(shed.settings.changed({"multiplier": 3.0}))
    clock.now += 0.5
    assert shed.share() == 0.0


def test_a_clock_that_steps_back_forgets_nothing() -> None:
    """And the window goes on from there."""
    clock = FakeClock()
    shed = shedder(clock, window=10.0)
    count(shed, 0, 50)
    clock.now -= 500
    assert shed.share() == 0.9
    clock.now += 11
    assert shed.share() == 0.0


@pytest.mark.parametrize(
    ("drawn", "accepted", "changes"),
    [
        (0.3, 30, ['priority("high")', "multiplier=2.4 of the load shedding"]),
        (0.05, 30, ['priority("critical")', "multiplier=3.2 of the load shedding"]),
        (0.3, 0, []),
    ],
)
def test_a_refusal_knows_what_would_have_helped(drawn: float, accepted: int, changes: list[str]) -> None:
    """A priority that is high enough, or a multiplier; for a service that accepts nothing, neither."""
    shed = shedder(random=lambda: drawn)
    count(shed, accepted, 100 - accepted)
    refusal = shed.admit()
    assert refusal is not None
    text = would_have_been(refusal)
    assert [change for change in changes if change not in text] == []
    assert ("multiplier" in text) is bool(changes)


def test_a_service_that_recovers_has_all_calls_again() -> None:
    """Within two windows, by itself: what is accepted lets more pass."""
    clock, random = FakeClock(), Random(1).random
    shed = shedder(clock, random, window=30.0, min_rate=1.0)
    passed = 0
    for second in range(180):
        is_down = second < 60
        passed = 0
        for _ in range(50):
            if not admit(shed):
                record(shed, is_rejected=is_down)
                passed += 1
        if second == 59:
            assert passed <= 15
        clock.now += 1
        if second == 120:
            assert passed == 50
    assert passed == 50
    assert shed.share() == 0.0


def test_other_settings_hold_at_once_and_the_counts_stay() -> None:
    """Also in a window of another length, which begins now."""
    clock = FakeClock()
    shed = shedder(clock)
    count(shed, 20, 80)
    shed.reconfigure(shed.settings.changed({"multiplier": 4.0}))
    assert shed.share() == pytest.approx(20 / 101)
    shed.reconfigure(shed.settings.changed({"window": 5.0}))
    assert shed.share() == pytest.approx(20 / 101)
    clock.now += 6
    assert shed.share() == 0.0
    with pytest.raises(
        TypeError, match="reconfigure takes no keyword 'k'; those of load shedding are multiplier, "
    ):
        shed.settings.changed({"k": 2})  # type: ignore[typeddict-unknown-key]  # on purpose


@each_row(
    ("settings", "message"),
    [
        ({"multiplier": 1.0}, "multiplier must be a finite number from 1.1 to 100, not 1.0"),
        ({"window": None}, "window must be a positive, finite number of seconds, not None"),
        ({"window": 0.5}, "window must be a finite number of seconds from 1 to 3600, not 0.5"),
        ({"max_shed": 1.5}, "max_shed must be a finite number from 0 to 1, not 1.5"),
        ({"max_shed": 1.0}, "max_shed must be at most 0.99, not 1.0: some calls must pass, or the "),
        ({"min_rate": -1}, "min_rate must be a finite number of calls a second of 0 or more, not -1"),
    ],
)
def test_a_wrong_value_is_refused(settings: dict[str, object], message: str) -> None:
    """With the field, the value and the remedy."""
    with pytest.raises(ConfigurationError) as caught:
        LoadSheddingSettings(**settings)  # type: ignore[arg-type]  # on purpose
    assert str(caught.value).startswith(message)


def test_another_librarys_name_is_suggested() -> None:
    """K is called multiplier here."""
    with pytest.raises(TypeError, match="takes no keyword 'k'; it is called multiplier"):
        LoadSheddingSettings(k=2)  # type: ignore[call-arg]  # on purpose


def test_threads_lose_no_count() -> None:
    """Eight threads record and ask at once."""
    shed = shedder(random=lambda: 1.0)

    def work() -> None:
        for number in range(500):
            admit(shed)
            record(shed, is_rejected=number % 2 == 0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (shed.accepted, shed.rejected, shed.shed) == (2000, 2000, 0)


class SheddingMachine(RuleBasedStateMachine):
    """Against a list of everything that happened, with its instant."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(now=0.0)
        self.drawn = 0.5
        self.shedder = shedder(self.clock, lambda: self.drawn, window=10.0, min_rate=0.5)
        self.happened: list[tuple[int, str]] = []  # the bucket, and what

    @rule(seconds=st.integers(0, 25))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds / 2

    @rule(is_rejected=st.booleans(), times=st.integers(1, 20))
    def record(self, is_rejected: bool, times: int) -> None:
        for _ in range(times):
            record(self.shedder, is_rejected=is_rejected)
            self.happened.append((int(self.clock.now), "rejected" if is_rejected else "accepted"))

    @rule(drawn=st.floats(0, 0.999), level=st.sampled_from(Priority))
    def admit(self, drawn: float, level: Priority) -> None:
        self.drawn = drawn
        counts = self.counts()
        share = self.expected(counts, level)
        assert admit(self.shedder, level) == pytest.approx(share if drawn < share else 0.0)
        if drawn < share:
            self.happened.append((int(self.clock.now), "shed"))

    def counts(self) -> dict[str, int]:
        recent = [what for bucket, what in self.happened if bucket > int(self.clock.now) - 10]
        return {what: recent.count(what) for what in ("accepted", "rejected", "shed")}

    def expected(self, counts: dict[str, int], level: Priority) -> float:
        calls = sum(counts.values())
        if counts["accepted"] + counts["rejected"] < 5:
            return 0.0
        multiplier = 1 + 2.0 ** (level - 2)
        return min(0.9, max(0.0, (calls - multiplier * counts["accepted"]) / (calls + 1)))

    @invariant()
    def counts_are_those_of_the_window(self) -> None:
        shown = self.shedder.snapshot()
        counts = self.counts()
        assert {"accepted": shown.accepted, "rejected": shown.rejected, "shed": shown.shed} == counts
        assert shown.share == pytest.approx(self.expected(counts, NORMAL))


TestSheddingMachine = SheddingMachine.TestCase
