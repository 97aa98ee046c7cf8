"""How a client is set up: one frozen record of what its user set, validated when it is made.

A wrong type, an unknown key or an impossible value is a ConfigurationError that names the field, its
value and what to write instead. A field that is accepted does something.

The record holds what was set. What a client uses follows from it, and is a record of its own: see
`client.config.resolved`.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from ... import http, policies
from ...core import machines
from ...core.checks import (
    check_count,
    check_duration,
    check_flag,
    class_remedy,
    remedies,
    shown,
    suggests_keywords,
    warn_of_milliseconds,
)
from ...core.machines.circuit_breaker.states import CircuitBreakerSettings
from ...core.machines.retry.quota import BudgetSettings, RetryQuotaSettings
from ...core.machines.retry.settings import RetrySettings
from ...core.timeouts import Timeout
from ...errors import ConfigurationError
from ...http.headers import redact_headers
from ...http.messages import HttpRequest
from .pool import ConnectionPoolConfig, by_default, is_default, is_path, without_mark
from .resolved import (
    ResolvedConfig,
    frozen,
    parse_adaptive_limit,
    parse_alternate_urls,
    parse_base_url,
    parse_bulkhead,
    parse_chaos,
    parse_circuit_breaker,
    parse_client_auth,
    parse_deadline_check,
    parse_default_headers,
    parse_fallback,
    parse_hedging,
    parse_load_shedding,
    parse_propagation,
    parse_proxies,
    parse_rate_limit,
    parse_retry_budget,
    parse_retry_policy,
    parse_secret_names,
    parse_tolerated_faults,
    redacted_auth,
    redacted_proxy,
)
from .sockets import check_no_proxy

if TYPE_CHECKING:
    from typing_extensions import Self

    from ...http.bodies.json_codecs import JsonCodec
    from ..routes import Routes
    from .sources.source import SupportsModelDump

__all__ = ["SHARED", "ConnectionPoolConfig", "HttpClientConfig", "Timeout"]


# May be set in HttpClientConfig, or in its connection_pool under the second name; if set in both, to the same value.
SHARED = {
    "base_timeout": "request_timeout",
    "connection_timeout": "connection_timeout",
    "max_connections": "max_connections",
    "max_connections_per_host": "max_connections_per_host",
}


# Where a policy, by the name of its class, is set.
FIELDS_OF_POLICIES = {
    "RetryPolicy": "retry_policy_config",
    "CircuitBreakerPolicy": "circuit_breaker_config",
    "RateLimitPolicy": "rate_limit",
    "BulkheadPolicy": "bulkhead",
    "AdaptiveLimitPolicy": "adaptive_limit",
    "LoadSheddingPolicy": "load_shedding",
    "HedgingPolicy": "hedging",
    "FallbackPolicy": "fallback",
    "DeadlineCheckPolicy": "deadline_check",
    "ChaosPolicy": "chaos",
}


def renamed() -> dict[str, str]:
    """What to write instead of keywords that other clients use, and of settings of another class."""
    return {
        **{item.name: "set it in retry_budget_config" for item in fields(machines.RetryBudgetSettings)},
        **{item.name: "set it in retry_budget_config" for item in fields(RetryQuotaSettings)},
        **{
            item.name: "set it in retry_policy_config"
            for item in (*fields(policies.RetryPolicy), *fields(policies.ExponentialBackoff))
        },
        **{item.name: "set it in circuit_breaker_config" for item in fields(CircuitBreakerSettings)},
        **{item.name: "set it in ConnectionPoolConfig" for item in fields(ConnectionPoolConfig)},
        **remedies(
            {
                "set max_attempts in retry_policy_config": "max_attempts retries max_retries",
                "set ssl_verify in ConnectionPoolConfig": "verify verify_ssl",
                "set ssl_cert_file in ConnectionPoolConfig": "cert",
                "set base_timeout in HttpClientConfig": "timeout",
                "it is called base_url": "base_address base_uri prefix_url",
                "set default_headers in HttpClientConfig": "headers",
                "set auth in HttpClientConfig": "auth_token bearer bearer_token token",
                "set auth in HttpClientConfig, or a header in default_headers": "api_key",
                "pass it with each call": "params",
                "set proxy in HttpClientConfig": "proxies",
                "set trust_env_proxy_settings or netrc in HttpClientConfig": "trust_env",
                "set User-Agent in default_headers": "user_agent",
                "set request_interceptors and response_interceptors in HttpClientConfig": (
                    "delegating_handlers event_hooks hooks interceptors middleware middlewares "
                    "transform_request transform_response"
                ),
                "call raise_for_status() on the response": (
                    "raise_for_status throw_http_errors validate_status"
                ),
                "set connection_pool=ConnectionPoolConfig(…) in HttpClientConfig": (
                    "agent connector http_agent https_agent limits pool"
                ),
                "set max_connections in HttpClientConfig": "limit pool_connections pool_maxsize pool_size",
                "set max_connections_per_host in HttpClientConfig": "max_connections_per_server max_sockets",
                "set keep_alive_timeout in ConnectionPoolConfig": "keep_alive",
                "set max_connection_age in ConnectionPoolConfig": (
                    "handler_lifetime pooled_connection_lifetime"
                ),
                "set max_response_size in HttpClientConfig": "max_content_length",
                "set enable_response_decompression in HttpClientConfig": "decompress",
                "set the level of the logger 'http_service_client'": "debug log_level logger logging",
                "set http2=True in HttpClientConfig": "http_version enable_http2",
                "set retry_policy_config in HttpClientConfig": "retry retry_policy",
                "set circuit_breaker_config in HttpClientConfig": "circuit_breaker",
                "set base_timeout or total_timeout in HttpClientConfig": "timeout_policy",
                "a client has a pipeline of its own: set retry_policy_config, rate_limit, bulkhead, … in HttpClientConfig": (
                    "pipeline policies"
                ),
                "pass it to HttpServiceClient": (
                    "cache transport metrics telemetry on_event on_exchange interceptor_factory clock"
                ),
                "set allowed_redirect_count in HttpClientConfig": "max_redirects",
                "set allowed_redirect_count in HttpClientConfig, to 0 for none": (
                    "follow_redirect follow_redirects"
                ),
            }
        ),
    }


@suggests_keywords(renamed)
@dataclass(frozen=True, repr=False, eq=False)
class HttpClientConfig:
    """The settings of a client. Durations in seconds, sizes in bytes.

    base_timeout: one attempt as a whole.   connection_timeout: to resolve, connect and finish the TLS handshake.
    max_connections, max_connections_per_host: in use at once.   These four may be set here or in
        `connection_pool`; if in both, to the same value. For a timeout of None, "no limit", set it there.
    total_timeout: the call as a whole, waits included; None for no limit.
    enable_circuit_breaker, circuit_breaker_config: one circuit for each scheme, host and port; a
        `CircuitBreakerPolicy`, of which the settings are taken, or a mapping of its arguments.
    enable_retry_policy, retry_policy_config: a `RetryPolicy`, or a mapping of its arguments and those of
        `ExponentialBackoff`.
    enable_throttle_gate: a pause that a service asks for, by 429 or 503 with Retry-After, holds for all calls to it:
        a call waits for its end if that is within half of its attempt timeout, else it is refused at once.
    enable_retry_budget, retry_budget_config: `RetryQuotaSettings`, or `RetryBudgetSettings` for a share of the calls;
        or a mapping of the arguments of one of them.
    auto_idempotency_key: give each request that is not safe to repeat, such as a POST, an Idempotency-Key, the same
        over its attempts.
    quote_idempotency_key: write it in quotes, as the draft standard has it; else bare, as most services do.
    request_interceptors, response_interceptors: classes or objects, run in this order at each attempt.
    request_signers: classes or objects with `sign_request(request, context)`, or functions, plain or async; run in this
        order on each request as it goes out. They add headers.
    propagation: headers by which a service learns how long this client waits and whether it tries again: a
        `Propagation`, or a mapping of its arguments. None for none.
    json_codec: "orjson" or "msgspec", extras of these names, for faster JSON with the same results; or an object with
        `encode(value) -> bytes` and `decode(content: bytes)`. None for the standard library.
    deadline_check: begin no attempt, and no wait before one, that could hardly end before the deadline by what is known of how
        long the service takes: a `DeadlineCheckPolicy`, of which the settings are taken, or a mapping of its arguments. None to begin them all.
    base_url: prefix of relative URLs, such as ``https://api.example.com/v1``; that of the client's keyword comes first.
    alternate_urls: further base URLs of the same service, each of another origin, in the order of preference. A request with a
        relative URL goes to one of them while the host before it fails. They get the credentials that the client has.
    max_response_size: decoded bytes of a response, its redirects included; None for no limit.
    max_response_headers: in one response, trailers included.   max_response_header_size: bytes of one, its name
        and value together; four times as many for all headers of a response.
    tolerated_faults: names of rules of HTTP that the responses of a faulty server may break, such as
        "repeated-content-length"; the connection is closed after such a response.
    enable_request_compression: compress bodies of `compression_threshold` bytes or more; a server that
        responds with 415 gets them uncompressed.   request_coding: "gzip", or "zstd" (Python 3.14, or the
        extra `zstd`).
    cookies: True for a jar of the client's own, or a `CookieJar`, which several clients may share. A client
        with a jar acts for a single user.
    enable_response_decompression: False returns the bytes as they were received.
    allowed_redirect_count: redirects followed; 0 returns the redirect itself.
    trust_env_proxy_settings: use HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, read once.
    proxy: the URL of the proxy for all calls, or a mapping with the keys "http", "https", "all" and "no", which
        mean what the variables of these names mean. The environment is not read then.
    default_headers: sent with each request that does not set them itself.
    sensitive_headers: further headers whose values are secret: never shown, never sent to another origin by a
        redirect. "*" in a name stands for any characters. Names that look like a secret's need not be listed.
    public_headers: headers that hold no secret though their names look like it.
    egress_policy: where calls and their redirects may go; None for anywhere.
    netrc: the path of a netrc file, or True for the user's own, to take logins from for requests without an
        Authorization header. Calls with an auth flow use none.
    auth: the credentials of each call that sets none: a (user, password) pair, a bearer token, or an object with an
        auth flow, such as those of `http_service_client.auth`. An Authorization header of a call replaces it.

    state_key: chooses the state (circuit, budget, gate, limits, slots) of each call that sets no `key`: a function of its
        request that returns text, or None for the state of the origin; such as `by_route` or ``by_header("X-Tenant")``,
        in a file "by_route" or "by_header:X-Tenant". None for one state for each origin.
    routes: settings of the calls of a route, a method and a path template below the base URL, such as
        ``{"POST /charges": {"timeout": 5, "idempotent": False}}``: mappings of keywords of a call (`timeout`,
        `total_timeout`, `retry_policy`, `circuit_breaker`, `retry_budget`, `fallback`, `hedging`, `idempotent`, `key`, `name`,
        `decompress`, `error_type`). A call's own keywords come first, then those of a view, then its route. "*" stands for any
        method, or for any path.
    chaos: injects faults on purpose: a `ChaosPolicy`, which is live and may be shared, or a mapping of its arguments. None
        for none.
    fallback: what stands in for the response to a GET or another safe request that failed after all attempts: a
        `FallbackPolicy`, or a mapping of its arguments. None for nothing.
    rate_limit: how many attempts may begin in a time, at each origin: a `RateLimitPolicy`, of which the settings are taken, or
        a mapping of its arguments, such as ``{"rate": 10}`` for ten a second. None for any number.
    hedging: when a request that is safe to repeat is sent a second time, beside the one in flight: a `HedgingPolicy`, or a
        mapping of its arguments. None for never.
    bulkhead: how many calls of an origin (and `key`) may be in progress together, and how many may wait for their turn: a
        `BulkheadPolicy`, or a mapping of its arguments. None for any number.
    load_shedding: do not send a share of the attempts while an origin rejects too many of them for overload: a
        `LoadSheddingPolicy`, of which the settings are taken, or a mapping of its arguments. None to send them all.
    adaptive_limit: as many attempts in progress at each origin as it can do with: an `AdaptiveLimitPolicy`, of which the
        settings are taken, or a mapping of its arguments. None for as many as there are connections.
    http2: use HTTP/2 with the https origins that agree to it, and that no proxy leads to. Needs the extra `http2`.

    A configuration is a value: it compares, pickles and copies by its fields, and does not change. Mappings and lists
    are copied. `dataclasses.replace(config, total_timeout=5)` makes another one. A `CookieJar` is live: it is
    shared, and equal to itself only; so is an object with an auth flow, unless it says otherwise.

    Raises ConfigurationError (a ValueError) that names the field, its value and what to write instead.
    """

    base_timeout: float | None = by_default(30.0)
    connection_timeout: float | None = by_default(5.0)
    max_connections: int | None = by_default(100)
    max_connections_per_host: int | None = by_default(20)
    enable_circuit_breaker: bool = True
    enable_retry_policy: bool = True
    request_interceptors: Sequence[object] = ()
    response_interceptors: Sequence[object] = ()
    connection_pool: ConnectionPoolConfig | None = None
    circuit_breaker_config: (
        Mapping[str, Any] | policies.CircuitBreakerPolicy | CircuitBreakerSettings | None
    ) = None
    retry_policy_config: Mapping[str, Any] | policies.RetryPolicy | None = None
    enable_throttle_gate: bool = True
    enable_retry_budget: bool = True
    retry_budget_config: Mapping[str, Any] | RetryQuotaSettings | machines.RetryBudgetSettings | None = None
    total_timeout: float | None = None
    auto_idempotency_key: bool = False
    quote_idempotency_key: bool = False
    max_response_size: int | None = 10 * 1024 * 1024
    max_response_headers: int = 256
    max_response_header_size: int = 64 * 1024
    enable_request_compression: bool = False
    request_coding: str = "gzip"
    enable_response_decompression: bool = True
    allowed_redirect_count: int = 10
    cookies: bool | http.CookieJar = False
    trust_env_proxy_settings: bool = True
    proxy: str | Mapping[str, str] | None = None
    default_headers: Mapping[str, str] = field(default_factory=dict)
    sensitive_headers: Sequence[str] = ()
    public_headers: Sequence[str] = ()
    egress_policy: http.EgressPolicy | None = None
    netrc: bool | str | os.PathLike[str] = False
    auth: tuple[str, str] | str | http.AuthFlow | None = None
    request_signers: Sequence[object] = ()
    tolerated_faults: Sequence[str] = ()
    propagation: http.Propagation | Mapping[str, Any] | None = None
    base_url: str | None = None
    http2: bool = False
    json_codec: Any = None
    state_key: Callable[[HttpRequest], str | None] | str | None = None
    routes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    chaos: Mapping[str, Any] | policies.ChaosPolicy | machines.ChaosSettings | None = None
    fallback: policies.FallbackPolicy | machines.FallbackSettings | Mapping[str, Any] | None = None
    deadline_check: (
        policies.DeadlineCheckPolicy | machines.DeadlineCheckSettings | Mapping[str, Any] | None
    ) = None
    rate_limit: policies.RateLimitPolicy | machines.RateLimitSettings | Mapping[str, Any] | None = None
    hedging: policies.HedgingPolicy | machines.HedgingSettings | Mapping[str, Any] | None = None
    alternate_urls: Sequence[str] = ()
    bulkhead: policies.BulkheadPolicy | machines.BulkheadSettings | Mapping[str, Any] | None = None
    load_shedding: policies.LoadSheddingPolicy | machines.LoadSheddingSettings | Mapping[str, Any] | None = (
        None
    )
    adaptive_limit: (
        policies.AdaptiveLimitPolicy | machines.AdaptiveLimitSettings | Mapping[str, Any] | None
    ) = None

    def __post_init__(self) -> None:
        set_here = {name: getattr(self, name) for name in SHARED if _is_set(getattr(self, name))}
        for name, value in set_here.items():
            if name.endswith("timeout"):  # the pool checks the counts
                # None means "the default" here; "no limit" can only be set in the pool.
                remedy = f"for no limit, set {SHARED[name]}=None in connection_pool"
                check_duration(name, value, no_limit=remedy)
                warn_of_milliseconds(name, value)
        for name in (
            "enable_circuit_breaker", "enable_retry_policy", "enable_throttle_gate", "enable_retry_budget", "auto_idempotency_key",
            "quote_idempotency_key", "enable_request_compression", "enable_response_decompression", "trust_env_proxy_settings",
            "http2",
        ):  # fmt: skip
            check_flag(name, getattr(self, name))
        check_duration("total_timeout", self.total_timeout)
        check_count("max_response_headers", self.max_response_headers)
        check_count("max_response_header_size", self.max_response_header_size, unit="of bytes ")
        if self.max_response_size is not None:
            check_count("max_response_size", self.max_response_size, unit="of bytes ")
        check_count("allowed_redirect_count", self.allowed_redirect_count, least=0)
        for name in ("request_interceptors", "response_interceptors"):
            _check_interceptors(name, getattr(self, name))
        _check_signers(self.request_signers)
        _check_request_coding(self.request_coding)
        parse_base_url(self.base_url)
        if not isinstance(self.cookies, bool) and not isinstance(self.cookies, http.CookieJar):
            given: object = self.cookies
            remedy = (
                "; write cookies={…} with each call" if isinstance(given, Mapping) else class_remedy(given)
            )
            raise ConfigurationError(
                f"cookies must be True, False or a CookieJar, not {shown(given)}{remedy}"
            )
        if self.egress_policy is not None and not isinstance(self.egress_policy, http.EgressPolicy):
            egress: object = self.egress_policy
            remedy = "; write EgressPolicy(**rules)" if isinstance(egress, Mapping) else class_remedy(egress)
            raise ConfigurationError(
                f"egress_policy must be an EgressPolicy or None, not {shown(egress)}{remedy}"
            )
        if not (isinstance(self.netrc, bool) or is_path(self.netrc)):
            raise ConfigurationError(
                f"netrc must be True, False or the path of a netrc file, not {self.netrc!r}"
            )
        # Resolved now, not when first used: a mapping that is changed later must change nothing, and neither must a
        # policy that is reconfigured.
        circuit = self.circuit_breaker_config
        if circuit is not None and isinstance(circuit, policies.CircuitBreakerPolicy):
            object.__setattr__(self, "circuit_breaker_config", circuit.settings)
        resolved = self._resolve(set_here)
        object.__setattr__(self, "_resolved", resolved)
        object.__setattr__(self, "propagation", resolved.propagation)
        object.__setattr__(self, "fallback", resolved.fallback)
        object.__setattr__(self, "bulkhead", resolved.bulkhead)
        object.__setattr__(self, "deadline_check", resolved.deadline_check)
        object.__setattr__(self, "load_shedding", resolved.load_shedding)
        object.__setattr__(self, "adaptive_limit", resolved.adaptive_limit)
        object.__setattr__(self, "rate_limit", resolved.rate_limit)
        object.__setattr__(self, "hedging", resolved.hedging)
        for name in _DEFAULTS:
            object.__setattr__(self, name, frozen(getattr(self, name)))
        for name in SHARED.keys() - set_here.keys():  # shows the value in use, which is still a default
            object.__setattr__(self, name, by_default(getattr(resolved.pool, SHARED[name])))

    def _resolve(self, set_here: Mapping[str, Any]) -> ResolvedConfig:
        # Parts that are switched off are checked too: they may be switched on later.
        breaker = parse_circuit_breaker(self.circuit_breaker_config)
        retry = parse_retry_policy(self.retry_policy_config)
        budget = parse_retry_budget(self.retry_budget_config)
        object.__setattr__(self, "_policies", (breaker, retry, budget))
        headers = parse_default_headers(self.default_headers)
        secret_names = parse_secret_names(self.sensitive_headers, self.public_headers)
        chaos = parse_chaos(self.chaos)
        object.__setattr__(self, "chaos", chaos)
        routes: Routes | None = None
        if self.routes != {}:
            from ..routes import parse_routes

            shown, routes = parse_routes(self.routes)
            object.__setattr__(self, "routes", shown)
        if self.state_key is not None:
            from ..state_keys import parse_state_key

            object.__setattr__(self, "state_key", parse_state_key(self.state_key, secret_names))
        pool = self._shared_pool(set_here)
        proxies = parse_proxies(self.proxy)
        check_no_proxy(pool.uds, proxies)
        if pool.uds is not None and self.alternate_urls:
            raise ConfigurationError(
                f"alternate_urls={self.alternate_urls!r} and uds={pool.uds!r} are both set, and all calls go to the socket; "
                "set only one"
            )
        if self.http2:
            from .http2 import check_http2

            check_http2(pool, proxies)
        return ResolvedConfig(
            pool=pool,
            circuit_breaker=breaker if self.enable_circuit_breaker else None,
            retry=retry if self.enable_retry_policy else None,
            retry_budget=budget if self.enable_retry_budget else None,
            headers=headers,
            secret_names=secret_names,
            proxies=proxies,
            auth=parse_client_auth(self.auth, headers),
            tolerated_faults=parse_tolerated_faults(self.tolerated_faults),
            propagation=parse_propagation(self.propagation),
            json_codec=_codec(self.json_codec),
            routes=routes,
            deadline_check=parse_deadline_check(self.deadline_check),
            load_shedding=parse_load_shedding(self.load_shedding),
            adaptive_limit=parse_adaptive_limit(self.adaptive_limit),
            alternate_urls=parse_alternate_urls(self.alternate_urls, self.base_url, self.egress_policy),
            chaos=chaos,
            state_key=self.state_key,  # type: ignore[arg-type]  # parsed above
            fallback=parse_fallback(self.fallback),
            rate_limit=parse_rate_limit(self.rate_limit),
            hedging=parse_hedging(self.hedging),
            bulkhead=parse_bulkhead(self.bulkhead),
        )

    def _shared_pool(self, set_here: Mapping[str, Any]) -> ConnectionPoolConfig:
        """The connection settings: `connection_pool`, or those made of the fields set here."""
        pool = ConnectionPoolConfig() if self.connection_pool is None else self.connection_pool
        if not isinstance(pool, ConnectionPoolConfig):
            remedy = (
                "; write ConnectionPoolConfig(**settings)" if isinstance(pool, dict) else class_remedy(pool)
            )
            raise ConfigurationError(
                f"connection_pool must be a ConnectionPoolConfig, not {type(pool).__name__}{remedy}"
            )
        shared: dict[str, Any] = {}
        for name, name_there in SHARED.items():
            there = getattr(pool, name_there)
            if is_default(there):
                shared[name_there] = set_here.get(name, without_mark(there))
            elif set_here.get(name, there) != there:
                raise ConfigurationError(
                    f"{name}={set_here[name]!r} conflicts with connection_pool.{name_there}={there!r}; set only one"
                )
        return replace(pool, **shared)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any] | SupportsModelDump) -> Self:
        """A configuration with the settings of a mapping, such as a part of a program's own settings.

        settings: a mapping of the fields to their values; or an object with a method `model_dump`, such as a model of
            pydantic or pydantic-settings. The fields that are records of their own, such as `connection_pool`, may be
            mappings of their fields in turn. Text is read as the type of its field: ``"8"`` or ``"250ms"`` for seconds,
            ``"yes"``, ``"none"``. None for a field that cannot be None leaves its default.

        Raises ConfigurationError with all that is wrong. It never shows a secret that pydantic hides in a `SecretStr`.
        """
        from .sources.source import from_mapping

        return from_mapping(cls, settings)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        client: str | None = None,
        *,
        env_prefix: str | None = None,
    ) -> Self:
        """A configuration with the settings of a file, or of one client in it.

        path: of a TOML, JSON or YAML file (``.toml``, ``.json``, ``.yaml``, ``.yml``). Its keys are the fields, and values
            are as in `from_mapping`. ``${NAME}`` in a text is the environment variable of this name, ``$${`` a plain ``${``.
            YAML needs the extra `yaml`; TOML, before Python 3.11, the extra `toml`.
        client: the client's name, in a file with a table ``[clients.NAME]`` for each; None for that called ``default``.
            A client may inherit the settings of another one: ``inherits = "default"``.
        env_prefix: environment variables with this prefix come before the file's settings, as in `from_env`.

        Raises ConfigurationError with the file and all that is wrong in it. Values of variables are not shown.
        """
        from .sources.files import from_file

        return from_file(cls, path, client, env_prefix)

    @classmethod
    def from_env(cls, prefix: str, environ: Mapping[str, str | None] | None = None) -> Self:
        """A configuration with the settings of environment variables: ``PAYMENTS_BASE_TIMEOUT=8``.

        prefix: of the variables' names, such as ``PAYMENTS_``. After it comes the name of a field; two underscores lead into
            the fields that are records of their own: ``PAYMENTS_RETRY_POLICY_CONFIG__MAX_ATTEMPTS=5``. Text is read as
            in `from_mapping`; lists as ``a, b`` or in JSON, mappings in JSON. A variable that is empty counts as not set.
        environ: a mapping to read in place of the process's environment.

        Variables that Kubernetes sets for its services, such as ``PAYMENTS_SERVICE_HOST``, are left alone. Any other
        unknown name is an error. Raises ConfigurationError with all that is wrong.
        """
        from .sources.environment_variables import from_env

        return from_env(cls, prefix, os.environ if environ is None else environ)

    @property
    def resolved(self) -> ResolvedConfig:
        """What a client with this configuration uses."""
        resolved: ResolvedConfig = self.__dict__["_resolved"]  # not a field: it is not the user's to set
        return resolved

    @property
    def pool(self) -> ConnectionPoolConfig:
        """The connection settings, whether set in `connection_pool` or here."""
        return self.resolved.pool

    @property
    def circuit_breaker(self) -> policies.CircuitBreakerPolicy | None:
        """A new policy with the settings of each circuit; None when switched off. Its own circuit is not in use."""
        settings = self.resolved.circuit_breaker
        if settings is None:
            return None
        return policies.CircuitBreakerPolicy(
            **{item.name: getattr(settings, item.name) for item in fields(settings)}
        )

    @property
    def retry(self) -> policies.RetryPolicy | None:
        """The retry policy; None when switched off."""
        return _as_policy(self.resolved.retry)

    @property
    def budget(self) -> BudgetSettings | None:
        """The settings of each retry budget; None when switched off."""
        return self.resolved.retry_budget

    @property
    def timeout(self) -> Timeout:
        """The bounds of one attempt, for a call that sets none."""
        return self.resolved.timeout

    def _value(self) -> tuple[Any, ...]:
        """The fields, with the policies for the mappings that stand for them."""
        given = ("circuit_breaker_config", "retry_policy_config", "retry_budget_config")
        breaker, retry, budget = self.__dict__["_policies"]
        others = (getattr(self, name) for name in _DEFAULTS if name not in given)
        return *others, breaker, _as_policy(retry), budget

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def __deepcopy__(self, memo: object) -> HttpClientConfig:
        # The settings do not change; interceptors, auth flows and a jar are the user's.
        return copy.copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: the rest is resolved again."""
        return {name: getattr(self, name) for name in _DEFAULTS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def __repr__(self) -> str:
        """What was set, with the secrets in the default headers and in the proxies' URLs redacted."""
        values = {name: getattr(self, name) for name in _DEFAULTS}
        values["default_headers"] = redact_headers(self.resolved.headers, self.resolved.secret_names)
        values["proxy"] = redacted_proxy(self.proxy)
        values["auth"] = redacted_auth(self.auth)
        shown = (
            f"{name}={value!r}"
            for name, value in values.items()
            if (_is_set(value) if name in SHARED else value != _DEFAULTS[name])
        )
        return f"HttpClientConfig({', '.join(shown)})"


_DEFAULTS = {item.name: {} if item.default is MISSING else item.default for item in fields(HttpClientConfig)}


def _as_policy(settings: RetrySettings | None) -> policies.RetryPolicy | None:
    """The policy with these settings, which are one already unless they are the default ones."""
    if settings is None or isinstance(settings, policies.RetryPolicy):
        return settings
    return policies.RetryPolicy(**{item.name: getattr(settings, item.name) for item in fields(settings)})


def _is_set(value: object) -> bool:
    """Whether a user set one of the shared fields. None means its default."""
    return value is not None and not is_default(value)


def _works(value: object, method: str) -> bool:
    return callable(getattr(value, method, None))


def _check_interceptors(name: str, value: object) -> None:
    what = name.partition("_")[0]
    method = f"intercept_{what}"
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        remedy = "; write it in a list" if _works(value, method) else ""
        raise ConfigurationError(
            f"{name} must be a list of interceptor classes or objects, not {shown(value)}{remedy}"
        )
    for item in value:
        if not _works(item, method):
            other = "response" if what == "request" else "request"
            remedy = f"write def {method}(self, {what}, context)"
            if _works(item, f"intercept_{other}"):
                remedy = f"list it in {other}_interceptors"
            raise ConfigurationError(f"{name} has {shown(item)}, which has no method {method}; {remedy}")


def _check_signers(value: object) -> None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        remedy = "; write it in a list" if _works(value, "sign_request") or callable(value) else ""
        raise ConfigurationError(f"request_signers must be a list of signers, not {shown(value)}{remedy}")
    for item in value:
        if _works(item, "sign_request"):
            continue
        if isinstance(item, type) or not callable(item):
            remedy = "pass it as auth" if hasattr(item, "auth_flow") else "pass such an object, or a function"
            raise ConfigurationError(
                f"request_signers has {shown(item)}, which has no method sign_request; {remedy}"
            )


def _codec(given: object) -> JsonCodec | None:
    if given is None:
        return None
    from ...http.bodies.json_codecs import new_codec

    return new_codec(given)


def _check_request_coding(value: object) -> None:
    if value == "gzip":
        return
    from ...http.content_codings.compression import REQUEST_CODINGS, may_compress

    if value not in REQUEST_CODINGS:
        raise ConfigurationError(f"request_coding must be 'gzip' or 'zstd', not {value!r}")
    if not may_compress(str(value)):
        raise ConfigurationError(
            f"request_coding is {value!r}, which is not installed; "
            "run pip install 'http-service-client[zstd]', or use 'gzip'"
        )
