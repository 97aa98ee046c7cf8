"""Attributes that other clients' objects have under another name: looking one up says how ours is called.

They are descriptors and not a `__getattr__`, which would make each look-up of an existing attribute five times slower.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

__all__ = ["names_of", "suggests_attributes"]

Class = TypeVar("Class", bound=type)


class _Renamed:
    """A name that a class does not have."""

    __slots__ = ("_name", "_remedy")

    def __init__(self, name: str, remedy: str) -> None:
        self._name = name
        self._remedy = remedy

    def __get__(self, instance: object, kind: type) -> NoReturn:
        message = f"{kind.__name__!r} object has no attribute {self._name!r}; use {self._remedy}"
        raise AttributeError(message, name=self._name, obj=instance)


def suggests_attributes(renamed: Mapping[str, str]) -> Callable[[Class], Class]:
    """A class decorator: an attribute of these names is an AttributeError that says what to use instead.

    renamed: what to use instead, by name. The names that the class itself has are left out.
    """

    def decorate(kind: Class) -> Class:
        for name in renamed.keys() - vars(kind).keys():
            setattr(kind, name, _Renamed(name, renamed[name]))
        return kind

    return decorate


def names_of(instance: object) -> list[str]:
    """For `__dir__`: the names that an object has, without those that only say how others are called."""
    kind = type(instance)
    names = object.__dir__(instance)
    return [name for name in names if type(inspect.getattr_static(kind, name, None)) is not _Renamed]
