"""How a client and its services are doing: a summary of plain values, which can explain itself."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ..core.origins import OriginState, without_key
from .explanation import RecentText, ServiceText, calls_text, count_text, is_calm

__all__ = ["HealthSummary", "health_of"]

_MOST_ORIGINS = 10  # in a text
_SEVERITY = ["closed", "half_open", "open"]


class HealthSummary(dict[str, Any]):
    """What `HttpServiceClient.get_health_summary` returns: a dictionary of plain values, for JSON or a dashboard.

    `explain()` says the same in words. Both methods read the dictionary alone.

    >>> print(HealthSummary(total_requests=0).explain())
    no calls yet
    """

    __slots__ = ()

    def explain(self) -> str:
        """The state of each origin in a few lines, those that need attention first; at most ten of them in full.

        For each: its calls and how many succeeded, since the start and in the window; how many requests they cost, and
        why; how long they took; its circuit, what is left of its retry budget, and whether it asked for a pause; then what
        is wrong, and what to look at.
        """
        state = "the client is closed; " if self.get("is_closed") else ""
        services = sorted(self._services(), key=lambda each: (not each.problems, -each.calls, each.name))
        if not services:
            return f"{state}no calls yet"
        troubled = sum(bool(each.problems) for each in services)
        total = self.get("total_requests", 0)
        summary = calls_text(total, self.get("total_errors", 0)) if total else "no calls yet"
        window = self.get("window")
        if window is not None and window["total_requests"] < total:
            calls = window["total_requests"]
            found = calls_text(calls, window["total_errors"]) if calls else "none"
            summary += f"; in the last {window['seconds']:.0f} s {found}"
        of_all = f"{troubled} of {count_text(len(services), 'origin')}" if troubled else "no origin"
        lines = [f"{state}{summary}; {of_all} {'need' if troubled > 1 else 'needs'} attention"]
        chaos = self.get("chaos")
        if chaos is not None:
            done = (
                f"{count_text(chaos['injections'], 'fault')} in {count_text(chaos['calls'], 'call')} so far"
            )
            state = (
                "chaos is on" if chaos["is_on"] else f"chaos is configured, but off now: {chaos['reason']}"
            )
            lines.append(f"! {state}; it injects {chaos['what']}; {done}")
        connections = self.get("connections")
        if connections is not None and connections["awaited"]:
            lines.append(
                f"! {count_text(connections['awaited'], 'call')} wait for one of the {connections['limit']} connections of the "
                "client; see max_connections, and look for streams that are not closed"
            )
        for service in services[:_MOST_ORIGINS]:
            lines += service.lines()
        rest = services[_MOST_ORIGINS:]
        if rest:
            troubled = sum(bool(each.problems) for each in rest)
            needy = (
                f"; {troubled} of them {'need' if troubled > 1 else 'needs'} attention" if troubled else ""
            )
            lines.append(f"and {count_text(len(rest), 'more origin')}{needy}")
        return "\n".join(lines)

    def problems(self) -> dict[str, list[str]]:
        """For each origin that needs attention, what is wrong there, in the words of `explain()`."""
        # Of 20,000 origins, a few have problems; to look at each in full would take half a second.
        window = self.get("window")
        suspects = set(self.get("amplification", {}) if window is None else window["origins"])
        suspects.update(
            without_key(key) for key, state in self.get("origins", {}).items() if not is_calm(state)
        )
        return {each.name: each.problems for each in self._services(suspects) if each.problems}

    def unavailable(self) -> list[str]:
        """The origins to which nothing is sent now: each of their circuits refuses calls, and no trial is due.

        An origin whose circuit is open and whose trial is due is not among them: only a call can find out whether it has
        recovered. So a service that goes by this list gets the call that closes the circuit.
        """
        refuses: dict[str, bool] = {}
        for key, state in self.get("origins", {}).items():
            name = without_key(key)
            refuses[name] = refuses.get(name, True) and _refuses(state["circuit"])
        return [name for name, has_refused in refuses.items() if has_refused]

    def without_keys(self) -> HealthSummary:
        """The same without the keys of calls, which may name the users or tenants of a service.

        The states of an origin and its keys become one: that of the worst circuit, the least budget and the longest pause,
        with the sum of the connections. ``keys`` says how many keys there are, ``keys_in_trouble`` how many circuits among
        theirs are not closed.
        """
        summary = HealthSummary(self)
        states: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for key, state in self.get("origins", {}).items():
            states.setdefault(without_key(key), []).append((key, state))
        summary["origins"] = {name: _merged(name, found) for name, found in states.items()}
        circuits: dict[str, str] = {}
        for key, value in self.get("circuit_breaker_states", {}).items():
            name = without_key(key)
            circuits[name] = max(circuits.get(name, value), value, key=_SEVERITY.index)
        summary["circuit_breaker_states"] = circuits
        return summary

    def _services(self, names: Container[str] | None = None) -> list[ServiceText]:
        """The origins of these names; None for all."""
        load: Mapping[str, Mapping[str, float]] = self.get("amplification", {})
        errors: Mapping[str, Mapping[str, int]] = self.get("errors", {})
        window: Mapping[str, Any] | None = self.get("window")
        recent = {} if window is None else window["origins"]
        slow: dict[str, list[Mapping[str, Any]]] = {}
        for each in [] if window is None else window["slow"]:
            slow.setdefault(each["origin"], []).append(each)
        states: dict[str, dict[str, Mapping[str, Any]]] = {name: {} for name in (*load, *recent)}
        for key, state in self.get("origins", {}).items():
            states.setdefault(without_key(key), {})[key] = state
        if names is not None:
            states = {name: found for name, found in states.items() if name in names}
        return [
            ServiceText(
                name,
                load.get(name, {}),
                errors.get(name, {}),
                None
                if window is None
                else RecentText(window["seconds"], recent.get(name), slow.get(name, [])),
                states[name],
            )
            for name in states
        ]


def health_of(state: OriginState) -> dict[str, Any]:
    """What is known of an origin now, as plain values.

    circuit: None without one. Its ``retry_after`` is seconds until a trial, or None; see `CircuitBreaker.retry_after`.
    retries_left: None without a budget.   pause_left: seconds of the pause that the service asked for; 0.0 for none.
    proxy_attempts: the most that a proxy on the way has made of one attempt.
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
        "proxy_attempts": state.proxy_attempts,
    }


