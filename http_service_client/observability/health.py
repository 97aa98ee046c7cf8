"""How a client and its services are doing: a summary of plain values, which can explain itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..core.origins import OriginState, without_key
from ..core.outcomes import FAILURE_STATUSES

__all__ = ["HealthSummary", "health_of"]

_MOST_ORIGINS = 10  # in a text
_MOST_KEYS = 3  # of each
_MOST_ERRORS = 3
_FEW = 0.01  # of the calls that fail
_MUCH = 1.2  # exchanges for each call
_FAILURES = frozenset(map(str, FAILURE_STATUSES))
_OVERFLOW = "other origins (more than the metrics hold)"

# In the order of what they cost.
_PARTS = ("retries", "redirects", "auth", "codings", "trials")


class HealthSummary(dict[str, Any]):
    """What `HttpServiceClient.get_health_summary` returns: a dictionary of plain values, for JSON or a dashboard.

    `explain()` says the same in words. It reads the dictionary alone.

    >>> print(HealthSummary(total_requests=0).explain())
    no calls yet
    """

    __slots__ = ()

    def explain(self) -> str:
        """The state of each origin in a few lines, those that need attention first; at most ten of them in full.

        For each: its calls and how many succeeded; how many requests they cost, and why; its circuit, what is left of
        its retry budget, and whether it asked for a pause; then what is wrong, and what to look at.
        """
        services = sorted(self._services(), key=lambda each: (not each.problems, -each.calls, each.name))
        total = self.get("total_requests", 0)
        if not services:
            return "no calls yet"
        troubled = sum(bool(each.problems) for each in services)
        share = 1 - self.get("error_rate", 0.0)
        summary = f"{_count(total, 'call')}, {share:.1%} succeeded" if total else "no calls yet"
        of_all = f"{troubled} of {_count(len(services), 'origin')}" if troubled else "no origin"
        lines = [f"{summary}; {of_all} {'need' if troubled > 1 else 'needs'} attention"]
        for service in services[:_MOST_ORIGINS]:
            lines += service.lines()
        rest = services[_MOST_ORIGINS:]
        if rest:
            troubled = sum(bool(each.problems) for each in rest)
            needy = (
                f"; {troubled} of them {'need' if troubled > 1 else 'needs'} attention" if troubled else ""
            )
            lines.append(f"and {_count(len(rest), 'more origin')}{needy}")
        return "\n".join(lines)

    def _services(self) -> list[_Service]:
        load: Mapping[str, Mapping[str, float]] = self.get("amplification", {})
        errors: Mapping[str, Mapping[str, int]] = self.get("errors", {})
        states: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in load}
        for key, state in self.get("origins", {}).items():
            states.setdefault(without_key(key), {})[key] = state
        return [_Service(name, load.get(name, {}), errors.get(name, {}), states[name]) for name in states]


def health_of(state: OriginState) -> dict[str, Any]:
    """What is known of an origin now, as plain values.

    circuit: None without one. Its ``retry_after`` is seconds until a trial, or None; see `CircuitBreaker.retry_after`.
    retries_left: None without a budget.   pause_left: seconds of the pause that the service asked for; 0.0 for none.
    """
    circuit = None
    if state.breaker is not None:
        breaker, now = state.breaker, state.breaker.snapshot()
        circuit = {
            "state": now.state.value,
            "is_isolated": now.is_isolated,
            "is_metrics_only": breaker.is_metrics_only,
            "failures_in_row": now.consecutive_failures,
            "refused": now.refused,
            "retry_after": now.retry_after,
        }
    return {
        "circuit": circuit,
        "retries_left": None if state.budget is None else state.budget.balance,
        "pause_left": 0.0 if state.gate is None else state.gate.left,
        "connections_in_use": state.connections.in_use,
        "connections_awaited": state.connections.waiting,
    }


class _Service:
    """An origin with all its keys, as it is explained.   errors: of its calls, by status or class."""

    def __init__(
        self,
        name: str,
        load: Mapping[str, float],
        errors: Mapping[str, int],
        states: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.name = name
        self.calls = load.get("calls", 0)
        self._load = load
        self._errors = errors
        self._states = states
        found = {key: list(_problems(state)) for key, state in states.items()}
        self._of_keys = {key: problems for key, problems in found.items() if problems}
        self._of_calls = list(_problems_of_calls(self.calls, load, errors))
        self.problems = bool(self._of_keys or self._of_calls)

    def lines(self) -> list[str]:
        failed = sum(self._errors.values())
        head = f"{self.name or _OVERFLOW}: {_count(self.calls, 'call')}"
        if self.calls:
            head += f", {1 - failed / self.calls:.1%} succeeded"
        lines = [head]
        if self.calls:
            parts = [f"{self._load[part] / self.calls:.2f} {part}" for part in _PARTS if self._load.get(part)]
            of_them = f", {', '.join(parts)} among them" if parts else ""
            lines.append(f"  {self._load.get('amplification', 0.0):.2f} requests a call{of_them}")
        if failed and not self._of_calls:  # a 404, say, which is no fault of the service
            lines.append(f"  the errors are {_listed(self._errors)}")
        lines += [f"  {_state(self._states[self.name])}"] if self.name in self._states else []
        shown = list(self._of_keys)[:_MOST_KEYS]
        for key in shown:
            if key != self.name:
                lines.append(f"  {key}: {_state(self._states[key])}")
            lines += [f"  ! {problem}" for problem in self._of_keys[key]]
        if len(self._of_keys) > len(shown):
            lines.append(f"  ! and {_count(len(self._of_keys) - len(shown), 'more key')} with problems")
        return lines + [f"  ! {problem}" for problem in self._of_calls]


def _state(state: Mapping[str, Any]) -> str:
    """The circuit, the budget and the gate, in one line."""
    left = state["retries_left"]
    parts = [_circuit(state["circuit"])]
    if left is not None:
        parts.append(f"{_count(left, 'retry', 'retries')} left in the budget")
    if state["pause_left"]:
        parts.append(f"paused for another {state['pause_left']:.3g} s")
    return "; ".join(parts)


def _circuit(circuit: Mapping[str, Any] | None) -> str:
    if circuit is None:
        return "no circuit"
    words = "circuit isolated" if circuit["is_isolated"] else f"circuit {circuit['state'].replace('_', '-')}"
    if circuit["state"] == "closed":
        failures = circuit["failures_in_row"]
        return f"{words}, {_count(failures, 'failure')} in a row" if failures else words
    if circuit["retry_after"] is not None:
        words += (
            f", next trial in {circuit['retry_after']:.3f} s"
            if circuit["retry_after"]
            else ", a trial is due"
        )
    return f"{words}, {_count(circuit['refused'], 'attempt')} refused"


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
    if state["connections_awaited"]:
        yield (
            f"{_count(state['connections_awaited'], 'call')} wait for a connection, of {state['connections_in_use']} in use; "
            "see max_connections_per_host, and look for streams that are not closed"
        )


def _problems_of_calls(calls: float, load: Mapping[str, float], errors: Mapping[str, int]) -> Iterable[str]:
    """What was wrong since the client was made. A 404, say, is an error, but no failure of the service."""
    failed = sum(count for what, count in errors.items() if not what.isdigit() or what in _FAILURES)
    if failed > _FEW * calls:
        yield f"{_count(failed, 'call')} failed; the errors are {_listed(errors)}; see error.explain() of one"
    if load.get("amplification", 0.0) > _MUCH and load.get("retries", 0) >= (_MUCH - 1) * calls:
        yield "retries add much to the load of the service; see why attempts fail, and simulate the same rate"


def _listed(errors: Mapping[str, int]) -> str:
    """The most frequent ones."""
    most = sorted(errors.items(), key=lambda each: -each[1])[:_MOST_ERRORS]
    return ", ".join(f"{what} ({count})" for what, count in most) + (" …" if len(errors) > len(most) else "")


def _count(number: float, what: str, several: str | None = None) -> str:
    return f"{number:,.0f} {what if number == 1 else several or what + 's'}"
