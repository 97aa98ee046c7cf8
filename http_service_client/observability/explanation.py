"""What a health summary says about an origin, in plain words. It reads the dictionary alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from ..core.outcomes import FAILURE_STATUSES
from ..events import PROXY_REMEDY

__all__ = ["RecentText", "ServiceText", "calls_text", "count_text", "is_calm"]

_MOST_KEYS = 3  # of each origin
_MOST_ERRORS = 3
_FEW = 0.01  # of the calls that fail
_MUCH = 1.2  # exchanges for each call
_MANY = 0.2  # retries for each call
_FAILURES = frozenset(map(str, FAILURE_STATUSES))
_OF_THE_CALLER = frozenset({"CancelledError", "GeneratorExit", "KeyboardInterrupt", "SystemExit"})
_OVERFLOW = "other origins (more than the metrics hold)"

# In the order of what they cost.
_PARTS = ("retries", "hedges", "redirects", "auth", "codings", "trials")


class RecentText:
    """The calls of an origin in a window.   seconds: of the window.   values: of the calls, None for none."""

    def __init__(
        self, seconds: float, values: Mapping[str, Any] | None, slow: Iterable[Mapping[str, Any]]
    ) -> None:
        self.seconds = seconds
        self.calls: int = 0 if values is None else values["calls"]
        self.values: Mapping[str, Any] = {} if values is None else values
        self.errors: Mapping[str, int] = self.values.get("errors", {})
        self.slow = list(slow)

    def durations(self) -> Iterable[str]:
        """One line, unless every call was refused."""
        if self.values.get("p50") is None:
            return
        times = ", ".join(f"{name} {_duration(self.values[name])}" for name in ("p50", "p95", "p99"))
        call = self.values["slowest_call"]
        yield f"{times}; the slowest took {_duration(self.values['slowest'])}{f' (call {call})' if call else ''}"


class ServiceText:
    """An origin with all its keys, as it is explained.

    load, errors: of its calls since the start, the errors by status or class.   recent: None in a summary without a window.
    """

    def __init__(
        self,
        name: str,
        load: Mapping[str, float],
        errors: Mapping[str, int],
        recent: RecentText | None,
        states: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.name = name
        self.calls = load.get("calls", 0)
        self._load = load
        self._errors = errors
        self._recent = recent
        self._states = states
        found = {key: list(_problems(state)) for key, state in states.items()}
        self._of_keys = {key: problems for key, problems in found.items() if problems}
        if recent is None:
            self._of_calls = list(_problems_of_calls(self.calls, load, errors))
        else:  # what failed an hour ago needs no attention now
            self._of_calls = list(_problems_of_calls(recent.calls, recent.values, recent.errors))
            self._of_calls += [_slowness(each) for each in recent.slow]

    @property
    def problems(self) -> list[str]:
        """What is wrong, for the origin itself and its keys; a problem of several keys once."""
        return list(dict.fromkeys([*chain.from_iterable(self._of_keys.values()), *self._of_calls]))

    def lines(self) -> list[str]:
        recent = self._recent
        # Of the window where it has calls, and else since the start.
        calls, load, errors = self.calls, self._load, self._errors
        if recent is not None and recent.calls:
            calls, load, errors = recent.calls, recent.values, recent.errors
        lines = [self._head()]
        if calls:
            parts = [f"{load[part] / calls:.2f} {part}" for part in _PARTS if load.get(part)]
            of_them = f", {', '.join(parts)} among them" if parts else ""
            lines.append(f"  {load.get('amplification', 0.0):.2f} requests a call{of_them}")
        if recent is not None:
            lines += [f"  {line}" for line in recent.durations()]
        if errors and not self._of_calls:  # a 404, say, which is no fault of the service
            lines.append(f"  the errors are {_listed(errors)}")
        lines += [f"  {_state(self._states[self.name])}"] if self.name in self._states else []
        shown = list(self._of_keys)[:_MOST_KEYS]
        for key in shown:
            if key != self.name:
                lines.append(f"  {key}: {_state(self._states[key])}")
            lines += [f"  ! {problem}" for problem in self._of_keys[key]]
        if len(self._of_keys) > len(shown):
            lines.append(f"  ! and {count_text(len(self._of_keys) - len(shown), 'more key')} with problems")
        return lines + [f"  ! {problem}" for problem in self._of_calls]

    def _head(self) -> str:
        """The calls since the start, and those of the window, unless these are the same."""
        recent, parts = self._recent, []
        if self.calls or recent is None or not recent.calls:
            parts.append(calls_text(self.calls, sum(self._errors.values())))
        if recent is not None and recent.calls != self.calls:
            found = calls_text(recent.calls, sum(recent.errors.values())) if recent.calls else "none"
            parts.append(f"in the last {recent.seconds:.0f} s {found}")
        return f"{self.name or _OVERFLOW}: {'; '.join(parts)}"


def _state(state: Mapping[str, Any]) -> str:
    """The circuit, the budget and the gate, in one line."""
    left = state["retries_left"]
    parts = [_circuit(state["circuit"])]
    if left is not None:
        parts.append(f"{count_text(left, 'retry', 'retries')} left in the budget")
    if state["pause_left"]:
        parts.append(f"paused for another {state['pause_left']:.3g} s")
    if state.get("keys"):
        parts.append(
            f"{count_text(state['keys'], 'key')}, of which {state['keys_in_trouble']:,} have no closed circuit"
        )
    return "; ".join(parts)


def _circuit(circuit: Mapping[str, Any] | None) -> str:
    if circuit is None:
        return "no circuit"
    words = "circuit isolated" if circuit["is_isolated"] else f"circuit {circuit['state'].replace('_', '-')}"
    if circuit["state"] == "closed":
        failures = circuit["failures_in_row"]
        return f"{words}, {count_text(failures, 'failure')} in a row" if failures else words
    if circuit["retry_after"] is not None:
        words += (
            f", next trial in {circuit['retry_after']:.3f} s"
            if circuit["retry_after"]
            else ", a trial is due"
        )
    return f"{words}, {count_text(circuit['refused'], 'attempt')} refused"


def is_calm(state: Mapping[str, Any]) -> bool:
    """Whether there are no problems of an origin or a key of it. It is a hundred times as fast as finding them."""
    circuit = state["circuit"]
    return (
        (circuit is None or (circuit["state"] == "closed" and not circuit["is_isolated"]))
        and not state["pause_left"]
        and state["retries_left"] != 0
        and not state["connections_awaited"]
        and state.get("proxy_attempts", 1) == 1
    )


def _problems(state: Mapping[str, Any]) -> Iterable[str]:
    """What is wrong with an origin or a key of it, and what to look at."""
    circuit = state["circuit"]
    if circuit is not None and circuit["is_metrics_only"] and circuit["state"] != "closed":
        yield "the circuit would refuse calls, and does not, since it has metrics_only"
    elif circuit is not None and circuit["is_isolated"]:
        yield "isolated by hand, so that nothing is sent; reset() of the circuit ends it"
    elif circuit is not None and circuit["state"] != "closed":
        yield "the service is taken to be down, and calls are refused until trials succeed; see what failed before"
    if state["pause_left"]:
        yield "the service asked for a pause; see how many callers share its limit"
    if state["retries_left"] == 0:
        yield "no retries are left: most calls fail, or many failed at once; see what fails"
    if state.get("proxy_attempts", 1) > 1:
        yield f"a proxy on the way makes up to {state['proxy_attempts']} attempts of each attempt of this client; {PROXY_REMEDY}"
    if state["connections_awaited"]:
        yield (
            f"{count_text(state['connections_awaited'], 'call')} wait for a connection, of {state['connections_in_use']} in use; "
            "see max_connections_per_host, and look for streams that are not closed"
        )


def _problems_of_calls(calls: float, load: Mapping[str, Any], errors: Mapping[str, int]) -> Iterable[str]:
    """What was wrong with these calls. A 404, say, is an error, but no failure of the service, and a cancelled call neither."""
    failed = sum(
        count
        for what, count in errors.items()
        if (what in _FAILURES if what.isdigit() else what not in _OF_THE_CALLER)
    )
    if failed > _FEW * calls:
        yield f"{count_text(failed, 'call')} failed; the errors are {_listed(errors)}; see error.explain() of one"
    if calls and load["amplification"] > _MUCH and load["retries"] >= _MANY * calls:
        yield "retries add much to the load of the service; see why attempts fail, and simulate the same rate"


def _slowness(slow: Mapping[str, Any]) -> str:
    calls = "the calls take" if slow["name"] is None else f"{slow['name']!r} takes"
    times = ", ".join(
        f"{name} is {_duration(slow[name])}, and usually {_duration(slow['usual_' + name])}"
        for name in ("p50", "p95")
    )
    return f"{calls} longer than usual: {times}"


def calls_text(calls: float, errors: float) -> str:
    return count_text(calls, "call") + (f", {1 - errors / calls:.1%} succeeded" if calls else "")


def _duration(seconds: float) -> str:
    """In three digits, which is more than a percentile is known to.

    >>> _duration(0.0123456), _duration(1.23456)
    ('12.3 ms', '1.23 s')
    """
    return f"{seconds * 1000:.3g} ms" if seconds < 0.9995 else f"{seconds:,.3g} s"


def _listed(errors: Mapping[str, int]) -> str:
    """The most frequent ones."""
    most = sorted(errors.items(), key=lambda each: -each[1])[:_MOST_ERRORS]
    return ", ".join(f"{what} ({count})" for what, count in most) + (" …" if len(errors) > len(most) else "")


def count_text(number: float, what: str, several: str | None = None) -> str:
    return f"{number:,.0f} {what if number == 1 else several or what + 's'}"
