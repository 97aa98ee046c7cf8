"""Server-sent events: text/event-stream, decoded as it arrives (WHATWG HTML 9.2.5, 9.2.6).

    line                     meaning
    (empty)                  the event is complete; it is dropped if it has no data line
    :anything                a comment, often sent to keep the connection alive
    data: text               a line of data; several are joined by LF
    event: name              the event's type; "message" by default
    id: text                 for Last-Event-ID; also of later events without one; ignored if it has a NUL
    retry: digits            how long to wait before reconnecting, in milliseconds
    anything else            ignored

One space after the colon is not part of the value. The stream is UTF-8, whatever Content-Type says; one byte
order mark before it is dropped, an invalid byte becomes U+FFFD. An event that is incomplete when the stream
ends is dropped: nobody knows what is missing. Reconnecting is decided elsewhere, by `last_event_id` and
`retry`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import DecodingError
from .lines import LineDecoder

__all__ = ["EventStreamDecoder", "ServerSentEvent"]

# "ASCII digits only"; more than 15 of them would be a wait of 30,000 years.
_MILLISECONDS = re.compile(r"[0-9]{1,15}").fullmatch


class ServerSentEvent(NamedTuple):
    """One event.

    event: its type.  data: its lines, joined by LF.  id: the last id that the stream has set, or "".
    retry: milliseconds to wait before reconnecting, if this event says so.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class EventStreamDecoder:
    """The events of one response: `feed` it as the bytes arrive, then `finish` it.

    last_event_id: of the connection before, which holds until this one sets another.
    limit: how many characters an event may have, None for any number. `max_response_size` cannot bound a
        stream that never ends; this bounds the part of it that is in memory.
    Raises DecodingError for an event that is too large, and no other error.
    completed: after that error, the events before it, which the same bytes completed.
    """

    __slots__ = (
        "_data",
        "_event",
        "_id",
        "_last_event_id",
        "_limit",
        "_lines",
        "_retry",
        "_size",
        "completed",
        "retry",
    )

    def __init__(self, limit: int | None, last_event_id: str = "") -> None:
        self._lines = LineDecoder("utf-8", None)
        self._limit = limit
        self.completed: list[ServerSentEvent] = []
        self._data: list[str] = []
        self._size = 0
        self._event = ""
        self._id = self._last_event_id = last_event_id
        self._retry: int | None = None
        self.retry: int | None = None
        """Milliseconds to wait before reconnecting: the last value of the stream, or None."""

    @property
    def last_event_id(self) -> str:
        """The Last-Event-ID header for reconnecting, or "". Only complete events count."""
        return self._last_event_id

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that these bytes complete; possibly none yet."""
        events: list[ServerSentEvent] = []
        try:
            for line in self._lines.feed(data):
                if line:
                    self._take(line)
                else:
                    self._dispatch(events)
            self._check(self._lines.length)
        except DecodingError:
            self.completed = events
            raise
        return events

    def finish(self) -> list[ServerSentEvent]:
        """The stream ends here. This completes no event: one without its empty line is incomplete."""
        return []

    def _take(self, line: str) -> None:
        self._check(len(line))
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and _MILLISECONDS(value):
            self._retry = self.retry = int(value)

    def _dispatch(self, events: list[ServerSentEvent]) -> None:
        self._last_event_id = self._id
        if self._data:
            event = self._event or "message"
            events.append(ServerSentEvent(event, "\n".join(self._data), self._id, self._retry))
        self._data, self._size, self._event, self._retry = [], 0, "", None

    def _check(self, more: int) -> None:
        if self._limit is not None and self._size + more > self._limit:
            raise DecodingError(
                f"an event of the stream is larger than {self._limit} characters; "
                "raise max_length, or read the body by iter_bytes()"
            )
