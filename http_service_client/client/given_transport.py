"""A transport of the user's own, in the place of the network: checked when it is given, when it is needed, and in each exchange.

A wrong one would otherwise fail in the layers around it, with an error that names nothing of the transport.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from ..core.checks import class_remedy, is_async, is_generator, refuse_awaitable, shown
from ..core.effects import Outcome
from ..core.timeouts import Timeout
from ..errors import ConfigurationError, Failure
from ..http.messages import HttpRequest, HttpResponse

__all__ = ["AsyncSend", "Send", "asyncio_parts", "blocking_parts", "check_transport"]

Send = Callable[[HttpRequest, Timeout], Outcome]
AsyncSend = Callable[[HttpRequest, Timeout], Awaitable[Outcome]]

_WITH_HTTPX = "make that client with an integrations.ResilientTransport, or an AsyncResilientTransport"
_ADAPTERS = {  # whose sessions have a `send` of another kind, or are taken for something that sends
    "requests": "mount an integrations.ResilientAdapter in that session",
    "httpx": _WITH_HTTPX,
    "httpx2": _WITH_HTTPX,
    "aiohttp": "make that session with integrations.resilience_middleware",
}


def check_transport(transport: object) -> None:
    """Raise ConfigurationError for an object that cannot do the work of a transport."""
    send, send_async = getattr(transport, "send", None), getattr(transport, "send_async", None)
    remedy = class_remedy(transport) or _adapter(transport)
    if remedy or not (callable(send) or callable(send_async)):
        raise ConfigurationError(
            f"transport must be an object with send or send_async, not {shown(transport)}{remedy}"
        )
    for name, function in (("send", send), ("send_async", send_async)):
        if function is None:
            continue
        if not callable(function) or is_generator(function):
            raise ConfigurationError(
                f"{name} of transport must be a function without a yield, not {shown(function)}"
            )
    if send is not None and is_async(send):
        raise ConfigurationError(
            f"send of transport must be a plain function, not the async {shown(send)}; name that one send_async"
        )


def blocking_parts(transport: Any) -> tuple[Send, Send | None]:
    """The `send` and the `open_response` of a transport, or None for that. Raises ConfigurationError without a `send`."""
    if getattr(transport, "send", None) is None:
        _refuse(transport, "send", "blocking", "use the client's *_async methods")
    open_response = getattr(transport, "open_response", None)
    return _checked(transport.send), open_response and _checked(open_response)


def asyncio_parts(transport: Any) -> tuple[AsyncSend, AsyncSend | None]:
    """The same in asyncio."""
    if getattr(transport, "send_async", None) is None:
        _refuse(
            transport,
            "send_async",
            "asyncio",
            "call the client in a thread: await asyncio.to_thread(client.get, url)",
        )
    open_response = getattr(transport, "open_response_async", None)
    return _checked_async(transport.send_async), open_response and _checked_async(open_response)


def _refuse(transport: object, name: str, front_end: str, remedy: str) -> NoReturn:
    raise ConfigurationError(
        f"transport, of the class {type(transport).__name__}, has no {name}, which {front_end} calls need; "
        f"{remedy}, or give it {name}(request, timeout)"
    )


def _checked(send: Send) -> Send:
    def send_and_check(request: HttpRequest, timeout: Timeout) -> Outcome:
        outcome = send(request, timeout)
        if not isinstance(outcome, (HttpResponse, Failure)):
            refuse_awaitable(outcome)
            raise TypeError(_not_an_outcome(send, outcome))
        return outcome

    return send_and_check


def _checked_async(send: AsyncSend) -> AsyncSend:
    async def send_and_check(request: HttpRequest, timeout: Timeout) -> Outcome:
        sending = send(request, timeout)
        if not hasattr(type(sending), "__await__"):
            name = getattr(send, "__qualname__", shown(send))
            raise TypeError(f"{name} returned {shown(sending)}, which cannot be awaited; write async def")
        outcome = await sending
        if not isinstance(outcome, (HttpResponse, Failure)):
            raise TypeError(_not_an_outcome(send, outcome))
        return outcome

    return send_and_check


def _not_an_outcome(send: object, outcome: object) -> str:
    is_error = isinstance(outcome, BaseException)
    remedy = "; for an error, return Failure(ConnectError, 'why', SentState.NEVER_SENT)" if is_error else ""
    name = getattr(send, "__qualname__", shown(send))
    return f"{name} of a transport must return an HttpResponse or a Failure, not {shown(outcome)}{remedy}"


def _adapter(transport: object) -> str:
    for kind in type(transport).__mro__:
        adapter = _ADAPTERS.get(kind.__module__.partition(".")[0])
        if adapter is not None:
            return f"; {adapter}"
    return ""
