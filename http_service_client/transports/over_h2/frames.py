"""Finds the GOAWAY frames among the bytes that arrive, and keeps them from h2.

A server that shuts down in an orderly way sends GOAWAY with the last stream that it will complete, and completes it
(RFC 9113, 6.8). nginx does so after a number of requests, Envoy and load balancers on each deployment. h2 takes
GOAWAY for the end of the connection and refuses the frames that follow, so requests that the server is completing would
be lost, and their callers could not know whether they were processed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...http.http1.errors import NotHttpError

__all__ = ["FloodError", "FrameSplitter", "GoAway"]

_HEAD = 9  # bytes before the payload of each frame: length (3), type, flags, stream (4); RFC 9113, 4.1
_DATA, _PRIORITY, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 2, 4, 6, 7, 9
_END_STREAM = 1
# Of frames that carry nothing, in what is read at once. Each costs h2 as much as one with content, and a quarter of a
# megabyte of them would hold the event loop for a second.
_MOST_EMPTY = 500
# Bytes of a frame's payload: the limit for a peer that has not allowed larger frames (RFC 9113, 4.2).
_MOST = 16 * 1024


class GoAway(NamedTuple):
    """The server takes no more streams. Those above `last_stream_id` were not processed, and will not be.

    debug: bytes in which it may say more, often text.
    """

    last_stream_id: int
    error_code: int
    debug: bytes = b""


class FloodError(NotHttpError):
    """More frames that carry nothing than any server needs."""


class FrameSplitter:
    """Passes the bytes of a connection on, all but those of GOAWAY frames."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a frame
        self._left = 0  # bytes of the current frame that have not arrived

    def split(self, data: bytes) -> Iterator[bytes | GoAway]:
        """What has arrived, in its order. The beginning of a frame's head is kept until the rest arrives.

        Raises NotHttpError for a frame that is too large, FloodError for many that carry nothing.
        """
        data = self._rest + data
        empty = 0
        start = at = 0  # of the bytes that are not passed on yet, and of the current frame
        while True:
            here = min(self._left, len(data) - at)
            self._left -= here
            at += here
            if len(data) - at < _HEAD:
                break
            length = int.from_bytes(data[at : at + 3], "big")
            if length > _MOST:  # h2 would first wait for all of it
                raise NotHttpError(detail=f"a frame is larger than {_MOST} bytes (RFC 9113, 4.2)")
            kind = data[at + 3]
            is_empty_data = kind == _DATA and not length and not data[at + 4] & _END_STREAM
            # Types above CONTINUATION are those of extensions, which this side ignores (RFC 9113, 5.5).
            if kind in (_SETTINGS, _PING, _PRIORITY) or kind > _CONTINUATION or is_empty_data:
                empty += 1
                if empty > _MOST_EMPTY:
                    raise FloodError(detail="it is a flood of frames that carry nothing")
            is_of_a_stream = any(data[at + 5 : at + _HEAD])  # the highest bit means nothing, and is 0
            if kind != _GOAWAY or length < 8 or is_of_a_stream:  # h2 refuses such a GOAWAY
                self._left = _HEAD + length
                continue
            if len(data) - at < _HEAD + length:
                break
            if at > start:
                yield data[start:at]
            payload = data[at + _HEAD : at + _HEAD + length]
            last_stream_id = int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF
            yield GoAway(last_stream_id, int.from_bytes(payload[4:8], "big"), payload[8:])
            start = at = at + _HEAD + length
        if at > start:
            yield data[start:at]
        self._rest = data[at:]
