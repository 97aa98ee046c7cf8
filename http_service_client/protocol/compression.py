"""Gzip for request bodies (RFC 1952, RFC 9110 8.4.1.3).

Only a body in memory is compressed, so that its length stays known and it stays replayable; the same
body gives the same bytes each time (no time stamp), so that a retry and a signature match.
"""

from __future__ import annotations

import zlib

from .body_streams import Body

__all__ = ["compress"]


def compress(body: Body, threshold: int) -> tuple[Body, str | None]:
    """The body gzipped and the Content-Encoding to send, or the body as it is and None.

    threshold: in bytes; a shorter body is left alone, as is one that would not become smaller.
    """
    content = body.content
    if content is None or not content or len(content) < threshold:
        return body, None
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)  # 16: a gzip frame, its mtime 0
    packed = packer.compress(content) + packer.flush()
    if len(packed) >= len(content):
        return body, None
    return Body(packed, body.content_type), "gzip"
