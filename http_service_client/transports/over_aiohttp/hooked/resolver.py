"""Gives aiohttp the resolver that both transports share."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractResolver, ResolveResult

from ....http.proxies.urls import SocksProxy
from ...network.resolver import address_text, permitted, resolve_async
from .timer import EXCHANGE

if TYPE_CHECKING:
    from ....http.egress import EgressPolicy

__all__ = ["SharedResolver"]

_NO_ADDRESS = "0.0.0.0"  # for aiohttp, where the connection leads to a Unix socket, or to a SOCKS proxy


class SharedResolver(AbstractResolver):
    """Finds the addresses of a host that the policy allows.

    egress: None for all of them.
    """

    def __init__(self, egress: EgressPolicy | None = None) -> None:
        self._egress = egress

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        exchange = EXCHANGE.get()
        if exchange is not None and (
            exchange.socket_path is not None or isinstance(exchange.proxy, SocksProxy)
        ):
            return [_resolved(host, port, _NO_ADDRESS)]
        is_checked = exchange is None or exchange.proxy is None  # the operator chose the proxy
        found = await resolve_async(host, port)
        allowed = permitted(found, address_text, host, port, self._egress if is_checked else None)
        return [_resolved(host, address[1], address[0]) for _, _, _, _, address in allowed]

    async def close(self) -> None:
        pass


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    """An address in aiohttp's form."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=socket.IPPROTO_TCP, flags=0
    )
