"""Whether a socket is readable or writable, now or within a time."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from functools import partial
from types import BuiltinFunctionType
from typing import Any

__all__ = [
    "LONGEST",
    "is_readable",
    "must_wait_itself",
    "read_waiter",
    "readability_check",
    "wait_until_usable",
]

LONGEST = 2_000_000.0
"""Seconds that `poll` can wait, about: it takes milliseconds, as a C int. A longer wait ends then."""

if hasattr(select, "poll"):

    def _wait(sock: Any, to_write: bool, within: float | None, to_read: bool = True) -> bool:
        poll = select.poll()
        try:
            poll.register(sock, (select.POLLIN if to_read else 0) | (select.POLLOUT if to_write else 0))
        except ValueError:
            raise _closed() from None
        return bool(poll.poll(None if within is None else min(within, LONGEST) * 1000))

    def read_waiter(sock: Any) -> Callable[[float | None], object]:
        """A function that waits so many milliseconds until bytes, or their end, can be read; whether they can.

        For one thread at a time, and for a socket that is not closed.   None: it waits without end.
        """
        if not isinstance(select.poll, BuiltinFunctionType):  # gevent's, which belongs to one event loop
            return partial(_wait_milliseconds, sock)
        poll: Any = select.poll()
        poll.register(sock, select.POLLIN)
        wait: Callable[[float | None], object] = poll.poll
        return wait

    def readability_check(sock: Any) -> Callable[[], object]:
        """A function whose result is true if bytes, or their end, can be read; for one thread at a time."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return partial(poll.poll, 0)

else:  # Windows

    def _wait(sock: Any, to_write: bool, within: float | None, to_read: bool = True) -> bool:
        try:
            return any(select.select([sock] if to_read else [], [sock] if to_write else [], [], within))
        except ValueError:
            raise _closed() from None

    def read_waiter(sock: Any) -> Callable[[float | None], object]:
        return partial(_wait_milliseconds, sock)

    def readability_check(sock: Any) -> Callable[[], object]:
        return partial(is_readable, sock)


def must_wait_itself(sock: Any) -> bool:
    """Whether only the socket's own methods let others run meanwhile: it is gevent's, and `select` is still Python's."""
    wait = getattr(select, "poll", select.select)
    return isinstance(wait, BuiltinFunctionType) and type(sock).__module__ not in ("socket", "ssl")


def _wait_milliseconds(sock: Any, within: float | None) -> bool:
    return _wait(sock, False, None if within is None else within / 1000)


def _closed() -> OSError:
    """Another thread closed the socket, as `close(abort=True)` does. A socket's own methods raise this error."""
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


def is_readable(sock: Any) -> bool:
    """Whether bytes, or their end, can be read without waiting."""
    return _wait(sock, False, 0.0)


def wait_until_usable(sock: Any, within: float | None, *, to_write: bool, to_read: bool = True) -> None:
    """Wait until the socket is readable, or with `to_write` also writable. Raises TimeoutError.

    to_read: False to wait for the other only.
    """
    if not _wait(sock, to_write, within, to_read):
        raise TimeoutError("the server accepted no more bytes")
