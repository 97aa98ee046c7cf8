"""Whether a socket is readable or writable, now or within a time."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["is_readable", "readability_check", "wait_until_usable"]

if hasattr(select, "poll"):

    def _wait(sock: Any, to_write: bool, within: float | None) -> bool:
        poll = select.poll()
        try:
            poll.register(sock, select.POLLIN | (select.POLLOUT if to_write else 0))
        except ValueError:
            raise _closed() from None
        return bool(poll.poll(None if within is None else within * 1000))

    def readability_check(sock: Any) -> Callable[[], object]:
        """A function whose result is true if bytes, or their end, can be read; for one thread at a time."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return partial(poll.poll, 0)

else:  # Windows

    def _wait(sock: Any, to_write: bool, within: float | None) -> bool:
        try:
            return any(select.select([sock], [sock] if to_write else [], [], within))
        except ValueError:
            raise _closed() from None

    def readability_check(sock: Any) -> Callable[[], object]:
        return partial(is_readable, sock)


def _closed() -> OSError:
    """Another thread closed the socket, as `close(abort=True)` does. A socket's own methods raise this error."""
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


def is_readable(sock: Any) -> bool:
    """Whether bytes, or their end, can be read without waiting."""
    return _wait(sock, False, 0.0)


def wait_until_usable(sock: Any, within: float | None, *, to_write: bool) -> None:
    """Wait until the socket is readable, or with `to_write` also writable. Raises TimeoutError."""
    if not _wait(sock, to_write, within):
        raise TimeoutError("the server accepted no more bytes")
