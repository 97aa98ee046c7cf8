"""Reads a document of another system, and keeps in mind what nobody has read."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..core import checks
from ..errors import ConfigurationError
from .notes import Note

__all__ = ["Reader", "shown"]

_MOST = 100


class Reader:
    """A mapping in a document.

    path: of it in the document, for messages.
    fold: brings a key into the form in which it is asked for: protobuf's JSON has `numRetries` for `num_retries`.
    """

    def __init__(self, given: object, path: str, fold: Callable[[str], str]) -> None:
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"{path or 'the document'} must be a mapping, not {shown(given)}")
        self.path = path
        self._fold = fold
        self._values = {fold(str(key)): (str(key), value) for key, value in given.items()}
        self._children: list[Reader] = []
        self._read: set[str] = set()
        self.notes: list[Note] = []

    def __contains__(self, name: str) -> bool:
        return self._values.get(name, (name, None))[1] is not None

    def has_mapping(self, name: str) -> bool:
        """Whether there is a mapping under the name."""
        return isinstance(self._values.get(name, (name, None))[1], Mapping)

    def get(self, name: str) -> Any:
        """The value, or None; null and a missing key are the same."""
        self._read.add(name)
        return self._values.get(name, (name, None))[1]

    def child(self, name: str) -> Reader | None:
        """The mapping in it, or None."""
        value = self.get(name)
        return None if value is None else self._made(value, self.path_of(name))

    def only_child(self) -> Reader | None:
        """The mapping under the only key, or None."""
        if len(self._values) != 1:
            return None
        (name,) = self._values
        return self.child(name) if self.has_mapping(name) else None

    def children(self, name: str) -> list[Reader]:
        """The mappings of a list in it."""
        path = self.path_of(name)
        return [self._made(item, f"{path}[{number}]") for number, item in enumerate(self.items(name))]

    def items(self, name: str) -> Sequence[Any]:
        """A list, whatever is in it."""
        value = self.get(name)
        if value is None:
            return []
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise self._wrong(name, "a list", value)
        return value

    def seconds(self, name: str, parse: Callable[[object], float]) -> float | None:
        """A duration, or None."""
        value = self.get(name)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            raise self._wrong(name, str(error), value) from None

    def number(self, name: str) -> float | None:
        """A finite number, also as text, or None."""
        value = self.get(name)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", value, re.ASCII):
            value = float(value)
        if value is None:
            return None
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not 0 <= value <= sys.float_info.max
        ):
            raise self._wrong(name, "a number, 0 or more", value)
        return float(value)

    def count(self, name: str) -> int | None:
        """A whole number, also as text, or None."""
        found = self.number(name)
        if found is not None and found != int(found):
            raise self._wrong(name, "a whole number", found)
        return None if found is None else int(found)

    def flag(self, name: str) -> bool | None:
        """True or False, also as text, or None."""
        value = self.get(name)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def text(self, name: str) -> str | None:
        """Text, or None."""
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "text", value)
        return value

    def counts(self, name: str) -> list[int]:
        """A list of whole numbers."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, (list, tuple)) or not all(type(item) is int for item in value):
            raise self._wrong(name, "a list of whole numbers", value)
        return list(value)

    def note(self, name: str, why: str) -> None:
        """What was read has no exact equal."""
        if name in self:
            self.notes.append(Note(self.path_of(name), shown(self.get(name)), why))

    def leave(self, why: str) -> None:
        """Nothing of the mapping is read."""
        self._read.update(self._values)
        self.notes.append(Note(self.path, "{…}", why))

    def path_of(self, name: str) -> str:
        """The path of a key, as the document writes it."""
        key = self._values.get(name, (name, None))[0]
        return f"{self.path}.{key}" if self.path else key

    def all_notes(self) -> list[Note]:
        """Those of this mapping and of the mappings in it, and one for each key that nobody has read."""
        found = list(self.notes)
        for child in self._children:
            found += child.all_notes()
        for name, (_, value) in self._values.items():
            if name not in self._read and value is not None:
                found.append(Note(self.path_of(name), shown(value), "it has no equal here"))
        return found

    def _made(self, value: object, path: str) -> Reader:
        made = Reader(value, path, self._fold)
        self._children.append(made)
        return made

    def _wrong(self, name: str, expected: str, value: object) -> ConfigurationError:
        return ConfigurationError(f"{self.path_of(name)} must be {expected}, not {shown(value)}")


def shown(value: object) -> str:
    """A value in a message or a note."""
    text = checks.shown(value)
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
