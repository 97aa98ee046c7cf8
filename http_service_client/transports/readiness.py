"""Whether a socket can be read or written at once, or within some seconds."""

from __future__ import annotations

import select
from typing import Any

__all__ = ["is_readable", "wait_until_usable"]

if hasattr(select, "poll"):

    def _wait(sock: Any, to_write: bool, within: float | None) -> bool:
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if to_write else 0))
        return bool(poll.poll(None if within is None else within * 1000))

else:  # Windows

    def _wait(sock: Any, to_write: bool, within: float | None) -> bool:
        return any(select.select([sock], [sock] if to_write else [], [], within))


def is_readable(sock: Any) -> bool:
    """Whether bytes, or the end of them, are there."""
    return _wait(sock, False, 0.0)


def wait_until_usable(sock: Any, within: float | None, *, to_write: bool) -> None:
    """Wait until there is something to read, or room to write. Raises TimeoutError."""
    if not _wait(sock, to_write, within):
        raise TimeoutError("the other side takes no more bytes")
