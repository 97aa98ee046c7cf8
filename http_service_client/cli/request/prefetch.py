"""Reading the beginning of a response's body inside the attempt, so that a lost connection is retried like any failure.

A stream's body is read after its call's attempts are over, so that a connection that breaks in it ends the call. Most
responses are short, and nothing of them needs to be shown before their end: these are read whole first. Of a long one,
the rest follows as it comes; one that is made to be read as it comes, such as server-sent events, is not read ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ...client.client import HttpServiceClient
from ...client.results import open_stream
from ...client.streams.response import AsyncStreamedResponse, StreamedResponse
from ...errors import Failure
from ...http.media_types import parse_content_type

if TYPE_CHECKING:
    from ...core.call import Call
    from ...core.effects import Outcome, Plan
    from ...core.layer import Handler
    from ...http.messages import HttpRequest, HttpResponse

__all__ = ["Prefetch", "open_async", "open_blocking"]

_LIVE = frozenset({"text/event-stream", "application/x-ndjson", "application/jsonl", "application/json-seq"})


class Prefetch:
    """A `core.call.Saver` that keeps the beginning of the body.

    limit: bytes to read ahead; 0 for none.
    content: the beginning.   is_complete: that is all of it.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.content = b""
        self.is_complete = False

    def attempt(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        """One attempt: the response whose body was begun, or a failure."""
        self.content, self.is_complete = b"", False
        outcome = yield from proceed(request, call)
        body = call.current.body
        if isinstance(outcome, Failure) or (body is not None and _is_live(outcome)):
            return outcome
        if body is None:  # that of an error has been read
            self.content, self.is_complete = outcome.content, True
            return outcome
        pieces: list[bytes] = []
        size = 0
        while size < self._limit:
            piece = yield from body.next_piece()
            if isinstance(piece, Failure):
                return piece
            if not piece:
                self.is_complete = True
                break
            pieces.append(piece)
            size += len(piece)
        self.content = b"".join(pieces)
        return outcome

    def all(self, rest: Iterable[bytes]) -> Iterator[bytes]:
        """The beginning, and the rest as it comes."""
        if self.content:
            yield self.content
        if not self.is_complete:
            yield from rest


def _is_live(response: HttpResponse) -> bool:
    return parse_content_type(response.headers.get("Content-Type", ""))[0] in _LIVE


def open_blocking(
    client: HttpServiceClient, method: str, url: str, prefetch: Prefetch, keywords: dict[str, Any]
) -> StreamedResponse:
    """As `client.stream(method, url, **keywords)`, entered. Close the response.

    keywords: a `progress` is that of the request's body.
    """
    builder = client._call_builder
    driver = builder.backends.blocking()
    call, pipeline = _prepared(client, method, url, prefetch, keywords)
    return StreamedResponse(call, open_stream(call, driver.run(pipeline(call.request, call))), driver)


async def open_async(
    client: HttpServiceClient, method: str, url: str, prefetch: Prefetch, keywords: dict[str, Any]
) -> AsyncStreamedResponse:
    """As `open_blocking`, in an asyncio task."""
    builder = client._call_builder
    driver = builder.backends.asyncio()
    call, pipeline = _prepared(client, method, url, prefetch, keywords)
    outcome = await driver.run(pipeline(call.request, call))
    return AsyncStreamedResponse(call, open_stream(call, outcome), driver)


def _prepared(
    client: HttpServiceClient, method: str, url: str, prefetch: Prefetch, keywords: dict[str, Any]
) -> tuple[Call, Callable[[HttpRequest, Call], Plan[Outcome]]]:
    builder = client._call_builder
    options = builder.streaming(None, keywords)._replace(download=prefetch)
    progress = keywords.pop("progress", None)
    call = builder.build(method, url, _stream=options, **keywords)
    call.request.progress = progress  # a saver would have it as that of the response
    return call, builder.pipelines.of_download(call)
