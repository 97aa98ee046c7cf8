"""Settings for the calls of a route, such as ``POST /charges``: the client's setting `routes`.

A call has them beneath its own keywords, and beneath those of a view: call, view, route, client. Which of several routes
a call matches is decided in `http.routes`. A route with settings of a circuit has a circuit of its own, for all origins.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..core.checks import (
    check_call_name,
    check_duration,
    check_flag,
    keyword_remedy,
    remedies,
    suggests_keywords,
)
from ..core.machines.circuit_breaker.states import CircuitBreakerSettings
from ..core.machines.fallback import FallbackSettings
from ..core.machines.hedging import HedgingSettings
from ..core.origins import parse_key
from ..core.timeouts import Timeout
from ..errors import ConfigurationError
from ..http.routes import Route, RouteTable, parse_route, path_below
from ..http.urls import normalise_url
from ..policies.circuit_breaker import CircuitBreakerPolicy
from ..policies.fallback import FallbackPolicy
from ..policies.hedging import HedgingPolicy
from ..policies.retry import RetryPolicy
from .config.defaults import CLIENT_DEFAULT
from .config.resolved import (
    ReadOnlyMapping,
    parse_circuit_breaker,
    parse_fallback,
    parse_hedging,
    parse_retry_policy,
)
from .results import check_type

if TYPE_CHECKING:
    from ..drivers.clocks import Clock
    from ..http.messages import HttpRequest

Routes = tuple[RouteTable, tuple["RouteOptions", ...]]

__all__ = ["LiveRoutes", "RouteOptions", "parse_route_options", "parse_routes"]

_OF_RETRIES = dict.fromkeys(
    ("max_attempts", "max_retries", "retries", "retry_policy_config"), "it is part of retry_policy"
)
_OF_CIRCUITS = dict.fromkeys(
    ("failure_threshold", "recovery_timeout", "circuit_breaker_config"), "it is part of circuit_breaker"
)
_OF_REQUESTS = (
    "params",
    "path_params",
    "headers",
    "json",
    "data",
    "files",
    "cookies",
    "auth",
    "progress",
    "response_type",
)


@suggests_keywords(
    {
        **_OF_RETRIES,
        **_OF_CIRCUITS,
        **dict.fromkeys(_OF_REQUESTS, "it is of a single request: pass it with each call"),
        **remedies(
            {
                "set it in HttpClientConfig; with state_key=by_route each route has one of its own": (
                    "rate_limit bulkhead adaptive_limit load_shedding deadline_check"
                ),
                "set it in HttpClientConfig; a ChaosPolicy has routes of its own": "chaos",
                "it is called timeout": "base_timeout",
                "pass it with each call": "allow_redirects",
            }
        ),
    }
)
@dataclass(frozen=True, slots=True, kw_only=True)
class RouteOptions:
    """What is set for a route: keywords of a call. Each one left out falls back to the client's setting.

    retry_policy, circuit_breaker, fallback, hedging: also a mapping of arguments, as in the client's configuration. Of
        policies with a state the settings are taken: the circuit of a route is the client's.

    Raises ConfigurationError for a wrong value.
    """

    timeout: float | Timeout | None = CLIENT_DEFAULT
    total_timeout: float | None = CLIENT_DEFAULT
    retry_policy: RetryPolicy | Mapping[str, Any] | bool | None = CLIENT_DEFAULT
    circuit_breaker: CircuitBreakerPolicy | CircuitBreakerSettings | Mapping[str, Any] | bool | None = (
        CLIENT_DEFAULT
    )
    retry_budget: bool | None = CLIENT_DEFAULT
    fallback: FallbackPolicy | FallbackSettings | Mapping[str, Any] | bool | None = CLIENT_DEFAULT
    hedging: HedgingPolicy | HedgingSettings | Mapping[str, Any] | bool | None = CLIENT_DEFAULT
    idempotent: bool | None = None
    key: str | None = None
    name: str | None = None
    decompress: bool = CLIENT_DEFAULT
    error_type: Any = None

    def __post_init__(self) -> None:
        if self.timeout is not CLIENT_DEFAULT and not isinstance(self.timeout, Timeout):
            check_duration("timeout", self.timeout)
        if self.total_timeout is not CLIENT_DEFAULT:
            check_duration("total_timeout", self.total_timeout)
        for name in ("retry_budget", "idempotent"):
            value = getattr(self, name)
            if value is not None and value is not CLIENT_DEFAULT:
                check_flag(name, value)
        if self.decompress is not CLIENT_DEFAULT:
            check_flag("decompress", self.decompress)
        if self.key is not None:
            parse_key(self.key)
        if self.name is not None:
            check_call_name(self.name)
        if self.error_type is not None:
            check_type(self.error_type)
        self._parse("retry_policy", parse_retry_policy)
        self._parse("circuit_breaker", parse_circuit_breaker)
        self._parse("fallback", parse_fallback)
        self._parse("hedging", parse_hedging)

    def _parse(self, name: str, parse: Callable[[Any], object]) -> None:
        """Make what a mapping or a policy stands for. A switch remains one."""
        given = getattr(self, name)
        if given is CLIENT_DEFAULT or given is None or isinstance(given, bool):
            return
        try:
            object.__setattr__(self, name, parse(given))
        except ConfigurationError as error:
            raise ConfigurationError(str(error).replace(f"{name}_config", name)) from None

    def given(self) -> dict[str, Any]:
        """What was set."""
        values = {item.name: (getattr(self, item.name), item.default) for item in fields(self)}
        return {name: value for name, (value, default) in values.items() if value is not default}


def parse_route_options(given: Mapping[str, Any]) -> RouteOptions:
    """The options of a mapping. Raises ConfigurationError."""
    known = [item.name for item in fields(RouteOptions)]
    for name in given:
        if name not in known:
            remedy = keyword_remedy(name, known, RouteOptions) or f"known keys: {', '.join(known)}"
            raise ConfigurationError(f"unknown key {name!r}; {remedy}")
    options = RouteOptions(**given)
    if not options.given():
        raise ConfigurationError("it sets nothing; set one of: " + ", ".join(known))
    return options


def parse_routes(given: object) -> tuple[ReadOnlyMapping, Routes | None]:
    """The routes as a configuration shows them, and parsed; None for none. Raises ConfigurationError."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            "routes must be a mapping of routes to their settings, such as {'POST /charges': {'timeout': 5}}, "
            f"not {given!r}"
        )
    routes: list[Route] = []
    options: list[RouteOptions] = []
    for text, settings in given.items():
        routes.append(parse_route("routes", text))
        if not isinstance(settings, (Mapping, RouteOptions)):
            raise ConfigurationError(f"routes[{text!r}] must be a mapping of settings, not {settings!r}")
        try:
            options.append(settings if isinstance(settings, RouteOptions) else parse_route_options(settings))
        except ConfigurationError as error:
            raise ConfigurationError(f"routes[{text!r}]: {error}") from None
        _check_fallback(text, routes[-1].method, options[-1].fallback)
    shown = {str(route): ReadOnlyMapping(each.given()) for route, each in zip(routes, options, strict=True)}
    table = RouteTable("routes", routes)
    return ReadOnlyMapping(shown), (table, tuple(options)) if routes else None


