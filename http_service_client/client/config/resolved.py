"""What a client uses, resolved from what its user set.

Each function here turns the value of one field into what the client works with, and raises
ConfigurationError for a value that cannot be: named by the field, with what to write instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ... import http, policies
from ..._version import __version__
from ...core import machines
from ...core.checks import class_remedy, did_you_mean, keyword_remedy, shown
from ...core.machines.circuit_breaker.states import CircuitBreakerSettings
from ...core.machines.retry.quota import BudgetSettings, RetryQuotaSettings
from ...core.machines.retry.settings import RetrySettings
from ...core.timeouts import Timeout
from ...errors import ConfigurationError, Failure, InvalidRequestError
from ...http.auth.credentials import HIDDEN
from ...http.content_codings.decoder import accept_encoding
from ...http.header_validation import check_framing, validate_headers
from ...http.headers import Headers, build_headers
from ...http.http1.rules import RULES, TOLERABLE
from ...http.proxies.settings import ProxySettings, unreadable_exceptions
from ...http.proxies.urls import read_proxy, redact_proxy
from ...http.secret_names import CREDENTIAL_HEADERS, SecretNames
from ...http.urls import check_base_url, normalise_url, split_url
from ...policies.listeners import judging
from .pool import ConnectionPoolConfig

if TYPE_CHECKING:
    from ...http.bodies.json_codecs import JsonCodec
    from ...http.routes import RouteTable
    from ..state_keys import StateKey

__all__ = [
    "ReadOnlyMapping",
    "ResolvedConfig",
    "check_alternates",
    "frozen",
    "known_arguments",
    "of_requests",
    "parse_adaptive_limit",
    "parse_alternate_urls",
    "parse_base_url",
    "parse_bulkhead",
    "parse_chaos",
    "parse_circuit_breaker",
    "parse_client_auth",
    "parse_deadline_check",
    "parse_default_headers",
    "parse_fallback",
    "parse_hedging",
    "parse_load_shedding",
    "parse_propagation",
    "parse_proxies",
    "parse_rate_limit",
    "parse_retry_budget",
    "parse_retry_policy",
    "parse_secret_names",
    "parse_tolerated_faults",
    "redacted_auth",
    "redacted_proxy",
    "standard_headers",
]


class ReadOnlyMapping(dict[Any, Any]):
    """A mapping in a configuration. It does not change, so that a configuration is a value."""

    def __hash__(self) -> int:  # type: ignore[override]  # it does not change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadOnlyMapping, (dict(self),)

    def _refuse(self, *args: object, **named: object) -> Any:
        raise TypeError(
            "a configuration does not change; write dataclasses.replace(config, …) for another one"
        )

    if not TYPE_CHECKING:  # for type checkers, whatever a dict has
        __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


def frozen(value: Any) -> Any:
    """The value of a field: a mapping or a list that its caller may change later is copied to one that cannot."""
    if isinstance(value, Mapping):
        return ReadOnlyMapping(value)
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ResolvedConfig:
    """What a client uses. Made once by `HttpClientConfig`, which holds what its user set.

    pool: the connection settings, whether set in `connection_pool` or at the top level.
    circuit_breaker, retry, retry_budget: None where switched off.
    headers: sent with each request that does not set them itself.   secret_names: of headers.
    proxies: None to take those of the environment, where it is trusted.
    auth: the Authorization header of each call, or the flow that sets it; None for neither.
    tolerated_faults: names of rules of HTTP that responses may break.
    propagation: the headers that say what is left of a call's time; None for none.
    json_codec: None for the standard library.
    routes: the table of routes, and the `RouteOptions` of each; None for none.
    chaos: injects faults; None for none.
    state_key: chooses the state of a call that sets no key; None for that of its origin.
    adaptive_limit: how the number of attempts in progress at an origin is found; None for no such limit.
    load_shedding: how much is not sent to an origin that rejects too much; None to send it all.
    fallback: what stands in for the response of a call that failed; None for nothing.
    alternate_urls: further base URLs, normalised; () for none.
    bulkhead: how many calls of an origin may be in progress, and wait; None for any number.
    deadline_check: when attempts are not begun that could hardly end in time; None to begin them all.
    hedging: when a request is sent a second time; None for never.
    """

    pool: ConnectionPoolConfig
    circuit_breaker: CircuitBreakerSettings | None
    retry: RetrySettings | None
    retry_budget: BudgetSettings | None
    headers: Headers
    secret_names: SecretNames
    proxies: ProxySettings | None
    auth: str | http.AuthFlow | None
    tolerated_faults: frozenset[str]
    propagation: http.Propagation | None
    json_codec: JsonCodec | None
    alternate_urls: tuple[str, ...]
    deadline_check: machines.DeadlineCheckSettings | None
    load_shedding: machines.LoadSheddingSettings | None
    adaptive_limit: machines.AdaptiveLimitSettings | None
    state_key: StateKey | None
    chaos: policies.ChaosPolicy | None
    routes: tuple[RouteTable, tuple[Any, ...]] | None
    fallback: machines.FallbackSettings | None
    rate_limit: machines.RateLimitSettings | None
    hedging: machines.HedgingSettings | None
    bulkhead: machines.BulkheadSettings | None

    @property
    def timeout(self) -> Timeout:
        """The bounds of one attempt, for a call that sets none."""
        total = self.pool.request_timeout
        limit = None if self.circuit_breaker is None else self.circuit_breaker.timeout
        if limit is not None:
            total = limit if total is None else min(total, limit)
        return Timeout(total=total, connect=self.pool.connection_timeout, pool=self.pool.pool_timeout)


def parse_circuit_breaker(given: object) -> CircuitBreakerSettings:
    """The settings of a policy, without its circuit, or those made of a mapping; the default ones for None."""
    if given is None:
        return CircuitBreakerSettings()
    if isinstance(given, CircuitBreakerSettings):
        return replace(given, is_failure=judging(given.is_failure))
    if isinstance(given, policies.CircuitBreakerPolicy):
        return given.settings
    with _part_of("circuit_breaker_config"):
        arguments = _arguments("circuit_breaker_config", given, policies.CircuitBreakerPolicy)
        if isinstance(arguments.get("shadow"), Mapping):  # all that a file can say
            arguments["shadow"] = parse_circuit_breaker(arguments["shadow"])
        return policies.CircuitBreakerPolicy(**arguments).settings


def parse_retry_policy(given: object) -> RetrySettings:
    """A policy, or one made of a mapping of its arguments and its backoff's; the default settings for None."""
    if given is None:
        return RetrySettings()
    if isinstance(given, policies.RetryPolicy):
        return given
    arguments = _arguments("retry_policy_config", given, policies.RetryPolicy, policies.ExponentialBackoff)
    names = [item.name for item in fields(policies.ExponentialBackoff) if item.name in arguments]
    if names and "backoff_strategy" in arguments:
        raise ConfigurationError(
            f"retry_policy_config sets backoff_strategy and {', '.join(names)}; set the latter in the strategy"
        )
    backoff = {name: arguments.pop(name) for name in names}
    with _part_of("retry_policy_config"):
        arguments.setdefault("backoff_strategy", policies.ExponentialBackoff(**backoff))
        return policies.RetryPolicy(**arguments)


