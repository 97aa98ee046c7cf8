"""How a Python value becomes the text of a query or form field.

One rule for query strings, urlencoded forms and multipart fields: None drops the field, bool is
``true`` or ``false``, an Enum stands for its value, dates are ISO 8601, Decimal, UUID, int and float
are their `str`, and a list repeats the key. A value without a single obvious text (NaN, sets, mappings,
other objects) is refused by name: a guessed text is a bug that the server sees first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time
from enum import Enum
from typing import Any
from urllib.parse import quote_from_bytes

from ..errors import InvalidRequestError
from ..lazy import is_a

__all__ = ["field_pairs", "form_text", "query_text", "scalar_bytes"]


def field_pairs(source: object, where: str) -> list[tuple[bytes, bytes]]:
    """The (key, value) pairs of a mapping or of an iterable of pairs, as UTF-8; one pair for each value.

    where: the name of the argument ("params", "data"), for the error message.
    """
    pairs: list[tuple[bytes, bytes]] = []
    for key, value in _items(source, where):
        if type(key) is str and type(value) is str:  # as most are; an error is described below
            try:
                pairs.append((key.encode(), value.encode()))
                continue
            except UnicodeEncodeError:
                pass
        name = scalar_bytes(key, f"a key of {where}")
        if name is None:
            raise InvalidRequestError(f"a key of {where} is None; a key must be text")
        field = f"{where}[{key!r}]"
        for item in _several(value):
            text = scalar_bytes(item, field)
            if text is not None:
                pairs.append((name, text))
    return pairs


def _several(value: object) -> Sequence[object]:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        return value
    return (value,)


def query_text(pairs: list[tuple[bytes, bytes]]) -> str:
    """Percent-encoded for a query: all but RFC 3986's unreserved characters is escaped; a space is %20."""
    return "&".join([f"{_quoted(key)}={_quoted(value)}" for key, value in pairs])


def _quoted(text: bytes) -> str:
    return text.decode() if text.isalnum() else quote_from_bytes(text, "")


def form_text(pairs: list[tuple[bytes, bytes]]) -> str:
    """`application/x-www-form-urlencoded`: as `query_text`, but a space is ``+`` (WHATWG URL 5.2)."""
    return query_text(pairs).replace("%20", "+")


def scalar_bytes(value: object, where: str, *, is_needed: bool = False) -> bytes | None:
    """The text of one value as UTF-8, or None to drop it. Raises InvalidRequestError naming `where`.

    is_needed: it cannot be dropped, and is a single value; messages say so.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None:
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    try:
        return _scalar_text(value, where, is_needed).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequestError(
            f"{where} holds a lone surrogate, which UTF-8 cannot express; pass bytes instead"
        ) from None
    except ValueError as error:
        # int -> str beyond sys.set_int_max_str_digits. Our own errors pass unchanged.
        if isinstance(error, InvalidRequestError):
            raise
        raise InvalidRequestError(f"{where} is too large a number; pass it as text") from None


def _scalar_text(value: Any, where: str, is_needed: bool) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    is_decimal = is_a(value, "decimal", "Decimal")
    if is_decimal or isinstance(value, float):
        if not (math.isfinite(value) if isinstance(value, float) else value.is_finite()):
            remedy = "" if is_needed else "; use None to drop it"
            raise InvalidRequestError(f"{where} is {value}, which is not a number to send{remedy}")
        return str(value) if is_decimal else float.__repr__(value)
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if is_a(value, "uuid", "UUID"):
        return str(value)
    kinds = "UUID or Enum" if is_needed else "UUID, Enum, None or a list of these"
    raise InvalidRequestError(
        f"{where} must be text, bytes, a number, bool, date, {kinds}, "
        f"not {type(value).__name__}; convert it first, for example by str()"
    )


def _items(source: object, where: str) -> Iterable[tuple[object, object]]:
    if isinstance(source, Mapping):
        return source.items()
    if not isinstance(source, Iterable) or isinstance(source, (str, bytes, bytearray)):
        raise InvalidRequestError(
            f"{where} must be a mapping or a list of (key, value) pairs, not {type(source).__name__}"
        )
    return [_pair(pair, where) for pair in source]


def _pair(pair: object, where: str) -> tuple[object, object]:
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        return pair[0], pair[1]
    raise InvalidRequestError(f"{where} must hold (key, value) pairs, not {type(pair).__name__}")
