"""A value of a setting, from the text of a variable or a file.

Text is read as the type that the field is annotated with. What cannot be read so stays text, and the check of the field
says what is wrong with it: there is one message for each mistake, wherever the value comes from.

    field                text                           value
    bool                 true, yes, on, 1; false, ...   True, False
    int                  20                             20
    float                1.5                            1.5
    float, of seconds    1.5s, 200ms, 2m, 1h            1.5, 0.2, 120.0, 3600.0
    or None              none                           None, unless any text is a value of the field
    list                 a, b  or  ["a", "b"]           ["a", "b"], its items read likewise
    mapping              {"a": 1}                       {"a": 1}
    text, path           any                            the text
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from datetime import timedelta
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["annotations_of", "plain", "read_value", "takes_none"]

_WORDS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_NONE = ("none", "null")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9.]+) ?(ms|s|m|h)").fullmatch
# Shares, factors and tokens are numbers as well, and have no unit.
_IS_SECONDS = re.compile(
    r".*(timeout|duration|delay|latency|_after|increment|window|memory|age|lease|step|last_good|interval|max_wait|per)"
).fullmatch


@lru_cache
def annotations_of(taker: Any) -> dict[str, Any]:
    """The types of the keywords that a class takes, and maybe of others."""
    return get_type_hints(taker if is_dataclass(taker) else taker.__init__)


def takes_none(annotation: Any) -> bool:
    """Whether None is a value of such a field."""
    return NoneType in _members(annotation)


def read_value(name: str, value: Any, annotation: Any) -> Any:
    """The value of a field: text is read as the type of the field, and so are the items of a list."""
    members = _members(annotation)
    if isinstance(value, str):
        value = _read_text(value, _kinds(members), _IS_SECONDS(name) is not None)
    if isinstance(value, list):
        for kind in members:
            if _kind(kind) is list and get_origin(kind) is not tuple:
                (item_kind,) = get_args(kind)
                return [read_value(name, item, item_kind) for item in value]
    return value


def plain(value: Any, secrets: set[str]) -> Any:
    """The value that a settings library wraps: a secret's text, a URL's, the seconds of a timedelta; in lists too.

    secrets: gets the text of each secret.
    """
    if type(value) is dict:
        return {name: plain(item, secrets) for name, item in value.items()}
    if type(value) is list or type(value) is tuple:
        items = [plain(item, secrets) for item in value]
        return items if type(value) is list else tuple(items)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if callable(reveal := getattr(value, "get_secret_value", None)):  # pydantic's SecretStr and SecretBytes
        secret = reveal()
        text = secret.decode() if isinstance(secret, bytes) else str(secret)
        secrets.add(text)
        return text
    if callable(getattr(value, "unicode_string", None)):  # pydantic's URLs, which are no str
        return str(value)
    return value


def _read_text(text: str, kinds: set[Any], is_seconds: bool) -> Any:
    word = text.strip().lower()
    if str not in kinds and NoneType in kinds and word in _NONE:
        return None
    if bool in kinds and word in _WORDS:
        return _WORDS[word]
    try:
        if int in kinds:
            return int(word)
        if float in kinds:
            duration = _DURATION(word) if is_seconds else None
            return float(duration[1]) * _UNITS[duration[2]] if duration else float(word)
        if list in kinds and word[:1] == "[":
            return json.loads(text)
        if dict in kinds and word[:1] == "{":
            return json.loads(text)
    except ValueError:
        return text
    if list in kinds and str not in kinds:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


@lru_cache
def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _kinds(members: Iterable[Any]) -> set[Any]:
    return {_kind(member) for member in members}


_SEQUENCES = (Sequence, Iterable, list, tuple)


def _kind(annotation: Any) -> Any:
    """What text may be read as, of this type: a number, say; None for what text cannot express."""
    origin = get_origin(annotation) or annotation
    if origin in (bool, int, float, NoneType):
        return origin
    if origin is Literal or origin in (str, os.PathLike):
        return str
    if get_origin(annotation) in _SEQUENCES:
        return list
    if origin is Mapping or is_dataclass(annotation):
        return dict
    return None
