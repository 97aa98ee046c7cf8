"""Bodies from a source: of known length where possible, and never sent empty a second time."""

from __future__ import annotations

import asyncio
import codecs
import gzip
import io
import os
import pathlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import zip_longest
from typing import Any

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.body import RequestBody, stream_body
from http_service_client.http.bodies.encoding import encode_body
from kit.rows import each_row


def read(body: RequestBody) -> bytes:
    """The whole body; sync and async reading must give the same bytes."""

    async def gather() -> bytes:
        whole = b""
        async for chunk in body.async_chunks():
            whole += chunk
        return whole

    if not body.is_replayable:
        return b"".join(body.chunks())
    once = asyncio.run(gather())
    assert body.is_async or b"".join(body.chunks()) == once
    return once


def letters() -> Iterator[Any]:
    yield b"a"
    yield b""
    yield "é"
    yield memoryview(b"c")


async def pieces() -> AsyncIterator[Any]:
    yield b"a"
    yield b""
    yield "b"


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_bytes_in_memory_are_replayable(content: bytes) -> None:
    """Read by `for` and by `async for`, as often as needed."""
    body = RequestBody(content)
    assert (body.length, body.is_replayable) == (len(content), True)
    assert read(body) == read(body) == content


def test_a_text_file_is_refused(tmp_path: pathlib.Path) -> None:
    """Its length in bytes is unknown, and its newlines differ from those on disk."""
    path = tmp_path / "text"
    path.write_text("x")
    with path.open() as file, pytest.raises(InvalidRequestError, match="binary mode"):
        encode_body(data=file)
    with pytest.raises(InvalidRequestError, match="closed"):
        encode_body(data=file)


def test_a_file_is_not_read_again_after_its_end() -> None:
    """A pipe or a terminal may wait for more then."""
    replies = [b"a", b"b", b""]

    class Pipe(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return replies.pop(0)

    assert list(encode_body(data=Pipe()).chunks()) == [b"a", b"b"]
    assert replies == []


@each_row(
    ("argument", "source", "says"),
    [
        ("content", 5, "not int"),
        ("data", 5, "not int; a mapping is a form, and json= takes what has a JSON form"),
        ("data", lambda: b"", "not function; a mapping is a form, and json= takes what has a JSON form"),
        ("content", {1}, "not set"),
        ("data", letters, "not function; call it, and pass the generator that it returns"),
        ("content", pieces, "not function; call it, and pass the generator that it returns"),
    ],
)
def test_what_is_no_body_is_an_error_with_a_remedy(argument: str, source: Any, says: str) -> None:
    """It names the argument and the type."""
    start = f"{argument} must be bytes, text, a binary file or an iterable of bytes, "
    with pytest.raises(InvalidRequestError, match=f"^{re.escape(start + says)}$"):
        stream_body(source, argument)


@pytest.mark.parametrize("argument", ["data", "content"])
def test_a_file_is_sent_from_its_position_each_time(argument: str, tmp_path: pathlib.Path) -> None:
    """A file that was read to the middle sends its second half, twice if it is sent twice."""
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 30_000)
    with path.open("rb") as file:
        file.seek(100_000)
        body = encode_body(**{argument: file})
        assert (body.length, body.content, body.is_replayable) == (200_000, None, True)
        assert file.tell() == 100_000
        assert read(body) == read(body) == b"0123456789" * 20_000
        next(body.chunks())  # an attempt that was cut off
        assert read(body) == b"0123456789" * 20_000


@pytest.mark.parametrize("content", [b"", b"a", b"abc"])
def test_a_file_that_is_read_byte_by_byte_is_sent_whole(content: bytes) -> None:
    """A read may return less than it was asked for."""

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(1)

    assert read(encode_body(data=Slow(content))) == content


def test_a_file_that_several_calls_send_at_a_time_is_sent_whole_by_each() -> None:
    """One that began in the midst of another once made it send bytes twice, in a body of the right length."""
    content = os.urandom(1_000_000)
    file = io.BytesIO(content)
    first, second = encode_body(data=file), encode_body(data=file)
    one, other = first.chunks(), second.chunks()
    begun = [next(one), next(one)]
    pairs = list(zip_longest(one, other, fillvalue=b""))
    assert b"".join([*begun, *(mine for mine, _ in pairs)]) == content
    assert b"".join(theirs for _, theirs in pairs) == content


