"""Basic authentication (RFC 7617)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .credentials import HIDDEN, basic

if TYPE_CHECKING:
    from ..messages import HttpRequest, HttpResponse

__all__ = ["Basic"]


@dataclass(frozen=True, slots=True, repr=False)
class Basic:
    """A user name and a password, sent with each request, in UTF-8. The same as ``auth=(user, password)``.

    Raises InvalidRequestError for control characters, and for a colon in the user name.
    """

    username: str | bytes
    password: str | bytes

    def __post_init__(self) -> None:
        basic(self.username, self.password)

    @property
    def header(self) -> str:
        """The value of the Authorization header."""
        return basic(self.username, self.password)

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """Add the credentials."""
        request.headers["Authorization"] = self.header
        yield request

    def __repr__(self) -> str:
        return f"Basic({self.username!r}, {HIDDEN!r})"
