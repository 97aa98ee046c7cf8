"""API keys, in a header or in the query of the URL."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ...errors import InvalidRequestError
from ..header_validation import is_token
from ..urls import hide_parameter, normalise_url
from .credentials import HIDDEN, secret_bytes

if TYPE_CHECKING:
    from ..messages import HttpRequest, HttpResponse

__all__ = ["ApiKey"]


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """A key that is sent with each request, in a header or in the query.

    value: the key; or a plain function that returns the key of the moment, called for each attempt: it returns at once.
    header: its name, "X-Api-Key" unless `query` is set.
    query: the name of the parameter, such as "appid". Its value is ``***`` in all URLs of logs and errors. Servers and
        proxies write URLs into their logs: use a header where the service allows it.

    Raises InvalidRequestError for a wrong name, and for a key that cannot be sent.
    """

    value: str | Callable[[], str]
    header: str | None = field(default=None, kw_only=True)
    query: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.header is not None and self.query is not None:
            raise InvalidRequestError("an ApiKey is sent in a header or in the query; set only one of them")
        if self.query is not None:
            if not isinstance(self.query, str) or not self.query:
                raise InvalidRequestError(f"query must be the name of a parameter, not {self.query!r}")
            hide_parameter(self.query)
        elif self.header is None:
            object.__setattr__(self, "header", "X-Api-Key")
        elif not isinstance(self.header, str) or not is_token(self.header):
            raise InvalidRequestError(f"header must be the name of a header, not {self.header!r}")
        if inspect.iscoroutinefunction(self.value):
            raise InvalidRequestError(
                "an ApiKey takes text, or a plain function that returns the key at once"
            )
        if not callable(self.value):
            _checked(self.value)

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """Add the key."""
        key = _checked(self.value() if callable(self.value) else self.value)
        if self.query is not None:
            if self.query not in dict(parse_qsl(request.url.partition("?")[2], keep_blank_values=True)):
                request.url = normalise_url(request.url, {self.query: key})
        elif self.header is not None:
            names = request.headers.secret_names
            if self.header not in names:
                request.headers.secret_names = replace(
                    names, sensitive=(*names.sensitive, self.header.lower())
                )
            request.headers[self.header] = key
        yield request

    def __reduce__(self) -> tuple[Any, ...]:
        # Made again by the constructor: the process that unpickles it has to hide the parameter, too.
        return _rebuild, (type(self), self.value, self.header, self.query)

    def __repr__(self) -> str:
        name = getattr(self.value, "__qualname__", type(self.value).__name__)
        shown = name if callable(self.value) else repr(HIDDEN)
        where = f"header={self.header!r}" if self.query is None else f"query={self.query!r}"
        return f"ApiKey({shown}, {where})"


def _rebuild(
    kind: type[ApiKey], value: str | Callable[[], str], header: str | None, query: str | None
) -> ApiKey:
    return kind(value, header=header, query=query)


def _checked(key: object) -> str:
    if not isinstance(key, str) or not key:
        given = "''" if key == "" else type(key).__name__
        raise InvalidRequestError(f"the key in auth must be text that is not empty, not {given}")
    secret_bytes(key, "key")
    return key
