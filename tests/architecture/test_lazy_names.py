"""Packages whose names are imported when they are first used: what type checkers see is what there is."""

from __future__ import annotations

import ast

from kit.rows import each_row
from kit.sources import CHECKOUT, imports, parse, sources

LAZY = [
    file
    for file in sources()
    if "lazy_names(" in (CHECKOUT / file).read_text(encoding="utf-8") and file != "lazy.py"
]


def tables(file: str) -> dict[str, str]:
    """The table that a package passes to `lazy_names`."""
    [call] = [
        node
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("lazy_names")
    ]
    table: dict[str, str] = ast.literal_eval(call.args[1])
    return table


def full_names(file: str) -> set[str]:
    """The names of the table with their modules, as an import names them."""
    lines = [
        f"from {module} import {name}" for module, names in tables(file).items() for name in names.split()
    ]
    return {item.name for item in imports(ast.parse("\n".join(lines)), file)}


def test_there_are_such_packages() -> None:
    """The tests below look at something."""
    assert {"__init__.py", "policies/__init__.py"} <= set(LAZY)


@each_row("file", LAZY)
def test_the_table_says_what_type_checkers_see(file: str) -> None:
    """The table and the imports under `if TYPE_CHECKING` have the same names of the same modules."""
    for_typing = {item.name for item in imports(parse(file), file) if item.for_typing}
    others = {item.name for item in imports(parse(file), file) if not item.for_typing}
    assert full_names(file) - others == for_typing


@each_row("file", LAZY)
def test_a_name_is_in_one_row(file: str) -> None:
    """The later row would hide the earlier one."""
    names = [name for row in tables(file).values() for name in row.split()]
    assert len(names) == len(set(names))
