"""Each codec over each library that it can use: bounded pieces, the whole content, and the end."""

from __future__ import annotations

import gzip
import random
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from http_service_client.errors import DecodingError
from http_service_client.http.content_codings import codecs, compression, decoder
from http_service_client.http.content_codings.codecs import new_coding
from http_service_client.http.content_codings.decoder import Decoder, UndecodedBody, is_encoded

STEP = 65_536  # bytes of a piece; written out, since the code must not check itself


class ZstdDecompressor:
    """As that of `compression.zstd`, over zlib: the interface is the standard library's, the data are not zstd.

    It refuses what that refuses: input while it holds output, and any call after the end.
    """

    def __init__(self, *, options: dict[str, int]) -> None:
        assert options == {"window_log_max": 23}
        self._stream = zlib.decompressobj()
        self._tail = b""
        self.eof, self.needs_input, self.unused_data = False, True, b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        assert 0 < max_length <= STEP
        if self.eof:
            raise EOFError
        assert bool(data) is self.needs_input
        piece = self._stream.decompress(self._tail + data, max_length)
        self._tail = self._stream.unconsumed_tail
        self.eof, self.unused_data = self._stream.eof, self._stream.unused_data
        self.needs_input = not self.eof and len(piece) < max_length and not self._tail
        return piece


class Brotli:
    """As the decompressor of a binding of brotli, over zlib: it holds its input, and takes none while it has output."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._tail = b""

    def can_accept_more_data(self) -> bool:
        return not self._tail

    def is_finished(self) -> bool:
        return self._stream.eof and not self._tail

    def decompress(self, data: bytes, output_buffer_limit: int) -> bytes:
        assert output_buffer_limit == STEP
        assert not self._stream.eof, "it is finished"
        piece = self._stream.decompress(self._tail + data, output_buffer_limit)
        self._tail = self._stream.unconsumed_tail
        return piece


class OtherBrotli(Brotli):
    """The other binding calls it `process`."""

    process = Brotli.decompress

    def decompress(self, data: bytes, output_buffer_limit: int) -> bytes:
        raise AssertionError("it is called process here")


LIBRARIES: dict[str, Any] = {
    "compression.zstd": SimpleNamespace(
        ZstdDecompressor=ZstdDecompressor,
        DecompressionParameter=SimpleNamespace(window_log_max="window_log_max"),
    ),
    "brotli": SimpleNamespace(Decompressor=Brotli),
    "brotlicffi": SimpleNamespace(Decompressor=OtherBrotli),
}


@pytest.fixture
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One library is installed; the name of its coding."""
    codecs._optional.cache_clear()
    monkeypatch.setattr(codecs, "load", lambda name: LIBRARIES[name] if name == request.param else None)
    yield "zstd" if "zstd" in request.param else "br"
    codecs._optional.cache_clear()


CONTENT = bytes(300_000) + b"the end"


@pytest.mark.parametrize(
    ("steps", "given"),
    [
        ([(b"a", b"", False)], [b"in"]),
        ([(bytes(STEP), b"", False), (b"b", b"", False)], [b"in", b""]),
        ([(bytes(STEP), b"tail", False), (b"", b"", False)], [b"in", b"tail"]),
        ([(b"a", b"tail", False), (b"b", b"", False)], [b"in", b"tail"]),
        ([(bytes(STEP), b"", True)], [b"in"]),
    ],
    ids=["short", "full", "full with input left", "short with input left", "the end"],
)
def test_zlib_is_asked_while_it_may_have_more(
    steps: list[tuple[bytes, bytes, bool]], given: list[bytes]
) -> None:
    """While input is left, and after a full piece; not after the end. Each step: a piece, the input left, the end."""
    asked: list[bytes] = []

    class Stream:
        unconsumed_tail, eof = b"", False

        def decompress(self, data: bytes, most: int) -> bytes:
            assert most == STEP
            piece, self.unconsumed_tail, self.eof = steps[len(asked)]
            asked.append(data)
            return piece

    stream: Any = Stream()
    assert b"".join(codecs._inflate(stream, b"in", "gzip")) == b"".join(step[0] for step in steps)
    assert asked == given


