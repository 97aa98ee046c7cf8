"""The policies of one call: those that its keywords set, or the client's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import policies
from ..core import machines
from ..core.checks import class_remedy, shown
from ..drivers.imports import import_apart
from ..errors import ConfigurationError
from .config.defaults import CLIENT_DEFAULT
from .config.resolved import of_requests
from .wiring import load_hedging

__all__ = ["chosen", "chosen_fallback", "chosen_hedging", "is_switch", "uses_budget"]


def uses_budget(given: object) -> bool:
    """Whether a call's retries are paid for by the budget. Raises ConfigurationError for anything but a switch."""
    if given is None or isinstance(given, bool):
        return given is True
    raise ConfigurationError(
        f"retry_budget must be True, False or None, not {given!r}: calls share the budget of their origin; "
        "set retry_budget_config in HttpClientConfig"
    )


def is_switch(given: object) -> bool:
    """Whether this is no policy of the call's own: then no module of a policy is needed."""
    return given is None or isinstance(given, bool)


def chosen(name: str, given: Any, default: Any, kind: str) -> Any:
    """A call's policy: the given one; the client's for CLIENT_DEFAULT and True; None for False and None.

    kind: its class, a name of `policies`.
    """
    if given is CLIENT_DEFAULT or given is True:
        return default
    if given is None or given is False:
        return None
    if not isinstance(given, getattr(policies, kind)):
        remedy = class_remedy(given)
        if isinstance(given, Mapping):
            remedy = f"; write {kind}(**settings)"
        elif kind == "RetryPolicy" and type(given) is int and given > 0:
            remedy = f"; write RetryPolicy(max_attempts={given})"
        elif kind == "RetryPolicy" and type(retries := getattr(given, "total", None)) is int:
            remedy = f"; write RetryPolicy(max_attempts={retries + 1})"  # it was a Retry of urllib3
        raise ConfigurationError(f"{name} must be a {kind}, True, False or None, not {shown(given)}{remedy}")
    return given


def chosen_fallback(
    given: Any, default: machines.FallbackSettings | None
) -> machines.FallbackSettings | None:
    """A call's fallback: that of the given policy; the client's for True; None for False and None."""
    if is_switch(given):
        return default if given is True else None
    if isinstance(given, machines.FallbackSettings):  # of a route
        return given
    policy: policies.FallbackPolicy = chosen("fallback", given, default, "FallbackPolicy")
    return of_requests(policy.settings)


def chosen_hedging(given: Any) -> machines.Hedging | bool:
    """What decides about a call's hedges: that of the given policy; True for the origin's own, False for none."""
    if is_switch(given):
        return given is True
    import_apart(load_hedging)
    policy: policies.HedgingPolicy = chosen("hedging", given, True, "HedgingPolicy")
    return policy.hedging
