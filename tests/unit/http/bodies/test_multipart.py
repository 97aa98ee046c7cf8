"""Multipart forms: parsed again, also by a parser that is not ours."""

from __future__ import annotations

import email
import email.policy
import io
import pathlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.bodies.encoding import RequestBody, encode_body
from kit.rows import each_row


def raw_parts(body: RequestBody) -> list[tuple[bytes, bytes]]:
    """(head, content) of each part, split at the boundary of the content type."""
    assert body.content_type is not None
    boundary = body.content_type.partition("boundary=")[2].encode()
    whole = b"".join(body.chunks())
    assert body.length in (None, len(whole))
    first, *parts, last = whole.split(b"--" + boundary)
    assert (first, last) == (b"", b"--\r\n")
    cut = [part.removeprefix(b"\r\n").removesuffix(b"\r\n").partition(b"\r\n\r\n") for part in parts]
    return [(head, content) for head, _, content in cut]


def test_fields_come_before_files_with_their_names_and_types() -> None:
    """RFC 7578 4.2 to 4.4."""
    body = encode_body(
        data={"a": [1, True], "n": None},
        files=[
            ("f", ("x.txt", "é", "text/plain", {"X-Part": "1"})),
            ("f", ("y.bin", b"\0")),
            ("g", b"bare"),
            ("h", (None, "field")),
        ],
    )
    assert raw_parts(body) == [
        (b'Content-Disposition: form-data; name="a"', b"1"),
        (b'Content-Disposition: form-data; name="a"', b"true"),
        (
            b'Content-Disposition: form-data; name="f"; filename="x.txt"\r\nX-Part: 1\r\nContent-Type: text/plain',
            b"\xc3\xa9",
        ),
        (
            b'Content-Disposition: form-data; name="f"; filename="y.bin"\r\nContent-Type: application/octet-stream',
            b"\0",
        ),
        (
            b'Content-Disposition: form-data; name="g"; filename="g"\r\nContent-Type: application/octet-stream',
            b"bare",
        ),
        (b'Content-Disposition: form-data; name="h"', b"field"),
    ]


def test_the_standard_library_parses_it() -> None:
    """By its email package."""
    body = encode_body(data={"a": "1"}, files={"f": ("x.txt", b"abc", "text/plain")})
    assert body.content_type is not None
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + b"".join(body.chunks()), policy=email.policy.HTTP)
    field, file = message.iter_parts()
    assert (field.get_param("name", header="content-disposition"), field.get_content()) == ("a", "1")
    assert (file.get_filename(), file.get_content()) == ("x.txt", "abc")


