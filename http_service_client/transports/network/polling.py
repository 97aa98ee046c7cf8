"""Whether a socket can be read or written at once, or within some seconds."""

from __future__ import annotations

import select
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["is_readable", "readiness_of", "wait_until_usable"]

if hasattr(select, "poll"):

    def _wait(sock: Any, to_write: bool, within: float | None) -> bool:
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if to_write else 0))
        return bool(poll.poll(None if within is None else within * 1000))

    def readiness_of(sock: Any) -> Callable[[], object]:
        """A function that tells, true or false, whether bytes, or the end of them, are there; for one thread at a time."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return partial(poll.poll, 0)

else:  # Windows

    def _wait(sock: Any, to_write: bool, within: float | None) -> bool:
        return any(select.select([sock], [sock] if to_write else [], [], within))

    def readiness_of(sock: Any) -> Callable[[], object]:
        return partial(is_readable, sock)


def is_readable(sock: Any) -> bool:
    """Whether bytes, or the end of them, are there."""
    return _wait(sock, False, 0.0)


def wait_until_usable(sock: Any, within: float | None, *, to_write: bool) -> None:
    """Wait until there is something to read, or room to write. Raises TimeoutError."""
    if not _wait(sock, to_write, within):
        raise TimeoutError("the server accepted no more bytes")
