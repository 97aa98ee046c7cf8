"""What `client.stream(...)` returns, before the `with` that opens it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

from ...errors import StreamError
from ...http.messages import HttpResponse
from .response import AsyncStreamedResponse, StreamedResponse

__all__ = ["AsyncStreamContext", "StreamContext"]


class _Opening:
    """A stream that is not open yet. Every wrong way to use it raises an error that names the right one."""

    __slots__ = ()

    opens_on_entry = True  # policies refuse it as a result: nothing has been sent when it is returned

    if not TYPE_CHECKING:  # a type checker finds these mistakes on its own

        def _refuse(self, *_: object) -> NoReturn:
            raise TypeError(f"a stream is not open yet: {_RIGHT}")

        __enter__ = __exit__ = __aenter__ = __aexit__ = __await__ = __iter__ = __aiter__ = _refuse

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"a stream that is not open has no {name!r}: {_RIGHT}")


_RIGHT = (
    "write 'with client.stream(...) as response', "
    "or in asyncio 'async with client.stream_async(...) as response'"
)


class StreamContext(_Opening):
    """What `HttpServiceClient.stream` returns: `with` makes the call, and closes the stream at the end of the block."""

    __slots__ = ("_open", "_response")

    def __init__(self, open_stream: Callable[[], StreamedResponse]) -> None:
        self._open = open_stream
        self._response: StreamedResponse | None = None

    def __repr__(self) -> str:
        return _shown(self._response, "with client.stream(...) as response")

    def __enter__(self) -> StreamedResponse:
        _check_unopened(self._response)
        self._response = self._open()
        return self._response

    def __exit__(self, *about: object) -> None:
        assert self._response is not None
        self._response.close()


class AsyncStreamContext(_Opening):
    """As `StreamContext`, by `async with`."""

    __slots__ = ("_open", "_response")

    def __init__(self, open_stream: Callable[[], Awaitable[AsyncStreamedResponse]]) -> None:
        self._open = open_stream
        self._response: AsyncStreamedResponse | None = None

    def __repr__(self) -> str:
        return _shown(self._response, "async with client.stream_async(...) as response")

    async def __aenter__(self) -> AsyncStreamedResponse:
        _check_unopened(self._response)
        self._response = await self._open()
        return self._response

    async def __aexit__(self, *about: object) -> None:
        assert self._response is not None
        self._response.close()


def _shown(response: HttpResponse | None, right: str) -> str:
    return f"<stream not open: write {right!r}>" if response is None else f"<stream of {response!r}>"


def _check_unopened(response: HttpResponse | None) -> None:
    if response is not None:
        raise StreamError("this stream was opened before; call client.stream() again for another")
