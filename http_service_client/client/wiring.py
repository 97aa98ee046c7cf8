"""A client's parts, put together from its configuration, once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache as cache_of_function
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core import layers
from ..core.call import Call, CallOptions
from ..core.checks import refuse_awaitable
from ..core.layer_order import call_pipeline, foreign_pipeline
from ..core.layers.interceptors import Interceptor
from ..core.origins import OriginRegistry, state_key
from ..drivers.call_ids import CALL_IDS
from ..drivers.garbage import collect_garbage
from ..drivers.imports import import_apart
from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError
from ..http.http1.framing import ParserSettings
from ..http.preparation import Preparation
from ..http.proxies.settings import ProxySettings
from ..http.urls import normalise_url, origin_of
from ..policies.listeners import ExchangeListener, report_condition
from ..transports.base import TransportSettings
from ..transports.idle import IdleConnections
from ..transports.network.sockets import SocketSettings
from ..transports.network.tls import TlsSettings
from .config.proxies_and_logins import read_proxies
from .config.resolved import standard_headers
from .config.sockets import check_no_proxy, parse_socket_options, parse_source_address

if TYPE_CHECKING:
    from ..core.call import Call
    from ..core.layer import Handler
    from ..core.layers.chaos import Faults, HasChaos
    from ..core.layers.telemetry import Telemetry
    from ..core.layers.tokens import Needs
    from ..core.machines.fallback import LastGood
    from ..core.machines.limits.semaphore import FairSemaphore
    from ..drivers.clocks import Clock
    from ..errors import Failure
    from ..events import Event
    from ..http.auth.netrc import NetrcEntries
    from ..http.caching.stored import StoredResponse
    from ..http.cookies.jar import CookieJar
    from ..http.fields.propagation import Propagation
    from ..http.headers import Headers
    from ..http.messages import HttpContext, HttpRequest, HttpResponse
    from ..policies.cache import Cache
    from .config.client_config import HttpClientConfig

__all__ = [
    "Interceptors",
    "LastGoodResponses",
    "Pipelines",
    "connection_settings",
    "cookie_jar",
    "foreign_calls",
    "idle_limit",
    "load_auth",
    "load_hedging",
    "load_templates",
    "pipelines",
    "proxy_settings",
    "transport_settings",
]

TOKEN_CALL = "token request"
"""The name of the calls that fetch tokens, in events and metrics."""


def load_auth() -> None:
    """Import the layers of calls with an auth flow, before such a call begins."""
    from ..core.layers import auth, tokens  # noqa: F401


def load_hedging() -> None:
    """Import the layers of calls with hedges, before such a call begins, and asyncio, whose `CancelledError` ends a hedge."""
    import asyncio  # noqa: F401

    from ..core.layers import hedging  # noqa: F401


def load_templates() -> None:
    """Import what values in the path of a URL need, before the call begins."""
    from ..http import path_templates  # noqa: F401


class Pipelines(NamedTuple):
    """The layers of each kind of call. Calls without an auth flow, say, have none for it.

    call: of a call with neither auth flow nor fallback, and with the hedges of the client.
    special: those of other calls, made when first used. The arguments: with an auth flow, with a fallback; with hedges, None for
        those of the client; for a download, which has neither fallback nor hedges.
    """

    call: Handler
    special: Callable[[bool, bool, bool | None, bool], Handler]

    def of(self, call: Call) -> Handler:
        """The layers of this call."""
        options = call.options
        if options.auth is None and options.fallback is None and options.hedging is True:
            return self[0]
        hedges = None if options.hedging is True else options.hedging is not False
        return self.special(options.auth is not None, options.fallback is not None, hedges, False)

    def of_download(self, call: Call) -> Handler:
        """The layers of a download."""
        return self.special(call.options.auth is not None, False, None, True)


def pipelines(
    config: HttpClientConfig,
    keys: OriginRegistry,
    connections: FairSemaphore,
    made: Interceptors,
    clock: Clock,
    random: Callable[[], float],
    on_exchange: Callable[[HttpRequest, HttpResponse | Failure, HttpContext], object] | None,
    listener: Callable[[Event], None] | None = None,
    logins: NetrcEntries | None = None,
    telemetry: Telemetry | None = None,
    last_good: LastGoodResponses | None = None,
    chaos: HasChaos | None = None,
) -> Callable[[CookieJar | None, Cache | None], Pipelines]:
    """A function that makes the layers of each kind of call, for a cookie jar and a cache. They share all the rest.

    listener: called with the events of the calls that fetch tokens.   logins: those of the netrc file.
    last_good: where the last good responses are, for fallbacks; None for no fallbacks.
    chaos: in the place of the configuration's.
    """
    chaos = chaos or config.resolved.chaos
    pipeline = partial(
        call_pipeline,
        origins=keys,
        connections=connections,
        interceptors=(
            [made.method(item, "intercept_request") for item in config.request_interceptors],
            [made.method(item, "intercept_response") for item in config.response_interceptors],
        ),
        secret_names=config.resolved.secret_names,
        compression=(config.pool.compression_threshold, config.request_coding)
        if config.enable_request_compression
        else None,
        egress=config.egress_policy,
        max_size=config.max_response_size,
        random=random,
        wall_clock=clock.wall,
        has_gates=config.enable_throttle_gate,
        has_rate_limit=config.resolved.rate_limit is not None,
        report=report_condition,
        propagation=config.resolved.propagation,
        signers=[made.signer(item) for item in config.request_signers],
        collect=collect_garbage,
        observe=None if on_exchange is None else ExchangeListener(on_exchange),
        telemetry=telemetry,
        has_hosts=bool(config.resolved.alternate_urls),
        checks_deadlines=config.resolved.deadline_check is not None,
        sheds_load=config.resolved.load_shedding is not None,
        adapts_limits=config.resolved.adaptive_limit is not None,
        has_bulkheads=config.resolved.bulkhead is not None,
        chaos=None if chaos is None else (chaos, _injected_faults()),
    )
    has_hedges = config.resolved.hedging is not None

    @cache_of_function
    def auth() -> tuple[Headers, layers.Tokens]:
        """What calls with an auth flow have in common."""
        headers = standard_headers(config.pool)
        headers.secret_names = config.resolved.secret_names
        # A call that fetches a token has nothing of the calls that need it: no interceptors, cookies or signatures. Nor does
        # it need a permit: after a 401, those that wait for the token hold the permits, and it would wait for them.
        fetching = pipeline(
            has_bulkheads=False,
            adapts_limits=False,
            prepare=Preparation(),
            interceptors=((), ()),
            signers=(),
            compression=None,
            propagation=_for_named_hosts(config),
            cookies=None,
        )
        new_call = partial(_token_call, config, keys, headers, clock, listener)
        return headers, layers.Tokens(fetching, new_call, clock.monotonic, clock.wall, random)

    def make(jar: CookieJar | None, cache: Cache | None) -> Pipelines:
        part = None if cache is None else membership(config, jar, cache)

        @cache_of_function
        def special(has_auth: bool, has_fallback: bool, hedges: bool | None, is_download: bool) -> Handler:
            # A call with an auth flow has its credentials from there: no login is taken from a netrc file.
            if has_auth:
                of_kind = partial(pipeline, prepare=Preparation(), auth=auth(), cookies=jar)
            else:
                of_kind = partial(pipeline, prepare=Preparation(logins), cookies=jar)
            if is_download:
                return of_kind(is_download=True)
            own = None
            if has_fallback and last_good is not None:
                own = fallback_membership(config, jar, last_good.get())
            return of_kind(cache=part, fallback=own, has_hedges=has_hedges if hedges is None else hedges)

        return Pipelines(special(False, False, None, False), special)

    return make


def foreign_calls(
    config: HttpClientConfig,
    keys: OriginRegistry,
    clock: Clock,
    random: Callable[[], float],
    on_exchange: Callable[[HttpRequest, HttpResponse | Failure, HttpContext], object] | None,
    telemetry: Telemetry | None = None,
) -> Handler:
    """The layers of calls whose exchanges another library makes."""
    chaos = config.resolved.chaos
    return foreign_pipeline(
        origins=keys,
        random=random,
        wall_clock=clock.wall,
        report=report_condition,
        observe=None if on_exchange is None else ExchangeListener(on_exchange),
        has_gates=config.enable_throttle_gate,
        has_rate_limit=config.resolved.rate_limit is not None,
        # That library follows redirects, so a hop to a stranger's origin looks like any call.
        propagation=_for_named_hosts(config),
        telemetry=telemetry,
        checks_deadlines=config.resolved.deadline_check is not None,
        sheds_load=config.resolved.load_shedding is not None,
        adapts_limits=config.resolved.adaptive_limit is not None,
        has_bulkheads=config.resolved.bulkhead is not None,
        chaos=None if chaos is None else (chaos, _injected_faults()),
    )


def _for_named_hosts(config: HttpClientConfig) -> Propagation | None:
    """The headers of propagation for requests that may go to a stranger: only hosts that the user named get them."""
    propagation = config.resolved.propagation
    return propagation if propagation is not None and propagation.hosts is not None else None


def _token_call(
    config: HttpClientConfig,
    keys: OriginRegistry,
    headers: Headers,
    clock: Clock,
    listener: Callable[[Event], None] | None,
    request: HttpRequest,
    timeout: float,
    needs: Needs,
) -> Call:
    """The call that fetches a token.   timeout: seconds for it as a whole.   needs: see `Needs`."""
    request.url = normalise_url(request.url)
    for name, value in headers.pairs():
        request.headers.setdefault(name, value)
    request.headers.secret_names = headers.secret_names
    key = origin_of(request.url)
    if needs.key is not None:  # a tenant's: what its secret causes must trouble no other
        key = state_key(key, needs.key)
    state = keys.get(key)
    resolved = config.resolved
    call = Call(
        request,
        key,
        state,
        None if state.breaker is needs.held else state.breaker,
        # Redirects are not followed: the client's secret would go where a response says.
        CallOptions(resolved.timeout, 0, resolved.retry, is_nested=False, key=needs.key),
        clock.monotonic,
        clock.monotonic() + timeout,
        listener,
        CALL_IDS.new(),
        TOKEN_CALL,
    )
    call.telemetry = needs.telemetry
    return call


def membership(config: HttpClientConfig, jar: CookieJar | None, cache: Cache) -> layers.CacheMembership:
    """The part in a cache of a client with this jar."""
    adds = _adds_credentials(config, jar)
    socket, certificate = _peer_paths(config)
    decodes = config.enable_response_decompression
    signs = bool(config.request_signers)
    return layers.CacheMembership(
        cache.state, CALL_IDS.new, decodes, adds, signs, socket, certificate, _trust(config)
    )


def fallback_membership(
    config: HttpClientConfig, jar: CookieJar | None, responses: LastGood[StoredResponse]
) -> layers.FallbackMembership:
    """What the last good responses of a client with this jar depend on."""
    parts = (config.enable_response_decompression, *_peer_paths(config), _trust(config))
    return layers.FallbackMembership(
        responses, _adds_credentials(config, jar), bool(config.request_signers), parts
    )


class LastGoodResponses:
    """Where the last good responses of a client are. Made when the first call with a fallback needs it."""

    def __init__(self, config: HttpClientConfig) -> None:
        self._config = config
        self._lock = ForkSafeLock()
        self._made: LastGood[StoredResponse] | None = None

    def get(self) -> LastGood[StoredResponse]:
        """The responses."""
        from ..core.machines.fallback import LastGood

        with self._lock:
            if self._made is None:
                self._made = LastGood(*_limits_of_last_good(self._config), lock=ForkSafeLock())
            return self._made

    def resize(self, config: HttpClientConfig) -> None:
        """Go by the limits of another configuration."""
        with self._lock:
            self._config = config
            if self._made is not None:
                self._made.resize(*_limits_of_last_good(config))


def _limits_of_last_good(config: HttpClientConfig) -> tuple[int, int]:
    from ..core.machines.fallback import FallbackSettings

    settings = config.resolved.fallback
    if settings is None:  # for calls with a fallback of their own
        settings = FallbackSettings(value=None)
    return settings.max_entries, settings.max_bytes


def _injected_faults() -> Faults:
    from ..transports.injected import INJECTED_FAULTS

    return INJECTED_FAULTS


def _adds_credentials(config: HttpClientConfig, jar: CookieJar | None) -> bool:
    """Whether something inside the layers of a call may add credentials to its request."""
    return bool(config.request_interceptors or config.request_signers or config.netrc) or jar is not None


def _peer_paths(config: HttpClientConfig) -> list[str | None]:
    """The paths of the client's Unix socket and of its certificate."""
    paths = (config.pool.uds, config.pool.ssl_cert_file)
    return [None if path is None else os.path.abspath(path) for path in paths]


