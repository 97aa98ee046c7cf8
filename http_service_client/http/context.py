"""The context of a call, as its interceptors see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .ids import new_id
from .request import HttpRequest

__all__ = ["HttpContext"]


class HttpContext:
    """What the layers and the interceptors know about one call. It lives as long as the call.

    call_id: the id of the call, which its events have, too; no other call has it.
    call_name: what the caller calls it (`name=`), or None.
    url_template: the path of its URL with placeholders, such as ``/orders/{order_id}``, if it has `path_params`; or None.
    correlation_id: a fresh id, made when first read, to send along; set it to use your own.
    request: the request of the running attempt, as the interceptors left it.
    attempt: the 1-based number of the running attempt.
    key: of circuit and retry budget: the origin, such as ``https://api.example.com``, with the call's `key` in
        parentheses behind it, if it has one.
    deadline_at: the instant on the client's clock at which the call times out, or None.

    Interceptors may set any further attribute.
    """

    __slots__ = (
        *("__dict__", "_correlation_id", "attempt", "call_id", "call_name", "deadline_at", "key"),
        *("request", "url_template"),
    )

    def __init__(self, request: HttpRequest, key: str = "") -> None:
        self.request = request
        self.key = key
        self.attempt = 0
        self.call_id = ""
        self.call_name: str | None = None
        self.url_template: str | None = None
        self.deadline_at: float | None = None
        self._correlation_id: str | None = None

    if TYPE_CHECKING:  # for type checkers, which would refuse an interceptor's own attributes

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    @property
    def correlation_id(self) -> str:
        """An id for this call, the same over its attempts."""
        if self._correlation_id is None:
            self._correlation_id = new_id()
        return self._correlation_id

    @correlation_id.setter
    def correlation_id(self, value: str) -> None:
        self._correlation_id = value

    def __repr__(self) -> str:
        return f"<HttpContext attempt {self.attempt} of {self.request!r}>"