def _check_fallback(text: str, method: str | None, fallback: object) -> None:
    """Raise ConfigurationError for a fallback that could never stand in for a response of its route."""
    if method is None or not isinstance(fallback, FallbackSettings) or fallback.may_answer(method):
        return
    raise ConfigurationError(
        f"routes[{text!r}]: fallback would hide that a {method} failed, and may have been processed; "
        "if that is meant, set unsafe_methods to true in it"
    )


class LiveRoutes:
    """The routes of a client, with their circuits, and their hedges."""

    def __init__(self, routes: Routes, clock: Clock) -> None:
        self._table, options = routes
        self._circuits: dict[str, CircuitBreakerPolicy] = {}
        self._hedges: dict[str, HedgingPolicy] = {}
        self._options = [
            self._live(str(route), each, clock)
            for route, each in zip(self._table.routes, options, strict=True)
        ]

    def of(self, request: HttpRequest, base_url: str | None) -> Any:
        """The live `RouteOptions` of the route that a request matches; None for none. The request gets the route's template."""
        base = None if base_url is None else normalise_url(base_url)
        path = path_below(request.url, base)
        index = None if path is None else self._table.find(request.method, path)
        if index is None:
            return None
        if request.url_template is None:
            request.url_template = self._table.routes[index].template
        return self._options[index]

    def succeed(self, before: LiveRoutes) -> None:
        """Go on with the circuits of the routes that were there before, and with what is known of their latencies.

        Under the new settings.
        """
        for name, circuit in before._circuits.items():
            if name in self._circuits:
                circuit.reconfigure(**_arguments(self._circuits[name].settings))
                self._circuits[name] = circuit
        for name, hedges in before._hedges.items():
            if name in self._hedges:
                hedges.reconfigure(**_arguments(self._hedges[name].settings))
                self._hedges[name] = hedges
        for route, options in zip(self._table.routes, self._options, strict=True):
            if str(route) in self._circuits:
                object.__setattr__(options, "circuit_breaker", self._circuits[str(route)])
            if str(route) in self._hedges:
                object.__setattr__(options, "hedging", self._hedges[str(route)])

    def _live(self, name: str, options: RouteOptions, clock: Clock) -> RouteOptions:
        """The options with a circuit and hedging of this client's own, where there are settings of them."""
        circuit, hedging = options.circuit_breaker, options.hedging
        live = copy.copy(options)  # with what a call would pass
        if isinstance(circuit, CircuitBreakerSettings):
            self._circuits[name] = CircuitBreakerPolicy(
                **_arguments(circuit), name=name, clock=clock.monotonic
            )
            object.__setattr__(live, "circuit_breaker", self._circuits[name])
        if isinstance(hedging, HedgingSettings):
            self._hedges[name] = HedgingPolicy(**_arguments(hedging), clock=clock)
            object.__setattr__(live, "hedging", self._hedges[name])
        return live


def _arguments(settings: CircuitBreakerSettings | HedgingSettings) -> dict[str, Any]:
    return {item.name: getattr(settings, item.name) for item in fields(settings)}