def test_a_member_of_gzip_may_come_in_parts() -> None:
    """It is complete with its last byte."""
    data, coding = gzip.compress(b"ab"), new_coding("x-gzip")
    assert coding.is_complete
    decoded = b"".join(coding.decode(data[:-1]))
    assert not coding.is_complete
    assert (decoded + b"".join(coding.decode(data[-1:])), coding.is_complete) == (b"ab", True)


def test_these_codings_can_be_removed() -> None:
    """RFC 9110, 8.4.1, and those registered since."""
    assert sorted(codecs.KNOWN_CODINGS) == ["br", "deflate", "gzip", "x-gzip", "zstd"]


@pytest.mark.parametrize("library", list(LIBRARIES), indirect=True)
@pytest.mark.parametrize("step", [1, 100, 1_000_000], ids="{}-bytes".format)
def test_the_whole_content_comes_in_bounded_pieces(library: str, step: int) -> None:
    """However it is cut, also where a few bytes give many; it is complete with its end."""
    data, coding, pieces = zlib.compress(CONTENT), new_coding(library), []
    for start in range(0, len(data), step):
        pieces += islice(coding.decode(data[start : start + step]), 9)  # it has five
    assert b"".join(pieces) == CONTENT
    assert max(map(len, pieces)) <= STEP
    assert b"" not in pieces
    assert coding.is_complete


@pytest.mark.parametrize("library", list(LIBRARIES), indirect=True)
def test_a_frame_without_its_end_is_incomplete(library: str) -> None:
    """Though all of its content has come."""
    coding = new_coding(library)
    assert coding.is_complete
    assert b"".join(coding.decode(zlib.compress(CONTENT)[:-1])) == CONTENT
    assert not coding.is_complete


@pytest.mark.parametrize("library", ["compression.zstd"], indirect=True)
def test_zstd_frames_follow_each_other(library: str) -> None:
    """As members of gzip do (RFC 8878, 3.1)."""
    data = zlib.compress(b"a") + zlib.compress(b"") + zlib.compress(b"b")
    for step in (1, len(data)):
        pieces = [data[start : start + step] for start in range(0, len(data), step)]
        coding = new_coding(library)
        assert b"".join(b"".join(coding.decode(piece)) for piece in pieces) == b"ab"
        assert coding.is_complete


@pytest.mark.parametrize("library", ["brotli", "brotlicffi"], indirect=True)
def test_brotli_has_one_frame(library: str) -> None:
    """What comes after it is refused."""
    coding = new_coding(library)
    assert b"".join(coding.decode(zlib.compress(b"a"))) == b"a"
    with pytest.raises(DecodingError, match="the response's br content has bytes after its end"):
        list(coding.decode(b"x"))


@pytest.mark.parametrize("library", list(LIBRARIES), indirect=True)
def test_an_error_of_a_library_names_the_coding(library: str) -> None:
    """Each library has errors of its own."""
    with pytest.raises(
        DecodingError, match=f"the response's {library} content is corrupt: .*incorrect header"
    ):
        list(new_coding(library).decode(b"garbage"))


