"""A response as a cache keeps it, and its form as bytes.

The bytes are for storages that outlive the process or are shared by several. They have a version and a checksum: what
was cut short, or comes from another version, is no response. They are not a pickle, which could run code when loaded.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable
from typing import NamedTuple

from ..headers import Headers, connection_options
from ..messages import HttpRequest, HttpResponse

__all__ = ["StoredResponse", "kept_headers", "request_values", "store", "vary_names"]

_VERSION = b"hsc1"
_HEAD = struct.Struct(">4sII")  # version, checksum, length of the JSON part
_OVERHEAD = 500  # bytes of the objects themselves, roughly
_OVERHEAD_OF_PAIR = 150

# Of one connection or one exchange (RFC 9111, 3.1), or for the one user who received them.
_NOT_STORED = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info", "proxy-authorization",
    "proxy-connection", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


class StoredResponse(NamedTuple):
    """A response in a cache.

    headers: pairs, without those of the connection and without Set-Cookie.   content: as the caller received it.
    requested_at, received_at: seconds since the epoch, of the exchange that it came by or was confirmed by.
    vary: the lower-case names in its Vary, each with a digest of the request's value.
    """

    status_code: int
    reason_phrase: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    requested_at: float
    received_at: float
    vary: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes, roughly."""
        pairs = (*self.headers, *self.vary)
        texts = sum(len(name) + len(value) for name, value in pairs)
        return len(self.content) + texts + _OVERHEAD_OF_PAIR * len(pairs) + _OVERHEAD

    @property
    def variant(self) -> str:
        """It differs for requests that the server responds to differently, by Vary."""
        return hashlib.sha256(repr(self.vary).encode()).hexdigest()

    def is_for(self, request: HttpRequest) -> bool:
        """Whether the request has the values that it was selected by (RFC 9111, 4.1)."""
        return self.vary == request_values(request, [name for name, _ in self.vary])

    def to_bytes(self) -> bytes:
        """The response as bytes, for `from_bytes`."""
        parts = {**self._asdict(), "content": None}
        text = json.dumps(list(parts.values()), ensure_ascii=True).encode()
        checksum = zlib.crc32(self.content, zlib.crc32(text))
        return b"".join((_HEAD.pack(_VERSION, checksum, len(text)), text, self.content))

    @classmethod
    def from_bytes(cls, data: bytes) -> StoredResponse:
        """The response that `to_bytes` wrote. Raises ValueError for anything else."""
        try:
            version, checksum, length = _HEAD.unpack_from(data)
            start = _HEAD.size + length
            if version != _VERSION or zlib.crc32(data[_HEAD.size :]) != checksum or len(data) < start:
                raise ValueError("not a stored response, or one that was damaged")
            status, reason, headers, _, requested_at, received_at, vary = json.loads(data[_HEAD.size : start])
            return cls(
                int(status),
                str(reason),
                tuple((str(name), str(value)) for name, value in headers),
                bytes(data[start:]),
                float(requested_at),
                float(received_at),
                tuple((str(name), str(digest)) for name, digest in vary),
            )
        except (struct.error, TypeError, RecursionError) as error:
            raise ValueError(f"not a stored response: {error}") from None

    def response(self, request: HttpRequest, age: float) -> HttpResponse:
        """The response to a request, with its age."""
        pairs = [(name, value) for name, value in self.headers if name.lower() != "age"]
        pairs.append(("Age", str(int(age))))
        return HttpResponse(
            self.status_code,
            headers=pairs,
            content=b"" if request.method == "HEAD" else self.content,
            reason_phrase=self.reason_phrase,
            url=request.url,
            request=request,
        )


def store(request: HttpRequest, response: HttpResponse, received_at: float) -> StoredResponse:
    """The stored form of a response to this request."""
    return StoredResponse(
        response.status_code,
        response.reason_phrase,
        tuple(kept_headers(response.headers)),
        response.content,
        received_at - response.elapsed,
        received_at,
        request_values(request, vary_names(response.headers)),
    )


def vary_names(headers: Headers) -> list[str]:
    """The names in Vary, in lower case and sorted; "*" among them if no request is like another."""
    names = (name.strip(" \t").lower() for value in headers.get_all("Vary") for name in value.split(","))
    return sorted({name for name in names if name})


def request_values(request: HttpRequest, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Digests of a request's values of header fields: they may be secrets. White space in lists means nothing."""
    found = []
    for name in names:
        values = request.headers.get_all(name)
        items = [item.strip(" \t") for value in values for item in value.split(",")]
        text = ",".join(items) if values else "\0"
        # A value that cannot be sent is refused later, by the checks of the request.
        found.append((name, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()))
    return tuple(found)


def kept_headers(headers: Headers) -> list[tuple[str, str]]:
    """The fields that are stored (RFC 9111, 3.1)."""
    left_out = _NOT_STORED | connection_options(headers.get_all("Connection"))
    return [(name, value) for name, value in headers.multi_items() if name.lower() not in left_out]
