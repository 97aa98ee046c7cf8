"""A connection by way of a SOCKS5 proxy, in both worlds. What is said is `http.proxies.socks5`'."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ...http.proxies.socks5 import Dialogue, Step, ask_for_connection
from ...http.proxies.urls import SocksProxy
from ..failures import ProxyRefusedError
from .happy_eyeballs import connect_to_any_async
from .resolver import Address, address_text, resolve_async

__all__ = ["connect_by_socks_async", "destination", "open_by_socks"]


def destination(addresses: list[Address]) -> str:
    """The address to ask for, of those that we resolved: an IPv4 one if there is one.

    A proxy may well have no way into IPv6, and cannot tell that before it has tried.
    """
    texts = [address_text(address) for address in addresses]
    return next((text for text in texts if ":" not in text), texts[0])


def open_by_socks(
    sock: socket.socket, proxy: SocksProxy, host: str, port: int, left: Callable[[], float | None]
) -> None:
    """Have the proxy at the other end of the socket connect it to a host.

    left: seconds until it must be done, or None; raises TimeoutError when there are none.
    Raises ProxyRefusedError, OSError.
    """
    dialogue = ask_for_connection(host, port, proxy.login)
    step: Step | None = next(dialogue)
    while step is not None:
        said, size = step
        sock.settimeout(left())
        sock.sendall(said)
        answer = b""
        while len(answer) < size:
            sock.settimeout(left())
            answer += _some(sock.recv(size - len(answer)))
        step = _next_step(dialogue, answer)


async def connect_by_socks_async(
    proxy: SocksProxy, host: str, port: int, within: float | None
) -> socket.socket:
    """A socket that the proxy has connected to the host; whoever awaits it ends it after so many seconds."""
    sock = await connect_to_any_async(await resolve_async(proxy.host, proxy.port), within)
    try:
        await _open_async(sock, proxy, host, port)
    except BaseException:
        sock.close()
        raise
    return sock


async def _open_async(sock: socket.socket, proxy: SocksProxy, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    dialogue = ask_for_connection(host, port, proxy.login)
    step: Step | None = next(dialogue)
    while step is not None:
        said, size = step
        await loop.sock_sendall(sock, said)
        answer = b""
        while len(answer) < size:
            answer += _some(await loop.sock_recv(sock, size - len(answer)))
        step = _next_step(dialogue, answer)


def _some(received: bytes) -> bytes:
    if not received:
        raise ConnectionResetError("the proxy closed the connection")
    return received


def _next_step(dialogue: Dialogue, answer: bytes) -> Step | None:
    """What to say next; None once the connection is made. Raises ProxyRefusedError."""
    try:
        return dialogue.send(answer)
    except StopIteration as end:
        refusal = end.value
    if refusal is not None:
        raise ProxyRefusedError(refusal)
    return None
