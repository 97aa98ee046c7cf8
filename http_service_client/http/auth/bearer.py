"""Bearer tokens (RFC 6750)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import InvalidRequestError
from .credentials import HIDDEN

if TYPE_CHECKING:
    from ..messages import HttpRequest, HttpResponse

__all__ = ["Bearer", "bearer"]

# Wider than b64token (RFC 6750 2.1): tokens such as "1|abc" are in use.
_TOKEN = re.compile(r"[!-~]+").fullmatch
_HAS_SCHEME = re.compile(r"bearer ", re.I).match


def bearer(token: str) -> str:
    """The header value for a bearer token."""
    if token == "":
        raise InvalidRequestError("the token in auth is empty; leave auth out, or check where it comes from")
    if not isinstance(token, str):
        raise InvalidRequestError(
            f"the token in auth must be text, not {type(token).__name__}; "
            "Bearer takes text, or a plain function that returns it"
        )
    if _TOKEN(token) is None:
        remedy = (
            "leave out its 'Bearer '" if _HAS_SCHEME(token) is not None else "strip the line break, if any"
        )
        raise InvalidRequestError(
            f"the token in auth must be visible ASCII text without white space; {remedy}"
        )
    return f"Bearer {token}"


@dataclass(frozen=True, slots=True, repr=False)
class Bearer:
    """A bearer token, or a function that returns the token of the moment.

    token: text, the same as ``auth="token"``; or a plain function, called once for each attempt and each redirect
        within the origin. It must return at once: it runs on the event loop of an asyncio call. For a
        function that takes its time, or is async, use `BearerToken`.

    Raises InvalidRequestError for a token with white space or a control character, and for an async function.
    """

    token: str | Callable[[], str]

    def __post_init__(self) -> None:
        if inspect.iscoroutinefunction(self.token):
            raise InvalidRequestError(
                "Bearer takes a plain function, which returns at once; for an async one write auth.BearerToken(function)"
            )
        if not callable(self.token):
            bearer(self.token)

    @property
    def header(self) -> str | None:
        """The value of the Authorization header; None if a function returns the token."""
        return None if callable(self.token) else bearer(self.token)

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """Add the token."""
        request.headers["Authorization"] = bearer(self.token() if callable(self.token) else self.token)
        yield request

    def __repr__(self) -> str:
        name = getattr(self.token, "__qualname__", type(self.token).__name__)
        return f"Bearer({name if callable(self.token) else repr(HIDDEN)})"
