"""The body of a stream as a file: whatever reads files reads it."""

from __future__ import annotations

import asyncio
import csv
import gc
import gzip
import io
import json
import shutil
import tarfile
import zipfile
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    HttpResponse,
    HttpServiceClient,
    ResponseTooLargeError,
    StreamError,
)
from http_service_client.testing import ScriptedTransport
from kit.fakes import RESET
from kit.streaming import StreamingTransport

URL = "https://api.example.com/file"
TABLE = b'id,name\r\n1,"two\r\nlines"\r\n' * 500


def stream(*script: Any, **options: Any) -> Any:
    return HttpServiceClient(transport=StreamingTransport(*script)).stream("GET", URL, **options)


def pieces(data: bytes, size: int = 7) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("table.csv")
        member.size = len(TABLE)
        tar.addfile(member, io.BytesIO(TABLE))
    return packed.getvalue()


def read_csv(file: Any) -> Any:
    return list(csv.reader(io.TextIOWrapper(file, "utf-8", newline="")))


def read_tar(file: Any) -> Any:
    with tarfile.open(fileobj=file, mode="r|gz") as tar:
        return [tar.extractfile(member).read() for member in tar]  # type: ignore[union-attr]  # a file


def copied(file: Any) -> bytes:
    target = io.BytesIO()
    shutil.copyfileobj(file, target, 100)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "read", "expected"),
    [
        (gzip.compress(TABLE), lambda file: gzip.open(file).read(), TABLE),
        (TABLE, read_csv, list(csv.reader(io.StringIO(TABLE.decode(), newline="")))),
        (archive(), read_tar, [TABLE]),
        (b'{"a": [1, 2]}', json.load, {"a": [1, 2]}),
        (TABLE, copied, TABLE),
        (TABLE, lambda file: list(file), TABLE.splitlines(keepends=True)),
        (
            TABLE,
            lambda file: (file.read(10), file.readline(), file.peek(1)[:1]),
            (TABLE[:10], TABLE[10:17], TABLE[17:18]),
        ),
        (b"", lambda file: file.read(None), b""),
    ],
    ids=["gzip", "csv", "tarfile", "json", "shutil", "lines", "read, readline, peek", "empty"],
)
def test_readers_of_files_read_a_stream(data: bytes, read: Any, expected: Any) -> None:
    """In one pass, from its start to its end."""
    with stream(*pieces(data)) as response:
        assert read(response.as_file()) == expected


def test_a_file_is_read_once_and_cannot_seek() -> None:
    """A reader that must seek is refused, with an error that says what to do."""
    with stream(b"PK\x05\x06" + bytes(18)) as response:
        file = response.as_file()
        assert (file.readable(), file.seekable(), file.writable()) == (True, False, False)
        for step in (file.tell, lambda: file.seek(0)):
            with pytest.raises(io.UnsupportedOperation, match=r"download\(\) it to a file"):
                step()
        with pytest.raises(zipfile.BadZipFile) as caught:
            zipfile.ZipFile(file)
        assert isinstance(caught.value.__context__, io.UnsupportedOperation)
        with pytest.raises(StreamError, match="already read"):
            response.as_file()


def test_a_broken_body_is_not_the_end_of_its_file() -> None:
    """The error is that of the stream, and so is the next one."""
    with stream(b"abc", RESET) as response:
        file = response.as_file()
        assert file.read(2) == b"ab"
        with pytest.raises(ConnectionLostError):
            file.read(2)
        with pytest.raises(StreamError):
            file.read(2)


def test_closing_the_file_leaves_the_response_open() -> None:
    """A wrapper that is dropped closes it; the `with` block closes the response."""
    transport = StreamingTransport(b"one\n", b"two\n")
    with HttpServiceClient(transport=transport).stream("GET", URL) as response:
        file = response.as_file()
        wrapper = io.TextIOWrapper(file, "utf-8")
        assert wrapper.readline() == "one\n"
        del wrapper
        gc.collect()
        assert not transport.sources[0].is_closed
        with pytest.raises(ValueError, match="closed file"):
            file.read()
    assert transport.sources[0].is_closed


