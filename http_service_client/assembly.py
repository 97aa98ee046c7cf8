"""A client's parts, put together from its configuration, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .core.cookies import CookiesLayer
from .core.exchange import Exchange
from .core.interceptors import Interceptor, InterceptorsLayer
from .core.pipeline import call_pipeline
from .core.preparation import Preparation
from .core.redirects import RedirectsLayer
from .core.request_compression import RequestCompressionLayer
from .core.retry import RetryLayer
from .core.saving import SavingLayer
from .drivers.locks import ForkSafeLock
from .environment import read_logins, read_proxies
from .protocol.cookie_jar import CookieJar
from .transports.base import TransportSettings
from .transports.framing import HeadLimits
from .transports.tls import TlsSettings

if TYPE_CHECKING:
    from .config import HttpClientConfig
    from .core.keys import KeyRegistry
    from .core.limits import Limit
    from .core.pipeline import Handler
    from .drivers.clocks import Clock

__all__ = ["cookie_jar", "pipelines", "transport_settings"]


def pipelines(
    config: HttpClientConfig,
    keys: KeyRegistry,
    connections: Limit,
    jar: CookieJar | None,
    interceptor_factory: Callable[[type], Any] | None,
    clock: Clock,
    random: Callable[[], float],
) -> tuple[Handler, Handler]:
    """The layers of each call, and those of each download."""
    interceptors = _Interceptors(interceptor_factory)
    retry = RetryLayer(random, clock.wall)
    inner = (
        InterceptorsLayer(
            [interceptors.method(item, "intercept_request") for item in config.request_interceptors],
            [interceptors.method(item, "intercept_response") for item in config.response_interceptors],
            Preparation(read_logins(config.netrc)),
        ),
        RedirectsLayer(config.sensitive),
        _compression(config, keys),
        None if jar is None else CookiesLayer(jar, clock.wall),
        Exchange(keys, connections, config.egress_policy),
    )
    return call_pipeline(retry, None, *inner), call_pipeline(retry, SavingLayer(), *inner)


def cookie_jar(wanted: bool | CookieJar) -> CookieJar | None:
    """The jar that the configuration asks for, safe for threads."""
    if wanted is False:
        return None
    jar = CookieJar() if wanted is True else wanted
    jar.share(ForkSafeLock())
    return jar


def _compression(config: HttpClientConfig, keys: KeyRegistry) -> RequestCompressionLayer | None:
    if not config.enable_request_compression:
        return None
    return RequestCompressionLayer(keys, config.pool.compression_threshold, config.request_coding)


def transport_settings(config: HttpClientConfig) -> TransportSettings:
    pool = config.pool
    return TransportSettings(
        keep_alive_timeout=pool.keep_alive_timeout,
        keep_alive_max_requests=pool.keep_alive_max_requests,
        max_response_size=config.max_response_size,
        decompress=config.enable_response_decompression,
        tls=TlsSettings(pool.ssl_verify, pool.ssl_cert_file, pool.ssl_key_file, pool.ssl_ca_file),
        proxies=read_proxies(config.trust_env_proxy_settings),
        egress=config.egress_policy,
        head_limits=HeadLimits(config.max_response_headers, config.max_response_header_size),
    )


class _Interceptors:
    """One object of each interceptor class, however often it is listed."""

    def __init__(self, factory: Callable[[type], Any] | None) -> None:
        self._factory = factory or (lambda cls: cls())
        self._made: dict[type, Any] = {}

    def method(self, item: Any, name: str) -> Interceptor:
        """The method of an interceptor given as a class or an object."""
        if isinstance(item, type):
            if item not in self._made:
                self._made[item] = self._factory(item)
            item = self._made[item]
        return Interceptor(f"{type(item).__name__}.{name}", getattr(item, name))
