"""What a row of the tables says: the raw bytes of an answer, and what a caller must be told of it.

    read("two lengths that agree", OK + b"...", status=200, content=b"hi", text="hi", headers=[...])
    refused("half a head", OK, CUT, ends=True)

Every row states its outcome in full, so that both worlds being wrong in the same way is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "BROKEN",
    "CHUNKED",
    "CUT",
    "IN_CHUNKS",
    "LARGE",
    "LENGTH_2",
    "OK",
    "TWO",
    "Read",
    "Refused",
    "Row",
    "read",
    "refused",
]

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH_2 = (("Content-Length", "2"),)
IN_CHUNKS = (("Transfer-Encoding", "chunked"),)

# What a ProtocolError says. URL stands for the address.
BROKEN = "the response from URL is not valid HTTP: it breaks the rules of HTTP"
LARGE = "the response from URL is not valid HTTP: its headers are too large or too many"
CUT = "the response from URL was cut short"


@dataclass(frozen=True)
class Read:
    """A response."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    text: str


@dataclass(frozen=True)
class Refused:
    """An error."""

    error: str
    message: str
    sent: str


@dataclass(frozen=True)
class Row:
    """One answer.

    pieces: sent one after the other, each in a packet of its own.   ends: the server then closes.
    is_used_again: whether the next request comes on the same connection; None where chance decides.
    needs: a coding that takes a library which may not be there.
    """

    name: str
    pieces: tuple[bytes, ...]
    outcome: Read | Refused
    is_used_again: bool | None
    ends: bool
    method: str
    needs: str

    def __repr__(self) -> str:
        return self.name


def read(
    name: str,
    *pieces: bytes,
    status: int = 200,
    reason: str = "OK",
    headers: Sequence[tuple[str, str]] = LENGTH_2,
    content: bytes = b"hi",
    text: str | None = None,
    again: bool = True,
    ends: bool = False,
    method: str = "GET",
    needs: str = "",
) -> Row:
    """An answer that is a response. text: None for the content as ASCII."""
    text = content.decode("ascii") if text is None else text
    outcome = Read(status, reason, tuple(headers), content, text)
    return Row(name, pieces, outcome, again and not ends, ends, method, needs)


def refused(
    name: str,
    *pieces: bytes,
    says: str,
    error: str = "ProtocolError",
    sent: str = "maybe_processed",
    again: bool | None = False,
    ends: bool = False,
    method: str = "GET",
    needs: str = "",
) -> Row:
    """An answer that is an error."""
    return Row(name, pieces, Refused(error, says, sent), again, ends, method, needs)