def parse_retry_budget(given: object) -> BudgetSettings:
    """Settings, or those made of a mapping of the fields of one kind; the default ones for None."""
    if given is None:
        return RetryQuotaSettings()
    if isinstance(given, (RetryQuotaSettings, machines.RetryBudgetSettings)):
        return given
    arguments = _arguments("retry_budget_config", given, RetryQuotaSettings, machines.RetryBudgetSettings)
    share, tokens = (
        {item.name for item in fields(kind)} & arguments.keys()
        for kind in (machines.RetryBudgetSettings, RetryQuotaSettings)
    )
    if share and tokens:
        raise ConfigurationError(
            f"retry_budget_config mixes {min(share)!r}, of RetryBudgetSettings, with {min(tokens)!r}, of RetryQuotaSettings; "
            "choose one of them"
        )
    with _part_of("retry_budget_config"):
        return machines.RetryBudgetSettings(**arguments) if share else RetryQuotaSettings(**arguments)


def parse_fallback(given: object) -> machines.FallbackSettings | None:
    """The settings of a policy, or those made of a mapping; None for None."""
    if given is None:
        return None
    if isinstance(given, machines.FallbackSettings):
        settings = replace(given, is_failure=judging(given.is_failure))
    elif isinstance(given, policies.FallbackPolicy):
        settings = given.settings
    else:
        with _part_of("fallback"):
            settings = policies.FallbackPolicy(
                **_arguments("fallback", given, policies.FallbackPolicy)
            ).settings
    return of_requests(settings)


