"""How a client is set up: frozen records, validated when made.

A wrong type, an unknown key or an impossible value is a `ConfigurationError` that names the field, the
value and what to write instead. Nothing is silently ignored: a field that is accepted does something.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from ..core.checks import check_count, check_duration, check_flag, suggests_keywords
from ..core.machines.backoff import ExponentialBackoff
from ..core.machines.retry_budget import RetryBudgetSettings
from ..core.timeouts import Timeout
from ..errors import ConfigurationError
from ..http.cookies.jar import CookieJar
from ..http.egress import EgressPolicy
from ..http.headers import SENSITIVE_HEADERS, Headers, redact_headers
from ..http.proxies.settings import ProxySettings
from ..policies.circuit_breaker import CircuitBreakerPolicy
from ..policies.retry import RetryPolicy
from .config_checks import (
    check_coding,
    check_interceptors,
    check_path,
    is_path,
    parse_arguments,
    parse_header_names,
    parse_headers,
    parse_proxies,
    redacted_proxy,
)

__all__ = ["ConnectionPoolConfig", "HttpClientConfig", "Timeout"]


@dataclass(frozen=True)
class ConnectionPoolConfig:
    """Connections: how many, how long, how safe. Durations in seconds.

    max_connections: in use at once, over all hosts and both worlds.   max_connections_per_host: for one.
    connection_timeout: to resolve, connect and shake hands.   request_timeout: one attempt as a whole.
    pool_timeout: to wait for a free connection.   None means no limit for these three.
    keep_alive_timeout: an idle connection is closed after it.
    keep_alive_max_requests: a connection is retired after so many requests.
    ssl_verify: False accepts any certificate, with a warning.
    ssl_cert_file, ssl_key_file: PEM files that show who the client is.
    ssl_ca_file: PEM bundle of authorities to trust instead of the system's.
    enable_compression: ask for compressed responses.
    compression_threshold: smallest request body, in bytes, that `enable_request_compression` compresses.
    """

    max_connections: int = 100
    max_connections_per_host: int = 20
    connection_timeout: float | None = 5.0
    request_timeout: float | None = 30.0
    pool_timeout: float | None = 10.0
    keep_alive_timeout: float = 75.0
    keep_alive_max_requests: int = 1000
    ssl_verify: bool = True
    ssl_cert_file: str | os.PathLike[str] | None = None
    ssl_key_file: str | os.PathLike[str] | None = None
    ssl_ca_file: str | os.PathLike[str] | None = None
    enable_compression: bool = True
    compression_threshold: int = 1024

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_connections_per_host", "keep_alive_max_requests"):
            check_count(name, getattr(self, name))
        check_count("compression_threshold", self.compression_threshold, least=0)
        for name in ("connection_timeout", "request_timeout", "pool_timeout"):
            check_duration(name, getattr(self, name))
        check_duration("keep_alive_timeout", self.keep_alive_timeout, optional=False)
        for name in ("ssl_verify", "enable_compression"):
            check_flag(name, getattr(self, name))
        for name in ("ssl_cert_file", "ssl_key_file", "ssl_ca_file"):
            check_path(name, getattr(self, name))
        if self.ssl_key_file is not None and self.ssl_cert_file is None:
            raise ConfigurationError(
                f"ssl_key_file {self.ssl_key_file!r} is of no use without ssl_cert_file; give both"
            )


# Said at the top level of HttpClientConfig or in its connection_pool; where in both, the same.
_SHARED = {
    "base_timeout": "request_timeout",
    "connection_timeout": "connection_timeout",
    "max_connections": "max_connections",
    "max_connections_per_host": "max_connections_per_host",
}


# What other clients call it, and what is set in another place.
RENAMED = {
    **{item.name: "set it in ConnectionPoolConfig" for item in fields(ConnectionPoolConfig)},
    **dict.fromkeys(("max_attempts", "retries", "max_retries"), "set max_attempts in retry_policy_config"),
    "verify": "set ssl_verify in ConnectionPoolConfig",
    "cert": "set ssl_cert_file in ConnectionPoolConfig",
    "timeout": "set base_timeout in HttpClientConfig",
    "headers": "set default_headers in HttpClientConfig",
    "proxies": "set proxy in HttpClientConfig",
    "max_redirects": "set allowed_redirect_count in HttpClientConfig",
    "follow_redirects": "set allowed_redirect_count in HttpClientConfig, to 0 for none",
    "auth": "pass it with each call, or set Authorization in default_headers",
    "base_url": "pass it to HttpServiceClient",
}


@suggests_keywords(RENAMED)
@dataclass(frozen=True, repr=False)
class HttpClientConfig:
    """Everything a client can be told. Durations in seconds, sizes in bytes.

    base_timeout: one attempt as a whole (30).   connection_timeout: to connect (5).
    max_connections (100), max_connections_per_host (20): in use at once.   These four may be given
        here or in `connection_pool`; given in both, they must agree.
    total_timeout: the call as a whole, waits included; None for no limit.
    enable_circuit_breaker, circuit_breaker_config: one circuit for each scheme, host and port; a
        `CircuitBreakerPolicy` or a mapping of its arguments.
    enable_retry_policy, retry_policy_config: a `RetryPolicy`, or a mapping of its arguments and those of
        `ExponentialBackoff`.
    enable_retry_budget, retry_budget_config: `RetryBudgetSettings`, or a mapping of its arguments.
    auto_idempotency_key: give each POST and PATCH an Idempotency-Key, the same over its attempts.
    request_interceptors, response_interceptors: classes or objects, run in this order at each attempt.
    max_response_size: decoded bytes, None for no limit.
    max_response_headers: in one response, trailers included.   max_response_header_size: bytes of one, its name
        and value together.
    enable_request_compression: compress bodies from `compression_threshold` on; who answers that by 415 gets
        them as they are.   request_coding: "gzip", or "zstd" (Python 3.14, or the extra `zstd`).
    cookies: True for a jar of the client's own, or a `CookieJar`, which several clients may share. With one,
        a client speaks for one user.
    enable_response_decompression: False hands out the bytes as they came.
    allowed_redirect_count: redirects followed; 0 returns the redirect itself.
    trust_env_proxy_settings: use HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, read once.
    proxy: the URL of the proxy for all calls, or a mapping of "http", "https", "all" and "no", which say what the
        variables of these names say. The environment's are not read then.
    default_headers: sent with each request that does not set them itself.
    sensitive_headers: further header names that a redirect never takes to another origin.
    egress_policy: where calls and their redirects may go; None for anywhere.
    netrc: take logins from this netrc file, True for the user's own, where a request has no Authorization.
    """

    base_timeout: float | None = None
    connection_timeout: float | None = None
    max_connections: int | None = None
    max_connections_per_host: int | None = None
    enable_circuit_breaker: bool = True
    enable_retry_policy: bool = True
    request_interceptors: Sequence[Any] = ()
    response_interceptors: Sequence[Any] = ()
    connection_pool: ConnectionPoolConfig | None = None
    circuit_breaker_config: Mapping[str, Any] | CircuitBreakerPolicy | None = None
    retry_policy_config: Mapping[str, Any] | RetryPolicy | None = None
    enable_retry_budget: bool = True
    retry_budget_config: Mapping[str, Any] | RetryBudgetSettings | None = None
    total_timeout: float | None = None
    auto_idempotency_key: bool = False
    max_response_size: int | None = 10 * 1024 * 1024
    max_response_headers: int = 256
    max_response_header_size: int = 64 * 1024
    enable_request_compression: bool = False
    request_coding: str = "gzip"
    enable_response_decompression: bool = True
    allowed_redirect_count: int = 10
    cookies: bool | CookieJar = False
    trust_env_proxy_settings: bool = True
    proxy: str | Mapping[str, str] | None = None
    default_headers: Mapping[str, str] = field(default_factory=dict)
    sensitive_headers: Sequence[str] = ()
    egress_policy: EgressPolicy | None = None
    netrc: bool | str | os.PathLike[str] = False

    # Resolved from the above, for the client.
    pool: ConnectionPoolConfig = field(init=False, compare=False)
    circuit_breaker: CircuitBreakerPolicy | None = field(init=False, compare=False)
    retry: RetryPolicy | None = field(init=False, compare=False)
    budget: RetryBudgetSettings | None = field(init=False, compare=False)
    headers: Headers = field(init=False, compare=False)
    sensitive: frozenset[str] = field(init=False, compare=False)
    proxies: ProxySettings | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        for name in (
            "enable_circuit_breaker", "enable_retry_policy", "enable_retry_budget", "auto_idempotency_key",
            "enable_request_compression", "enable_response_decompression", "trust_env_proxy_settings",
        ):  # fmt: skip
            check_flag(name, getattr(self, name))
        check_duration("total_timeout", self.total_timeout)
        for name in ("max_response_headers", "max_response_header_size"):
            check_count(name, getattr(self, name))
        check_count("allowed_redirect_count", self.allowed_redirect_count, least=0)
        if self.max_response_size is not None:
            check_count("max_response_size", self.max_response_size)
        for name in ("request_interceptors", "response_interceptors"):
            check_interceptors(name, getattr(self, name))
        check_coding(self.request_coding)
        if not isinstance(self.cookies, (bool, CookieJar)):
            raise ConfigurationError(f"cookies must be True, False or a CookieJar, not {self.cookies!r}")
        if not isinstance(self.egress_policy, (EgressPolicy, type(None))):
            raise ConfigurationError(
                f"egress_policy must be an EgressPolicy or None, not {self.egress_policy!r}"
            )
        if not (isinstance(self.netrc, bool) or is_path(self.netrc)):
            raise ConfigurationError(
                f"netrc must be True, False or the path of a netrc file, not {self.netrc!r}"
            )
        self._resolve("pool", self._shared_pool())
        # What is switched off is checked too: it may be switched on later.
        breaker, retry, budget = self._breaker(), self._retry(), self._budget()
        self._resolve("circuit_breaker", breaker if self.enable_circuit_breaker else None)
        self._resolve("retry", retry if self.enable_retry_policy else None)
        self._resolve("budget", budget if self.enable_retry_budget else None)
        self._resolve("headers", parse_headers(self.default_headers))
        self._resolve("sensitive", parse_header_names(self.sensitive_headers) | SENSITIVE_HEADERS)
        self._resolve("proxies", None if self.proxy is None else parse_proxies(self.proxy))

    @property
    def timeout(self) -> Timeout:
        """The bounds of one attempt when the call says nothing else."""
        total, limit = (
            self.pool.request_timeout,
            self.circuit_breaker.timeout if self.circuit_breaker else None,
        )
        if limit is not None:
            total = limit if total is None else min(total, limit)
        return Timeout(total=total, connect=self.pool.connection_timeout, pool=self.pool.pool_timeout)

    def __repr__(self) -> str:
        """What was set, with the secrets among the default headers and in the proxies' URLs redacted."""
        given = {item.name: getattr(self, item.name) for item in fields(self) if item.init}
        given["default_headers"] = redact_headers(self.headers, self.sensitive)
        given["proxy"] = redacted_proxy(self.proxy)
        said = (f"{name}={value!r}" for name, value in given.items() if value != _DEFAULTS[name])
        return f"HttpClientConfig({', '.join(said)})"

    def _resolve(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _shared_pool(self) -> ConnectionPoolConfig:
        """The connection settings, from both places where they can be said."""
        said = {
            pooled: getattr(self, top) for top, pooled in _SHARED.items() if getattr(self, top) is not None
        }
        if self.connection_pool is None:
            return _with_names(ConnectionPoolConfig, said, {pooled: top for top, pooled in _SHARED.items()})
        if not isinstance(self.connection_pool, ConnectionPoolConfig):
            remedy = (
                "; write ConnectionPoolConfig(**settings)" if isinstance(self.connection_pool, dict) else ""
            )
            raise ConfigurationError(
                f"connection_pool must be a ConnectionPoolConfig, not {type(self.connection_pool).__name__}{remedy}"
            )
        for top, pooled in _SHARED.items():
            here, there = getattr(self, top), getattr(self.connection_pool, pooled)
            if here is not None and here != there:
                raise ConfigurationError(
                    f"{top}={here!r} and connection_pool.{pooled}={there!r} say different things; give one of them"
                )
        return self.connection_pool

    def _breaker(self) -> CircuitBreakerPolicy:
        given = self.circuit_breaker_config
        if isinstance(given, CircuitBreakerPolicy):
            return given
        return CircuitBreakerPolicy(**parse_arguments("circuit_breaker_config", given, CircuitBreakerPolicy))

    def _retry(self) -> RetryPolicy:
        given = self.retry_policy_config
        if isinstance(given, RetryPolicy):
            return given
        arguments = parse_arguments("retry_policy_config", given, RetryPolicy, ExponentialBackoff)
        backoff = {
            item.name: arguments.pop(item.name)
            for item in fields(ExponentialBackoff)
            if item.name in arguments
        }
        if backoff and "backoff_strategy" in arguments:
            raise ConfigurationError(
                f"retry_policy_config gives backoff_strategy and {', '.join(backoff)}; put the latter into the strategy"
            )
        arguments.setdefault("backoff_strategy", ExponentialBackoff(**backoff))
        return RetryPolicy(**arguments)

    def _budget(self) -> RetryBudgetSettings:
        given = self.retry_budget_config
        if isinstance(given, RetryBudgetSettings):
            return given
        return RetryBudgetSettings(**parse_arguments("retry_budget_config", given, RetryBudgetSettings))


_DEFAULTS = {
    item.name: {} if item.default is MISSING else item.default
    for item in fields(HttpClientConfig)
    if item.init
}


def _with_names(
    pool: type[ConnectionPoolConfig], said: dict[str, Any], names: dict[str, str]
) -> ConnectionPoolConfig:
    """The pool made from what was said at the top level, its errors by the names used there."""
    try:
        return pool(**said)
    except ConfigurationError as error:
        message = str(error)
        for pooled, top in names.items():
            if message.startswith(pooled + " "):
                # None means "the default" at the top level; "no limit" is said in the pool.
                message = top + message[len(pooled) :].replace(
                    "use None for no limit", f"for no limit, set {pooled}=None in connection_pool"
                )
        raise ConfigurationError(message) from None
