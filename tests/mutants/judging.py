"""The outcome for a mutant: the tests run on a copy that holds it, until one fails."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain, islice

from .points import Mutant
from .process import Ending, Place
from .records import Run

__all__ = ["Outcome", "Verdict", "judge", "reading"]

_ALLOWED = 3.0  # times what the tests took when they were recorded
_SPARE = 40.0  # seconds beside it, in which what hangs fails by `kit.front_ends.run_task` or `kit.endless_loops`, and
_SPARE_PER_MODULE = 5.0  # to import it: a busy machine is no hang
_NOTHING_FAILED = (0, 5)  # exit codes of pytest: all passed, none was found


class Outcome(str, Enum):
    NOTICED = "noticed"  # a test failed
    SURVIVED = "SURVIVED"  # all tests that may notice it passed
    HUNG = "hung"  # no test failed, and one did not end; counts as not noticed
    OUT_OF_TIME = "out of time"  # the run ended before the mutant was judged; does not count


@dataclass(frozen=True)
class Verdict:
    """The outcome for one mutant.

    by: the test that noticed or hung.   tried: the tests that began.   is_cut: whether patience ended before the tests.
    """

    mutant: Mutant
    outcome: Outcome
    seconds: float
    by: str
    tried: frozenset[str]
    is_cut: bool


def judge(place: Place, mutant: Mutant, runs: Iterable[Run], patience: float, ends_at: float) -> Verdict:
    """Run the tests that may notice, the likeliest modules first, until one does.

    patience: seconds of tests after which the mutant has survived.   ends_at: monotonic instant at which the whole
        run is over.
    """
    started, tried, hung_in = time.monotonic(), set[str](), ""

    def verdict(outcome: Outcome, by: str = "", is_cut: bool = False) -> Verdict:
        return Verdict(mutant, outcome, time.monotonic() - started, by, frozenset(tried), is_cut)

    path = place.checkout / place.package / mutant.file
    original = path.read_bytes()
    changed = mutant.apply(original)
    try:
        pending, size = iter(runs), 1
        # Twice as many modules each time: one is enough for most mutants, and pytest has a beginning and an end.
        while group := list(islice(pending, size)):
            size *= 2
            names, seconds = _within(group, patience)
            if not names:
                return verdict(Outcome.HUNG if hung_in else Outcome.SURVIVED, hung_in, is_cut=True)
            modules = [run.module for run in group]
            begun, allowed = time.monotonic(), _ALLOWED * seconds + _SPARE + _SPARE_PER_MODULE * len(modules)
            left = ends_at - begun
            # Only now: what `runs` has just recorded is without the mutant.
            path.write_bytes(changed)
            ending = place.run(modules, min(allowed, left), "--exitfirst", "--tb=no", names=names)
            path.write_bytes(original)
            tried.update(ending.begun)
            outcome, by = reading(ending)
            if outcome is Outcome.NOTICED:
                return verdict(outcome, by)
            if outcome is Outcome.HUNG:
                if left < allowed or place.stop.is_set():
                    return verdict(Outcome.OUT_OF_TIME)
                hung_in = hung_in or by
                seconds = time.monotonic() - begun
                # A test of another module may fail.
                module = by.partition("::")[0]
                pending = chain(group[modules.index(module) + 1 :] if module in modules else [], pending)
            patience -= seconds
        return verdict(Outcome.HUNG if hung_in else Outcome.SURVIVED, hung_in)
    finally:
        path.write_bytes(original)


def reading(ending: Ending) -> tuple[Outcome, str]:
    """What the end of a run says of the mutant, and which test says it."""
    # code          failed    within a test    the mutant
    # any           yes       any              is noticed
    # 0, 5          no        any              survived this run
    # None          no        any              hung, in this test or at import
    # n             no        yes              hung: a limit of the test ended the process
    # n             no        no               is noticed: by conftest.py's import, or a thread that failed at the end
    # -signal       no        any              is noticed: the interpreter crashed
    if ending.failed:
        return Outcome.NOTICED, ending.failed[0]
    if ending.code in _NOTHING_FAILED:
        return Outcome.SURVIVED, ""
    if ending.code is None or (ending.code > 0 and ending.within):
        return Outcome.HUNG, ending.within or "the import or the end"
    return Outcome.NOTICED, ending.within or "the import or the end"


def _within(group: Sequence[Run], patience: float) -> tuple[list[str], float]:
    """The tests of these runs that take no longer together, the quickest of each, and how long they take."""
    names, total = [], 0.0
    for run in group:
        for name, seconds in sorted(run.tests.items(), key=lambda test: test[1]):
            if total + seconds > patience:
                break
            names.append(name)
            total += seconds
    return names, total
