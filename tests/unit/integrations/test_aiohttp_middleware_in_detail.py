"""`resilience_middleware`: what it does with the requests, bodies and responses of aiohttp, by some that tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp.http_exceptions import ContentEncodingError
from multidict import CIMultiDict
from yarl import URL

from http_service_client import (
    ConfigurationError,
    ConnectionLostError,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    RetryCondition,
    RetryPolicy,
    SentState,
)
from http_service_client.events import AttemptFinished
from http_service_client.integrations import resilience_middleware
from http_service_client.testing import VirtualClock
from kit.jumping_loop import run_jumping

KIB = 1024


class Request:
    """A request as aiohttp has it."""

    def __init__(self, method: str = "PUT", body: Any = b"", error: Exception | None = None) -> None:
        self.method, self.body = method, body
        self.url = URL("http://a.test/")
        self.headers = CIMultiDict[str]()
        self.closed = 0
        self._error = error

    async def close(self) -> None:
        """Wait for the task that wrote the body."""
        self.closed += 1
        if self._error is not None:
            raise self._error


class Response:
    """A response as aiohttp has it.   done: what was done with it."""

    def __init__(self, status: int, *pieces: bytes | Exception, length: int | None = None) -> None:
        self.status, self.reason = status, None
        self.headers = CIMultiDict[str]()
        self.content, self.content_length = self, length
        self.taken = 0
        self.done: list[str] = []
        self._pieces = pieces

    async def iter_any(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.iter_any()])

    def close(self) -> None:
        self.done.append("closed")

    def release(self) -> None:
        self.done.append("released")


Handler = Callable[[Any], Awaitable[Any]]


def answering(*script: Response | Exception) -> Handler:
    """The part of a session that sends: a response or an error for each exchange, the last one for all that follow."""
    left = list(script)

    async def handler(request: Any) -> Any:
        step = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(step, Exception):
            raise step
        return step

    return handler


async def send(
    handler: Handler, request: Request | None = None, config: HttpClientConfig | None = None, **options: Any
) -> Any:
    """The result of a call by the middleware, in virtual time."""
    middleware: Any = resilience_middleware(client=HttpServiceClient(config, clock=VirtualClock()), **options)
    return await middleware(request or Request(), handler)


@pytest.mark.parametrize(
    ("length", "sizes", "taken", "is_released"),
    [
        (None, [32 * KIB, 32 * KIB], 2, True),
        (None, [32 * KIB, 32 * KIB, 1, 1], 3, False),
        (None, [64 * KIB + 1, 1], 1, False),
        (64 * KIB, [64 * KIB], 1, True),
        (64 * KIB + 1, [1], 0, False),
        (0, [], 0, True),
    ],
)
@pytest.mark.asyncio
async def test_of_a_response_that_is_discarded_64_kib_are_read_at_most(
    length: int | None, sizes: list[int], taken: int, is_released: bool
) -> None:
    """And nothing of one that says that it is longer. One that was read to its end keeps its connection."""
    down, up = Response(503, *map(bytes, sizes), length=length), Response(200)
    assert await send(answering(down, up)) is up
    assert (down.taken, down.done) == (taken, ["released", "closed"] if is_released else ["closed"])
    assert up.done == []


@pytest.mark.asyncio
async def test_a_response_that_cannot_be_discarded_is_closed() -> None:
    """The next attempt is made."""
    down, up = Response(503, b"x", aiohttp.ClientPayloadError("it is lost")), Response(200)
    assert await send(answering(down, up)) is up
    assert down.done == ["closed"]


@pytest.mark.parametrize("error", [None, LookupError("of the writer")])
@pytest.mark.asyncio
async def test_what_wrote_the_body_has_ended_before_it_is_written_again(error: Exception | None) -> None:
    """A file is rewound then. Whatever came of that writer, it was of an attempt that is over."""
    request, at_begin = Request(error=error), []

    async def handler(request: Any) -> Any:
        at_begin.append(request.closed)
        return Response(503)

    response = await send(handler, request)
    assert (response.status, at_begin) == (503, [0, 1, 2])


def test_a_writer_that_does_not_end_is_waited_for_a_second() -> None:
    """It was cancelled, and may close a file on a disk that does not respond."""

    class Hangs(Request):
        async def close(self) -> None:
            await asyncio.sleep(60)

    async def waited() -> float:
        await send(answering(Response(503), Response(200)), Hangs())
        return asyncio.get_running_loop().time()

    assert run_jumping(waited()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("status", "read_bodies", "taken"), [(200, True, 1), (200, False, 0), (101, True, 0), (102, True, 1)]
)
@pytest.mark.asyncio
async def test_the_body_of_a_response_is_read_where_that_is_asked_for(
    status: int, read_bodies: bool, taken: int
) -> None:
    """But what comes after an upgrade of the connection is none."""
    response = Response(status, b"x")
    assert await send(answering(response), read_bodies=read_bodies) is response
    assert response.taken == taken


@pytest.mark.parametrize(("read_bodies", "content"), [(True, b"down"), (False, b"")])
@pytest.mark.parametrize(("reason", "phrase"), [(None, ""), ("Down", "Down")])
@pytest.mark.asyncio
async def test_whoever_judges_a_response_sees_what_came(
    read_bodies: bool, content: bytes, reason: str | None, phrase: str
) -> None:
    """The body if it was read, and a reason if there is one."""
    seen: list[Any] = []

    def judges(response: HttpResponse) -> bool:
        seen.append((response.content, response.reason_phrase))
        return False

    response = Response(503, b"do", b"wn")
    response.reason = reason  # type: ignore[assignment]
    policy = RetryPolicy(3, retry_conditions=[RetryCondition.on_result(judges)])
    config = HttpClientConfig(retry_policy_config=policy)
    await send(answering(response), config=config, read_bodies=read_bodies)
    assert seen == [(content, phrase)]


@pytest.mark.parametrize(
    ("error", "is_itself"),
    [
        (aiohttp.ClientPayloadError("cut short"), True),
        (aiohttp.ClientConnectionError("no pool"), True),
        (aiohttp.ClientOSError(104, "reset"), False),
        (aiohttp.ServerDisconnectedError(), False),
        (OSError(104, "reset"), False),
        (TimeoutError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.asyncio
async def test_what_is_raised_is_always_an_error_of_aiohttp(error: Exception, is_itself: bool) -> None:
    """The one that came, unless the session would send the request once more by itself, or code for aiohttp not catch it."""
    with pytest.raises(aiohttp.ClientError) as caught:
        await send(answering(error))
    assert (caught.value is error) == is_itself
    assert is_itself or caught.value.__cause__ is error
    assert is_itself or type(caught.value) not in (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)


class Writes(aiohttp.Payload):
    """A body that uses its writer in one of the ways that there are. It can be written again, as a file can.

    error: of its source.
    """

    _default_content_type = "text/plain"

    def __init__(self, step: str, error: BaseException | None = None) -> None:
        super().__init__(None)
        self._step, self._error = step, error

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return "x"

    async def write(self, writer: Any) -> None:
        raise NotImplementedError  # aiohttp calls the following one

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        assert writer.name == "of aiohttp"
        await getattr(writer, self._step)(*[b"x"] * (self._step != "drain"))
        if self._error is not None:
            raise self._error


class Writer:
    """What aiohttp writes a body by."""

    name = "of aiohttp"

    def __init__(self, error: Exception | None = None) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self._error = error

    async def write(self, *arguments: Any) -> None:
        self._note("write", *arguments)

    async def write_eof(self, *arguments: Any) -> None:
        self._note("write_eof", *arguments)

    async def drain(self, *arguments: Any) -> None:
        self._note("drain", *arguments)

    def _note(self, *step: Any) -> None:
        self.steps.append(step)
        if self._error is not None:
            raise self._error


def writing(writer: Writer) -> Handler:
    """Writes the body of a request. What that raises is an error of aiohttp, as in a session."""

    async def handler(request: Any) -> Any:
        try:
            await request.body.write_with_length(writer, None)
        except OSError as error:
            raise aiohttp.ClientOSError(None, "cannot write") from error
        except asyncio.CancelledError:  # by aiohttp, when the response has come, or the connection was lost
            raise aiohttp.ClientPayloadError("the response was cut short") from None
        return Response(200)

    return handler


STEPS = pytest.mark.parametrize("step", ["write", "write_eof", "drain"])


@STEPS
@pytest.mark.asyncio
async def test_a_body_is_written_as_its_payload_does(step: str) -> None:
    """Whichever methods of the writer it uses. The payload is what it was, afterwards."""
    writer, body = Writer(), Writes(step)
    before = dict(vars(body))
    assert (await send(writing(writer), Request(body=body))).status == 200
    assert writer.steps == [(step, *[b"x"] * (step != "drain"))]
    assert vars(body) == before


@STEPS
@pytest.mark.asyncio
async def test_a_connection_that_fails_while_a_body_is_written_is_no_fault_of_the_source(step: str) -> None:
    """The body is written again."""
    writer = Writer(ConnectionResetError())
    with pytest.raises(ConnectionLostError):
        await send(writing(writer), Request(body=Writes(step)))
    assert len(writer.steps) == 3


@pytest.mark.asyncio
async def test_a_source_that_fails_ends_the_call() -> None:
    """Whatever it was in the midst of."""
    writer = Writer()
    error = OSError("the disk is gone")
    with pytest.raises(OSError, match="the disk is gone") as caught:
        await send(writing(writer), Request(body=Writes("write", error)))
    assert caught.value is error
    assert len(writer.steps) == 1


@pytest.mark.asyncio
async def test_a_source_that_was_cancelled_has_not_failed() -> None:
    """aiohttp needs no more of it: the exchange has failed for another reason, and is made again."""
    writer = Writer()
    with pytest.raises(aiohttp.ClientPayloadError):
        await send(writing(writer), Request(body=Writes("write", asyncio.CancelledError())))
    assert len(writer.steps) == 3


@pytest.mark.asyncio
async def test_whether_bodies_are_read_is_a_flag() -> None:
    """Nothing else."""
    with pytest.raises(ConfigurationError, match=r"^read_bodies must be True or False"):
        resilience_middleware(read_bodies="no")  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_a_body_that_cannot_be_decoded_is_that_of_an_answer() -> None:
    """It is no error of the exchange, and the response says how the call went. aiohttp has one class for both."""
    error = aiohttp.ClientPayloadError("400, message:\n  Can not decode content-encoding: gzip")
    error.__cause__ = ContentEncodingError("Can not decode content-encoding: gzip")
    with pytest.raises(aiohttp.ClientPayloadError) as caught:
        await send(answering(error), config=HttpClientConfig(enable_retry_policy=False))
    (attempt,) = (each for each in caught.value.timeline if isinstance(each, AttemptFinished))  # type: ignore[attr-defined]
    assert (attempt.error, attempt.sent_state) == ("DecodingError", SentState.ANSWERED)
