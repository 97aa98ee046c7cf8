"""Content codings: all of it, or an error, and never more than the limit."""

from __future__ import annotations

import functools
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from http_service_client.errors import DecodingError, ResponseTooLargeError
from http_service_client.http.content_codings import codecs as codings
from http_service_client.http.content_codings.decoder import Decoder, accept_encoding
from http_service_client.http.content_codings.libraries import load
from http_service_client.http.media_types import decode_text, parse_content_type


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


# Without the time of day in it: the data are part of the tests' names, which pytest-xdist compares.
gzipped = functools.partial(gzip.compress, mtime=0)

ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzipped,
    "x-gzip": gzipped,
    "deflate": zlib.compress,
    "identity": bytes,
}


def importable(*names: str) -> Any:
    """The first of these modules that is installed."""
    return next(filter(None, map(load, names)))


if "br" in accept_encoding():
    ENCODERS["br"] = importable("brotli", "brotlicffi").compress
if "zstd" in accept_encoding():
    ENCODERS["zstd"] = importable("zstandard", "compression.zstd", "backports.zstd").compress


def decoded(encoding: str | None, data: bytes, cuts: Any = (), limit: int | None = None) -> bytes:
    """Feed `data` cut at the positions given."""
    decoder = Decoder(encoding, limit)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [decoder.feed(data[start:end]) for start, end in pairwise(edges)]
    return b"".join(pieces) + decoder.finish()


@given(
    st.binary(max_size=2000),
    st.lists(st.sampled_from(sorted(ENCODERS)), max_size=4),
    st.lists(st.integers(0, 10_000), max_size=8),
)
@example(bytes(300_000), ["gzip", "deflate"], [1, 2])
@example(bytes(300_000), ["br"] if "br" in ENCODERS else [], [1])
@example(bytes(300_000), ["zstd"] if "zstd" in ENCODERS else [], [1])
def test_what_was_encoded_comes_back_however_it_is_cut(
    content: bytes, names: list[str], cuts: list[int]
) -> None:
    """Any stack of codings, in any chunks."""
    data = content
    for name in names:
        data = ENCODERS[name](data)
    assert decoded(", ".join(names), data, cuts) == content
    assert decoded(",".join(names).upper(), data, range(len(data)) if len(data) < 300 else ()) == content


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "identity"])
@pytest.mark.parametrize("content", [b"", b"x", b"hello " * 100, random.Random(1).randbytes(500)])
def test_a_coding_cut_anywhere_is_an_error(name: str, content: bytes) -> None:
    """Also where a right Content-Length says that all is well."""
    data = ENCODERS[name](content)
    for end in range(1, len(data)):
        with pytest.raises(DecodingError):
            decoded(name, data[:end])
        with pytest.raises(DecodingError):
            decoded(name, data[:end], range(end))


@pytest.mark.parametrize("names", ["gzip, gzip", "deflate, gzip", "gzip, deflate"])
def test_a_stack_is_complete_at_every_level(names: str) -> None:
    """An inner coding cut short inside a complete outer one is found."""
    inner, outer = names.split(", ")
    data = ENCODERS[outer](ENCODERS[inner](b"hello" * 50)[:-1])
    with pytest.raises(DecodingError, match="cut short"):
        decoded(names, data)


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=5))
def test_deflate_may_lack_its_frame(content: bytes, cuts: list[int]) -> None:
    """Raw deflate under that name is known by its first two bytes, however they are cut."""
    assert decoded("deflate", raw_deflate(content), cuts) == content


