"""From a host name to its addresses: one rule for both worlds, and in bounded time.

The system's resolver cannot be interrupted: it may take half a minute over a dead name server. It runs on a
daemon thread of its own, which an impatient caller leaves behind. asyncio's way (the loop's executor) is
not for us: `asyncio.run` and the interpreter wait for those threads at the end.
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
    _begin(host, port, found.set_result, found.set_exception)
    try:
        return found.result(within)
    except FutureTimeoutError:
        raise TimeoutError("the host name was not resolved in time") from None


async def resolve_async(host: str, port: int) -> list[Address]:
    """As `resolve`; whoever awaits it bounds it."""
    if _is_address(host):
        return _look_up(host, port)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address]] = loop.create_future()

    def tell(setter: Callable[[Any], None]) -> Callable[[Any], None]:
        def on_loop(result: Any) -> None:
            if not found.done():  # it is done when nobody waits any more
                setter(result)

        def from_thread(result: Any) -> None:
            try:
                loop.call_soon_threadsafe(on_loop, result)
            except RuntimeError:  # the loop was closed meanwhile
                pass

        return from_thread

    _begin(host, port, tell(found.set_result), tell(found.set_exception))
    return await found


def address_text(address: Address) -> str:
    """The address itself, as text."""
    text: str = address[4][0]
    return text


def permitted(
    addresses: list[Found], text_of: Callable[[Found], str], host: str, port: int, egress: EgressPolicy | None
) -> list[Found]:
    """Those of a host's addresses that the policy lets pass. Raises EgressRefusedError when none does.

    To connect to one of these, and not to look the name up again, is what defeats a name that changes its
    answer in between (DNS rebinding).
    """
    if egress is None:
        return addresses
    passing: list[Found] = []
    refused: EgressRefusedError | None = None
    for address in addresses:
        try:
            egress.check_address(host, text_of(address), port)
            passing.append(address)
        except EgressRefusedError as error:
            refused = refused or error
    try:
        if refused is not None and not passing:
            raise refused.with_traceback(None)
        return passing
    finally:
        del refused  # its traceback holds this frame


def _begin(
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
