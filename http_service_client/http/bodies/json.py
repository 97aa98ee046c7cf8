"""Python values as JSON text (RFC 8259), which is compact, UTF-8 and always valid; and back.

Besides the types of `json` it encodes those that models consist of: dataclasses, attrs classes, msgspec's structs and
pydantic models (by alias, the receiver's name of a field), Enums, dates, Decimal and UUID as text. A value without a JSON form (NaN, bytes,
sets) is refused with the path to it: the encoder runs at full speed, and the value is searched for the
cause only after a failure. Values are never shown, since they may be secrets.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from enum import Enum
from typing import Any

from ...errors import InvalidRequestError
from ...lazy import is_a
from ..media_types import charset_of

__all__ = [
    "decode_json",
    "decode_json_strictly",
    "encode_json",
    "in_utf8",
    "new_encode",
    "plain",
    "refuse_constant",
]

_MAX_DEPTH = 400  # how deep the search for an offending field goes


def encode_json(value: object) -> bytes:
    """The value as JSON in UTF-8.

    >>> from decimal import Decimal
    >>> encode_json({"price": Decimal("1.10"), "name": "Zoë"}).decode()
    '{"price":"1.10","name":"Zoë"}'
    """
    try:
        return _encode(value).encode("utf-8")
    except InvalidRequestError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        problem = _find_problem(value) or f"json cannot be encoded ({type(error).__name__})"
    raise InvalidRequestError(
        f"{problem}; convert it first, or encode it yourself and pass the bytes as data"
    )


def plain(value: Any) -> object:
    """The JSON form of a value of another type: one level of it, the encoder calls again for the next."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (date, time)):
        return value.isoformat()
    if is_a(value, "uuid", "UUID"):
        return str(value)
    if is_a(value, "decimal", "Decimal"):
        if not value.is_finite():
            raise ValueError("not a finite number")
        return str(value)
    serializer = getattr(type(value), "__pydantic_serializer__", None)  # models and pydantic's dataclasses
    if serializer is not None:
        return serializer.to_python(value, mode="json", by_alias=True)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if hasattr(type(value), "__struct_encode_fields__"):
        return _struct(value)
    attributes = getattr(type(value), "__attrs_attrs__", None)
    if attributes is not None:
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    if isinstance(value, Mapping):
        return dict(value.items())  # a dict of a class that orjson leaves may have items of its own
    if isinstance(value, deque):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _struct(value: Any) -> object:
    """The JSON form of a struct of msgspec: as msgspec writes it, but for defaults, which are never left out."""
    kind = type(value)
    config = kind.__struct_config__
    tag = {} if config.tag is None else {config.tag_field: config.tag}
    values = [getattr(value, name) for name in kind.__struct_fields__]
    if config.array_like:
        return [*tag.values(), *values]
    pairs = zip(kind.__struct_encode_fields__, values, strict=True)
    return tag | {name: item for name, item in pairs if type(item).__name__ != "UnsetType"}


def new_encode(c_encoder: Any) -> Callable[[object], str]:
    """The function that encodes.   c_encoder: json's own encoder in C, which is not documented; None where there is none.

    `JSONEncoder.encode` makes one for each value, which takes longer than to encode a small value. Nothing looks for
    circles: they end with a RecursionError as well, and to note each list and dict takes an eighth of the time.
    """
    documented = json.JSONEncoder(
        ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=plain
    ).encode
    try:
        quote = json.encoder.encode_basestring
        pieces = c_encoder(None, plain, quote, None, ":", ",", False, False, False)
        is_known = "".join(pieces({"a": [1, None]}, 0)) == '{"a":[1,null]}'
    except (AttributeError, TypeError):  # PyPy has none; another Python may call it otherwise
        return documented
    return (lambda value: "".join(pieces(value, 0))) if is_known else documented


_encode = new_encode(getattr(json.encoder, "c_make_encoder", None))
_decode = json.JSONDecoder().decode


def decode_json(content: bytes) -> Any:
    """The value of a JSON text. Raises ValueError or RecursionError."""
    # Four such bytes are UTF-8 (RFC 8259, 8.1); `json.loads` would detect it at a higher cost.
    if type(content) is bytes and content[:4].isascii() and 0 not in content[:4]:
        return _decode(content.decode("utf-8", "surrogatepass"))
    return json.loads(content)


def in_utf8(content: bytes, content_type: str | None) -> bytes | None:
    """JSON of another encoding in plain UTF-8; None if it is UTF-8 already, or nobody knows what it is.

    Its first bytes tell UTF-16, UTF-32 and a byte order mark. Older services write other charsets, and name them.
    """
    encoding = json.detect_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        named = charset_of(content_type or "")
        if named is None:
            return None
        try:
            text = content.decode(named)
        except UnicodeDecodeError:
            return None
    else:
        if encoding == "utf-8":
            return None
    return text.encode("utf-8")


def decode_json_strictly(content: bytes) -> Any:
    """As `decode_json`; it refuses NaN and infinity, which are not JSON."""
    return json.loads(content, parse_constant=refuse_constant)


def refuse_constant(name: str) -> None:
    """Raise ValueError for NaN, Infinity and -Infinity: for `parse_constant` of json."""
    raise ValueError(f"{name} is not a JSON number")


def _find_problem(value: object) -> str | None:
    """The field that cannot be encoded and why: ``json.items[2].price is of type bytes, which ...``."""
    try:
        return next(_problems(value, "json", ()), None)
    except RecursionError:
        return "json is nested too deeply"


def _problems(value: object, path: str, parents: tuple[int, ...]) -> Iterator[str]:
    inside = (*parents, id(value))
    if id(value) in parents:
        yield f"{path} contains itself"
    elif len(parents) > _MAX_DEPTH:
        yield "json is nested too deeply"
    elif value is None or isinstance(value, (str, int, float)):
        yield from _scalar_problems(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float, type(None))):
                yield f"{path} has a key of type {type(key).__name__}, and JSON's keys are text"
            else:
                yield from _scalar_problems(key, f"a key of {path}")
            yield from _problems(item, _member(path, key), inside)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _problems(item, f"{path}[{index}]", inside)
    else:
        try:
            form = plain(value)
        except (TypeError, ValueError):
            yield f"{path} is of type {type(value).__name__}, whose value has no JSON form"
        else:
            yield from _problems(form, path, inside)


def _scalar_problems(value: object, path: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{path} is {value}, and JSON has finite numbers only"
    elif isinstance(value, str) and not _is_utf8(value):
        yield f"{path} holds a lone surrogate, which UTF-8 cannot express"
    elif isinstance(value, int) and value.bit_length() > 14_284:
        yield f"{path} is too large a number"


def _member(path: str, key: object) -> str:
    text = str(key)[:80]
    return f"{path}.{text}" if text.isidentifier() else f"{path}[{text!r}]"


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