def test_a_thread_that_moves_a_file_during_a_read_is_found_out() -> None:
    """Its bytes may be those of another place, so they are not sent."""

    class Shared(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            self.seek(1)  # as another thread does, after the body has looked where the file is
            return super().read(size)

    with pytest.raises(InvalidRequestError, match="open the file once for each call"):
        next(encode_body(data=Shared(b"0123456789")).chunks())


def test_a_file_that_decodes_to_text_is_refused_when_it_is_read(tmp_path: pathlib.Path) -> None:
    """Its length is that of other bytes: what is beyond it once followed the request, as if it were the next one."""
    path = tmp_path / "file"
    path.write_bytes("é".encode("latin-1") * 100)
    # As `codecs.open` gives it, which Python 3.14 deprecates.
    with codecs.StreamReaderWriter(
        path.open("rb"), codecs.getreader("latin-1"), codecs.getwriter("latin-1")
    ) as file:
        body = encode_body(data=file)
        with pytest.raises(InvalidRequestError, match=r"text file, .* binary mode"):
            next(body.chunks())


def test_a_file_that_gives_more_than_it_was_asked_for_is_refused() -> None:
    """The bytes beyond the declared length would be the next request."""

    class Generous(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read()

    file = Generous(b"abc")
    body = encode_body(data=file)
    assert read(body) == b"abc"
    file.write(b"def")
    with pytest.raises(InvalidRequestError, match="more bytes than it was asked for"):
        next(body.chunks())


def test_the_length_of_a_file_is_not_that_up_to_another_call_s_position() -> None:
    """Between a seek to the end and a question for the position, another thread may move it."""

    class Shared(io.BytesIO):
        def seek(self, to: int, whence: int = 0) -> int:
            end = super().seek(to, whence)
            if whence == io.SEEK_END:
                super().seek(2)
            return end

    assert encode_body(data=Shared(b"0123456789")).length == 10


def test_a_file_whose_seek_returns_nothing_is_sent_whole() -> None:
    """Its position says where the end is."""

    class Silent(io.BytesIO):
        def seek(self, to: int, whence: int = 0) -> Any:
            super().seek(to, whence)

    body = encode_body(data=Silent(b"0123456789"))
    assert (body.length, read(body)) == (10, b"0123456789")


def test_a_file_that_grew_is_cut_and_one_that_shrank_is_refused() -> None:
    """The declared length holds: more would be request smuggling, less a hang."""
    file = io.BytesIO(b"abc")
    body = encode_body(data=file)
    file.seek(0, 2)
    file.write(b"def")
    assert read(body) == b"abc"
    file.truncate(1)
    with pytest.raises(InvalidRequestError, match="shorter"):
        read(body)


def test_a_pipe_is_sent_once() -> None:
    """It cannot be rewound: its length is unknown and it can be sent only once."""
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        body = encode_body(data=file)
        assert (body.length, body.is_replayable, body.may_send) == (None, False, True)
        assert read(body) == b"abc"
        assert not body.may_send


def test_a_compressed_file_is_replayable(tmp_path: pathlib.Path) -> None:
    """Its length is unknown, but it can be rewound, so it is replayable."""
    with gzip.open(tmp_path / "x.gz", "wb") as file:
        file.write(b"abc")
    with gzip.open(tmp_path / "x.gz", "rb") as file:
        body = encode_body(data=file)
        assert body.is_replayable
        assert read(body) == read(body) == b"abc"


class Odd(io.BytesIO):
    """A file with an error in place of one answer."""

    def __init__(self, error: Exception, of: str) -> None:
        super().__init__(b"0123")
        self._error, self._of = error, of

    def tell(self) -> int:
        if self._of == "tell":
            raise self._error
        return super().tell()

    def seek(self, to: int, whence: int = 0) -> int:
        if self._of == ("seek", "seek to the end")[whence // 2]:
            raise self._error
        return super().seek(to, whence)


@each_row("error", [AttributeError(), io.UnsupportedOperation(), OSError(), ValueError(), TypeError()])
@each_row("of", ["tell", "seek"])
def test_a_file_without_positions_is_sent_once(error: Exception, of: str) -> None:
    """Whichever error says that it has none: files are made by many libraries."""
    body = encode_body(data=Odd(error, of))
    assert (body.length, body.is_replayable) == (None, False)
    assert read(body) == b"0123"


@pytest.mark.parametrize("error", [io.UnsupportedOperation(), OSError(), ValueError(), TypeError()])
def test_a_file_without_an_end_is_replayable_from_its_position(error: Exception) -> None:
    """Only its length is unknown."""
    file = Odd(error, "seek to the end")
    file.seek(1)
    body = encode_body(data=file)
    assert (body.length, body.is_replayable, file.tell()) == (None, True, 1)
    assert read(body) == read(body) == b"123"


def test_a_file_that_is_past_its_end_is_empty() -> None:
    """Its length is not below 0."""
    file = io.BytesIO(b"abc")
    file.seek(5)
    body = encode_body(data=file)
    assert (body.length, read(body)) == (0, b"")


class Empty(io.RawIOBase):
    """A non-blocking file that has no data yet."""

    def read(self, size: int = -1) -> Any:
        return None


def test_a_non_blocking_file_is_an_error() -> None:
    """None from read() means "not now", not the end of the body."""
    with pytest.raises(InvalidRequestError, match="non-blocking"):
        list(encode_body(data=Empty()).chunks())


def test_a_generator_is_sent_once_and_never_empty() -> None:
    """Sending a one-shot body a second time is an error, not an empty body."""
    body = encode_body(data=letters())
    assert (body.length, body.is_replayable, body.has_started, body.may_send) == (None, False, False, True)
    waiting = body.chunks()
    assert body.may_send, "chunks() alone reads nothing"
    assert list(waiting) == [b"a", b"\xc3\xa9", b"c"]
    assert (body.has_started, body.may_send) == (True, False)
    with pytest.raises(InvalidRequestError, match="cannot be replayed"):
        body.chunks()
    with pytest.raises(InvalidRequestError, match="cannot be replayed"):
        body.async_chunks()


def test_two_readers_do_not_share_a_generator() -> None:
    """The first read claims it; the other reader gets an error."""
    body = encode_body(data=letters())
    first, second = body.chunks(), body.chunks()
    next(first)
    with pytest.raises(InvalidRequestError):
        next(second)


class Restarting:
    """An iterable that starts over each time."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"a", b"b"])


def test_an_iterable_that_starts_over_is_replayable() -> None:
    """It is not its own iterator."""
    body = encode_body(data=Restarting())
    assert body.is_replayable
    assert body.length is None
    assert read(body) == read(body) == b"ab"


@pytest.mark.parametrize("chunk", [1, None, ("a", 1), {"a": 1}])
def test_a_chunk_of_another_type_is_refused(chunk: Any) -> None:
    """The error names its type; otherwise a TypeError would come from deep inside a socket."""
    with pytest.raises(InvalidRequestError, match="chunk of the body"):
        list(encode_body(data=iter([chunk])).chunks())


class AsyncRestarting:
    """An async iterable that starts over each time."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return pieces()


def test_an_async_iterable_that_starts_over_is_replayable() -> None:
    """As a sync one is."""
    body = encode_body(data=AsyncRestarting())
    assert body.is_replayable
    assert read(body) == read(body) == b"ab"


def test_an_async_generator_is_read_once_and_only_by_async_calls() -> None:
    """A blocking read is an error at once."""
    body = encode_body(content=pieces())
    assert (body.is_async, body.is_replayable, body.length) == (True, False, None)
    with pytest.raises(InvalidRequestError, match="_async"):
        body.chunks()

    async def read_async() -> list[bytes]:
        return [chunk async for chunk in body.async_chunks()]

    assert asyncio.run(read_async()) == [b"a", b"b"]
    assert not body.may_send
    with pytest.raises(InvalidRequestError, match="cannot be replayed"):
        asyncio.run(read_async())


def test_two_readers_do_not_share_an_async_generator() -> None:
    """As with a plain one; whoever asks for bytes first has it."""

    async def read_twice() -> None:
        body = encode_body(data=pieces())
        first, second = aiter(body.async_chunks()), aiter(body.async_chunks())
        await anext(first)
        with pytest.raises(InvalidRequestError, match="cannot be replayed"):
            await anext(second)

    asyncio.run(read_twice())


@each_row(
    ("body", "content_type", "content"),
    [
        (RequestBody("é".encode(), charset="utf-8"), "text/plain; charset=ISO-8859-1", b"\xe9"),
        (RequestBody("é".encode(), charset="utf-8"), "text/plain; charset=UTF-8", b"\xc3\xa9"),
        (RequestBody("é".encode(), charset="utf-8"), 'text/plain; title="charset"', b"\xc3\xa9"),
        (RequestBody("é".encode()), "text/plain; charset=ISO-8859-1", b"\xc3\xa9"),
        (RequestBody(b"e", charset="utf-8"), "text/plain; charset=UTF-16LE", b"e\0"),
        (RequestBody(b"e", charset="utf-8"), "text/plain; charset=klingon", b"e"),
    ],
)
def test_a_text_is_sent_in_the_charset_that_its_content_type_names(
    body: RequestBody, content_type: str, content: bytes
) -> None:
    """Bytes stay as they are, and so does a text whose charset has no name."""
    assert body.in_charset_of(content_type).content == content


def declared(source: Any, length: int) -> RequestBody:
    body = encode_body(data=source)
    body.declare_length(length)
    return body


async def one_by_one(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@each_row("is_async", [False, True], ids=["sync", "async"])
@each_row(
    ("chunks", "length", "sent", "found"),
    [
        ([b"ab", b"c"], 3, b"abc", None),
        ([b"", b"abc", b"", b""], 3, b"abc", None),
        ([b"ab", b"c"], 4, b"abc", "shorter"),
        ([], 1, b"", "shorter"),
        ([b"ab", b"c"], 2, b"", "longer"),
        ([b"ab", b"c"], 1, b"", "longer"),
        ([b"ab", b"cd"], 3, b"ab", "longer"),
        ([b"a", b"b", b"", b"c"], 2, b"a", "longer"),
    ],
)
def test_a_source_has_its_declared_length_or_never_all_of_it_is_sent(
    chunks: list[bytes], length: int, sent: bytes, found: str | None, is_async: bool
) -> None:
    """The bytes that would make the request whole are held back until the source has ended."""
    body = declared(one_by_one(chunks) if is_async else iter(chunks), length)
    assert body.length == length
    given = bytearray()

    async def read_all() -> None:
        async for chunk in body.async_chunks():
            given.extend(chunk)

    if found is None:
        asyncio.run(read_all())
    else:
        with pytest.raises(
            InvalidRequestError, match=f"the body is {found} than its Content-Length of {length} bytes"
        ):
            asyncio.run(read_all())
    assert bytes(given) == sent


@pytest.mark.parametrize("source", [Restarting, AsyncRestarting])
def test_a_declared_length_holds_each_time(source: Any) -> None:
    """Bytes of one attempt do not count in the next one."""
    body = declared(source(), 2)
    assert read(body) == read(body) == b"ab"


def test_a_repr_shows_the_state_and_no_content() -> None:
    """A body may contain secrets."""
    assert repr(RequestBody(b"secret")) == "<RequestBody 6 bytes, replayable>"
    assert repr(encode_body(data=letters())) == "<RequestBody unknown length, one-shot>"


@pytest.mark.parametrize(("is_seekable", "sizes"), [(True, [256, 44]), (False, [64] * 6)])
def test_a_file_is_read_in_larger_pieces_than_a_pipe(is_seekable: bool, sizes: list[int]) -> None:
    """A read of a pipe waits until it has all of its bytes."""
    asked: list[int] = []

    class Source(io.BytesIO):
        def seek(self, *to: int) -> int:
            if not is_seekable:
                raise io.UnsupportedOperation
            return super().seek(*to)

        def read(self, size: int | None = -1) -> bytes:
            asked.append(size or 0)
            return super().read(size)

    content = bytes(range(256)) * 1200  # 300 KiB
    assert b"".join(encode_body(content=Source(content)).chunks()) == content
    assert asked == [size * 1024 for size in sizes]
