"""Basic authentication (RFC 7617)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .credentials import HIDDEN, check_user, secret_bytes

if TYPE_CHECKING:
    from ..messages import HttpRequest, HttpResponse

__all__ = ["Basic", "basic"]


def basic(user: str | bytes, password: str | bytes) -> str:
    """The header value for a user and password, in UTF-8.

    >>> basic("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    login, secret = secret_bytes(user, "user name"), secret_bytes(password, "password")
    return "Basic " + b64encode(check_user(login, "Basic") + b":" + secret).decode("ascii")


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
