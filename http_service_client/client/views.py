"""Views of a client: its connections, circuits, metrics and limits, with other defaults for the calls.

A view is made in microseconds, since it shares all that is live. It is an `HttpServiceClient` itself, and can be passed
to any code that takes one. Only `close` differs: it ends the view, and leaves the rest to the client that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from ..core.checks import check_call_name, check_duration, check_flag, known_remedy, remedies
from ..core.origins import parse_key
from ..errors import ClientClosedError, ConfigurationError
from ..http.headers import Headers
from .call_builder import CallBuilder, override
from .call_policies import chosen, chosen_fallback, chosen_hedging, uses_budget
from .config.client_config import ConnectionPoolConfig, HttpClientConfig
from .config.defaults import CLIENT_DEFAULT
from .config.resolved import parse_base_url, parse_client_auth, parse_default_headers, parse_proxies
from .results import check_type
from .wiring import proxy_settings

if TYPE_CHECKING:
    from ..core.call import Call
    from ..core.timeouts import Timeout
    from ..http.auth.flow import AuthFlow
    from ..http.cookies.jar import CookieJar
    from ..policies import Cache, CircuitBreakerPolicy, FallbackPolicy, HedgingPolicy, RetryPolicy

__all__ = ["ViewCallBuilder", "ViewOptions", "about_assignment", "about_view", "check_view_options"]


class ViewOptions(TypedDict, total=False):
    """The options of `HttpServiceClient.with_options`, which explains them."""

    auth: tuple[str, str] | str | AuthFlow | Literal[False] | None
    base_url: str | None
    default_headers: Mapping[str, object]
    cookies: bool | CookieJar
    cache: Cache | bool | None
    proxy: str | Mapping[str, str] | None
    timeout: float | Timeout | None
    total_timeout: float | None
    allow_redirects: bool
    retry_policy: RetryPolicy | bool | None
    circuit_breaker: CircuitBreakerPolicy | bool | None
    retry_budget: bool | None
    fallback: FallbackPolicy | bool | None
    hedging: HedgingPolicy | bool | None
    key: str | None
    name: str | None
    decompress: bool
    error_type: Any


_OPTIONS = tuple(ViewOptions.__annotations__)
# Keywords of a call: a view passes them on with each call that does not set them itself.
_OF_CALLS = (
    *("timeout", "total_timeout", "allow_redirects", "retry_policy", "circuit_breaker", "retry_budget"),
    *("hedging", "key", "name", "decompress", "error_type"),
)
_RENAMED = remedies(
    {
        "it is called default_headers": "headers user_agent",
        "it is called auth": "bearer bearer_token token",
        "it is called timeout": "base_timeout",
        "it is called key": "tenant",
        "it is called proxy": "proxies",
        "pass retry_policy=RetryPolicy(max_attempts=…)": "max_attempts",
        "it is called allow_redirects": "follow_redirects max_redirects",
        "set ssl_verify in ConnectionPoolConfig, of a client of its own": "verify",
        "set ssl_cert_file in ConnectionPoolConfig, of a client of its own": "cert",
        "set request_interceptors or response_interceptors in HttpClientConfig": "interceptors",
        "pass it with each call": "params path_params json data files idempotent progress response_type",
    }
)
_OF_CLIENTS = frozenset(item.name for item in fields(HttpClientConfig))
_OF_POOLS = frozenset(item.name for item in fields(ConnectionPoolConfig)) - _OF_CLIENTS


def check_view_options(options: Mapping[str, Any]) -> None:
    """Raise TypeError for an unknown option, with what to write instead."""
    for name in options:
        if name not in _OPTIONS:
            elsewhere = {
                **dict.fromkeys(_OF_CLIENTS, "set it in HttpClientConfig"),
                **dict.fromkeys(_OF_POOLS, "set it in ConnectionPoolConfig, of a client of its own"),
            }
            remedy = known_remedy(name, _OPTIONS, _RENAMED, elsewhere) or "see its docstring"
            raise TypeError(f"with_options takes no option {name!r}; {remedy}")


def about_assignment(name: str) -> str | None:
    """What to write instead of an assignment to an attribute of a client; None for one that is no setting."""
    if (option := about_view(name)) is not None:
        return option
    return "call client.reconfigure(config)" if name == "config" or name in _OF_CLIENTS else None


def about_view(name: str) -> str | None:
    """How to make a view with this option, which may have its name of other clients; None if it is no option."""
    if name in _OPTIONS:
        return f"write client.with_options({name}=…)"
    remedy = _RENAMED.get(name, "")
    if remedy.startswith("it is called "):
        return f"write client.with_options({remedy.removeprefix('it is called ')}=…)"
    return None


class ViewLifetime:
    """Of a view, whatever becomes of its settings.   is_left: the view was closed."""

    __slots__ = ("is_left",)

    def __init__(self) -> None:
        self.is_left = False


class ViewCallBuilder(CallBuilder):
    """Makes the calls of a view.

    of: the builder of the client, or of the view, that it was made of.
    options: checked by name; `cookies` is the jar itself, or None.
    lifetime: of the view, if it had a builder before.

    Raises ConfigurationError for a wrong value.
    """

    def __init__(
        self, of: CallBuilder, options: Mapping[str, Any], lifetime: ViewLifetime | None = None
    ) -> None:
        self.__dict__.update(of.__dict__)
        self.own_lifetime = lifetime or ViewLifetime()
        if "base_url" in options:
            self._base_url = parse_base_url(options["base_url"])
            self._hosts = None  # the alternates are those of the client's
        if "default_headers" in options or "auth" in options:
            self._change_headers(options)
        ours = {name: options[name] for name in _OF_CALLS if name in options}
        self._defaults = {**self.__dict__.get("_defaults", {}), **ours}
        self._check_defaults(**self._defaults)
        if "fallback" in options:
            fallback = chosen_fallback(options["fallback"], self._options.fallback)
            self._options, self._has_own_fallback = self._options.but(fallback=fallback), True
        if "cookies" in options or "cache" in options:
            cache = chosen("cache", options.get("cache", True), self.cache, "Cache")
            if cache is None and options.get("cache") is True:
                raise ConfigurationError(
                    "cache=True is the cache of the client, which has none; write cache=Cache()"
                )
            self.use(self.pipelines_with, options.get("cookies", self.jar), cache)
        if "proxy" in options:
            proxies = proxy_settings(self.config, parse_proxies(options["proxy"]))
            self.backends = self.backends.through(proxies)

    @property
    def is_closed(self) -> bool:
        """Whether the view was closed, or its client."""
        return self.own_lifetime.is_left or self.lifetime.is_closed

    def total_timeout(self, options: Mapping[str, Any]) -> float | None:
        """As `CallBuilder.total_timeout`, of a call by the view."""
        return CallBuilder.total_timeout(self, {**self._defaults, **options})

    def build_of(self, method: str, url: str, response_type: Any, keywords: Mapping[str, Any]) -> Call:
        """Make the call of these arguments and the view's defaults."""
        if self.own_lifetime.is_left:
            raise ClientClosedError(
                "this view of an HttpServiceClient was closed; make a new one by with_options"
            )
        return CallBuilder.build_of(self, method, url, response_type, {**self._defaults, **keywords})

    def _change_headers(self, options: Mapping[str, Any]) -> None:
        """The headers of each call, and its credentials: those of the view replace those that it was made with."""
        headers, auth, given = self._without_auth, self._client_auth, Headers()
        if "default_headers" in options:
            changes = options["default_headers"]
            if not isinstance(changes, Mapping):
                raise ConfigurationError(
                    f"default_headers must be a mapping of names to values, not {type(changes).__name__}"
                )
            given = parse_default_headers(changes)
            headers = headers.copy()
            override(headers, given)
            left_out = Headers([(name, "") for name, value in changes.items() if value is None])
            for name in left_out:
                headers.pop(name, None)
            if "Authorization" in given or "Authorization" in left_out:
                auth = None
        if "auth" in options:
            auth = parse_client_auth(options["auth"], given)
        self._set_headers(headers, auth)

    def _check_defaults(
        self,
        *,
        total_timeout: Any = None,
        retry_budget: Any = None,
        hedging: Any = None,
        key: Any = None,
        name: Any = None,
        decompress: Any = True,
        error_type: Any = None,
        timeout: Any = CLIENT_DEFAULT,
        allow_redirects: Any = True,
        retry_policy: Any = CLIENT_DEFAULT,
        circuit_breaker: Any = CLIENT_DEFAULT,
    ) -> None:
        """Find a wrong value now, and not in each call."""
        check_duration("total_timeout", total_timeout)
        uses_budget(retry_budget)
        chosen_hedging(hedging)
        check_flag("decompress", decompress)
        if error_type is not None:
            check_type(error_type)
        if key is not None:
            parse_key(key)
        if name is not None:
            check_call_name(name)
        check_flag("allow_redirects", allow_redirects)
        chosen("retry_policy", retry_policy, None, "RetryPolicy")
        self._chosen_timeout(timeout, circuit_breaker)  # both of them