def of_requests(settings: machines.FallbackSettings) -> machines.FallbackSettings:
    """The settings of a fallback for calls. Raises ConfigurationError for those that are of functions alone."""
    if settings.key is not None:
        raise ConfigurationError(
            "fallback: key is for functions; a client keeps the last good response by URL, headers and user of the request, "
            "and by key= of a call or state_key= of the client"
        )
    return settings


def parse_rate_limit(given: object) -> machines.RateLimitSettings | None:
    """Settings, those of a policy, or those made of a mapping of its arguments; None for none."""
    if given is None:
        return None
    if isinstance(given, (policies.RateLimitPolicy, machines.RateLimitSettings)):
        settings = given.settings if isinstance(given, policies.RateLimitPolicy) else given
    elif isinstance(given, Mapping):
        with _part_of("rate_limit"):
            settings = policies.RateLimitPolicy(
                **_arguments("rate_limit", given, policies.RateLimitPolicy)
            ).settings
    else:
        raise ConfigurationError(
            "rate_limit must be a RateLimitPolicy, such as RateLimitPolicy(rate=10), a mapping of its arguments or None, "
            f"not {shown(given)}{class_remedy(given)}"
        )
    if settings.key is not None:
        raise ConfigurationError(
            "rate_limit: key is for functions; a client has a limit for each origin, and for each key= of a call or "
            "state_key= of the client"
        )
    return settings


def parse_hedging(given: object) -> machines.HedgingSettings | None:
    """The settings of a policy, or those made of a mapping; None for None."""
    if given is None or isinstance(given, machines.HedgingSettings):
        return given
    if isinstance(given, policies.HedgingPolicy):
        return given.settings
    with _part_of("hedging"):
        return machines.HedgingSettings(**_arguments("hedging", given, machines.HedgingSettings))


def parse_bulkhead(given: object) -> machines.BulkheadSettings | None:
    """The settings of a policy, without its permits, or those made of a mapping; None for None."""
    if given is None:
        return None
    if isinstance(given, policies.BulkheadPolicy):
        return given.settings
    if isinstance(given, machines.BulkheadSettings):
        return given
    if type(given) is int:
        raise ConfigurationError(
            f"bulkhead must be a BulkheadPolicy, a mapping of its arguments or None, not {given!r}; "
            f"write BulkheadPolicy(max_concurrent={given!r})"
        )
    arguments = _arguments("bulkhead", given, policies.BulkheadPolicy)
    if "max_concurrent" not in arguments:
        raise ConfigurationError(
            "bulkhead must have max_concurrent: how many calls may be in progress together"
        )
    with _part_of("bulkhead"):
        return policies.BulkheadPolicy(**arguments).settings


def parse_chaos(given: object) -> policies.ChaosPolicy | None:
    """A live policy, or one made of its settings, or of a mapping of its arguments; None for none."""
    if given is None:
        return None
    from ...transports.injected import check_injectable

    if isinstance(given, machines.ChaosSettings):
        given = {item.name: getattr(given, item.name) for item in fields(given)}
    arguments = (
        {} if isinstance(given, policies.ChaosPolicy) else _arguments("chaos", given, policies.ChaosPolicy)
    )
    with _part_of("chaos"):
        policy = given if isinstance(given, policies.ChaosPolicy) else policies.ChaosPolicy(**arguments)
        check_injectable(policy.settings.errors)
        return policy


