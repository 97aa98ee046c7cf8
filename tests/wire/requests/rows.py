"""A row of the tables: a call, and the bytes that both front ends must send for it.

Addresses: ``http://here`` and ``http://there`` are the recorder's two origins; any host with the port ``:here``
is the first one. In the expected bytes their Host headers are ``here`` and ``there``, and every multipart
boundary is `BOUNDARY`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from http_service_client._version import __version__
from http_service_client.http.content_codings.decoder import accept_encoding
from wire.requests.recorder import ScriptedResponse

__all__ = ["BOUNDARY", "STANDARD", "PerCall", "Row", "redirect", "request", "sent"]

BOUNDARY = "boundary" * 4  # as long as a real one
STANDARD = (
    f"User-Agent: http-service-client/{__version__}",
    "Accept: */*",
    f"Accept-Encoding: {accept_encoding()}",
)


class PerCall:
    """A value that a call uses up, so each call gets a new one. for_asyncio: None if it is the same there."""

    def __init__(self, make: Callable[[], Any], for_asyncio: Callable[[], Any] | None = None) -> None:
        self.make = {"blocking": make, "asyncio": for_asyncio or make}


@dataclass(frozen=True)
class Row:
    """One request shape.

    name: unique.
    expected_requests: each request as recorded, in order; or the name of the error, if nothing is sent.
    call: its keywords.   config: the client's.   responses: of the server, in order; 200 after them.
    expected_result: the status, or the name of the error, that the caller gets.
    earlier_calls: calls that the same client makes before, as (method, URL, keywords); their requests are expected too.
    environ: the environment in which the client is made.
    """

    name: str
    expected_requests: Sequence[bytes] | str
    method: str = "GET"
    url: str = "http://here/"
    call: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    base_url: str | None = None
    responses: Sequence[ScriptedResponse] = ()
    expected_result: int | str = 200
    earlier_calls: Sequence[tuple[str, str, Mapping[str, Any]]] = ()
    environ: Mapping[str, str] = field(default_factory=dict)


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request with these header lines only."""
    return "\r\n".join((f"{line} HTTP/1.1", *fields, "", "")).encode() + body


def sent(line: str, *fields: str, body: bytes = b"", host: str = "here") -> bytes:
    """A request with the standard header lines, and these after them."""
    return request(line, f"Host: {host}", *STANDARD, *fields, body=body)


def redirect(status: int, location: str, *headers: tuple[str, str]) -> ScriptedResponse:
    """A redirect."""
    return ScriptedResponse(status, [("Location", location), *headers])
