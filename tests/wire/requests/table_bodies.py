"""Bodies: JSON, forms, text, bytes, files, iterators; their type, length and framing; compression."""

from __future__ import annotations

import array
import datetime
import decimal
import gzip
import io
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from http_service_client import ConnectionPoolConfig
from wire.requests.recorder import ScriptedResponse
from wire.requests.rows import PerCall, Row, sent

__all__ = ["ROWS"]

JSON, FORM = "Content-Type: application/json", "Content-Type: application/x-www-form-urlencoded"
TEXT = "Content-Type: text/plain; charset=utf-8"
CHUNKED = "Transfer-Encoding: chunked"
PIECE = 64 * 1024


@dataclass
class Item:
    name: str
    price: decimal.Decimal


def of(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def pieces(*chunks: Any) -> PerCall:
    """A generator; an async one for asyncio."""

    def plain() -> Iterator[Any]:
        yield from chunks

    async def asynchronous() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    return PerCall(plain, asynchronous)


class Repeatable:
    """An iterable that can be iterated again."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"ab", b"c"])


class Pipe:
    """A file that cannot seek and has no length."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


class Shrunk(io.BytesIO):
    """A file that reports five bytes more than it has."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return super().seek(offset, whence) + (5 if whence == io.SEEK_END else 0)

    def tell(self) -> int:
        return super().tell() + (5 if super().tell() == len(self.getvalue()) else 0)


class NonBlocking:
    """A non-blocking file that has no data yet."""

    def read(self, size: int = -1) -> None:
        return None


def at(position: int, file: Any) -> Any:
    file.seek(position)
    return file


def on_disk(data: bytes) -> Any:
    file = tempfile.TemporaryFile()  # the runner closes it after the call
    file.write(data)
    return at(0, file)


# json=, its bytes.
JSON_VALUES: list[tuple[str, Any, str]] = [
    ("object", {"a": 1, "b": [True, None, 1.5]}, '{"a":1,"b":[true,null,1.5]}'),
    ("empty object", {}, "{}"),
    ("empty list", [], "[]"),
    ("zero", 0, "0"),
    ("False", False, "false"),
    ("empty text", "", '""'),
    ("unicode", {"é": "日本🍕\u2028"}, '{"é":"日本🍕\u2028"}'),
    ("escapes", '"\\\n\x00', '"\\"\\\\\\n\\u0000"'),
    ("dates, decimals, ids", {"a": datetime.date(2026, 1, 2), "b": decimal.Decimal("1.10"), "c": uuid.UUID(int=1)}, '{"a":"2026-01-02","b":"1.10","c":"00000000-0000-0000-0000-000000000001"}'),
    ("dataclass", Item("pizza", decimal.Decimal("9.50")), '{"name":"pizza","price":"9.50"}'),
    ("tuple", (1, 2), "[1,2]"),
    ("large", ["x" * 100_000], '["' + "x" * 100_000 + '"]'),
]  # fmt: skip

# data= as a form, its text.
FORMS: list[tuple[str, Any, str]] = [
    ("mapping", {"a": "1", "b": 2}, "a=1&b=2"),
    ("pairs", [("a", "1"), ("a", "2")], "a=1&a=2"),
    ("tuple of pairs", (("a", "1"),), "a=1"),
    ("lists repeat", {"a": [1, None, True]}, "a=1&a=true"),
    ("None is left out", {"a": None, "b": ""}, "b="),
    ("space, plus, reserved", {"a b": "c+d&=/"}, "a+b=c%2Bd%26%3D%2F"),
    ("unicode", {"é": "🍕"}, "%C3%A9=%F0%9F%8D%95"),
    ("line breaks", {"a": "x\r\ny"}, "a=x%0D%0Ay"),
    ("bytes", {b"a": b"\xff"}, "a=%FF"),
]

# data= as it is, its header lines, its bytes on the wire.
BINARY = bytes(range(256))
RAW: list[tuple[str, Any, list[str], bytes]] = [
    ("bytes", b"ab", [of(b"ab")], b"ab"),
    ("every byte", BINARY, [of(BINARY)], BINARY),
    ("bytearray", bytearray(b"ab"), [of(b"ab")], b"ab"),
    ("memoryview", memoryview(b"xaby")[1:3], [of(b"ab")], b"ab"),
    ("memoryview of numbers", memoryview(array.array("H", [1, 2])), [of(b"\1\0\2\0")], array.array("H", [1, 2]).tobytes()),
    ("empty bytes", b"", ["Content-Length: 0"], b""),
    ("text", "aé🍕", [TEXT, of("aé🍕".encode())], "aé🍕".encode()),
    ("empty text", "", ["Content-Length: 0"], b""),
    ("empty mapping", {}, ["Content-Length: 0"], b""),
    ("empty list", [], ["Content-Length: 0"], b""),
    ("list of bytes", [b"ab", b"", b"c"], [of(b"abc")], b"abc"),
    ("the end of a header in the body", b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", [of(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")], b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    ("one piece", b"x" * PIECE, [of(b"x" * PIECE)], b"x" * PIECE),
    ("more than a piece", b"x" * (PIECE + 1), [of(b"x" * (PIECE + 1))], b"x" * (PIECE + 1)),
    ("a megabyte", b"x" * 2**20, [of(b"x" * 2**20)], b"x" * 2**20),
    ("BytesIO", PerCall(lambda: io.BytesIO(b"abc")), [of(b"abc")], b"abc"),
    ("BytesIO from its position", PerCall(lambda: at(2, io.BytesIO(b"abcd"))), [of(b"cd")], b"cd"),
    ("BytesIO at its end", PerCall(lambda: at(3, io.BytesIO(b"abc"))), ["Content-Length: 0"], b""),
    ("StringIO", PerCall(lambda: io.StringIO("aé")), [of("aé".encode())], "aé".encode()),
    ("StringIO from its position", PerCall(lambda: at(1, io.StringIO("aéb"))), [of("éb".encode())], "éb".encode()),
    ("file", PerCall(lambda: on_disk(b"abc")), [of(b"abc")], b"abc"),
    ("file from its position", PerCall(lambda: at(1, on_disk(b"abc"))), [of(b"bc")], b"bc"),
    ("empty file", PerCall(lambda: on_disk(b"")), ["Content-Length: 0"], b""),
    ("large file", PerCall(lambda: on_disk(b"y" * 200_000)), [of(b"y" * 200_000)], b"y" * 200_000),
    ("gzip file", PerCall(lambda: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"abc")))), [of(b"abc")], b"abc"),
    ("pipe", PerCall(lambda: Pipe(b"abc")), [CHUNKED], chunked(b"abc")),
    ("large pipe", PerCall(lambda: Pipe(b"z" * (PIECE + 5))), [CHUNKED], chunked(b"z" * PIECE, b"z" * 5)),
    ("iterator", PerCall(lambda: iter([b"ab", b"c"])), [CHUNKED], chunked(b"ab", b"c")),
    ("iterable", Repeatable(), [CHUNKED], chunked(b"ab", b"c")),
    ("generator", pieces(b"ab", b"c"), [CHUNKED], chunked(b"ab", b"c")),
    ("generator with empty pieces", pieces(b"", b"ab", b"", b"c", b""), [CHUNKED], chunked(b"ab", b"c")),
    ("generator of text", pieces("aé", "b"), [CHUNKED], chunked("aé".encode(), b"b")),
    ("generator of nothing", pieces(), [CHUNKED], chunked()),
    ("generator of a bytearray", pieces(bytearray(b"ab"), memoryview(b"c")), [CHUNKED], chunked(b"ab", b"c")),
    ("generator of a large piece", pieces(b"x" * (PIECE + 1)), [CHUNKED], chunked(b"x" * PIECE, b"x")),
    ("plain generator, sync and async", PerCall(lambda: (piece for piece in (b"ab", b"c"))), [CHUNKED], chunked(b"ab", b"c")),
]  # fmt: skip

BAD_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("NaN in JSON", {"json": {"a": float("nan")}}),
    ("bytes in JSON", {"json": b"x"}),
    ("a set in JSON", {"json": {1}}),
    ("a surrogate in JSON", {"json": "\ud800"}),
    ("json and data", {"json": {}, "data": b"x"}),
    ("json and files", {"json": {}, "files": {"f": b"x"}}),
    ("a number", {"data": 5}),
    ("an object", {"data": object()}),
    ("a list of text", {"data": ["a", "b"]}),
    ("a surrogate in text", {"data": "\ud800"}),
    ("NaN in a form", {"data": {"a": float("nan")}}),
    ("a closed file", {"data": PerCall(lambda: _closed())}),
    ("a text file", {"data": PerCall(lambda: io.TextIOWrapper(io.BytesIO(b"x")))}),
    ("a number among the pieces", {"data": pieces(b"ab", 5)}),
    ("a surrogate among the pieces", {"data": pieces("\ud800")}),
    ("a file that has shrunk", {"data": PerCall(lambda: Shrunk(b"abc"))}),
    ("a non-blocking file without data", {"data": PerCall(lambda: NonBlocking())}),
    ("a nested field beside files", {"data": {"a": {"b": 1}}, "files": {"f": b"x"}}),
    ("a wrong Content-Length", {"data": b"abc", "headers": {"Content-Length": "2"}}),
    *(
        (
            f"a Content-Length of {length} for a stream of three bytes",
            {"data": pieces(b"ab", b"c"), "headers": {"Content-Length": length}},
        )
        for length in ("2", "4", "1", "0", "03", "+3", "3.0", "-3", "\u0663", "3, 3", "None", "")
    ),
]


def _closed() -> Any:
    file = io.BytesIO(b"x")
    file.close()
    return file


def post(name: str, options: dict[str, Any], fields: list[str], body: bytes, **more: Any) -> Row:
    return Row(name, [sent("POST /", *fields, body=body)], method="POST", call=options, **more)


LONG = b"order " * 1000
PACKED = gzip.compress(LONG, 6, mtime=0)
# The tenth byte names the operating system (RFC 1952 2.3.1); versions of Python write different values.
PACKED = PACKED[:9] + b"\x03" + PACKED[10:]
GZIPPED = ["Content-Encoding: gzip", of(PACKED)]
COMPRESSING = {
    "enable_request_compression": True,
    "connection_pool": ConnectionPoolConfig(compression_threshold=100),
}


# Text as `data` or `json`, the charset that the header names, and the bytes.
IN_A_CHARSET: list[tuple[str, Any, str, bytes]] = [
    ("data", "<n>Jürgen</n>", "ISO-8859-1", "<n>Jürgen</n>".encode("latin-1")),
    ("data", PerCall(lambda: io.StringIO("ü€")), "windows-1252", b"\xfc\x80"),
    ("data", "ü", '"UTF-8"', "ü".encode()),
    ("data", "u", "klingon", b"u"),
    ("data", "ü".encode(), "ISO-8859-1", "ü".encode()),
    ("json", {"n": "ü"}, "latin1", b'{"n":"\xfc"}'),
]


def with_each_method(make: Callable[[str], Row]) -> list[Row]:
    return [make(method) for method in ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "QUERY")]


ROWS: list[Row] = [
    *(post(f"json {name}", {"json": value}, [JSON, of(text.encode())], text.encode()) for name, value, text in JSON_VALUES),
    post("json None is no body", {"json": None}, ["Content-Length: 0"], b""),
    *(post(f"form {name}", {"data": value}, [FORM, of(text.encode())], text.encode()) for name, value, text in FORMS),
    *(post(f"data {name}", {"data": value}, fields, body) for name, value, fields, body in RAW),
    *(
        Row(
            f"{what} in {charset}: {body!r}",
            [sent("POST /", f"Content-Type: text/x; charset={charset}", of(body), body=body)],
            method="POST",
            call={what: text, "headers": {"Content-Type": f"text/x; charset={charset}"}},
        )
        for what, text, charset, body in IN_A_CHARSET
    ),
    *(Row(f"body refused: {name}", "InvalidRequestError", method="POST", call=call) for name, call in BAD_BODIES),
    *with_each_method(
        lambda method: Row(
            f"{method} with JSON", [sent(f"{method} /", JSON, "Content-Length: 2", body=b"{}")], method=method, call={"json": {}}
        )
    ),
    *with_each_method(
        lambda method: Row(
            f"{method} with a stream",
            [sent(f"{method} /", CHUNKED, body=chunked(b"ab"))],
            method=method,
            call={"data": pieces(b"ab")},
        )
    ),
    post("a custom content type", {"json": 1, "headers": {"content-type": "application/vnd.x+json"}}, ["content-type: application/vnd.x+json", "Content-Length: 1"], b"1"),
    post("a content type for bytes", {"data": b"x", "headers": {"Content-Type": "image/png"}}, ["Content-Type: image/png", "Content-Length: 1"], b"x"),
    post("a correct Content-Length", {"data": b"abc", "headers": {"Content-Length": "3", "X": "y"}}, ["Content-Length: 3", "X: y"], b"abc"),
    post("a body before Connection: close", {"data": b"abc", "headers": {"Connection": "close"}}, ["Connection: close", "Content-Length: 3"], b"abc"),
    post("compressed", {"data": LONG}, GZIPPED, PACKED, config=COMPRESSING),
    post("compressed text keeps its type", {"data": LONG.decode()}, [TEXT, *GZIPPED], PACKED, config=COMPRESSING),
    post("too short to compress", {"data": b"x" * 99}, [of(b"x" * 99)], b"x" * 99, config=COMPRESSING),
    post("already encoded", {"data": LONG, "headers": {"Content-Encoding": "br"}}, ["Content-Encoding: br", of(LONG)], LONG, config=COMPRESSING),
    *(
        post(
            f"a length that is declared for {name}",
            {"data": data, "headers": {"X-Before": "1", "Content-Length": "3", "X-After": "2"}},
            ["X-Before: 1", "Content-Length: 3", "X-After: 2"],
            b"abc",
        )
        for name, data in (("a generator", pieces(b"", b"ab", b"c", b"")), ("an iterable", PerCall(Repeatable)))
    ),
    post(
        "a length that is declared for a large piece",
        {"data": pieces(b"x" * (PIECE + 1)), "headers": {"Content-Length": PIECE + 1}},
        [f"Content-Length: {PIECE + 1}"],
        b"x" * (PIECE + 1),
    ),
    post("a stream is not compressed", {"data": pieces(LONG)}, [CHUNKED], chunked(LONG), config=COMPRESSING),
    post("a file is not compressed", {"data": PerCall(lambda: io.BytesIO(LONG))}, [of(LONG)], LONG, config=COMPRESSING),
    Row(
        "after a refused compression no body is compressed",
        [
            sent("POST /", *GZIPPED, body=PACKED),
            sent("POST /", of(LONG), body=LONG),
            sent("POST /again", of(LONG), body=LONG),
        ],
        method="POST",
        url="http://here/again",
        call={"data": LONG},
        earlier_calls=[("POST", "http://here/", {"data": LONG})],
        responses=[ScriptedResponse(415)],
        config={**COMPRESSING, "total_timeout": 9.0},  # a client of its own, since it remembers
    ),
]  # fmt: skip