def parse_adaptive_limit(given: object) -> machines.AdaptiveLimitSettings | None:
    """Settings, those of a policy, or those made of a mapping of its arguments; None for none."""
    if given is None or isinstance(given, machines.AdaptiveLimitSettings):
        return given
    if isinstance(given, policies.AdaptiveLimitPolicy):
        return given.settings
    with _part_of("adaptive_limit"):
        return policies.AdaptiveLimitPolicy(
            **_arguments("adaptive_limit", given, policies.AdaptiveLimitPolicy)
        ).settings


def parse_load_shedding(given: object) -> machines.LoadSheddingSettings | None:
    """Settings, those of a policy, or those made of a mapping of its arguments; None for none."""
    if given is None or isinstance(given, machines.LoadSheddingSettings):
        return given
    if isinstance(given, policies.LoadSheddingPolicy):
        return given.settings
    with _part_of("load_shedding"):
        return policies.LoadSheddingPolicy(
            **_arguments("load_shedding", given, policies.LoadSheddingPolicy)
        ).settings


@contextmanager
def _part_of(field: str) -> Iterator[None]:
    """Put the name of a setting before an error about an argument in its mapping: "delay" alone may be of several."""
    try:
        yield
    except ConfigurationError as error:
        if str(error).startswith((f"{field} ", f"{field}:")):
            raise
        raise ConfigurationError(f"{field}: {error}") from None


def _instead_of(field: str, given: object, kind: str) -> str:
    """What to write in place of something that is neither a policy nor a mapping."""
    if isinstance(given, bool) and field.endswith("_config"):
        return f"use enable_{field.removesuffix('_config')}={given}"
    if given is False:
        return "write None to switch it off"
    if field == "fallback":
        return "write FallbackPolicy(function=…)" if callable(given) else "write FallbackPolicy(value=…)"
    defaults = " for the default ones" if given is True and field != "chaos" else ""
    return f"write {kind}({'' if defaults else '…'}){defaults}"


# A client has a clock and randomness of its own, and names its circuits by their origins.
_SET_BY_THE_CLIENT = frozenset({"budget", "clock", "name", "random"})


def known_arguments(*takers: Any) -> list[str]:
    """The keywords that a mapping for these classes may have."""
    parameters = [name for taker in takers for name in inspect.signature(taker).parameters]
    return [name for name in parameters if name not in _SET_BY_THE_CLIENT]


def _arguments(field: str, given: object, *takers: Any) -> dict[str, Any]:
    """A mapping of keyword arguments, each known to one of the takers."""
    if not isinstance(given, Mapping):
        kind = "HedgingPolicy" if takers[0] is machines.HedgingSettings else takers[0].__name__
        raise ConfigurationError(
            f"{field} must be {'an' if kind.startswith('A') else 'a'} {kind}, a mapping of its arguments or None, "
            f"not {given!r:.100}; {_instead_of(field, given, kind)}"
        )
    known = known_arguments(*takers)
    for key in given:
        if key not in known:
            hint = keyword_remedy(key, known, *takers) or f"known keys: {', '.join(known)}"
            raise ConfigurationError(f"{field} has the unknown key {key!r}; {hint}")
    return dict(given)


def parse_propagation(given: object) -> http.Propagation | None:
    """Settings, or those made of a mapping of their fields; None for none."""
    if given is None:
        return None
    if isinstance(given, http.Propagation):
        if not given.names:
            raise ConfigurationError(
                "propagation names no header, so that nothing would be sent; name one, or write None"
            )
        return given
    with _part_of("propagation"):
        return parse_propagation(http.Propagation(**_arguments("propagation", given, http.Propagation)))


