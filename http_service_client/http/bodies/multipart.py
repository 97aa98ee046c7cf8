"""Forms with files: multipart/form-data (RFC 7578, WHATWG HTML 4.10.21.8 for the names).

Names and file names are in quotes as raw UTF-8, with only the quote, CR and LF percent-encoded, as all
browsers do and servers expect; the ``filename*`` of RFC 5987 must not be used here (RFC 7578 4.2).
Files are not read into memory. The length is known when that of each part is, so most uploads need no chunked
encoding, which many upload servers refuse.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ...errors import InvalidRequestError
from ..header_validation import validate_headers
from ..headers import build_headers
from ..parameters import field_pairs
from .body import RequestBody, stream_body

__all__ = ["encode_multipart"]

_BINARY = "application/octet-stream"


def encode_multipart(data: Any, files: Any) -> RequestBody:
    """The form's fields, then its files.

    data: a mapping or pairs; scalars as in a query. files: a mapping or pairs of a name and a file, bytes,
    text, or ``(filename, one of these[, content_type[, headers]])``; a filename of None makes it a field.
    """
    boundary = os.urandom(16).hex()
    parts: list[bytes | RequestBody] = []
    for name, value in field_pairs(data, "data") if data is not None else ():
        parts.append(_part_head(boundary, _quoted(name), None, None, {}) + value + b"\r\n")
    for key, spec in _file_items(files):
        parts.extend(_file_part(boundary, key, spec))
    parts.append(f"--{boundary}--\r\n".encode("ascii"))
    return _joined(parts, f"multipart/form-data; boundary={boundary}")


def _joined(parts: list[bytes | RequestBody], content_type: str) -> RequestBody:
    contents = [part if isinstance(part, bytes) else part.content for part in parts]
    if None not in contents:
        return RequestBody(b"".join(content for content in contents if content is not None), content_type)
    length: int | None = 0
    for part in parts:
        size = part.length if isinstance(part, RequestBody) else len(part)
        length = None if length is None or size is None else length + size

    def read() -> Iterator[bytes]:
        for part in parts:
            if isinstance(part, RequestBody):
                yield from part.chunks()
            else:
                yield part

    replayable = all(part.is_replayable for part in parts if isinstance(part, RequestBody))
    return RequestBody(None, content_type, length=length, open_source=read, is_replayable=replayable)


def _file_items(files: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(files, Mapping):
        return files.items()
    if not isinstance(files, Iterable) or isinstance(files, (str, bytes)):
        raise InvalidRequestError(
            f"files must be a mapping or a list of (name, file) pairs, not {type(files).__name__}"
        )
    pairs = list(files)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InvalidRequestError(f"files must hold (name, file) pairs, not {type(pair).__name__}")
    return pairs


def _file_part(boundary: str, key: Any, spec: Any) -> list[bytes | RequestBody]:
    if not isinstance(key, (str, bytes)):
        raise InvalidRequestError(f"a name in files must be text, not {type(key).__name__}")
    where = f"files[{key!r}]"
    filename, source, content_type, headers = _file_spec(key, spec, where)
    body = _file_body(source, where)
    if content_type is None and filename is not None:
        content_type = _BINARY
    name = _quoted(_utf8(key, where))
    head = _part_head(
        boundary, name, None if filename is None else _quoted(_utf8(filename, where)), content_type, headers
    )
    return [head, body, b"\r\n"]


def _file_spec(key: Any, spec: Any, where: str) -> tuple[Any, Any, str | None, Any]:
    if not isinstance(spec, (tuple, list)):
        return _guessed_filename(spec) or key, spec, None, {}
    if not 2 <= len(spec) <= 4:
        raise InvalidRequestError(
            f"{where} must be (filename, file[, content_type[, headers]]), not {len(spec)} items"
        )
    filename, source, content_type, headers = (*spec, None, None)[:4]
    if filename is not None and not isinstance(filename, (str, bytes)):
        raise InvalidRequestError(
            f"the file name of {where} must be text or None, not {type(filename).__name__}"
        )
    if content_type is not None and not isinstance(content_type, str):
        raise InvalidRequestError(
            f"the content type of {where} must be text, not {type(content_type).__name__}"
        )
    return filename, source, content_type, headers


def _guessed_filename(file: Any) -> str | None:
    name = getattr(file, "name", None)  # an int for a file descriptor, "<stdin>" for a stream
    if isinstance(name, str) and name and name[0] != "<":
        return os.path.basename(name)
    return None


def _file_body(source: Any, where: str) -> bytes | RequestBody:
    if isinstance(source, str):
        return _utf8(source, where)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    body = stream_body(source, where)
    if body.is_async:
        raise InvalidRequestError(f"{where} is an async iterable; read it into bytes first")
    return body


def _part_head(
    boundary: str, name: bytes, filename: bytes | None, content_type: str | None, headers: Any
) -> bytes:
    disposition = b'Content-Disposition: form-data; name="' + name + b'"'
    if filename is not None:
        disposition += b'; filename="' + filename + b'"'
    lines = [b"--" + boundary.encode("ascii"), disposition]
    if not headers:
        if content_type is not None:
            lines.append(_type_field(content_type))
        return b"\r\n".join(lines) + b"\r\n\r\n"
    extra = build_headers(headers)
    if "Content-Disposition" in extra:
        raise InvalidRequestError(
            "a part's Content-Disposition is made from its name; leave it out of its headers"
        )
    if content_type is not None:
        extra.setdefault("Content-Type", content_type)
    validate_headers(extra)
    lines.extend(f"{key}: {value}".encode() for key, value in extra.multi_items())
    return b"\r\n".join(lines) + b"\r\n\r\n"


@lru_cache(maxsize=64)
def _type_field(content_type: str) -> bytes:
    """The Content-Type of a part, validated. Most uploads have few types of parts."""
    validate_headers(build_headers({"Content-Type": content_type}))
    return f"Content-Type: {content_type}".encode()


def _quoted(name: bytes) -> bytes:
    return name.replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")


def _utf8(text: str | bytes, where: str) -> bytes:
    try:
        return text if isinstance(text, bytes) else text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"{where} holds a lone surrogate, which UTF-8 cannot express; rename it"
        ) from None
