"""A decoder for each content coding: gzip, deflate, br, zstd (RFC 9110 8.4.1, 1950-1952, 7932, 8878, 9659).

Each one turns bytes into pieces of at most about `STEP` bytes and knows whether it is complete. gzip and
deflate come with Python; br and zstd need a library that can work in bounded steps. brotli before 1.2 is not
used because it cannot: a few bytes of input may cost hundreds of megabytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, Protocol

from ...core.signals import raise_if_of_signal_handler
from ...errors import DecodingError
from .libraries import load

__all__ = ["KNOWN_CODINGS", "Coding", "accept_encoding", "new_coding"]

KNOWN_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd"})
STEP = 64 * 1024
_ZSTD_WINDOW_LOG = 23  # 8 MB, the largest window that a sender may use (RFC 9659 3)
# A zstd block of 4 bytes gives up to 128 KiB: where a library has no output limit, the input is bounded.
_ZSTD_SLICE = 64


class Coding(Protocol):
    """The decoder of one coding of one response."""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Decode in pieces. The iterator must be exhausted before the next call."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether the end mark was seen, or no byte came at all."""
        ...


@lru_cache(maxsize=1)
def accept_encoding() -> str:
    """The codings that this interpreter can decode, for Accept-Encoding: ``gzip, deflate, br, zstd``."""
    return ", ".join(["gzip", "deflate"] + [name for name in ("br", "zstd") if _optional(name) is not None])


def new_coding(name: str) -> Coding:
    """A new decoder for one of `KNOWN_CODINGS`. Raises DecodingError if its library is not installed."""
    if name in ("gzip", "x-gzip"):
        return _Gzip()
    if name == "deflate":
        return _Deflate()
    factory = _optional(name)
    if factory is None:
        library = {"br": "brotli 1.2 or later", "zstd": "zstandard"}[name]
        raise DecodingError(f"the response's content coding is {name!r}; install {library} to decode it")
    return _Framed(name, factory())


class _Gzip:
    """One or more gzip members (RFC 1952 2.2), zero padding between and after them allowed."""

    __slots__ = ("_has_members", "_member")

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None
        self._has_members = False

    @property
    def is_complete(self) -> bool:
        return self._member is None

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member is None:
                if self._has_members:
                    data = data.lstrip(b"\0")
                    if not data:
                        return
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
                self._has_members = True
            yield from _inflate(self._member, data, "gzip")
            data = self._member.unused_data
            if self._member.eof:
                self._member = None


class _Deflate:
    """zlib data (RFC 1950), or raw deflate (RFC 1951), which some servers send under the same name."""

    __slots__ = ("_head", "_stream")

    def __init__(self) -> None:
        self._head = b""
        self._stream: zlib._Decompress | None = None

    @property
    def is_complete(self) -> bool:
        return not self._head if self._stream is None else self._stream.eof

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._stream is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            # CM = 8, and FCHECK makes the first two bytes a multiple of 31 (RFC 1950 2.2). The header decides,
            # not a failed attempt, so that the result does not depend on how the bytes were cut.
            is_zlib = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        yield from _inflate(self._stream, data, "deflate")
        if self._stream.unused_data:  # those that came with the end, or after it
            raise DecodingError("the response's deflate content has bytes after its end")


def _inflate(stream: zlib._Decompress, data: bytes, name: str) -> Iterator[bytes]:
    while True:
        try:
            piece = stream.decompress(data, STEP)
        except zlib.error as error:
            raise DecodingError(f"the response's {name} content is corrupt: {error}") from None
        if piece:
            yield piece
        data = stream.unconsumed_tail
        # After a full piece, zlib may hold more output although no input is left.
        if stream.eof or (not data and len(piece) < STEP):
            return


class _Stream(Protocol):
    """A decompressor of one br or zstd frame: the common interface of the libraries' own ones."""

    def decode(self, data: bytes) -> Iterator[bytes]: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class _Framed:
    """br in one frame, or zstd in one or more (RFC 8878 3.1)."""

    __slots__ = ("_frame", "_name", "_new_frame", "_started")

    def __init__(self, name: str, new_frame: Callable[[], _Stream]) -> None:
        self._name = name
        self._new_frame = new_frame
        self._frame: _Stream | None = None
        self._started = False

    @property
    def is_complete(self) -> bool:
        return self._frame is None

    def decode(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._frame is None:
                if self._started and self._name == "br":
                    raise DecodingError("the response's br content has bytes after its end")
                self._frame = self._new_frame()
                self._started = True
            pieces = self._frame.decode(data)
            while True:
                try:
                    piece = next(pieces, None)
                except Exception as error:  # each library has its own error type
                    raise_if_of_signal_handler()
                    raise DecodingError(f"the response's {self._name} content is corrupt: {error}") from None
                if piece is None:
                    break
                if piece:
                    yield piece
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data
                self._frame = None


class _Brotli:
    """`brotli` or `brotlicffi`, 1.2 or later."""

    def __init__(self, module: Any) -> None:
        self._stream = module.Decompressor()
        self._process = getattr(self._stream, "process", None) or self._stream.decompress
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return bool(self._stream.is_finished())

    def decode(self, data: bytes) -> Iterator[bytes]:
        # Even when it can accept more data, it may have more output.
        piece = self._process(data, output_buffer_limit=STEP)
        while piece:
            yield piece
            piece = b"" if self.eof else self._process(b"", output_buffer_limit=STEP)


class _Zstd:
    """`compression.zstd` of Python 3.14, or `backports.zstd`."""

    def __init__(self, module: Any) -> None:
        limits = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._stream = module.ZstdDecompressor(options=limits)

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def decode(self, data: bytes) -> Iterator[bytes]:
        while True:
            yield self._stream.decompress(data, STEP)
            if self._stream.eof or self._stream.needs_input:
                return
            data = b""


class _Zstandard:
    """`zstandard`, whose push interface has no output limit, so it is fed in tiny slices."""

    def __init__(self, context: Any) -> None:
        self._stream = context.decompressobj()
        self._rest = b""

    @classmethod
    def frames(cls, module: Any) -> Callable[[], _Stream]:
        """The frames of one response share a context, which takes twenty times as long to make as an empty frame."""
        return partial(cls, module.ZstdDecompressor(max_window_size=1 << _ZSTD_WINDOW_LOG))

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data) + self._rest

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _ZSTD_SLICE):
            yield self._stream.decompress(data[start : start + _ZSTD_SLICE])
            if self._stream.eof:
                self._rest = data[start + _ZSTD_SLICE :]
                return


@lru_cache(maxsize=8)
def _optional(name: str) -> Callable[[], Callable[[], _Stream]] | None:
    """For br or zstd: makes, for one response, the function that makes a decompressor for each frame.

    None if no library is installed. Looked up once.
    """
    if name == "br":
        for module in filter(None, map(load, ("brotli", "brotlicffi"))):
            if hasattr(module.Decompressor, "can_accept_more_data"):
                return lambda: partial(_Brotli, module)
    if name == "zstd":
        for module in filter(None, map(load, ("compression.zstd", "backports.zstd"))):
            return lambda: partial(_Zstd, module)
        zstandard = load("zstandard")
        if zstandard is not None:
            return lambda: _Zstandard.frames(zstandard)
    return None
