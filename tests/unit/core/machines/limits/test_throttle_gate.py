"""The throttle gate, apart from calls."""

from __future__ import annotations

import pytest

from http_service_client.core.machines.limits.throttle_gate import ThrottleGate


class Gate(ThrottleGate):
    """A gate whose clock the test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        super().__init__(lambda: self.now)


def test_a_new_gate_is_open() -> None:
    """Nothing is asked for at first, and a clock that steps back asks for nothing either."""
    gate = Gate()
    assert gate.left == 0.0
    gate.now -= 1000.0
    assert gate.left == 0.0


def test_a_pause_ends_at_its_instant() -> None:
    """It is left until then, and 0 from then on."""
    gate = Gate()
    gate.close(5.0)
    gate.now += 4.0
    assert gate.left == 1.0
    gate.now += 1.0
    assert gate.left == 0.0


def test_a_shorter_pause_opens_nothing() -> None:
    """Of two pauses, the one that ends later holds."""
    gate = Gate()
    gate.close(5.0)
    gate.close(2.0)
    assert gate.left == 5.0
    gate.close(9.0)
    assert gate.left == 9.0
    gate.now += 4.0
    gate.close(5.0)
    assert gate.wait(0.999) == pytest.approx(5.0 + 0.999 * 0.2 * 9.0), "still the longer one"


def test_a_pause_of_a_second_holds_for_its_own_call_alone() -> None:
    """The header has whole seconds: it may mean much less."""
    gate = Gate()
    gate.close(1.0)
    assert gate.left == 0.0
    gate.close(1.001)
    assert gate.left > 1.0


def test_the_gate_opens_gently() -> None:
    """Waiting calls pass spread over a fifth of the pause, at most two seconds, and none of them early."""
    gate = Gate()
    gate.close(5.0)
    assert [gate.wait(dice) for dice in (0.0, 0.5, 0.999)] == [5.0, 5.5, 5.999]
    gate.close(60.0)
    assert gate.wait(0.5) == 61.0


def test_a_clock_that_steps_back_prolongs_no_pause() -> None:
    """From the step on, one pause at most is left."""
    gate = Gate()
    gate.close(5.0)
    gate.now -= 1000.0
    assert gate.left == 5.0
    gate.now += 3.0
    assert gate.left == 2.0
    gate.now += 2.0
    assert gate.left == 0.0


def test_a_pause_beyond_five_minutes_is_kept_to_in_parts() -> None:
    """The number may be a mistake or a lie: after a part of it, a call finds out."""
    gate = Gate()
    gate.close(1e9)
    assert gate.left == 300.0
    gate.now += 300.0
    assert gate.left == 0.0


def test_a_pause_that_is_being_prolonged_is_never_cut_short() -> None:
    """A reader between the two steps of `close` sees no length of the pause before."""

    class Watched(Gate):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "opens_at":
                assert self.left <= self._pause

    gate = Watched()
    gate.close(5.0)
    gate.close(60.0)
    assert gate.left == 60.0
