"""Resolves a host name to addresses, in bounded time, with the same rules for both transports.

The system's resolver cannot be interrupted: with a dead name server it may take half a minute. So it runs on a
daemon thread of its own, which a caller that times out abandons. asyncio's own method (the loop's executor) does
not fit: `asyncio.run` and the interpreter wait for those threads at the end.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # on Python 3.10 not the builtin
from typing import Any, TypeVar

from ...errors import EgressRefusedError
from ...http.egress import EgressPolicy

__all__ = ["Address", "address_text", "permitted", "resolve", "resolve_async"]

Address = tuple[Any, Any, int, str, Any]  # as `socket.getaddrinfo` gives them
Found = TypeVar("Found")


def resolve(host: str, port: int, within: float | None) -> list[Address]:
    """The addresses of a host, best first (RFC 6724). Raises gaierror, or TimeoutError after `within` seconds."""
    if _is_address(host):
        return _look_up(host, port)
    found: Future[list[Address]] = Future()
    _start(host, port, found.set_result, found.set_exception)
    try:
        return found.result(within)
    except FutureTimeoutError:
        raise TimeoutError("the host name was not resolved in time") from None


async def resolve_async(host: str, port: int) -> list[Address]:
    """As `resolve`; the caller bounds its time."""
    if _is_address(host):
        return _look_up(host, port)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address]] = loop.create_future()

    def on_loop_thread(setter: Callable[[Any], None]) -> Callable[[Any], None]:
        def on_loop(result: Any) -> None:
            if not found.done():  # cancelled: nobody waits any more
                setter(result)

        def from_thread(result: Any) -> None:
            try:
                loop.call_soon_threadsafe(on_loop, result)
            except RuntimeError:  # the loop has been closed
                pass

        return from_thread

    _start(host, port, on_loop_thread(found.set_result), on_loop_thread(found.set_exception))
    return await found


def address_text(address: Address) -> str:
    """The IP address as text."""
    text: str = address[4][0]
    return text


def permitted(
    addresses: list[Found], text_of: Callable[[Found], str], host: str, port: int, egress: EgressPolicy | None
) -> list[Found]:
    """The addresses of a host that the policy allows. Raises EgressRefusedError when it allows none.

    The caller must connect to one of these and not resolve the name again: a name may resolve differently
    the second time (DNS rebinding).
    """
    if egress is None:
        return addresses
    allowed: list[Found] = []
    refused: EgressRefusedError | None = None
    for address in addresses:
        try:
            egress.check_address(host, text_of(address), port)
            allowed.append(address)
        except EgressRefusedError as error:
            refused = refused or error
    try:
        if refused is not None and not allowed:
            raise refused.with_traceback(None)
        return allowed
    finally:
        del refused  # its traceback holds this frame


def _start(
    host: str,
    port: int,
    on_result: Callable[[list[Address]], None],
    on_error: Callable[[BaseException], None],
) -> None:
    def work() -> None:
        try:
            addresses = _look_up(host, port)
        except BaseException as error:
            error.__traceback__ = None
            on_error(error)
        else:
            on_result(addresses)

    threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()


def _look_up(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that is too long for IDNA
        found = []
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
