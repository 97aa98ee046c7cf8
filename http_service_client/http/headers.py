"""Header fields by name: how they are built, looked up, combined and shown.

Names are compared without case (RFC 9110 5.1). The values of one name combine, in order, with a comma
(5.2, 5.3). Text beyond ASCII is UTF-8 on the wire in both directions; a received value that is not UTF-8 is
read as latin-1. Whether a field may be sent is decided in `header_validation`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Set
from enum import Enum
from typing import Any

from ..errors import InvalidRequestError
from .secret_names import SECRET_NAMES, SecretNames
from .urls import redact_url

__all__ = [
    "Headers",
    "Latin1Text",
    "build_headers",
    "connection_options",
    "ends_connection",
    "redact_headers",
    "with_secret_names",
]

# Their values are URLs, which may have a password or a token in them.
_URL_HEADERS = frozenset({"content-location", "location", "referer", "refresh"})
_new = object.__new__
_WITHOUT_SPACE = re.compile(r'[^\s<>"]+')


class Latin1Text(str):
    """A header value whose octets are not UTF-8, read as latin-1: its UTF-8 form is not what the server sent."""

    __slots__ = ()


class Headers(MutableMapping[str, str]):
    """Header fields by case-insensitive name, in the order and spelling first seen.

    ``h[name]`` joins repeated values with ", "; `get_all` keeps them apart, which is the only correct
    way to read ``Set-Cookie``. ``h[name] = value`` replaces them all; `add` appends one.

    secret_names: whose values the repr, `redacted` and a pickle have as ``***``. The headers of a call have those of its
        client.
    """

    # lower-case name -> (name as first spelled, value, value, ...). The fields are immutable tuples, so
    # a copy of the dict is an independent copy.
    __slots__ = ("_fields", "secret_names")
    _fields: dict[str, tuple[str, ...]]
    secret_names: SecretNames

    def __init__(self, source: Mapping[str, str] | Iterable[tuple[str, str]] | None = None) -> None:
        self.secret_names = SECRET_NAMES
        if source is None:
            self._fields = {}
        elif isinstance(source, Headers):
            self._fields = source._fields.copy()
            self.secret_names = source.secret_names
        else:
            self._fields = {}
            if not hasattr(type(source), "__iter__"):
                raise InvalidRequestError(
                    f"headers must be a mapping or a list of (name, value) pairs, not {type(source).__name__}"
                )
            pairs: Any = source.items() if isinstance(source, Mapping) else source
            self._extend(pairs)

    def _extend(self, pairs: Iterable[tuple[str, str]]) -> None:
        fields = self._fields
        for pair in pairs:
            name, value = pair if type(pair) is tuple and len(pair) == 2 else _pair(pair)
            if type(name) is not str:
                name = _name_text(name)
            if type(value) is not str:
                value = _value_text(name, value)
            key = name.lower()
            if key in fields:
                fields[key] += (value,)
            else:
                fields[key] = (name, value)

    def _append(self, name: str, value: str) -> None:
        key = name.lower()
        known = self._fields.get(key)
        self._fields[key] = (name, value) if known is None else (*known, value)

    def __getitem__(self, name: str) -> str:
        field = self._fields[name.lower()]
        return field[1] if len(field) == 2 else ", ".join(field[1:])

    def __setitem__(self, name: str, value: str) -> None:
        if type(name) is not str:
            name = _name_text(name)
        if type(value) is not str:
            value = _value_text(name, value)
        key = name.lower()
        known = self._fields.get(key)
        self._fields[key] = (name if known is None else known[0], value)

    def __delitem__(self, name: str) -> None:
        del self._fields[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._fields

    def has_any(self, names: Set[str]) -> bool:
        """Whether there is a field of one of these lower-case names. It costs as much as one `in`."""
        return not self._fields.keys().isdisjoint(names)

    def __iter__(self) -> Iterator[str]:
        return iter([field[0] for field in self._fields.values()])

    def __len__(self) -> int:
        return len(self._fields)

    def add(self, name: str, value: str) -> None:
        """Append a value and keep the existing ones."""
        self._extend(((name, value),))

    def get_all(self, name: str) -> list[str]:
        """The values of the field, one by one, in order; empty when the field is missing."""
        return list(self._fields.get(name.lower(), ())[1:])

    def pairs(self) -> list[tuple[str, str]]:
        """As `items()`, but a list: iterating over a view costs four times as much."""
        return [
            (field[0], field[1]) if len(field) == 2 else (field[0], ", ".join(field[1:]))
            for field in self._fields.values()
        ]

    def multi_items(self) -> list[tuple[str, str]]:
        """A (name, value) pair for each value; the values of one name are adjacent (RFC 9110 5.3)."""
        return [(field[0], value) for field in self._fields.values() for value in field[1:]]

    def copy(self) -> Headers:
        """An independent copy."""
        twin = _new(Headers)
        twin._fields = self._fields.copy()
        twin.secret_names = self.secret_names
        return twin

    def redacted(self) -> Headers:
        """A copy to be logged or pickled, with ``***`` for values that are secret, also within URLs."""
        names = self.secret_names
        shown = [(name, _shown(name, value, names)) for name, value in self.multi_items()]
        return with_secret_names(shown, names)

    def without(self, names: Set[str]) -> Headers:
        """A copy without the fields of these lower-case names."""
        twin = Headers.__new__(Headers)
        twin._fields = {key: field for key, field in self._fields.items() if key not in names}
        twin.secret_names = self.secret_names
        return twin

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            if not isinstance(other, Mapping):
                return NotImplemented
            try:
                other = Headers(other)
            except InvalidRequestError:
                return False
        return self._joined() == other._joined()

    __hash__ = None  # type: ignore[assignment]  # mutable, so not hashable

    def _joined(self) -> dict[str, str]:
        return {key: ", ".join(field[1:]) for key, field in self._fields.items()}

    def __repr__(self) -> str:
        return f"Headers({redact_headers(self, self.secret_names)!r})"

    def __copy__(self) -> Headers:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Headers:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle is kept in queues and caches, where a credential outlives the call that it was for.
        pairs = self.redacted().multi_items()
        if self.secret_names == SECRET_NAMES:
            return (Headers, (pairs,))
        return (with_secret_names, (pairs, self.secret_names))


def build_headers(headers: Mapping[str, object] | Iterable[tuple[str, object]] | None) -> Headers:
    """The user's headers as `Headers`: None values dropped, white space around values stripped.

    Names are text or ASCII bytes; values are text, bytes in UTF-8, numbers, bool ("true", "false") or an
    Enum of these. Raises an InvalidRequestError that names the header and never shows its value.
    """
    if headers is None:
        return Headers()
    if isinstance(headers, Headers):
        return headers.copy()
    pairs: Any
    if type(headers) is dict or isinstance(headers, Mapping):  # to ask an abstract class takes long
        pairs = headers.items()
    elif isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        remedy = "; write {'Name': 'value'}" if isinstance(headers, (str, bytes)) else ""
        raise InvalidRequestError(
            f"headers must be a mapping or a list of (name, value) pairs, not {type(headers).__name__}{remedy}"
        )
    else:
        pairs = headers
    built = Headers()
    for pair in pairs:
        name, value = pair if type(pair) is tuple and len(pair) == 2 else _pair(pair)
        if value is None:
            continue
        name = name if type(name) is str else _name_text(name)
        text = value if type(value) is str else _value_text(name, value)
        built._append(name, text.strip(" \t"))
    return built


def ends_connection(headers: Mapping[str, str]) -> bool:
    """Whether a request with these headers is the last one on its connection (RFC 9112 9.6)."""
    if "Connection" not in headers:
        return False
    return "close" in connection_options([headers["Connection"]])


def connection_options(values: Iterable[str]) -> set[str]:
    """The options in the values of Connection fields, in lower case (RFC 9110 7.6.1)."""
    return {option.strip(" \t").lower() for value in values for option in value.split(",")}


def redact_headers(
    pairs: Mapping[str, str] | Iterable[tuple[str, str]], secret_names: SecretNames = SECRET_NAMES
) -> dict[str, str]:
    """The headers for a log, a repr or an error, with secret values replaced by ``***``, also within URLs."""
    items: Any = pairs.items() if isinstance(pairs, Mapping) else pairs
    return {name: _shown(name, value, secret_names) for name, value in items}


def _shown(name: str, value: str, secret_names: SecretNames) -> str:
    if name in secret_names:
        return "***"
    key = name.lower()
    if key == "link":  # has several
        return _WITHOUT_SPACE.sub(lambda match: redact_url(match[0]), value)
    return redact_url(value) if key in _URL_HEADERS else value


def with_secret_names(pairs: list[tuple[str, str]], secret_names: SecretNames) -> Headers:
    """Headers with the settings of a client."""
    headers = Headers(pairs)
    headers.secret_names = secret_names
    return headers


def _pair(pair: object) -> tuple[str, str]:
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        return pair[0], pair[1]
    raise InvalidRequestError(f"headers must be (name, value) pairs, not {type(pair).__name__}")


def _name_text(name: object) -> str:
    if isinstance(name, Enum):
        name = name.value
    if isinstance(name, str):
        return str.__str__(name)
    if isinstance(name, bytes) and name.isascii():
        return name.decode("ascii")
    raise InvalidRequestError(f"a header name must be text, not {type(name).__name__}; write it as str")


def _value_text(name: str, value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value if type(value) is Latin1Text else str.__str__(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequestError(
                f"header {name[:80]!r} has bytes in its value that are not UTF-8; encode them, for example by base64"
            ) from None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)) and math.isfinite(value):
        return repr(value) if type(value) in (int, float) else str(value)
    raise InvalidRequestError(
        f"header {name[:80]!r} must be text, bytes or a finite number, not {type(value).__name__}; "
        "for several values pass a list of (name, value) pairs"
    )
