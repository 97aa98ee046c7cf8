"""What is made when it is first used, so that a program pays for what it uses only: names of packages, and patterns.

A package that is made so says twice where its names are: for type checkers, under `if TYPE_CHECKING`, and in the table
that it passes to `lazy_names`. Code in this library then writes `policies.HedgingPolicy` for a part that few clients use,
and the module behind the name is imported by the line that needs it. Such a line must not run during a call; see
`drivers.imports` for the reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, AnyStr

__all__ = ["is_a", "lazy_names", "lazy_pattern"]


def is_a(value: object, module: str, name: str) -> bool:
    """As `isinstance`, for a class of a module that only programs with such values have imported."""
    # A module that is just being imported has no values yet.
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def lazy_names(package: dict[str, object], modules: Mapping[str, str]) -> list[str]:
    """Let a package have these names, and return them, sorted, for its `__all__`.

    package: its `globals()`.   modules: as after `from`, each with its names, separated by spaces.

    They are strings in a table, so that no type checker takes every name for one that exists.
    """
    where = str(package["__name__"])
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {where!r} has no attribute {name!r}")
        value: object = getattr(import_module(module, where), name)
        package[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*package, *module_of})

    package.update(__getattr__=__getattr__, __dir__=__dir__)
    return sorted(module_of)


def lazy_pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As `re.compile`, of a pattern for what happens rarely: it is compiled when it is first used."""
    return _LazyPattern(text, flags)  # type: ignore[return-value]  # it has all methods of one


class _LazyPattern:
    def __init__(self, text: str | bytes, flags: int) -> None:
        self._made_of: Any = (text, flags)

    def __getattr__(self, name: str) -> Any:
        value = getattr(re.compile(*self._made_of), name)
        setattr(self, name, value)  # the next time it is found without this function
        return value
