"""`simulate`: a configuration, a modelled service, and what comes of the two together."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from ..client.config.client_config import HttpClientConfig
from ..core.checks import check_count, check_duration, check_function, check_number
from ..drivers.loggers import muted
from ..errors import ConfigurationError
from ..http.preparation import parse_method
from .fleet import Environment, Fleet
from .report import Report, make_report
from .service import Service
from .tally import Tally

__all__ = ["NO_CLIENT", "simulate"]

NO_CLIENT = HttpClientConfig(
    enable_retry_policy=False,
    enable_circuit_breaker=False,
    enable_retry_budget=False,
    enable_throttle_gate=False,
)
"""No retries and no circuit breaker: what a plain HTTP library does. To compare with."""

Configuration = HttpClientConfig | Callable[[Environment], Callable[[], Coroutine[Any, Any, object]]]
"""That of each client, or a function that makes a guarded function; see `simulate`."""

_PLAIN = {
    "circuit_breaker": (bool, type(None)),
    "hedging": (bool, type(None)),
    "progress": (bool, type(None)),
    "auth": (str, tuple, bool, type(None)),
}

_MOMENTS = 240  # at most, in a report
_LEAST_SPAN = 0.25  # seconds


def simulate(
    config: Configuration | None,
    service: Service,
    *,
    clients: int = 1,
    rate: float = 1.0,
    seconds: float = 600.0,
    seed: int = 0,
    method: str = "GET",
    options: Mapping[str, Any] | None = None,
    alternates: Sequence[Service] = (),
) -> Report:
    """Simulate clients that call a service, in virtual time. The same seed gives the same report.

    config: of each client; None for the defaults. Or a function that takes an `Environment` and returns an async
        function: that function, with the policies around it, is called in place of a client.
    service: the model of the service.   clients: how many there are, each with circuits and budgets of its own.
    rate: calls a second of each client, at random instants (a Poisson process); 0 or more.
    seconds: for which calls are made; those under way at the end are finished.
    alternates: the models of the services at the alternate base URLs of each client, in the order of preference.
    method, options: of the calls, as for `HttpServiceClient.request`.

    Left out of the configuration: interceptors, signers, logins, cookies and the egress policy. Nothing is logged.

    Raises ConfigurationError for a wrong argument; what a call raises for wrong options.

    >>> from http_service_client.simulation import Errors, Service, simulate
    >>> report = simulate(None, Service(faults=[Errors(rate=0.01)]), rate=10, seconds=60)
    >>> report.success_share > 0.99
    True
    """
    if not isinstance(service, Service):
        raise ConfigurationError(
            f"service must be a Service, not {service!r}; write for example Service(latency=0.05)"
        )
    if not isinstance(alternates, Sequence) or not all(isinstance(each, Service) for each in alternates):
        raise ConfigurationError(f"alternates must be a list of services, not {alternates!r}")
    check_count("clients", clients)
    check_number("rate", rate, unit="of calls a second ")
    check_duration("seconds", seconds, optional=False)
    if options is None:
        options = {}
    if not isinstance(options, Mapping):
        raise ConfigurationError(f"options must be a mapping of the keywords of a call, not {options!r}")
    if not isinstance(config, (HttpClientConfig, type(None))):
        if not callable(config):
            from ..client.config.remedies import config_remedy

            raise ConfigurationError(
                "config must be an HttpClientConfig, None, or a function that makes a guarded function, "
                f"not {config!r}{config_remedy(config)}"
            )
        check_function("config", config)
        if alternates:
            raise ConfigurationError("alternates are the base URLs of a client; a guarded function has none")
        if options:
            raise ConfigurationError("options are for a client's calls; pass them on in the guarded function")
    for name, kinds in _PLAIN.items():  # a policy's circuit runs by the system's clock, a flow makes calls
        if not isinstance(options.get(name), kinds):
            raise ConfigurationError(f"a simulation takes no {name} in options; set it in the configuration")
    method = parse_method(method)
    if type(seed) is not int:
        raise ConfigurationError(f"seed must be a whole number, not {seed!r}")
    if config is None:
        config = HttpClientConfig()
    run = partial(_run, config, service, tuple(alternates), clients, rate, seconds, seed, method, options)
    return Context().run(run)  # a deadline around this call is an instant of another clock


def _run(
    config: Configuration,
    service: Service,
    alternates: Sequence[Service],
    clients: int,
    rate: float,
    seconds: float,
    seed: int,
    method: str,
    options: Mapping[str, Any],
) -> Report:
    span = max(_LEAST_SPAN, seconds / _MOMENTS)
    tally = Tally(span, trigger=service.trigger, relief=service.relief)
    fleet = Fleet(
        service,
        tally,
        clients=clients,
        rate=clients * rate,
        seconds=seconds,
        seed=seed,
        method=method,
        alternates=alternates,
    )
    # No call leaves a cycle of references, and the collector would search for some during a fifth of the time.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with muted():  # a circuit that opens here is no reason for an alarm
            if isinstance(config, HttpClientConfig):
                fleet.of_clients(config, options)
            else:
                fleet.of_functions(config)
            ended_at = fleet.run()
    finally:
        if was_enabled:
            gc.enable()
    return make_report(tally, service, seconds, ended_at)
