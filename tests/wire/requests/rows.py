"""What a row of the tables says: a call, and the bytes that it must put on the wire in both worlds.

Addresses: ``http://here`` and ``http://there`` are the recorder's two origins, any host with the port ``:here``
is the first one. In what is expected, their Host headers are ``here`` and ``there``, and a multipart boundary
is `BOUNDARY`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from http_service_client._version import __version__
from http_service_client.http.content_codings.decoder import accept_encoding
from wire.requests.recorder import Answer

__all__ = ["BOUNDARY", "STANDARD", "Fresh", "Row", "moved", "request", "sent"]

BOUNDARY = "boundary" * 4  # as long as a real one
STANDARD = (
    f"User-Agent: http-service-client/{__version__}",
    "Accept: */*",
    f"Accept-Encoding: {accept_encoding()}",
)


class Fresh:
    """A value that is used up by a call, made anew for each; other in the asyncio world where it must be."""

    def __init__(self, make: Callable[[], Any], for_asyncio: Callable[[], Any] | None = None) -> None:
        self.make = {"blocking": make, "asyncio": for_asyncio or make}


@dataclass(frozen=True)
class Row:
    """One request shape.

    name: unique.   sends: each request as recorded, in order; or the name of the error, when nothing is sent.
    call: its keywords.   config: the client's.   answers: of the server, in order; 200 after them.
    ends: the status, or the name of the error, that the caller gets.
    calls: calls made before this one by the same client, as (method, URL, keywords); what they send counts too.
    environ: environment in which the client is made.
    """

    name: str
    sends: Sequence[bytes] | str
    method: str = "GET"
    url: str = "http://here/"
    call: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    base_url: str | None = None
    answers: Sequence[Answer] = ()
    ends: int | str = 200
    calls: Sequence[tuple[str, str, Mapping[str, Any]]] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request with exactly these header lines."""
    return "\r\n".join((f"{line} HTTP/1.1", *fields, "", "")).encode() + body


def sent(line: str, *fields: str, body: bytes = b"", host: str = "here") -> bytes:
    """A request with the header lines that every request has, and these after them."""
    return request(line, f"Host: {host}", *STANDARD, *fields, body=body)


def moved(status: int, location: str, *headers: tuple[str, str]) -> Answer:
    """A redirect."""
    return Answer(status, [("Location", location), *headers])
