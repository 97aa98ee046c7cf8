"""The transport of calls whose exchanges another library makes: an adapter of ours sits inside its session.

That library has built the request and owns what surrounds one exchange: redirects, cookies, credentials, decoding,
connections. So the request knows how to send itself. What it returns to the layers is the head of the response, or
a failure; the library's own response or error stays with the request, to be returned or raised in the end.
"""

from __future__ import annotations

from typing import Any, cast

from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..http.bodies.body import RequestBody
from ..http.headers import Headers
from ..http.messages import HttpRequest

__all__ = ["ForeignRequest", "send", "send_async"]


class ForeignRequest(HttpRequest):
    """A request of another library, as the layers see it.

    url: normalised, since state is kept by its origin; the library sends its own.
    headers: a copy of those that the library sends.
    content: the bytes of the body; None if they are not in memory.
    is_replayable: the library can send the body again from its start. If not, `body.has_started` must be set as soon
        as an exchange may have read some of it.
    """

    __slots__ = ()

    def __init__(
        self,
        method: str,
        url: str,
        headers: Headers,
        content: bytes | None = b"",
        *,
        is_replayable: bool = True,
        idempotent: bool | None = None,
    ) -> None:
        super().__init__(method, url, headers=headers, idempotent=idempotent)
        self._body = RequestBody(content, is_replayable=is_replayable)

    def exchange(self, timeout: Timeout) -> Outcome:
        """Have the library send it, within this timeout. As `BlockingTransport.send`."""
        raise NotImplementedError

    async def exchange_async(self, timeout: Timeout) -> Outcome:
        """As `exchange`, in an asyncio task."""
        raise NotImplementedError

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Without the library's own request, which may hold a connection.
        return _unpickled, (self.__getstate__(),)


def _unpickled(state: dict[str, Any]) -> HttpRequest:
    request = HttpRequest.__new__(HttpRequest)
    request.__setstate__(state)
    return request


def send(request: HttpRequest, timeout: Timeout) -> Outcome:
    """One exchange, made by the library that the request is of."""
    return cast(ForeignRequest, request).exchange(timeout)


async def send_async(request: HttpRequest, timeout: Timeout) -> Outcome:
    """As `send`, in an asyncio task."""
    return await cast(ForeignRequest, request).exchange_async(timeout)
