"""Decoding on an event loop, which must not wait for it."""

from __future__ import annotations

import asyncio
from io import BytesIO
from time import monotonic

from ...http.content_codings.decoder import Decoder

__all__ = ["decode_into"]

_LONGEST = 0.01  # seconds


async def decode_into(body: BytesIO, decoder: Decoder, data: bytes) -> None:
    """Decode the bytes and append them to the body.

    Every few milliseconds others have their turn, and so have timeouts: a few kilobytes may decode to megabytes, or to
    nothing at all, as empty frames do.
    """
    if decoder.is_plain:
        body.write(decoder.feed(data))
        return
    began = monotonic()
    for piece in decoder.pieces(data):
        body.write(piece)
        if monotonic() - began > _LONGEST:
            await asyncio.sleep(0)
            began = monotonic()
