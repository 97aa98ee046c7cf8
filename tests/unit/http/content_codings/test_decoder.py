"""Content codings: a complete body or an error, and never more bytes than the limit."""

from __future__ import annotations

import functools
import gzip
import random
import re
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
from kit.rows import each_row


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


# Without a time stamp: the data are part of the tests' names, which pytest-xdist compares.
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
def test_what_was_encoded_is_decoded_however_it_is_cut(
    content: bytes, names: list[str], cuts: list[int]
) -> None:
    """Any stack of codings, in any chunks."""
    data = content
    for name in names:
        data = ENCODERS[name](data)
    assert decoded(", ".join(names), data, cuts) == content
    assert decoded(",".join(names).upper(), data, range(len(data)) if len(data) < 300 else ()) == content


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "identity"])
@pytest.mark.parametrize("content", [b"", b"x", b"hello " * 100, random.Random(1).randbytes(200)])
def test_a_coding_cut_anywhere_is_an_error(name: str, content: bytes) -> None:
    """Each coding has its own end mark, and a missing one is noticed."""
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
def test_raw_deflate_is_decoded(content: bytes, cuts: list[int]) -> None:
    """It is recognised by its first two bytes, however they are cut."""
    assert decoded("deflate", raw_deflate(content), cuts) == content


@each_row(
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
        (", ".join(["gzip"] * 5), functools.reduce(lambda data, _: gzipped(data), range(5), b"abc"), b"abc"),
        ("br", b"", b""),
        ("nonsense", b"", b""),
        ("UTF-8", b"abc", b"abc"),
        ("aws-chunked,gzip", gzipped(b"abc"), b"abc"),
        ("gzip, none", gzipped(b"abc"), b"abc"),
        ("gzip, identity", gzipped(b"abc"), b"abc"),
        ("gzip, utf-8", gzipped(b"abc"), b"abc"),
        ("gzip, aws-chunked", gzipped(b"abc"), b"abc"),
        ("gzip,", gzipped(b"abc"), b"abc"),
        ("compress", b"\x1f\x9d", b"\x1f\x9d"),
        ("*", b"abc", b"abc"),
        ("gzip;q=1", gzipped(b"abc"), gzipped(b"abc")),
        ("aes128gcm, gzip", gzipped(b"abc"), b"abc"),
        ("gzip, aes128gcm", b"abc", b"abc"),
        (", ".join(["gzip"] * 6 + ["compress"]), b"abc", b"abc"),
        ("a,b,c,d,e,f", b"", b""),
    ],
)
def test_unusual_but_valid_bodies_are_decoded(encoding: str | None, data: bytes, content: bytes) -> None:
    """Members, padding, spellings of names; a body without bytes is empty in every coding (HEAD).

    Codings are removed up to the first unknown one.
    """
    assert decoded(encoding, data) == content
    assert decoded(encoding, data, range(len(data))) == content


@each_row(
    ("encoding", "data", "message"),
    [
        ("gzip", b"not gzip", "gzip content is corrupt: "),
        ("gzip", b"\0" + gzipped(b"a"), "gzip content is corrupt: "),
        ("gzip", gzipped(b"a") + b"junk", "gzip content is corrupt: "),
        ("gzip", gzipped(b"a") + b"\x1f", "gzip content is cut short"),
        ("gzip", gzipped(b"a")[:-8] + b"12345678", "gzip content is corrupt: "),
        ("deflate", zlib.compress(b"a") + b"junk", "deflate content has bytes after its end"),
        ("deflate", zlib.compress(b"a")[:-4] + b"1234", "deflate content is corrupt: "),
        ("deflate", b"\xff\xff\xff", "deflate content is corrupt: "),
        ("deflate", b"x", "deflate content is cut short"),
        (", ".join(["gzip"] * 6), b"x", "the response has 6 content codings; 5 are allowed"),
    ],
)
def test_an_incomplete_or_invalid_body_is_an_error(encoding: str, data: bytes, message: str) -> None:
    """So are bytes after its end: they may be the damaged second half. The error names the coding."""
    for cuts in ((), range(len(data))):
        with pytest.raises(DecodingError, match=re.escape(message)):
            decoded(encoding, data, cuts)


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate", "gzip, deflate", "gzip, gzip, gzip"])
def test_the_limit_counts_decoded_bytes(encoding: str | None) -> None:
    """Exactly as many as the limit pass, one byte more does not."""
    data = bytes(100_000)
    for name in (encoding or "identity").split(", "):
        data = ENCODERS[name](data)
    assert len(decoded(encoding, data, limit=100_000)) == 100_000
    with pytest.raises(ResponseTooLargeError, match="99999"):
        decoded(encoding, data, limit=99_999)


