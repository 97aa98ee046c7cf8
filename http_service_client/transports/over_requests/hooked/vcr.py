"""Recording with vcrpy, which puts its own connections into urllib3's pools. Our transport has pools of its own.

While a vcrpy cassette is in use, exchanges go through urllib3's pools. The timeouts are then urllib3's (one to
connect, one for each read), and the egress policy checks no addresses: on playback there are none.
"""

from __future__ import annotations

import http.client
import time
from typing import Any

from urllib3 import PoolManager
from urllib3.util import Timeout

from ....http.content_codings.decoder import is_encoded
from ..exchange_timeouts import ExchangeTimeouts
from ..hook_detection import is_recorded
from .compatibility import past_our_pools

__all__ = ["RecordedPool", "RecordingPools"]


class RecordingPools:
    """The `PoolManager` of requests' adapter, for recording only: it connects past the egress policy and proxies."""

    def __init__(self) -> None:
        self._manager = PoolManager()

    def clear(self) -> None:
        """Close the idle connections."""
        self._manager.clear()

    def __getattr__(self, name: str) -> Any:
        if not (is_recorded("http") or is_recorded("https")):
            raise past_our_pools(name)
        return getattr(self._manager, name)


class RecordedPool:
    """One of urllib3's pools, with vcrpy's connections, behind the interface of our own pools."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def urlopen(self, *arguments: Any, timeout: Any, **options: Any) -> Any:
        """As urllib3's `urlopen`; it raises urllib3's errors.   timeout: `CarriedTimeouts`."""
        response: Any = self._pool.urlopen(*arguments, timeout=_for_urllib3(timeout.limits), **options)
        if isinstance(response, http.client.HTTPResponse):  # vcrpy records a body that urllib3 has decoded
            coding = response.headers.get("Content-Encoding")
            if coding and not is_encoded(coding, response.data):  # type: ignore[attr-defined]  # its own
                del response.headers["Content-Encoding"]
        return response


def _for_urllib3(timeouts: ExchangeTimeouts) -> Timeout:
    reads = [bound for bound in (_left(timeouts.expires_at), timeouts.read_within) if bound is not None]
    return Timeout(connect=_left(timeouts.connect_expires_at), read=min(reads, default=None))


def _left(expires_at: float | None) -> float | None:
    return None if expires_at is None else max(0.001, expires_at - time.monotonic())  # urllib3 rejects 0