@pytest.mark.parametrize(
    ("encoding", "data", "content"),
    [
        (None, b"abc", b"abc"),
        ("", b"abc", b"abc"),
        ("identity", b"abc", b"abc"),
        (" , Identity,", b"abc", b"abc"),
        ("X-GZIP", gzipped(b"abc"), b"abc"),
        ("gzip", gzipped(b"a") + gzipped(b"b"), b"ab"),
        ("gzip", gzipped(b"a") + b"\0" * 9, b"a"),
        ("gzip", gzipped(b"a") + b"\0" * 9 + gzipped(b"b"), b"ab"),
        ("gzip", b"", b""),
        ("br", b"", b""),
        ("nonsense", b"", b""),
        ("a,b,c,d,e,f", b"", b""),
    ],
)
def test_the_lawful_oddities(encoding: str | None, data: bytes, content: bytes) -> None:
    """Members, padding, names; and no body at all is empty in every coding, as after HEAD."""
    assert decoded(encoding, data) == content
    assert decoded(encoding, data, range(len(data))) == content


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", b"not gzip"),
        ("gzip", b"\0" + gzipped(b"a")),
        ("gzip", gzipped(b"a") + b"junk"),
        ("gzip", gzipped(b"a") + b"\x1f"),
        ("gzip", gzipped(b"a")[:-8] + b"12345678"),
        ("deflate", zlib.compress(b"a") + b"junk"),
        ("deflate", zlib.compress(b"a")[:-4] + b"1234"),
        ("deflate", b"\xff\xff\xff"),
        ("deflate", b"x"),
        ("compress", b"x"),
        ("*", b"x"),
        ("gzip;q=1", gzipped(b"a")),
        (", ".join(["gzip"] * 6), b"x"),
    ],
)
def test_what_is_not_whole_and_valid_is_an_error(encoding: str, data: bytes) -> None:
    """Bytes after the end too: they may be the damaged second half."""
    with pytest.raises(DecodingError):
        decoded(encoding, data)
    with pytest.raises(DecodingError):
        decoded(encoding, data, range(len(data)))


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate", "gzip, deflate", "gzip, gzip, gzip"])
def test_the_limit_counts_decoded_bytes(encoding: str | None) -> None:
    """Exactly the limit passes, one byte more does not."""
    data = bytes(100_000)
    for name in (encoding or "identity").split(", "):
        data = ENCODERS[name](data)
    assert len(decoded(encoding, data, limit=100_000)) == 100_000
    with pytest.raises(ResponseTooLargeError, match="99999"):
        decoded(encoding, data, limit=99_999)