def _refuses(circuit: Mapping[str, Any] | None) -> bool:
    if circuit is None or circuit["is_metrics_only"]:
        return False
    return bool(circuit["state"] == "open" and circuit["retry_after"] != 0)  # one that is isolated is open


def _merged(name: str, found: list[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """One state of several.   found: the names of states, and these."""
    states = [state for _, state in found]
    circuits = [state["circuit"] for state in states if state["circuit"] is not None]
    circuit = None
    if circuits:
        worst = max(circuits, key=lambda each: (each["is_isolated"], _SEVERITY.index(each["state"])))
        refused = sum(each["refused"] for each in circuits)
        failures = max(each["failures_in_row"] for each in circuits)
        circuit = {**worst, "refused": refused, "failures_in_row": failures}
    merged = {
        "circuit": circuit,
        "retries_left": min(
            (state["retries_left"] for state in states if state["retries_left"] is not None), default=None
        ),
        "pause_left": max(state["pause_left"] for state in states),
        "connections_in_use": sum(state["connections_in_use"] for state in states),
        "connections_awaited": sum(state["connections_awaited"] for state in states),
        "proxy_attempts": max(state.get("proxy_attempts", 1) for state in states),
    }
    keys = [state for key, state in found if key != name]
    if keys:
        merged["keys"] = len(keys)
        merged["keys_in_trouble"] = sum(
            state["circuit"] is not None and state["circuit"]["state"] != "closed" for state in keys
        )
    return merged