def _trust(config: HttpClientConfig) -> str | None:
    """Whom the client believes, and where it may go; None for any service that the system's authorities vouch for."""
    pool, egress = config.pool, config.egress_policy
    authorities = None if pool.ssl_ca_file is None else os.path.abspath(pool.ssl_ca_file)
    # What a context trusts cannot be seen. Another function makes another one.
    context = pool.ssl_context
    if pool.ssl_verify and authorities is None and context is None and egress is None:
        return None
    return repr((pool.ssl_verify, authorities, context, egress))


def cookie_jar(setting: bool | CookieJar) -> CookieJar | None:
    """The jar that a configuration or a view asks for, safe for threads."""
    if setting is False:
        return None
    from ..http.cookies.jar import CookieJar
    from ..http.cookies.suffixes import load_suffixes

    if setting is not True and not isinstance(setting, CookieJar):
        raise ConfigurationError(f"cookies must be True, False or a CookieJar, not {setting!r}")
    import_apart(load_suffixes)  # now, and not during a call when the first cookie arrives
    jar = CookieJar() if setting is True else setting
    jar.share(ForkSafeLock())
    return jar


def proxy_settings(config: HttpClientConfig, proxies: ProxySettings | None) -> ProxySettings:
    """The proxies of a setting, or those of the environment where it sets none; none before a Unix socket.

    Raises ConfigurationError for proxies that are set beside `uds`.
    """
    if config.pool.uds is not None:
        check_no_proxy(config.pool.uds, proxies)
        return ProxySettings()
    return read_proxies(config.trust_env_proxy_settings) if proxies is None else proxies


