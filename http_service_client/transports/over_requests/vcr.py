"""Where vcrpy comes in: it records by putting connections of its own into urllib3's pools, which we do not use.

As long as they are there, exchanges go by them. In that time the bounds are urllib3's (one to connect, one for
each read), and the egress policy judges no addresses: on playback there is none to judge.
"""

from __future__ import annotations

import http.client
import time
from typing import Any

from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util import Timeout

from ...http.content_codings.decoder import is_encoded
from .connection import IoTimeouts

__all__ = ["RecordedPool", "is_recorded"]

_POOLS: dict[str, Any] = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}


def is_recorded(scheme: str) -> bool:
    """Whether vcrpy has a cassette in. What others put there is not asked: it would take our bounds away unseen."""
    module: str = _POOLS[scheme].ConnectionCls.__module__
    return module.startswith("vcr.")


class RecordedPool:
    """A pool of urllib3's, with vcrpy's connections, as our own pools are to requests."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def urlopen(self, *arguments: Any, timeout: IoTimeouts, **options: Any) -> Any:
        """As urllib3's, whose errors these are."""
        answer: Any = self._pool.urlopen(*arguments, timeout=_for_urllib3(timeout), **options)
        if isinstance(answer, http.client.HTTPResponse):  # what vcrpy records, urllib3 has decoded
            coding = answer.headers.get("Content-Encoding")
            if coding and not is_encoded(coding, answer.data):  # type: ignore[attr-defined]  # its own
                del answer.headers["Content-Encoding"]
        return answer


def _for_urllib3(bounds: IoTimeouts) -> Timeout:
    reads = [bound for bound in (_left(bounds.expires_at), bounds.read_within) if bound is not None]
    return Timeout(connect=_left(bounds.connect_expires_at), read=min(reads, default=None))


def _left(expires_at: float | None) -> float | None:
    return None if expires_at is None else max(0.001, expires_at - time.monotonic())  # urllib3 takes no 0
