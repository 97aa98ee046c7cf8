"""Connecting through a SOCKS5 proxy, blocking and in asyncio. The messages are those of `http.proxies.socks5`."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ...http.proxies.socks5 import Dialogue, Step, ask_for_connection
from ...http.proxies.urls import SocksProxy
from ..failures import ProxyRefusedError
from .happy_eyeballs import connect_to_any_async
from .resolver import Address, address_text, resolve_async
from .sockets import SocketSettings

__all__ = ["connect_by_socks_async", "destination", "open_by_socks"]


def destination(addresses: list[Address]) -> str:
    """The address to request from the proxy, of those that we resolved: IPv4 if there is one.

    The proxy may have no IPv6, and cannot say so before it has tried.
    """
    texts = [address_text(address) for address in addresses]
    return next((text for text in texts if ":" not in text), texts[0])


def open_by_socks(
    sock: socket.socket, proxy: SocksProxy, host: str, port: int, left: Callable[[], float | None]
) -> None:
    """Have the proxy at the other end of the socket connect it to a host.

    left: returns the seconds left, or None; raises TimeoutError when the time is over.
    Raises ProxyRefusedError, OSError.
    """
    dialogue = ask_for_connection(host, port, proxy.login)
    step: Step | None = next(dialogue)
    while step is not None:
        message, size = step
        sock.settimeout(left())
        sock.sendall(message)
        reply = b""
        while len(reply) < size:
            sock.settimeout(left())
            reply += _received(sock.recv(size - len(reply)))
        step = _next_step(dialogue, reply)


async def connect_by_socks_async(
    proxy: SocksProxy, host: str, port: int, within: float | None, sockets: SocketSettings
) -> socket.socket:
    """A socket that the proxy has connected to the host.

    within: seconds, or None; the caller enforces them.
    """
    sock = await connect_to_any_async(await resolve_async(proxy.host, proxy.port), within, sockets)
    try:
        await _open_async(sock, proxy, host, port)
    except BaseException:
        sock.close()
        raise
    return sock


async def _open_async(sock: socket.socket, proxy: SocksProxy, host: str, port: int) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    dialogue = ask_for_connection(host, port, proxy.login)
    step: Step | None = next(dialogue)
    while step is not None:
        message, size = step
        await loop.sock_sendall(sock, message)
        reply = b""
        while len(reply) < size:
            reply += _received(await loop.sock_recv(sock, size - len(reply)))
        step = _next_step(dialogue, reply)


def _received(data: bytes) -> bytes:
    if not data:
        raise ConnectionResetError("the proxy closed the connection")
    return data


def _next_step(dialogue: Dialogue, reply: bytes) -> Step | None:
    """The next message to send; None once the connection is made. Raises ProxyRefusedError."""
    try:
        return dialogue.send(reply)
    except StopIteration as end:
        refusal = end.value
    if refusal is not None:
        raise ProxyRefusedError(refusal)
    return None
