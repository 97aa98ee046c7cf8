"""A response in a cache: what is kept of it, which request it is for, and its form in bytes."""

from __future__ import annotations

import hashlib
import struct
import zlib

import pytest

from http_service_client import HttpRequest, HttpResponse
from http_service_client.http.caching.stored import (
    StoredResponse,
    kept_headers,
    request_values,
    store,
    vary_names,
)
from http_service_client.http.headers import Headers
from kit.rows import each_row

URL = "https://api.example.com/orders/1"
STORED = StoredResponse(
    200,
    "Fïne",
    (("ETag", '"a"'), ("X", "é"), ("X", "2")),
    b"\x00body",
    1.5,
    2.5,
    (("accept", "ab"), ("x", "cd")),
)


def test_a_response_is_the_same_after_a_way_through_bytes() -> None:
    """Names, values, content and instants."""
    assert StoredResponse.from_bytes(STORED.to_bytes()) == STORED
    odd = STORED._replace(headers=(("X", "\udce9"),))  # an octet that was no text
    assert StoredResponse.from_bytes(odd.to_bytes()) == odd
    bare = StoredResponse(204, "", (), b"", 0.0, 0.0)
    assert StoredResponse.from_bytes(bare.to_bytes()) == bare
    assert isinstance(StoredResponse.from_bytes(bytearray(STORED.to_bytes())).content, bytes)  # type: ignore[arg-type]


def test_bytes_that_were_damaged_are_no_response() -> None:
    """At any place; cut short or longer, of another version, or something else altogether."""
    data = STORED.to_bytes()
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(ValueError):
            StoredResponse.from_bytes(bytes(damaged))
    for other in (data[:-1], data + b"x", b"", b"hsc1", b"x" * 99):
        with pytest.raises(ValueError, match="not a stored response"):
            StoredResponse.from_bytes(other)


@each_row(
    "text",
    [
        "[]",
        "5",
        "{}",
        '["x", "", [], null, 0, 0, []]',
        '[null, "", [], null, 0, 0, []]',
        '[200, "", 5, null, 0, 0, []]',
        '[200, "", [["a"]], null, 0, 0, []]',
        '[200, "", [], null, [], 0, []]',
        '[200, "", [], null, 0, 0, null]',
        "[" * 100_000,
    ],
)
def test_bytes_of_another_shape_are_no_response(text: str) -> None:
    """Though their checksum is right: another program may have written them."""
    checksum = zlib.crc32(text.encode())
    with pytest.raises(ValueError):
        StoredResponse.from_bytes(struct.pack(">4sII", b"hsc1", checksum, len(text)) + text.encode())


def test_bytes_that_end_before_their_length_are_no_response() -> None:
    """Though their checksum is right."""
    text = b'[200, "", [], null, 0, 0, []]'
    head = struct.Struct(">4sII")
    StoredResponse.from_bytes(head.pack(b"hsc1", zlib.crc32(text), len(text)) + text)
    with pytest.raises(ValueError, match="not a stored response"):
        StoredResponse.from_bytes(head.pack(b"hsc1", zlib.crc32(text), len(text) + 1) + text)


def test_the_size_counts_what_it_holds() -> None:
    """Its content, its texts, and a little for each object."""
    bare = StoredResponse(200, "", (), b"", 0.0, 0.0)
    assert bare.size == 500
    assert bare._replace(content=b"x" * 70).size == 570
    assert bare._replace(headers=(("ab", "cde"),)).size == 500 + 150 + 5
    assert bare._replace(headers=(("ab", "cde"),), vary=(("x", "yz"),)).size == 500 + 300 + 5 + 3


def test_a_variant_is_told_by_what_it_varies_by() -> None:
    """And by nothing else."""
    assert STORED.variant == STORED._replace(content=b"", headers=()).variant
    assert STORED.variant != STORED._replace(vary=(("accept", "ab"),)).variant
    assert len(STORED.variant) == 64


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([], []),
        (["Accept"], ["accept"]),
        (["B , \ta", "a,,C"], ["a", "b", "c"]),
        (["*"], ["*"]),
    ],
)
def test_the_names_in_vary(values: list[str], names: list[str]) -> None:
    """In lower case, sorted, and each once."""
    assert vary_names(Headers([("Vary", value) for value in values])) == names


def request(**headers: str) -> HttpRequest:
    return HttpRequest("GET", URL, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_request_has_the_values_that_a_response_was_selected_by() -> None:
    """White space in lists means nothing; a missing field is not an empty one."""
    given = request(Accept="a , b", X="1")
    stored = store(given, HttpResponse(200, headers={"Vary": "X, Accept, Missing"}), 9.0)
    assert [name for name, _ in stored.vary] == ["accept", "missing", "x"]
    assert stored.is_for(given)
    assert stored.is_for(request(accept="a,b", X="1", Other="2"))
    assert not stored.is_for(request(Accept="a,b"))
    assert not stored.is_for(request(Accept="a,b", X="X1"))
    assert not stored.is_for(request(Accept="b,a", X="1"))
    assert not stored.is_for(request(Accept="a,b", X="1", Missing=""))
    # Of this form in the file of a cache, which another version may read.
    assert request_values(request(), ["x"]) == (("x", hashlib.sha256(b"\0").hexdigest()),)
    assert request_values(request(X="1, 2"), ["x"]) == (("x", hashlib.sha256(b"1,2").hexdigest()),)
    assert request_values(request(X="1"), ["x"]) == (("x", hashlib.sha256(b"1").hexdigest()),)


def test_what_belongs_to_the_connection_or_the_user_is_not_kept() -> None:
    """RFC 9111, 3.1; and no cookie."""
    dropped = (
        "Connection Keep-Alive Proxy-Authenticate Proxy-Authentication-Info Proxy-Authorization Proxy-Connection"
        " Set-Cookie TE Trailer Transfer-Encoding Upgrade"
    )
    pairs = [(name, "x-hop") for name in dropped.split()]
    headers = Headers([*pairs, ("X-Hop", "1"), ("ETag", '"a"'), ("A", "1"), ("A", "2")])
    assert kept_headers(headers) == [("ETag", '"a"'), ("A", "1"), ("A", "2")]


def test_a_response_is_stored_with_its_instants() -> None:
    """When it was requested, and when it arrived."""
    response = HttpResponse(201, headers={"ETag": '"a"'}, content=b"body", reason_phrase="Made", elapsed=2.0)
    assert store(request(), response, 9.0) == StoredResponse(
        201, "Made", (("ETag", '"a"'),), b"body", 7.0, 9.0
    )


def test_a_stored_response_becomes_one_again() -> None:
    """With its age; the answer to HEAD has no content."""
    stored = STORED._replace(headers=(("Age", "5"), ("X", "1"), ("age", "7")))
    made = stored.response(request(), 12.9)
    assert (made.status_code, made.reason_phrase, made.content, made.url) == (200, "Fïne", b"\x00body", URL)
    assert made.headers.multi_items() == [("X", "1"), ("Age", "12")]
    assert made.request is not None
    assert stored.response(HttpRequest("HEAD", URL), 0.0).content == b""