def test_a_raw_file_that_was_closed_is_not_read() -> None:
    """As any other; its bytes are still those of the response."""
    with stream(b"abc") as response:
        file = response.as_file().detach()
        assert file.read(1) == b"a"
        file.close()
        for read in (lambda: file.read(1), file.readall):
            with pytest.raises(ValueError, match="closed file"):
                read()


def test_a_read_without_a_size_has_the_limit_of_read() -> None:
    """What it returns is in memory. A read with a size is the caller's own."""
    with stream(*[b"x" * 10] * 10, max_response_size=None) as response:
        assert len(response.as_file().read()) == 100
    with stream(*[b"x" * 1024 * 1024] * 11) as response, pytest.raises(ResponseTooLargeError):
        response.as_file().read()
    with stream(*[b"x" * 1024 * 1024] * 11) as response:
        file = response.as_file()
        assert sum(len(piece) for piece in iter(lambda: file.read(100_000), b"")) == 11 * 1024 * 1024


@pytest.mark.parametrize("size", [1, 4, 100])
def test_in_asyncio_the_methods_of_the_file_are_awaited(size: int) -> None:
    """`read`, `readline`, and `async for` over its lines, mixed at will, however the bytes arrive."""

    async def read() -> list[Any]:
        client = HttpServiceClient(
            transport=StreamingTransport(*pieces(b"one\ntwo\nthree\nfour\nfive", size))
        )
        async with client.stream_async("GET", URL) as response:
            file = response.as_file()
            parts: list[Any] = [await file.read(2), await file.readline(), await file.read(0)]
            async for line in file:
                parts.append(line)
                if line == b"three\n":
                    break
            return [
                *parts,
                await file.read(6),
                await file.read(None),
                await file.read(),
                await file.readline(),
            ]

    assert asyncio.run(read()) == [b"on", b"e\n", b"", b"two\n", b"three\n", b"four\nf", b"ive", b"", b""]


def test_in_asyncio_the_lines_of_the_file_end_with_the_body() -> None:
    """The last one may be without a line end."""

    async def read() -> list[bytes]:
        client = HttpServiceClient(transport=StreamingTransport(b"one\ntwo\nthr", b"ee"))
        async with client.stream_async("GET", URL) as response:
            return [line async for line in response.as_file()]

    assert asyncio.run(read()) == [b"one\n", b"two\n", b"three"]


def test_in_asyncio_what_is_kept_has_a_limit_too() -> None:
    """A line without an end, and a read without a size."""

    async def read(method: str) -> None:
        client = HttpServiceClient(transport=StreamingTransport(*[b"x" * 1024 * 1024] * 11))
        async with client.stream_async("GET", URL) as response:
            with pytest.raises(ResponseTooLargeError):
                await getattr(response.as_file(), method)()

    for method in ("read", "readline"):
        asyncio.run(read(method))


def test_the_body_of_a_stream_may_be_that_of_another_request() -> None:
    """Its pieces and its file, and in asyncio its pieces, though a plain `for` refuses them."""
    source = HttpServiceClient(transport=StreamingTransport(*pieces(TABLE, 1000)))
    network = ScriptedTransport([HttpResponse(204)])
    target = HttpServiceClient(transport=network)
    for form in ("iter_bytes", "as_file"):
        with source.stream("GET", URL) as response:
            target.post(URL, data=getattr(response, form)())

    async def pass_on() -> None:
        async with source.stream_async("GET", URL) as response:
            await target.post_async(URL, data=response.iter_bytes())

    asyncio.run(pass_on())
    assert [sent.content for sent in network.sent] == [TABLE] * 3


def test_a_small_read_takes_no_more_than_a_buffer_of_the_body() -> None:
    """That of 64 KiB, which a look ahead shows."""
    with stream(b"x" * 100_000) as response:
        file = response.as_file()
        assert file.read(1) == b"x"
        assert len(file.peek()) == 64 * 1024 - 1


def test_the_rest_of_a_piece_is_read_once() -> None:
    """By a read without a size; what follows it is the end."""
    with stream(b"abcdef", b"gh") as response:
        file = response.as_file()
        first = bytearray(2)
        assert file.raw.readinto(first) == 2
        assert (bytes(first), file.raw.readall(), file.raw.readall()) == (b"ab", b"cdefgh", b"")
