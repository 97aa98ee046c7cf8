"""A row of the tables: the raw bytes of a response, and the response or the error that a caller must get.

    read("an empty value", OK + b"...", status=200, content=b"hi", text="hi", headers=[...])
    rejected("half a head", OK, rule="cut-short", at=17, closes=True)

Every row states its outcome in full, so a test fails too if both front ends are wrong in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "CHUNKED",
    "IN_CHUNKS",
    "LENGTH_2",
    "OK",
    "TWO",
    "Read",
    "Rejected",
    "Row",
    "read",
    "rejected",
]

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nhi"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH_2 = (("Content-Length", "2"),)
IN_CHUNKS = (("Transfer-Encoding", "chunked"),)


@dataclass(frozen=True)
class Read:
    """A response."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    text: str


@dataclass(frozen=True)
class Rejected:
    """An error: its type, message (URL stands for the address) and sent-state.

    rule, at: of a ProtocolError, whose message follows from them.
    """

    error: str
    message: str
    sent: str
    rule: str | None = None
    at: int | None = None


@dataclass(frozen=True)
class Row:
    """One response.

    pieces: sent one after the other, each in its own packet.   closes: the server then closes the connection.
    is_reused: whether the next request comes on the same connection; None if it may or may not.
    needs: a coding whose library may not be installed.
    """

    name: str
    pieces: tuple[bytes, ...]
    outcome: Read | Rejected
    is_reused: bool | None
    closes: bool
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
    is_reused: bool = True,
    closes: bool = False,
    method: str = "GET",
    needs: str = "",
) -> Row:
    """Bytes that are read as a response. text: None for the content as ASCII."""
    text = content.decode("ascii") if text is None else text
    outcome = Read(status, reason, tuple(headers), content, text)
    return Row(name, pieces, outcome, is_reused and not closes, closes, method, needs)


def rejected(
    name: str,
    *pieces: bytes,
    message: str = "",
    rule: str | None = None,
    at: int | None = None,
    error: str = "ProtocolError",
    sent: str = "maybe_processed",
    is_reused: bool | None = False,
    closes: bool = False,
    method: str = "GET",
    needs: str = "",
) -> Row:
    """Bytes that are rejected with an error."""
    return Row(name, pieces, Rejected(error, message, sent, rule, at), is_reused, closes, method, needs)
