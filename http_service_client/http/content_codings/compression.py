"""Content codings for request bodies: gzip (RFC 1952) and zstd (RFC 8878), by RFC 9110 8.4.1.

Only a body in memory is compressed, so that its length stays known and it stays replayable. The same body
gives the same bytes each time (no time stamp), so that retries and signatures match.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache

from ..bodies.body import RequestBody
from .libraries import load

__all__ = ["REQUEST_CODINGS", "compress", "may_compress"]

REQUEST_CODINGS = ("gzip", "zstd")
_LEVEL = 6  # of gzip; zstd has its own scale, and its default serves


def compress(body: RequestBody, coding: str) -> RequestBody | None:
    """The compressed body; None if it would not become smaller, or is not in memory.

    coding: one of REQUEST_CODINGS for which `may_compress` is true.
    """
    content = body.content
    if not content:
        return None
    packed = _gzip(content) if coding == "gzip" else _zstd()(content)  # type: ignore[misc]  # may_compress
    return RequestBody(packed, body.content_type) if len(packed) < len(content) else None


def may_compress(coding: str) -> bool:
    """Whether this interpreter has the coding: zstd needs Python 3.14 or the package zstandard."""
    return coding == "gzip" or (coding == "zstd" and _zstd() is not None)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: a gzip frame, its mtime 0
    return packer.compress(content) + packer.flush()


@lru_cache(maxsize=1)
def _zstd() -> Callable[[bytes], bytes] | None:
    libraries = filter(None, map(load, ("compression.zstd", "backports.zstd", "zstandard")))
    return next((library.compress for library in libraries), None)
