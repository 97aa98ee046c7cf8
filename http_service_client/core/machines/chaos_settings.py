"""What may be set of a chaos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ... import errors as _errors
from ...errors import ConfigurationError, TransportError
from ...http.egress import host_matcher
from ...http.header_validation import validate_headers
from ...http.headers import Headers, build_headers
from ...http.routes import parse_route
from ..checks import check_count, check_flag, check_number, did_you_mean, suggests_keywords

__all__ = ["CHAOS_RENAMED", "ChaosSettings", "Status", "is_killed"]

CHAOS_RENAMED = {
    "rate": "each fault has a rate of its own: latency_rate, error_rate, status_rate, truncation_rate",
    "injection_rate": "each fault has a rate of its own: latency_rate, error_rate, status_rate, truncation_rate",
    "failure_rate": "each fault has a rate of its own: latency_rate, error_rate, status_rate, truncation_rate",
    "probability": "each fault has a rate of its own: latency_rate, error_rate, status_rate, truncation_rate",
    "delay": "it is called latency",
    "error": "it is called errors, and takes a list",
    "status": "it is called statuses, and takes a list",
    "hosts": "it is called origins",
    "duration": "it is called ends_after",
}

_ON = frozenset({"", "on", "1", "true", "yes"})

Status = tuple[int, tuple[tuple[str, str], ...]]


def is_killed(value: str | None) -> bool:
    """Whether the environment variable HTTP_SERVICE_CLIENT_CHAOS switches all chaos off.

    Whatever is not clearly "on" does: the person who sets it in an emergency must not have to know the right word.
    """
    return value is not None and value.strip().lower() not in _ON


@suggests_keywords(CHAOS_RENAMED)
@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosSettings:
    """What is injected, how often and where. See `ChaosPolicy`, which takes the same arguments.

    Raises ConfigurationError for a wrong value, and for a chaos that would inject nothing.
    """

    latency: float | tuple[float, float] | None = None
    latency_rate: float = 0.0
    errors: Sequence[type[BaseException] | str] = ()
    error_rate: float = 0.0
    statuses: Sequence[int | tuple[int, Mapping[str, str]] | Mapping[str, Any]] = ()
    status_rate: float = 0.0
    truncation_rate: float = 0.0
    origins: Sequence[str] | None = None
    routes: Sequence[str] | None = None
    begins_after: float = 0.0
    ends_after: float | None = None
    max_calls: int | None = None
    seed: int | None = None
    enabled: bool = True

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("latency_rate", "error_rate", "status_rate", "truncation_rate"):
            check_number(name, getattr(self, name), most=1)
        put(self, "latency", _parse_latency(self.latency))
        put(self, "errors", tuple(_parse_error(each) for each in _items("errors", self.errors)))
        put(self, "statuses", tuple(_parse_status(each) for each in _items("statuses", self.statuses)))
        for name, rate in (
            ("latency", "latency_rate"),
            ("errors", "error_rate"),
            ("statuses", "status_rate"),
        ):
            if getattr(self, name) and not getattr(self, rate):
                raise ConfigurationError(
                    f"{rate} is 0, so that {name} would never be injected; set it, such as {rate}=0.01"
                )
            if getattr(self, rate) and not getattr(self, name):
                raise ConfigurationError(f"{name} must be set, since {rate} is {getattr(self, rate):g}")
        if not (self.latency_rate or self.error_rate or self.status_rate or self.truncation_rate):
            raise ConfigurationError(
                "latency_rate, error_rate, status_rate and truncation_rate are 0: this chaos would inject nothing; "
                "set one of them, or leave out the chaos"
            )
        if (total := self.error_rate + self.status_rate + self.truncation_rate) > 1 + 1e-9:
            raise ConfigurationError(
                f"error_rate, status_rate and truncation_rate add up to {total:g}; an exchange meets one of these faults, "
                "so they must not exceed 1 together"
            )
        if self.origins is not None:
            put(self, "origins", tuple(_items("origins", self.origins)))
            host_matcher("origins", self.origins)
        if self.routes is not None:
            put(
                self,
                "routes",
                tuple(str(parse_route("routes", each)) for each in _items("routes", self.routes)),
            )
        for name in ("origins", "routes"):
            if getattr(self, name) == ():
                raise ConfigurationError(
                    f"{name} must not be empty, or nothing is injected; use None for all"
                )
        check_number("begins_after", self.begins_after, unit="of seconds ")
        if self.ends_after is not None:
            check_number("ends_after", self.ends_after, unit="of seconds ")
            if self.ends_after <= self.begins_after:
                raise ConfigurationError(
                    f"ends_after must be above begins_after={self.begins_after:g}, not {self.ends_after!r}; None for no end"
                )
        if self.max_calls is not None:
            check_count("max_calls", self.max_calls)
        if self.seed is not None and type(self.seed) is not int:
            raise ConfigurationError(f"seed must be a whole number or None, not {self.seed!r}")
        check_flag("enabled", self.enabled)

    def words(self) -> str:
        """What is injected and where, for a log."""
        parts = []
        if self.latency_rate:
            least, most = self.latency  # type: ignore[misc]  # parsed
            span = f"{most:g} s" if least == most else f"{least:g} to {most:g} s"
            parts.append(f"a delay of {span} at a rate of {self.latency_rate:g}")
        if self.error_rate:
            names = ", ".join(each.__name__ for each in self.errors)  # type: ignore[union-attr]  # parsed
            parts.append(f"{names} at a rate of {self.error_rate:g}")
        if self.status_rate:
            codes = ", ".join(str(status) for status, _ in self.statuses)  # type: ignore[misc]  # parsed
            parts.append(f"status {codes} at a rate of {self.status_rate:g}")
        if self.truncation_rate:
            parts.append(f"responses cut short at a rate of {self.truncation_rate:g}")
        where = [", ".join(each) for each in (self.origins, self.routes) if each is not None]
        if where:
            parts.append(f"for {' at '.join(where)}")
        if self.max_calls is not None:
            parts.append(f"in {self.max_calls} call{'s' * (self.max_calls > 1)} at most")
        return "; ".join(parts)


def _items(field: str, given: object) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ConfigurationError(f"{field} must be a list, not {given!r}")
    return tuple(given)


def _parse_latency(given: object) -> tuple[float, float] | None:
    if given is None:
        return None
    pair: Any = given if isinstance(given, (tuple, list)) else (given, given)
    if len(pair) != 2:
        raise ConfigurationError(
            f"latency must be seconds, or a pair of the least and the most seconds, not {given!r}"
        )
    for each in pair:
        check_number("latency", each, unit="of seconds ")
    least, most = pair
    if most == 0 or least > most:
        raise ConfigurationError(
            f"latency must be above 0 seconds, and as a pair the least first, not {given!r}; use None for no delay"
        )
    return float(least), float(most)


def _parse_error(given: object) -> type[BaseException]:
    if isinstance(given, str):
        found = getattr(_errors, given, None)
        if not (isinstance(found, type) and issubclass(found, TransportError)):
            names = [name for name in _errors.__all__ if name.endswith("Error")]
            raise ConfigurationError(
                f"errors has {given!r}, which is no transport error; {did_you_mean(given, names) or 'write ConnectError'}"
            )
        return found
    if not (isinstance(given, type) and issubclass(given, Exception)):
        raise ConfigurationError(f"errors must have exception classes such as ConnectError, not {given!r}")
    return given


def _parse_status(given: Any) -> Status:
    status, headers = given, {}
    if isinstance(given, Mapping):
        if not given.keys() <= {"status", "headers"}:
            raise ConfigurationError(f"statuses has {dict(given)!r}; its keys are status and headers")
        status, headers = given.get("status"), given.get("headers", {})
    elif isinstance(given, (tuple, list)):
        if len(given) != 2:
            raise ConfigurationError(
                f"statuses must have a status, or a pair of status and headers, not {given!r}"
            )
        status, headers = given
    if type(status) is not int or not 400 <= status <= 599:
        raise ConfigurationError(f"statuses must be from 400 to 599, not {status!r}")
    try:
        built: Headers = build_headers(headers)
        validate_headers(built)
    except _errors.InvalidRequestError as error:
        raise ConfigurationError(f"statuses has {given!r}: {error}") from None
    return status, tuple(built.multi_items())