def test_files_are_streamed_with_a_known_length_and_replayed(tmp_path: pathlib.Path) -> None:
    """Most uploads need no chunked encoding."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"x" * 100_000)
    with path.open("rb") as file:
        file.seek(10)
        body = encode_body(data={"a": 1}, files={"f": file, "g": io.BytesIO(b"yy")})
        assert body.content is None
        assert body.length is not None
        assert body.is_replayable
        first, second = raw_parts(body), raw_parts(body)
    assert first == second
    assert first[1][0].startswith(b'Content-Disposition: form-data; name="f"; filename="data.bin"')
    assert len(first[1][1]) == 99_990
    assert first[2] == (
        b'Content-Disposition: form-data; name="g"; filename="g"\r\nContent-Type: application/octet-stream',
        b"yy",
    )


def test_a_one_shot_part_makes_the_body_one_shot() -> None:
    """Its length is unknown too."""
    body = encode_body(files={"f": iter([b"a", b"b"]), "g": b"x"})
    assert (body.length, body.is_replayable) == (None, False)
    assert [content for _, content in raw_parts(body)] == [b"ab", b"x"]
    assert not body.may_send


def test_one_part_of_many_makes_the_body_one_shot() -> None:
    """Wherever it stands."""
    body = encode_body(files=[("f", io.BytesIO(b"a")), ("g", iter([b"b"])), ("h", io.BytesIO(b"c"))])
    assert not body.is_replayable


class Named(io.BytesIO):
    """A file with a name, which files of the standard library have in several forms."""

    def __init__(self, name: object) -> None:
        super().__init__(b"content")
        self.name = name


@each_row(
    ("name", "sent"),
    [
        ("/tmp/a.txt", b"a.txt"),
        ("a", b"a"),
        ("x<y", b"x<y"),
        ("a<", b"a<"),
        ("<stdin>", b"field"),
        ("", b"field"),
        (5, b"field"),
        (b"/tmp/a.txt", b"field"),
        (None, b"field"),
    ],
)
def test_a_file_is_sent_with_its_own_name(name: object, sent: bytes) -> None:
    """Without its folder; with that of the field if it has none: a descriptor has a number, and standard input a mark."""
    [(head, _)] = raw_parts(encode_body(files={"field": Named(name)}))
    assert head.split(b"\r\n")[0] == b'Content-Disposition: form-data; name="field"; filename="%b"' % sent


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ('a"b', b"a%22b"),
        ("a\r\nb", b"a%0D%0Ab"),
        ("é.txt", b"\xc3\xa9.txt"),
        ("100%.txt", b"100%.txt"),
        ("a\\b", b"a\\b"),
    ],
)
def test_names_are_quoted_as_browsers_do(name: str, quoted: bytes) -> None:
    """WHATWG HTML: only quotes and line breaks are escaped, the rest is raw UTF-8."""
    body = encode_body(data={name: "1"}, files={name: (name, b"")})
    (field, _), (file, _) = raw_parts(body)
    assert field == b'Content-Disposition: form-data; name="%b"' % quoted
    assert file.split(b"\r\n")[0] == b'Content-Disposition: form-data; name="%b"; filename="%b"' % (
        quoted,
        quoted,
    )


def test_a_boundary_is_new_for_each_body_and_stable_within() -> None:
    """It has 128 bits that cannot be guessed, so that no content can contain it on purpose."""
    one, two = encode_body(files={"f": b""}), encode_body(files={"f": b""})
    assert re.fullmatch(r"multipart/form-data; boundary=[0-9a-f]{32}", one.content_type or "")
    assert one.content_type != two.content_type
    assert b"".join(one.chunks()) == b"".join(one.chunks())


async def pieces() -> Any:
    yield b"a"


@each_row(
    ("arguments", "says"),
    [
        ({"files": "x"}, "files must be"),
        ({"files": b"x"}, "files must be"),
        ({"files": 5}, "files must be"),
        ({"files": ["ab"]}, "(name, file) pairs"),
        ({"files": [("f",)]}, "(name, file) pairs"),
        ({"files": [("f", b"", "x")]}, "(name, file) pairs"),
        ({"files": {3: b""}}, "a name in files"),
        ({"files": {"f": ("x",)}}, "files['f'] must be (filename, file"),
        ({"files": {"f": ("x", b"", None, {}, None)}}, "files['f'] must be (filename, file"),
        ({"files": {"f": (3, b"")}}, "file name of files['f']"),
        ({"files": {"f": ("x", b"", 3)}}, "content type of files['f']"),
        ({"files": {"f": ("x", b"", "a\r\nb: c")}}, "'Content-Type'"),
        ({"files": {"f": ("x", b"", None, {"a\r\nb": "c"})}}, "header name"),
        ({"files": {"f": ("x", b"", None, {"content-disposition": "c"})}}, "Content-Disposition"),
        ({"files": {"f": ("x", 5)}}, "files['f'] must be bytes"),
        ({"files": {"f": None}}, "files['f'] must be bytes"),
        ({"files": {"f": ("\ud800", b"")}}, "surrogate"),
        ({"files": {"f": io.TextIOWrapper(io.BytesIO())}}, "binary mode"),
        ({"files": {"f": pieces()}}, "async iterable"),
        ({"files": {"f": b""}, "data": b"raw"}, "data must be a mapping"),
        ({"files": {"f": b""}, "data": {"a": {1}}}, "data['a']"),
    ],
)
def test_an_invalid_part_is_refused(arguments: dict[str, Any], says: str) -> None:
    """The error names the part."""
    with pytest.raises(InvalidRequestError, match=re.escape(says)):
        encode_body(**arguments)


@given(st.lists(st.tuples(st.text(), st.binary())), st.text(), st.binary())
def test_every_part_is_parsed_to_what_was_encoded(
    fields: list[tuple[str, bytes]], filename: str, content: bytes
) -> None:
    """No name, file name or content can end its part."""
    try:
        body = encode_body(data=fields, files={"f": (filename, content)})
    except InvalidRequestError:
        return
    parts = raw_parts(body)
    assert [part for _, part in parts] == [value for _, value in fields] + [content]
    assert all(head.count(b"\r\n") == 0 for head, _ in parts[:-1])
