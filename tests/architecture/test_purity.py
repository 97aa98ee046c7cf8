"""The core and the rules of HTTP are pure: time, randomness and the network are arguments."""

from __future__ import annotations

import ast
from fnmatch import fnmatch

import pytest

from kit.sources import imports, parse, sources

pytestmark = pytest.mark.once

PURE = ["core/*", "http/*"]
DOING = {
    "time",
    "random",
    "threading",
    "asyncio",
    "logging",
    "concurrent",
    "multiprocessing",
    "select",
    "selectors",
    "socket",
    "subprocess",
}


def impurities(tree: ast.Module, file: str) -> list[str]:
    """The imports by which a pure file could have side effects."""
    if not any(fnmatch(file, pure) for pure in PURE):
        return []
    return [
        f"{file}:{line} imports {name}; take it as an argument"
        for line, name, for_typing in imports(tree, file)
        if not for_typing and name.partition(".")[0] in DOING
    ]


def test_the_core_and_the_rules_of_http_are_pure() -> None:
    """Imports inside functions count as well."""
    found = [problem for file in sources() for problem in impurities(parse(file), file)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/layers/retry.py", "from time import monotonic"),
        ("core/deep/er.py", "def f():\n    import random"),
        ("http/urls.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import asyncio"),
    ],
)
def test_an_impurity_is_found(file: str, source: str) -> None:
    """At the top, in a function, in the other branch of a type-checking block."""
    assert len(impurities(ast.parse(source), file)) == 1


def test_an_import_for_type_checkers_is_pure() -> None:
    """It does not run."""
    assert impurities(ast.parse("if TYPE_CHECKING:\n    import asyncio"), "core/layers/retry.py") == []
