"""The checks of the settings that concern sockets."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import Any

from ...errors import ConfigurationError
from ...http.proxies.settings import ProxySettings

__all__ = ["check_no_proxy", "check_source", "parse_socket_options", "parse_source_address"]

_OPTIONS = "such as [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)]"


def parse_socket_options(given: Any) -> tuple[tuple[int, int, int | bytes], ...]:
    """(level, option, value) each, as `socket.setsockopt` takes them."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise ConfigurationError(
            f"socket_options must be a list of (level, option, value), {_OPTIONS}, not {given!r}"
        )
    for option in given:
        is_triple = isinstance(option, Sequence) and not isinstance(option, (str, bytes)) and len(option) == 3
        if not is_triple or not all(map(_is_c_int, option[:2])):
            raise ConfigurationError(
                f"socket_options must have (level, option, value) in it, {_OPTIONS}, not {option!r}"
            )
        if not isinstance(option[2], (bytes, bool)) and not _is_c_int(option[2]):
            raise ConfigurationError(
                f"socket_options must have a value of 32 bits or bytes in each option, not {option!r}"
            )
    return tuple((level, name, value) for level, name, value in given)


def _is_c_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def parse_source_address(given: Any) -> tuple[str, int] | None:
    """The address and the port; None for None."""
    if given is None:
        return None
    host, port = (given, 0) if isinstance(given, str) else _pair(given)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ConfigurationError(
            f"source_address must be an IP address of this machine, or (address, port), not {given!r}"
        ) from None
    return host, port


def check_source(source: tuple[str, int] | None, uds: Any) -> None:
    """Raise ConfigurationError for a `uds` that is not a path, or that is given beside a source address."""
    if uds is None:
        return
    path = os.fspath(uds) if isinstance(uds, os.PathLike) else uds
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"uds must be the path of a Unix socket, or None, not {uds!r}")
    if "://" in path:
        raise ConfigurationError(
            f"uds must be a path, without a scheme, such as '/run/app.sock', not {uds!r}"
        )
    if source is not None:
        raise ConfigurationError(
            f"source_address conflicts with uds={uds!r}, which has no addresses; set one"
        )


def check_no_proxy(uds: object, proxies: ProxySettings | None) -> None:
    """Raise ConfigurationError for proxies that are set beside a Unix socket."""
    if uds is not None and proxies is not None and (proxies.http or proxies.https):
        raise ConfigurationError(
            f"proxy conflicts with uds={uds!r} of connection_pool: no proxy leads to a socket of this machine; set one"
        )


def _pair(given: Any) -> tuple[str, int]:
    if isinstance(given, (tuple, list)) and len(given) == 2:
        host, port = given
        if isinstance(host, str) and type(port) is int and 0 <= port < 65536:
            return host, port
    raise ConfigurationError(
        f"source_address must be an IP address of this machine, or (address, port from 0 to 65535), not {given!r}"
    )
