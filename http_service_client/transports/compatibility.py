"""How a transport finds out whether a library below it is as expected: by what its code uses, not by its version.

A seam is a part of another library that we replace, call or set although its documentation does not promise it. Each
transport lists its seams in its `compatibility` module, which looks for them when it is imported. That an attribute
exists is not enough: a method that is still there but no longer called would be replaced without effect. So a seam
holds only while the library's own code uses the name.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["SeamNotice", "is_replaced", "names_in", "names_used_by", "parameters_of", "waits_for_imports"]


def names_used_by(*owners: Any) -> frozenset[str]:
    """The names that the code of functions and classes uses: attributes, globals, and what they call.

    A class stands for itself and for those of its bases that come from the same package.
    """
    return frozenset(name for owner in owners for code in _codes(owner) for name in _names(code))


def names_in(module: ModuleType) -> frozenset[str]:
    """The names that the code of a module uses, as it was loaded: whatever has hooked into its functions since then."""
    loader = getattr(module.__spec__, "loader", None)
    get_code = getattr(loader, "get_code", None)
    code = None if get_code is None else get_code(module.__name__)
    return frozenset() if code is None else frozenset(_names(code))


def _codes(owner: Any) -> Iterator[CodeType]:
    if not isinstance(owner, type):
        yield from _code(owner)
        return
    package = owner.__module__.partition(".")[0]
    for kind in owner.__mro__:
        if kind.__module__.partition(".")[0] == package:
            for value in list(vars(kind).values()):
                yield from _code(value)


def _code(value: Any) -> Iterator[CodeType]:
    if isinstance(value, property):
        for part in (value.fget, value.fset):
            yield from _code(part)
        return
    code = getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)
    if isinstance(code, CodeType):  # a compiled function has none: its names cannot be known
        yield code


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def parameters_of(function: Any) -> tuple[str, ...]:
    """The names of a function's parameters; none if it has gone, or does not tell them."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def is_replaced(function: object, module: ModuleType) -> bool:
    """Whether another library has put a function of its own where the module's own one was."""
    return type(function) is not FunctionType or function.__globals__ is not vars(module)


_WAITING = ("ddtrace", "newrelic", "wrapt")  # packages whose finders change a library as it is imported


def waits_for_imports() -> bool:
    """Whether instrumentation waits for the import of libraries, in order to hook into them."""
    # Each exchange asks, so the usual answer is one step in C.
    return not sys.modules.keys().isdisjoint(_WAITING) and any(
        type(finder).__module__.partition(".")[0] in _WAITING for finder in sys.meta_path
    )


class SeamNotice:
    """Warns, once a process, that a library is not as expected.

    library, version: as pip knows them.   gone: the seams that do not hold.   effect: what is different now.
    """

    def __init__(self, library: str, version: str, gone: Iterable[str], effect: str) -> None:
        self.gone: tuple[str, ...] = ()
        self._name = f"{library} {version}"
        self._effect = effect
        self._is_due = False
        self.add(gone)
        self._advice = f"upgrade http-service-client, or install an older {library}"

    def add(self, gone: Iterable[str]) -> None:
        """Some more seams do not hold."""
        self.gone += tuple(dict.fromkeys(gone))
        self._is_due = bool(self.gone)

    def warn(self) -> None:
        """Warn, unless all is as expected, or this has been done."""
        if self._is_due:
            self._is_due = False
            message = (
                f"{self._name} is not as this version of http-service-client expects it "
                f"({', '.join(self.gone)}): {self._effect}; {self._advice}"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def refusal(self, what: str) -> str:
        """The message of an error: what cannot be done safely with this version, and the remedy."""
        return f"{what} with {self._name} ({', '.join(self.gone)} changed); {self._advice}"