@pytest.mark.parametrize("library", ["brotli"], indirect=True)
def test_what_the_handler_of_a_signal_raises_in_a_library_is_raised_as_it_is(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a time limit of the program's own, and says nothing of the content."""
    limit = TimeoutError("the time limit of the job")

    def handle(number: int, frame: FrameType) -> None:
        raise limit

    monkeypatch.setattr(Brotli, "decompress", lambda *arguments, **options: handle(14, sys._getframe()))
    with pytest.raises(TimeoutError) as caught:
        list(new_coding(library).decode(b"x"))
    assert caught.value is limit


@pytest.mark.parametrize(("name", "remedy"), [("br", "brotli 1.2 or later"), ("zstd", "zstandard")])
def test_a_missing_library_is_named(name: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its version, where that matters; the names of both codings leave Accept-Encoding."""
    monkeypatch.setattr(codecs, "load", lambda name: None)
    codecs._optional.cache_clear()
    codecs.accept_encoding.cache_clear()
    try:
        with pytest.raises(DecodingError) as raised:
            new_coding(name)
        assert (
            str(raised.value) == f"the response's content coding is {name!r}; install {remedy} to decode it"
        )
        assert codecs.accept_encoding() == "gzip, deflate"
    finally:
        codecs._optional.cache_clear()
        codecs.accept_encoding.cache_clear()


def test_all_codings_are_accepted_where_their_libraries_are_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this order."""
    monkeypatch.setattr(codecs, "load", LIBRARIES.get)
    codecs._optional.cache_clear()
    codecs.accept_encoding.cache_clear()
    try:
        assert codecs.accept_encoding() == "gzip, deflate, br, zstd"
    finally:
        codecs._optional.cache_clear()
        codecs.accept_encoding.cache_clear()


@pytest.mark.parametrize(("window_log", "is_accepted"), [(23, True), (24, False)])
def test_a_zstd_window_has_8_megabytes_at_most(window_log: int, is_accepted: bool) -> None:
    """A sender may use no larger one (RFC 9659, 3), and each response would cost as much memory."""
    zstandard = pytest.importorskip("zstandard", reason="a library that is not installed here")
    parameters = zstandard.ZstdCompressionParameters(window_log=window_log, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(b"abc" * 100) + packer.flush()
    body = Decoder("zstd", None)
    if is_accepted:
        assert body.feed(data) + body.finish() == b"abc" * 100
    else:
        with pytest.raises(DecodingError, match="zstd content is corrupt"):
            body.feed(data)


def test_zstandard_is_fed_in_slices() -> None:
    """It has no limit for its output; a block of four bytes may give 128 KiB, so 64 bytes give 2 MiB at most."""
    sizes: list[int] = []

    class Stream:
        eof, unused_data = False, b""

        def decompress(self, data: bytes) -> bytes:
            sizes.append(len(data))
            self.eof = len(sizes) == 3
            self.unused_data = b"1" if self.eof else b""
            return data

    frame = codecs._Zstandard(SimpleNamespace(decompressobj=Stream))
    assert frame.unused_data == b""
    assert b"".join(frame.decode(bytes(150) + b"2" * 100)) == (bytes(150) + b"2" * 42)
    assert sizes == [64, 64, 64]
    assert frame.unused_data == b"1" + b"2" * 58


@pytest.mark.parametrize(
    ("members", "more"), [(0, zlib.compress(b"a")), (1, b"XX"), (1, b"\0\0XX"), (1, zlib.compress(b"b"))]
)
def test_gzip_has_nothing_but_members_and_zeros(members: int, more: bytes) -> None:
    """Neither another form, nor letters after the end (RFC 1952, 2.2)."""
    with pytest.raises(DecodingError, match="the response's gzip content is corrupt"):
        list(new_coding("gzip").decode(gzip.compress(b"a") * members + more))


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bytes_may_be_repeated_after_32_kilobytes(name: str, pack: Callable[[bytes], bytes]) -> None:
    """The largest window of both (RFC 1951, 2)."""
    content = random.Random(1).randbytes(32_000) * 2
    assert b"".join(new_coding(name).decode(pack(content))) == content


@pytest.mark.parametrize("window", [15, -15])
@pytest.mark.parametrize("cut", [0, 1])
def test_deflate_has_one_end(window: int, cut: int) -> None:
    """Bytes after it are refused, whether they arrive with it or later."""
    compressor = zlib.compressobj(wbits=window)
    data = compressor.compress(b"a" * 99) + compressor.flush()
    coding = new_coding("deflate")
    pieces = [data, b"X"] if cut else [data + b"X"]
    decoded = b""
    with pytest.raises(DecodingError, match="the response's deflate content has bytes after its end"):
        for piece in pieces:
            for part in coding.decode(piece):
                decoded += part
    assert decoded == b"a" * 99


@pytest.mark.parametrize(
    ("head", "is_zlib"), [(b"\x78\x9c", True), (b"\x78\x9d", False), (b"\x08\x1d", True), (b"\x77\x85", False)]
)  # fmt: skip
def test_two_bytes_tell_zlib_from_raw_deflate(
    head: bytes, is_zlib: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The method is 8, and both together are a multiple of 31 (RFC 1950, 2.2)."""
    windows: list[int] = []

    def decompressobj(window: int) -> Any:
        windows.append(window)
        return zlib.decompressobj(-15)

    stand_in = SimpleNamespace(decompressobj=decompressobj, MAX_WBITS=15, error=zlib.error)
    monkeypatch.setattr(codecs, "zlib", stand_in)
    coding = new_coding("deflate")
    assert list(coding.decode(head[:1])) == []
    assert windows == []
    assert not coding.is_complete
    try:
        list(coding.decode(head[1:]))
    except DecodingError:
        pass
    assert windows == [15 if is_zlib else -15]


def test_raw_deflate_may_begin_like_zlib_with_another_method() -> None:
    """A block that is not compressed has bits that mean nothing; here they make both bytes a multiple of 31."""
    content = b"x" * 21
    data = b"\x09" + len(content).to_bytes(2, "little") + b"\xea\xff" + content
    assert (data[0] & 0x0F, (data[0] << 8 | data[1]) % 31) == (9, 0)
    assert b"".join(new_coding("deflate").decode(data)) == content


class TestUndecodedBody:
    """What is kept of a coded body, in case it cannot be decoded."""

    def test_a_plain_body_is_not_kept(self) -> None:
        """It is the content."""
        kept = UndecodedBody(Decoder(None, 10))
        kept.add(bytes(100_000))
        assert kept.content == b""

    def test_a_coded_body_is_kept_as_it_came(self) -> None:
        """All of it, without a limit."""
        kept = UndecodedBody(Decoder("gzip", None))
        for piece in (b"a", b"", b"bc"):
            kept.add(piece)
        assert kept.content == b"abc"

    def test_it_is_as_large_as_the_limit_and_a_little(self) -> None:
        """An eighth and 4096 bytes more, as for the coded bytes that are decoded."""
        kept = UndecodedBody(Decoder("gzip", 8000))
        kept.add(bytes(8000 + 1000 + 4096))
        with pytest.raises(decoder.ResponseTooLargeError) as raised:
            kept.add(b"x")
        assert str(raised.value) == (
            "the response is larger than max_response_size (8000 bytes); raise it, or use client.stream or client.download"
        )


def test_a_name_does_not_make_bytes_encoded() -> None:
    """A recorder may decode a body and leave the name of its coding."""
    assert is_encoded("deflate", zlib.compress(b"a"))
    assert not is_encoded("deflate", b"a")
    assert not is_encoded("deflate", zlib.compress(b"a")[:-1])


class TestCompression:
    """Of request bodies."""

    @pytest.mark.parametrize(
        ("installed", "taken"),
        [
            (["compression.zstd", "backports.zstd", "zstandard"], "compression.zstd"),
            (["backports.zstd", "zstandard"], "backports.zstd"),
            (["zstandard"], "zstandard"),
        ],
    )
    def test_the_first_library_compresses(
        self, installed: list[str], taken: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The standard library's comes first, as for decoding."""
        known = {name: SimpleNamespace(compress=lambda data, name=name: name.encode()) for name in installed}
        monkeypatch.setattr(compression, "load", known.get)
        compression._zstd.cache_clear()
        try:
            assert compression.may_compress("zstd")
            packed = compression.compress(compression.RequestBody(bytes(100)), "zstd")
            assert packed is not None
            assert packed.content == taken.encode()
        finally:
            compression._zstd.cache_clear()

    def test_zstd_needs_a_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """gzip needs none; other codings are not for requests."""
        monkeypatch.setattr(compression, "load", lambda name: None)
        compression._zstd.cache_clear()
        try:
            assert [compression.may_compress(name) for name in ("gzip", "zstd", "br")] == [True, False, False]
        finally:
            compression._zstd.cache_clear()
        assert not compression.may_compress("br")

    @pytest.mark.parametrize(("size", "is_compressed"), [(99, True), (100, False), (101, False)])
    def test_a_body_must_become_smaller(
        self, size: int, is_compressed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of the same size it is sent unchanged."""
        monkeypatch.setattr(compression, "_gzip", lambda content: bytes(size))
        packed = compression.compress(compression.RequestBody(b"x" * 100), "gzip")
        assert (packed is not None) is is_compressed

    def test_gzip_has_the_usual_level(self) -> None:
        """Six: the sizes that servers expect, at a third of the time of nine."""
        content = b"".join(b"%d " % (number * number) for number in range(3000))
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)
        assert compression._gzip(content) == packer.compress(content) + packer.flush()