def connection_settings(config: HttpClientConfig, settings: TransportSettings) -> tuple[object, ...]:
    """All that a connection is made by, and read by: while it stays the same, a connection may be used again."""
    of_tls = (getattr(config.pool, item.name) for item in fields(config.pool) if item.name.startswith("ssl_"))
    kept = (item.name for item in fields(settings) if item.name not in ("idle", "faults", "tls"))
    return (*of_tls, *(getattr(settings, name) for name in kept))


def idle_limit(config: HttpClientConfig) -> int:
    """How many idle connections are kept."""
    most = config.pool.max_idle_connections
    return config.pool.max_connections if most is None else most


def transport_settings(config: HttpClientConfig) -> TransportSettings:
    pool = config.pool
    return TransportSettings(
        keep_alive_timeout=pool.keep_alive_timeout,
        keep_alive_max_requests=pool.keep_alive_max_requests,
        max_response_size=config.max_response_size,
        decompress=config.enable_response_decompression,
        tls=TlsSettings(
            pool.ssl_verify,
            pool.ssl_cert_file,
            pool.ssl_key_file,
            pool.ssl_ca_file,
            pool.ssl_key_password,
            None if pool.ssl_cert_hosts is None else _certificate_hosts(pool.ssl_cert_hosts),
            pool.ssl_context,
        ),
        proxies=proxy_settings(config, config.resolved.proxies),
        egress=config.egress_policy,
        parser=ParserSettings(
            config.max_response_headers,
            config.max_response_header_size,
            config.resolved.tolerated_faults,
        ),
        idle=IdleConnections(idle_limit(config), pool.keep_alive_timeout),
        max_connection_age=pool.max_connection_age,
        http2=config.http2,
        uds=None if pool.uds is None else os.fspath(pool.uds),
        sockets=SocketSettings(
            parse_socket_options(pool.socket_options), parse_source_address(pool.source_address)
        ),
    )