def parse_alternate_urls(
    given: object, base_url: str | None, egress: http.EgressPolicy | None
) -> tuple[str, ...]:
    """Further base URLs, each of another origin.   base_url: the first one, if it is known here."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise ConfigurationError(f"alternate_urls must be a list of base URLs, not {given!r}")
    urls = tuple(given)
    for url in urls:
        if not isinstance(url, str):
            raise ConfigurationError(f"alternate_urls must be a list of base URLs, not of {url!r}")
        try:
            check_base_url(url)
            if egress is not None:
                egress.check_url(split_url(normalise_url(url)))
        except InvalidRequestError as error:
            message = str(error).removeprefix("base_url: ").removeprefix("base_url ")
            raise ConfigurationError(f"alternate_urls: {message}") from None
    check_alternates([*([] if base_url is None else [base_url]), *urls])
    return urls


def check_alternates(base_urls: Sequence[str]) -> None:
    """Raise ConfigurationError for base URLs that are no alternatives of each other."""
    parts = [split_url(normalise_url(url)) for url in base_urls]
    for number, url in enumerate(parts):
        if url.origin in [other.origin for other in parts[:number]]:
            raise ConfigurationError(
                f"alternate_urls has {url.origin} twice, or it is that of base_url; each must be another host or port, since "
                "circuits and limits are kept for each"
            )
        if url.scheme == "http" and parts[0].scheme == "https":
            raise ConfigurationError(
                f"alternate_urls has {url.origin}, which is not encrypted, beside {parts[0].origin}; write https://…"
            )


def parse_deadline_check(given: object) -> machines.DeadlineCheckSettings | None:
    """The settings of a policy, or those made of a mapping of its arguments; None to begin every attempt."""
    if given is None or isinstance(given, machines.DeadlineCheckSettings):
        return given
    if isinstance(given, policies.DeadlineCheckPolicy):
        return given.settings
    with _part_of("deadline_check"):
        return policies.DeadlineCheckPolicy(
            **_arguments("deadline_check", given, policies.DeadlineCheckPolicy)
        ).settings


def parse_base_url(base_url: str | None) -> str | None:
    """Raises ConfigurationError for a URL that cannot be a prefix."""
    if base_url is not None:
        try:
            check_base_url(base_url)
        except InvalidRequestError as error:
            raise ConfigurationError(str(error)) from None
    return base_url


def parse_default_headers(given: object) -> Headers:
    """Headers that may be sent with any request: none that frames one body."""
    try:
        headers = build_headers(given)  # type: ignore[arg-type]  # it raises for what cannot be headers
        validate_headers(headers)
        if "Content-Length" in headers:
            raise InvalidRequestError(
                "header Content-Length must not be set; leave it out; it is set from the body"
            )
        check_framing(headers, None, False)
    except ValueError as error:
        raise ConfigurationError(f"default_headers: {error}") from None
    return headers


def parse_client_auth(auth: object, default_headers: Headers) -> str | http.AuthFlow | None:
    """The header or the flow of the setting."""
    if auth is None:
        return None
    from ...http.auth.flow import parse_auth

    try:
        parsed = parse_auth(auth)
    except InvalidRequestError as error:
        message = str(error)
        raise ConfigurationError(message if message.startswith("auth") else f"auth: {message}") from None
    if parsed is not None and "Authorization" in default_headers:
        raise ConfigurationError(
            "auth: both it and an Authorization in default_headers are set; set only one"
        )
    return parsed


def redacted_auth(auth: object) -> object:
    """The setting without the secrets of a pair or a token; objects show themselves."""
    return auth if auth is None or hasattr(auth, "auth_flow") else HIDDEN


def standard_headers(pool: ConnectionPoolConfig) -> Headers:
    """The headers of every request that does not set them itself, whatever the other settings say."""
    return Headers(
        {
            "User-Agent": f"http-service-client/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": accept_encoding() if pool.enable_compression else "identity",
        }
    )


def parse_secret_names(sensitive: object, public: object) -> SecretNames:
    """The names of headers that are secret, or are not. "*" is a valid character of a name (RFC 9110 5.6.2)."""
    names = SecretNames(
        _header_names("sensitive_headers", sensitive), _header_names("public_headers", public)
    )
    for name in CREDENTIAL_HEADERS.intersection(names.public):
        raise ConfigurationError(f"public_headers has {name!r}, which always holds credentials; leave it out")
    return names


def _header_names(field: str, given: object) -> tuple[str, ...]:
    """The names in lower case, sorted, so that equal settings make equal values."""
    if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, frozenset, set)):
        raise ConfigurationError(f"{field} must be a list of header names, not {given!r}")
    checked: set[str] = set()
    for name in given:
        try:
            header = Headers([(name, "")])
            validate_headers(header)
        except InvalidRequestError:
            raise ConfigurationError(
                f"{field} must be a list of header names; {name!r} is not a valid one"
            ) from None
        checked.update(known.lower() for known in header)
    return tuple(sorted(checked))


def parse_tolerated_faults(names: object) -> frozenset[str]:
    """The names of rules that responses may break."""
    if isinstance(names, (str, bytes)) or not isinstance(names, (Sequence, frozenset, set)):
        raise ConfigurationError(f"tolerated_faults must be a list of names of rules, not {names!r}")
    for name in names:
        if name in TOLERABLE:
            continue
        if isinstance(name, str) and name in RULES:
            raise ConfigurationError(
                f"tolerated_faults has {name!r}, which is never tolerated, since other readers could see another "
                f"response; choose among {', '.join(TOLERABLE)}"
            )
        remedy = did_you_mean(name, TOLERABLE) or f"choose among {', '.join(TOLERABLE)}"
        raise ConfigurationError(f"tolerated_faults has {name!r}, which is not the name of a rule; {remedy}")
    return frozenset(names)


_PROXIES = ("http", "https", "all", "no")


def parse_proxies(proxy: Any) -> ProxySettings | None:
    """The proxies of the setting, by the rules for the environment's variables; None for None."""
    if proxy is None:
        return None
    named = {"all": proxy} if isinstance(proxy, str) else proxy
    if not isinstance(named, Mapping) or not all(isinstance(value, str) for value in named.values()):
        raise ConfigurationError(
            "proxy must be a URL such as 'http://host:3128', or a mapping of "
            f"{', '.join(_PROXIES)} to text, not of type {type(proxy).__name__}"
        )
    for name, value in named.items():
        if name in _PROXIES[:3] and value.strip() and "://" not in value:
            # Environment variables leave it out, by an old habit. Here it is a slip, such as the name of a setting.
            raise ConfigurationError(
                f"proxy must be a URL, not {redact_proxy(value)!r}, which has no scheme; "
                f"write {redact_proxy(f'http://{value.strip()}')!r}"
            )
        if name not in _PROXIES:
            raise ConfigurationError(
                f"proxy has the unknown key {redact_proxy(str(name))!r}; known keys: {', '.join(_PROXIES)}"
            )
        if not value.strip():
            raise ConfigurationError(
                f"proxy is empty for {name!r}; leave it out, or set proxy={{}} for no proxy"
            )
    for entry in unreadable_exceptions(named.get("no", "")):
        raise ConfigurationError(
            f"proxy has the exception {redact_proxy(entry)!r}, which is not valid; "
            "write a domain, an address or a network"
        )
    proxies = ProxySettings.from_environ({f"{name}_proxy": value for name, value in named.items()})
    for url in (proxies.http, proxies.https):
        unusable = None if url is None else read_proxy(url)
        if isinstance(unusable, Failure):
            raise ConfigurationError(f"proxy: {unusable.message}")
    return proxies


def redacted_proxy(proxy: Any) -> Any:
    """The setting without user names and passwords."""
    if isinstance(proxy, Mapping):
        return {name: redact_proxy(url) for name, url in proxy.items()}
    return proxy if proxy is None else redact_proxy(proxy)