def _bomb(*names: str, size: int = 50_000_000) -> tuple[str, bytes]:
    data = bytes(size)
    for name in names:
        data = ENCODERS[name](data)
    return ", ".join(names), data


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        _bomb("gzip"),
        _bomb("deflate"),
        _bomb("gzip", "gzip"),
        _bomb("deflate", "gzip", "gzip"),
        ("gzip", gzipped(b"") * 200_000),
        ("gzip, gzip", gzipped(gzipped(b"") * 200_000)),
        *([_bomb("br")] if "br" in ENCODERS else []),
        *([_bomb("zstd")] if "zstd" in ENCODERS else []),
    ],
)
def test_a_bomb_costs_the_limit_and_one_step(encoding: str, data: bytes) -> None:
    """Given a body of 50 MB in a few KB, or one of nothing in MBs, memory stays near the limit of 1 MB."""
    decoder = Decoder(encoding, 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(ResponseTooLargeError):
            decoder.feed(data)
        assert tracemalloc.get_traced_memory()[1] < 2_500_000
    finally:
        tracemalloc.stop()


@given(
    st.binary(max_size=300), st.sampled_from([*ENCODERS, "br", "zstd", "gzip, deflate"]), st.integers(0, 100)
)
def test_garbage_raises_only_our_errors(data: bytes, encoding: str, limit: int) -> None:
    """Whatever comes, it is bytes within the limit or one of two errors."""
    try:
        assert len(decoded(encoding, data, (3, 7), limit)) <= limit
    except (DecodingError, ResponseTooLargeError):
        pass


def test_accept_encoding_promises_only_what_can_be_decoded() -> None:
    """Each coding named is known."""
    assert accept_encoding().startswith("gzip, deflate")
    for name in accept_encoding().split(", "):
        assert codings.new_coding(name).is_complete


def test_a_coding_without_a_library_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """br and zstd need a package."""
    monkeypatch.setattr(codings, "_optional", lambda name: None)
    with pytest.raises(DecodingError, match="install brotli"):
        Decoder("br", None).feed(b"x")


def test_a_brotli_that_cannot_be_bounded_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 1.2 it has no output limit, and a few bytes may cost hundreds of megabytes."""

    class Old:
        class Decompressor:
            def process(self, data: bytes) -> bytes:
                return data

    codings._optional.cache_clear()
    monkeypatch.setattr(codings, "load", lambda name: Old if "brotli" in name else None)
    assert codings._optional("br") is None
    codings._optional.cache_clear()


@pytest.mark.parametrize(
    ("content", "content_type", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode(), "text/html", "é"),
        ("é".encode("latin-1"), "text/html; charset=ISO-8859-1", "é"),
        ("é".encode("utf-16"), "text/html", "é"),
        ("é".encode("utf-32"), "text/html", "é"),
        ("é".encode("utf-8-sig"), "text/html", "é"),
        ("é".encode("utf-8-sig"), "application/json; charset=utf-8", "é"),
        ("é".encode("utf-8-sig"), 'application/json; charset="UTF8"', "é"),
        ("é".encode(), "text/html; charset='utf-8'", "é"),
        (b"\xff", None, "\ufffd"),
        (b"\xff", "text/html; charset=ascii", "\ufffd"),
        ("é".encode(), "text/html; charset=zlib", "é"),
        ("é".encode(), "text/html; charset=rot13", "é"),
        ("é".encode(), "text/html; charset=base64", "é"),
        ("é".encode(), "text/html; charset=idna", "é"),
        ("é".encode(), "text/html; charset=undefined", "é"),
        (b"\\d\xc3\xa9", "text/html; charset=unicode_escape", "\\dé"),
        ("é".encode(), "text/html; charset=no-such", "é"),
        ("é".encode(), "text/html; charset=\x00", "é"),
        ("é".encode(), "text/html; charset=é", "é"),
        ("é".encode(), "text/html; charset=", "é"),
        ("é".encode(), "charset", "é"),
        (b"", "text/html; charset=utf-16", ""),
    ],
)
def test_text_is_read_by_header_then_mark_then_utf8(
    content: bytes, content_type: str | None, text: str
) -> None:
    """And never fails."""
    assert decode_text(content, content_type) == text


@given(st.binary(), st.one_of(st.text(), st.builds("text/x; charset={}".format, st.text())))
def test_text_never_fails(content: bytes, content_type: str) -> None:
    """Whatever the header says."""
    assert isinstance(decode_text(content, content_type), str)


def test_text_never_fails_for_any_codec_that_python_has() -> None:
    """Some are no text codecs, some raise for every input, some warn."""
    import encodings.aliases

    for name in {*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "mbcs", "oem", "palmos"}:
        assert isinstance(decode_text(b"\\d \xff\xfe abc", f"text/x; charset={name}"), str)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("", ("", {})),
        ("Text/HTML", ("text/html", {})),
        ('a/b; x="1;2\\"3"; Y=z ;x=no', ("a/b", {"x": '1;2"3', "y": "z"})),
        ("a/b;;; x", ("a/b", {})),
        ('a/b; x="unclosed', ("a/b", {"x": '"unclosed'})),
        ("a/b; =1; x=2", ("a/b", {"x": "2"})),
    ],
)
def test_content_types_are_read_leniently(value: str, parsed: tuple[str, dict[str, str]]) -> None:
    """What is no parameter is passed over."""
    assert parse_content_type(value) == parsed


def test_content_types_are_read_in_linear_time() -> None:
    """No header, however long, takes a noticeable time."""
    for value in (
        "a/b" + ';x="' * 50_000,
        "a/b" + "; " * 50_000,
        "a/b;" + " " * 100_000,
        'a/b; x="' + "\\" * 100_001,
    ):
        parse_content_type(value)