@pytest.mark.parametrize("encoding", [None, "identity"])
def test_a_plain_body_is_one_piece(encoding: str | None) -> None:
    """It counts once; no bytes are no piece."""
    decoder = Decoder(encoding, 4)
    assert list(decoder.pieces(b"ab")) == [b"ab"]
    assert list(decoder.pieces(b"")) == []
    assert list(decoder.pieces(b"cd")) == [b"cd"]
    with pytest.raises(ResponseTooLargeError):
        list(decoder.pieces(b"e"))


def test_a_step_that_decodes_to_something_has_no_empty_piece() -> None:
    """An empty one means that there was nothing."""
    assert list(Decoder("gzip", None).pieces(gzipped(b"ab"))) == [b"ab"]


@pytest.mark.parametrize("encoding", ["gzip, " * 5 + "gzip", "br"])
def test_a_body_without_bytes_needs_no_decoder(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A response to HEAD names the codings that another one would have."""
    monkeypatch.setattr(codings, "_optional", lambda name: None)
    decoder = Decoder(encoding, None)
    assert list(decoder.pieces(b"")) == []
    assert decoder.finish() == b""


def test_encoded_bytes_may_exceed_the_limit_a_little() -> None:
    """By an eighth and 4096 bytes: an endless stream of empty gzip members decodes to nothing."""
    empty = gzipped(b"") * 650
    padding = bytes(8000 + 1000 + 4096 - len(empty))
    assert decoded("gzip", empty + padding, limit=8000) == b""
    with pytest.raises(ResponseTooLargeError):
        decoded("gzip", empty + padding + b"\0", limit=8000)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        *((encoding, "zeros") for encoding in ("gzip", "deflate", "gzip, gzip", "deflate, gzip, gzip")),
        *((encoding, "zeros") for encoding in ("br", "zstd") if encoding in ENCODERS),
        ("gzip", "empty members"),
        ("gzip, gzip", "empty members"),
    ],
)
def test_a_bomb_costs_the_limit_and_one_step(encoding: str, content: str) -> None:
    """Given a body of 20 MB in a few KB, or one of nothing in MBs, memory stays near the limit of 1 MB."""
    names = encoding.split(", ")
    data = bytes(20_000_000)
    if content == "empty members":
        data = gzipped(b"") * 100_000
        names.pop()
    for name in names:
        data = ENCODERS[name](data)
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
    ("encoding", "installed", "taken"),
    [
        ("br", ["brotli", "brotlicffi"], "brotli"),
        ("br", ["brotlicffi"], "brotlicffi"),
        ("zstd", ["compression.zstd", "backports.zstd", "zstandard"], "compression.zstd"),
        ("zstd", ["backports.zstd", "zstandard"], "backports.zstd"),
        ("zstd", ["zstandard"], "zstandard"),
    ],
)
def test_the_first_library_that_is_installed_decodes(
    monkeypatch: pytest.MonkeyPatch, encoding: str, installed: list[str], taken: str
) -> None:
    """Any one of them will do, and the standard library comes first."""
    made: list[str] = []

    class Library:
        def __init__(self, name: str) -> None:
            self.name = name
            self.Decompressor = self

        can_accept_more_data = True

        def __getattr__(self, name: str) -> Any:  # whichever class of it is called first
            return self

        def __call__(self, *arguments: Any, **options: Any) -> Any:
            made.append(self.name)
            return self

    codings._optional.cache_clear()
    monkeypatch.setattr(codings, "load", lambda name: Library(name) if name in installed else None)
    try:
        new = codings._optional(encoding)
        assert new is not None
        new()()
        assert set(made) == {taken}
    finally:
        codings._optional.cache_clear()


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "gzip, gzip", "deflate, gzip"])
def test_a_caller_can_pause_while_frames_decode_to_nothing(encoding: str) -> None:
    """A server may send them without end: each 16 KiB of them give an empty piece."""
    first, *others = encoding.split(", ")
    if first not in ENCODERS:
        pytest.skip(f"{first} needs a library")
    data = ENCODERS[first](b"") * (1 if first == "deflate" else 10_000)
    for name in others:
        data = ENCODERS[name](data)
    pieces = list(Decoder(encoding, None).pieces(data))
    assert not any(pieces)
    assert len(pieces) >= (1 if first == "deflate" else 10_000 * 9 // 2**14)
