"""multipart/form-data (RFC 7578): part heads, names, types, framing."""

from __future__ import annotations

import io
from typing import Any

from wire.requests.rows import BOUNDARY, PerCall, Row, sent
from wire.requests.table_bodies import CHUNKED, Pipe, at, chunked, pieces

__all__ = ["ROWS"]

OCTETS = "Content-Type: application/octet-stream"


def part(disposition: str, body: bytes, *fields: str) -> bytes:
    head = "\r\n".join((f"--{BOUNDARY}", f"Content-Disposition: form-data; {disposition}", *fields, "", ""))
    return head.encode() + body + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()

# files=, data=, parts.
FORMS: list[tuple[str, Any, Any, list[bytes]]] = [
    ("bytes", {"f": b"x"}, None, [part('name="f"; filename="f"', b"x", OCTETS)]),
    ("text", {"f": "é"}, None, [part('name="f"; filename="f"', "é".encode(), OCTETS)]),
    ("empty", {"f": b""}, None, [part('name="f"; filename="f"', b"", OCTETS)]),
    ("bytearray", {"f": bytearray(b"x")}, None, [part('name="f"; filename="f"', b"x", OCTETS)]),
    ("file name", {"f": ("a.txt", b"x")}, None, [part('name="f"; filename="a.txt"', b"x", OCTETS)]),
    ("type", {"f": ("a.txt", b"x", "text/plain")}, None, [part('name="f"; filename="a.txt"', b"x", "Content-Type: text/plain")]),
    ("headers of a part", {"f": ("a", b"x", "text/plain", {"X-A": "é", "X-B": 1})}, None, [part('name="f"; filename="a"', b"x", "X-A: é", "X-B: 1", "Content-Type: text/plain")]),
    ("no file name", {"f": (None, b"x")}, None, [part('name="f"', b"x")]),
    ("no file name, but a type", {"f": (None, "{}", "application/json")}, None, [part('name="f"', b"{}", "Content-Type: application/json")]),
    ("two of a name", [("f", b"1"), ("f", b"2")], None, [part('name="f"; filename="f"', b"1", OCTETS), part('name="f"; filename="f"', b"2", OCTETS)]),
    ("fields first", {"f": b"x"}, {"a": "1", "b": [2, None, True]}, [part('name="a"', b"1"), part('name="b"', b"2"), part('name="b"', b"true"), part('name="f"; filename="f"', b"x", OCTETS)]),
    ("fields in pairs", {"f": b"x"}, [("a", "é"), ("a", b"\xff")], [part('name="a"', "é".encode()), part('name="a"', b"\xff"), part('name="f"; filename="f"', b"x", OCTETS)]),
    ("names in UTF-8", {"é": ("日本.txt", b"x")}, None, [part('name="é"; filename="日本.txt"', b"x", OCTETS)]),
    ("quotes and line breaks in names", {'a"b\r\n': ('c"\n\\', b"x")}, None, [part('name="a%22b%0D%0A"; filename="c%22%0A\\"', b"x", OCTETS)]),
    ("a boundary look-alike in a body", {"f": b"\r\n--x--\r\n"}, None, [part('name="f"; filename="f"', b"\r\n--x--\r\n", OCTETS)]),
    ("BytesIO", {"f": PerCall(lambda: io.BytesIO(b"abc"))}, None, [part('name="f"; filename="f"', b"abc", OCTETS)]),
    ("file from its position", {"f": ("n", PerCall(lambda: at(1, io.BytesIO(b"abc"))))}, None, [part('name="f"; filename="n"', b"bc", OCTETS)]),
    ("large file", {"f": PerCall(lambda: io.BytesIO(b"y" * 150_000))}, None, [part('name="f"; filename="f"', b"y" * 150_000, OCTETS)]),
]  # fmt: skip

BAD_FORMS: list[tuple[str, dict[str, Any]]] = [
    ("text", {"files": "x"}),
    ("a list of names", {"files": ["f"]}),
    ("a number as a file", {"files": {"f": 5}}),
    ("a tuple of one item", {"files": {"f": ("a",)}}),
    ("a line break in a type", {"files": {"f": ("a", b"x", "text/plain\r\nX: y")}}),
    ("a line break in a header", {"files": {"f": ("a", b"x", None, {"X": "a\nb"})}}),
    ("a custom Content-Disposition", {"files": {"f": ("a", b"x", None, {"Content-Disposition": "x"})}}),
    ("a surrogate in a name", {"files": {"\ud800": b"x"}}),
    ("NaN in a field", {"files": {"f": b"x"}, "data": {"a": float("nan")}}),
    ("bytes beside files", {"files": {"f": b"x"}, "data": b"x"}),
    ("an async iterator", {"files": {"f": PerCall(lambda: pieces(b"x").make["asyncio"]())}}),
]


def multipart(name: str, call: dict[str, Any], parts: list[bytes]) -> Row:
    body = b"".join([*parts, END])
    fields = [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", f"Content-Length: {len(body)}"]
    return Row(name, [sent("POST /", *fields, body=body)], method="POST", call=call)


def streamed_parts() -> list[bytes]:
    """The chunks of a form with a pipe."""
    whole = part('name="f"; filename="f"', b"abc", OCTETS)
    head = whole[: whole.index(b"abc")]
    return [head, b"abc", b"\r\n", END]


ROWS: list[Row] = [
    *(
        multipart(f"multipart {name}", {"files": files, "data": data}, parts)
        for name, files, data, parts in FORMS
    ),
    Row(
        "multipart of unknown length",
        [
            sent(
                "POST /",
                f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
                CHUNKED,
                body=chunked(*streamed_parts()),
            )
        ],
        method="POST",
        call={"files": {"f": PerCall(lambda: Pipe(b"abc"))}},
    ),
    Row(
        "empty files= is not a form", [sent("POST /", "Content-Length: 0")], method="POST", call={"files": {}}
    ),
    *(
        Row(f"multipart refused: {name}", "InvalidRequestError", method="POST", call=call)
        for name, call in BAD_FORMS
    ),
]
