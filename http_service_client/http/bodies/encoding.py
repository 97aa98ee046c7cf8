"""From the arguments (json, data, files, content) to the one RequestBody that is sent.

A request has at most one kind of body; with two, the client would have to guess. The rules:

    json=       any value but None       application/json, see `json`
    data=       mapping, list of pairs   application/x-www-form-urlencoded, scalars as in a query
                str                      text/plain in UTF-8, or in the charset that a header names
                bytes, file, iterable    unchanged, no content type
    files=      (and data= as fields)    multipart/form-data, see `multipart`
    content=    bytes, str, file, ...    unchanged, no content type except for str
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from ...errors import InvalidRequestError
from ..parameters import field_pairs, form_text
from .body import EMPTY, RequestBody, stream_body
from .json import encode_json
from .json_codecs import JsonCodec
from .multipart import encode_multipart

__all__ = ["FORM", "UNSET", "RequestBody", "Unset", "encode_body"]


class Unset(Enum):
    """The type of UNSET, "this argument was not given"."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<not given>"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset.UNSET

FORM = "application/x-www-form-urlencoded"
_TEXT = "text/plain; charset=utf-8"


def encode_body(
    json: Any = UNSET,
    data: Any = None,
    files: Any = None,
    content: Any = None,
    codec: JsonCodec | None = None,
) -> RequestBody:
    """The body of a request. As in requests, ``json=None`` and empty `data` and `files` mean no body.

    codec: encodes the JSON; None for the standard library.

    Raises InvalidRequestError when more than one kind is given, or one cannot be encoded.
    """
    if (json is UNSET or json is None) and data is None and not files and content is None:
        return EMPTY
    has_json = json is not UNSET and json is not None
    has_form = data is not None or bool(files)
    if has_json + has_form + (content is not None) > 1:
        kinds = (
            ("json", has_json),
            ("data", data is not None),
            ("files", bool(files)),
            ("content", content is not None),
        )
        given = [name for name, is_given in kinds if is_given]
        raise InvalidRequestError(
            f"a request has one body, but {' and '.join(given)} were given; pass one of them"
        )
    if has_json:
        return RequestBody(
            encode_json(json) if codec is None else codec.encode(json), "application/json", charset="utf-8"
        )
    if files:
        return encode_multipart(data, files)
    if data is not None:
        return _encode_data(data)
    return _encode_raw(content, "content")


def _encode_data(data: Any) -> RequestBody:
    if isinstance(data, Mapping) or _is_list_of_pairs(data):
        if not data:
            return EMPTY
        return RequestBody(form_text(field_pairs(data, "data")).encode("ascii"), FORM)
    return _encode_raw(data, "data")


def _is_list_of_pairs(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and all(isinstance(item, (list, tuple)) for item in data)


def _encode_raw(content: Any, where: str) -> RequestBody:
    if isinstance(content, str):
        try:
            text = content.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequestError(
                f"{where} holds a lone surrogate, which UTF-8 cannot express; pass bytes instead"
            ) from None
        return RequestBody(text, _TEXT, charset="utf-8") if text else EMPTY
    if isinstance(content, (bytes, bytearray, memoryview)):
        return RequestBody(bytes(content)) if len(content) else EMPTY
    if isinstance(content, (list, tuple)):
        return RequestBody(_joined(content, where))
    if isinstance(content, Mapping):
        raise InvalidRequestError(f"{where} is a mapping; pass it as json= or data=")
    return stream_body(content, where)


def _joined(pieces: list[Any] | tuple[Any, ...], where: str) -> bytes:
    # A list of text could also be meant as form fields; a list of bytes can only be a body in pieces.
    for piece in pieces:
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            raise InvalidRequestError(
                f"{where} is a list that holds {type(piece).__name__}; "
                "pass (name, value) pairs for a form, pieces of bytes for a body, or json= for a JSON array"
            )
    return b"".join(pieces)