def _certificate_hosts(hosts: Sequence[str]) -> Callable[[str, int], bool]:
    from ..http.egress import host_matcher

    return host_matcher("ssl_cert_hosts", hosts)


class Interceptors:
    """One object of each class of interceptors and signers, however often it is listed, now or after a change."""

    def __init__(self, factory: Callable[[type], Any] | None) -> None:
        self._factory = factory or (lambda cls: cls())
        self._made: dict[type, Any] = {}

    def method(self, item: Any, name: str) -> Interceptor:
        """The method of an interceptor given as a class or an object."""
        made = self._object(item)
        method = getattr(made, name, None)
        if not callable(method):  # not so if the class was called: a configuration has been checked
            refuse_awaitable(made)
            raise ConfigurationError(
                f"interceptor_factory must return a {item.__name__}, with the method {name}, not {made!r}"
            )
        item = made
        _prepare_for(method)
        return Interceptor(f"{type(item).__name__}.{name}", method)

    def signer(self, item: Any) -> layers.Signer:
        """A signer given as a class, an object or a function."""
        item = self._object(item)
        method = getattr(item, "sign_request", None)
        name = (
            getattr(item, "__qualname__", type(item).__name__)
            if method is None
            else f"{type(item).__name__}.sign_request"
        )
        _prepare_for(item if method is None else method)
        return layers.Signer(
            name, item if method is None else method, getattr(item, "signs_other_origins", False) is True
        )

    def _object(self, item: Any) -> Any:
        if not isinstance(item, type):
            return item
        if item not in self._made:
            self._made[item] = self._factory(item)
        return self._made[item]


def _load_portal() -> None:
    from ..drivers import portal  # noqa: F401


def _prepare_for(method: Any) -> None:
    """Import now what blocking calls run async user code with."""
    if inspect.iscoroutinefunction(method):
        import_apart(_load_portal)
