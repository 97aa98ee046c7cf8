"""What the fields of the configuration may hold: each check raises ConfigurationError with what to write instead."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.checks import did_you_mean
from ..errors import ConfigurationError, Failure, InvalidRequestError
from ..http.content_codings.compression import REQUEST_CODINGS, may_compress
from ..http.headers import Headers, build_headers, validate_headers
from ..http.proxies.settings import ProxySettings, unreadable_exceptions
from ..http.proxies.urls import read_proxy, redact_proxy

__all__ = [
    "check_coding",
    "check_interceptors",
    "check_path",
    "is_path",
    "parse_arguments",
    "parse_header_names",
    "parse_headers",
    "parse_proxies",
    "redacted_proxy",
]

# A client has a clock, a random source and a retry budget of its own, and names its circuits by their keys.
_THE_CLIENTS_OWN = frozenset({"budget", "clock", "name", "random"})


def parse_arguments(name: str, given: object, *takers: Any) -> dict[str, Any]:
    """A mapping of keyword arguments, each known to one of the takers."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{name} must be a mapping or a {takers[0].__name__}, not {type(given).__name__}"
        )
    known = [
        name
        for taker in takers
        for name in inspect.signature(taker).parameters
        if name not in _THE_CLIENTS_OWN
    ]
    for key in given:
        if key not in known:
            hint = did_you_mean(key, known) or f"known keys: {', '.join(known)}"
            raise ConfigurationError(f"{name} has the unknown key {key!r}; {hint}")
    return dict(given)


def check_path(name: str, value: object) -> None:
    """The path of a PEM file, or None."""
    if value is not None and not is_path(value):
        raise ConfigurationError(f"{name} must be the path of a PEM file, or None, not {value!r}")


def is_path(value: object) -> bool:
    """Whether it is text or a path object, and not empty."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    return isinstance(path, str) and path != ""


def check_interceptors(name: str, value: object) -> None:
    """A list of classes or objects that have the method."""
    method = "intercept_" + name.split("_", 1)[0]
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ConfigurationError(f"{name} must be a list of interceptor classes or objects, not {value!r}")
    for item in value:
        if not callable(getattr(item, method, None)):
            shown = item.__name__ if isinstance(item, type) else repr(item)
            raise ConfigurationError(f"{name} has {shown}, which has no method {method}")


def check_coding(value: object) -> None:
    """A content coding that requests may be sent in, and that is installed."""
    if value not in REQUEST_CODINGS:
        raise ConfigurationError(f"request_coding must be 'gzip' or 'zstd', not {value!r}")
    if not may_compress(str(value)):
        raise ConfigurationError(
            f"request_coding must be 'gzip' here, not {value!r}; for zstd install http-service-client[zstd]"
        )


def parse_headers(given: object) -> Headers:
    """Headers that may be sent."""
    try:
        headers = build_headers(given)  # type: ignore[arg-type]  # whatever was given, it says what is wrong
        validate_headers(headers)
    except ValueError as error:
        raise ConfigurationError(f"default_headers: {error}") from None
    return headers


def parse_header_names(names: object) -> frozenset[str]:
    """Names of headers, in lower case."""
    if isinstance(names, (str, bytes)) or not isinstance(names, (Sequence, frozenset, set)):
        raise ConfigurationError(f"sensitive_headers must be a list of header names, not {names!r}")
    checked: set[str] = set()
    for name in names:
        try:
            header = Headers([(name, "")])
            validate_headers(header)
        except InvalidRequestError:
            raise ConfigurationError(
                f"sensitive_headers must be a list of header names, and {name!r} is none"
            ) from None
        checked.update(known.lower() for known in header)
    return frozenset(checked)


_PROXIES = ("http", "https", "all", "no")


def parse_proxies(proxy: Any) -> ProxySettings:
    """The proxies of a setting, by the rules for the environment's variables."""
    named = {"all": proxy} if isinstance(proxy, str) else proxy
    if not isinstance(named, Mapping) or not all(isinstance(value, str) for value in named.values()):
        raise ConfigurationError(
            "proxy must be a URL such as 'http://host:3128', or a mapping of "
            f"{', '.join(_PROXIES)} to text, not of type {type(proxy).__name__}"
        )
    for name, value in named.items():
        if name not in _PROXIES:
            raise ConfigurationError(
                f"proxy names {redact_proxy(str(name))!r}; it may name {', '.join(_PROXIES)}"
            )
        if not value.strip():
            raise ConfigurationError(f"proxy is empty for {name!r}; leave it out, or give {{}} for no proxy")
    for entry in unreadable_exceptions(named.get("no", "")):
        raise ConfigurationError(
            f"proxy cannot read the exception {redact_proxy(entry)!r}; write a domain, address or network"
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
