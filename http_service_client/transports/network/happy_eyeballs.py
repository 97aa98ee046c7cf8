"""Connects to the first of a host's addresses that responds (RFC 8305), blocking and in asyncio.

An address that does not respond for a while is not abandoned: the next one is tried in parallel. So an address
that drops packets costs a quarter of a second, not its share of the connect timeout, and a slow one may still win.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from itertools import chain, zip_longest
from selectors import EVENT_WRITE, BaseSelector, DefaultSelector
from typing import TYPE_CHECKING, Any

from .resolver import Address
from .sockets import SocketSettings

if TYPE_CHECKING:
    import asyncio

__all__ = ["connect_to_any", "connect_to_any_async"]

_DEFAULT = SocketSettings()
_DELAY = 0.25  # seconds before the next address is tried as well (RFC 8305, 5)


def _in_turn(addresses: list[Address]) -> deque[Address]:
    """The addresses with their families alternating, the preferred one first (RFC 8305, 4)."""
    families: dict[Any, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return deque(address for address in chain(*zip_longest(*families.values())) if address is not None)


def _delay(addresses: list[Address], within: float | None) -> float:
    """Seconds between two attempts: short enough for each address to get its turn."""
    return _DELAY if within is None else min(_DELAY, within / len(addresses))


# On a thread.


def connect_to_any(
    addresses: list[Address], within: float | None, sockets: SocketSettings = _DEFAULT
) -> socket.socket:
    """A socket connected to one of the addresses, of which there must be at least one.

    within: seconds, or None.   Raises TimeoutError, or the last address's OSError when all have failed.
    """
    addresses = sockets.usable(addresses)
    if len(addresses) > 1:
        return _race(addresses, within, sockets)
    family, kind, protocol, _, address = addresses[0]
    sock = sockets.new(family, kind, protocol)
    try:
        sock.settimeout(within)
        sock.connect(address)
        return sock
    except BaseException:
        sock.close()
        raise


def _race(addresses: list[Address], within: float | None, sockets: SocketSettings) -> socket.socket:
    expires_at = None if within is None else time.monotonic() + within
    waiting, delay, next_at = _in_turn(addresses), _delay(addresses, within), 0.0
    error: OSError | None = None
    with DefaultSelector() as trying:
        try:
            while waiting or trying.get_map():
                now = time.monotonic()
                if expires_at is not None and now >= expires_at:
                    raise TimeoutError("no address accepted the connection in time")
                if waiting and now >= next_at:
                    error = _start(waiting.popleft(), trying, sockets)
                    next_at = now + delay if error is None else 0.0
                    continue
                instants = [at for at in (expires_at, next_at if waiting else None) if at is not None]
                for key, _ in trying.select(min(instants) - now if instants else None):
                    sock: Any = key.fileobj
                    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    trying.unregister(sock)
                    if not code:
                        return sock  # type: ignore[no-any-return]
                    sock.close()
                    error, next_at = OSError(code, os.strerror(code)), 0.0  # it failed: try the next one now
            assert error is not None
            raise error
        finally:
            error = None  # its traceback holds this frame
            for key in list(trying.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]  # a socket


def _start(address: Address, trying: BaseSelector, sockets: SocketSettings) -> OSError | None:
    """Start to connect; the error if that fails immediately."""
    family, kind, protocol, _, target = address
    try:
        sock = sockets.new(family, kind, protocol)
    except OSError as error:  # no such family on this machine, or no such source address
        return error.with_traceback(None)
    try:
        sock.setblocking(False)
        sock.connect(target)
    except BlockingIOError:
        pass
    except OSError as error:
        sock.close()
        return error.with_traceback(None)
    except BaseException:
        sock.close()
        raise
    trying.register(sock, EVENT_WRITE)
    return None


# In a task.


async def connect_to_any_async(
    addresses: list[Address], within: float | None, sockets: SocketSettings = _DEFAULT
) -> socket.socket:
    """As `connect_to_any`; the caller enforces the time."""
    addresses = sockets.usable(addresses)
    if len(addresses) == 1:
        return await _connect(addresses[0], sockets)
    import asyncio

    waiting, delay = _in_turn(addresses), _delay(addresses, within)
    trying: set[asyncio.Task[socket.socket]] = set()
    error: BaseException | None = None
    may_await = True
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.create_task(_connect(waiting.popleft(), sockets)))
            done, _ = await asyncio.wait(
                trying, timeout=delay if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                error = task.exception()
                if error is None:
                    trying.discard(task)
                    return task.result()
            trying -= done
        assert error is not None
        raise error
    except GeneratorExit:
        may_await = False
        raise
    finally:
        error = None  # its traceback holds this frame
        for task in trying:
            task.add_done_callback(_close_late)
            task.cancel()
        if trying and may_await:
            await asyncio.wait(trying)


async def _connect(address: Address, sockets: SocketSettings) -> socket.socket:
    import asyncio

    family, kind, protocol, _, target = address
    sock = sockets.new(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, target)
        return sock
    except BaseException:
        sock.close()
        raise


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """Close a connection that was made, but too late: another one was first."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
