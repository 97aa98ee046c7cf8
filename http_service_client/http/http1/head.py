"""The head of a request as it is written, and the head of a response as it was read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..headers import Headers, connection_options
from .faults import CODING, LENGTH
from .framing import field_text

__all__ = ["Head", "head_of_request", "request_head"]


def request_head(method: str, target: str, host: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request. Host comes first (RFC 9112, 3.2); a Host among the fields replaces ours."""
    lines = [f"{name}: {value}\r\n" for name, value in fields]
    text = "".join(lines)
    if "host: " in text.lower():  # perhaps
        first = next((line for line in lines if line[:5].lower() == "host:"), None)
        if first is not None:
            lines.remove(first)
            return f"{method} {target} HTTP/1.1\r\n{first}{''.join(lines)}\r\n".encode()
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{text}\r\n".encode()


def head_of_request(method: str, target: str, host: str, headers: Headers) -> bytes:
    """As `request_head`, of the headers of a request: in one step where each name has one value, and none is Host."""
    fields = headers._fields
    if "host" in fields:
        return request_head(method, target, host, headers.pairs())
    try:
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields.values()])
    except ValueError:  # a name with several values
        return request_head(method, target, host, headers.pairs())
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()


class Head:
    """The head of a response, and the framing of its body. Iteration gives the fields, decoded.

    length: of the body in bytes, or None.   is_chunked: of the body.   is_encoded: it has a content coding.
    is_last: the connection cannot be used again after this response.   keep_alive: the Keep-Alive field, or None.
    """

    __slots__ = (
        "_fields",
        "is_chunked",
        "is_encoded",
        "is_last",
        "keep_alive",
        "length",
        "reason",
        "status",
    )

    def __init__(self, version: bytes, status: int, reason: str, fields: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        self.reason = reason
        self._fields = fields
        self.length: int | None = None
        self.is_chunked = self.is_encoded = False
        self.keep_alive: str | None = None
        options = []
        for name, value in fields:
            key = name.lower()
            if key == LENGTH:
                self.length = int(value)
            elif key == CODING:
                self.is_chunked = value.lower() == b"chunked"
            elif key == b"content-encoding":
                self.is_encoded = True
            elif key == b"keep-alive":
                self.keep_alive = field_text(value)
            elif key in _CONNECTION:
                options.append(value.decode("latin-1"))
        named = connection_options(options)
        self.is_last = "close" in named or (version != b"1.1" and "keep-alive" not in named)
        if self.is_chunked and version != b"1.1":
            self.is_last = True  # such a framing is likely to be faulty (RFC 9112, 6.1)
        if status == 101:
            self.is_last = True  # the bytes after it are no longer HTTP
        if status < 200 or status in (204, 304):  # without a body, whatever the fields say (RFC 9112, 6.3)
            self.length, self.is_chunked = 0, False

    def raw_fields(self) -> list[tuple[bytes, bytes]]:
        """Names and values."""
        return self._fields

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(name.decode("ascii"), field_text(value)) for name, value in self._fields])


_CONNECTION = (b"connection", b"proxy-connection")  # some servers still send the second one to mean the first
