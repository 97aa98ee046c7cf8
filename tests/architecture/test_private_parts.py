"""Every private part of another library that the transports use is listed, so that it is probed and its loss tested."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import http_service_client
from http_service_client.transports.compatibility import names_used_by

PACKAGE = Path(http_service_client.__file__).parent
FOREIGN = ("aiohttp", "requests", "urllib3")

LISTED = {
    # The last one is private by its name only: asyncio exports it. Those of aiohttp are looked at, and not used.
    "transports/over_aiohttp": {
        *("_request", "_resolve_host"),
        *("_app_transport", "_callbacks", "_closed", "_sock", "_ssl_protocol", "_transport", "_transports"),
        "_get_running_loop",
    },
    "transports/over_requests": {"_cookies"},
}
# Modules that no documentation of theirs names.
MODULES = {
    "aiohttp.client_proto", "aiohttp.connector", "urllib3.util.ssltransport",
}  # fmt: skip
PUBLIC_MODULES = {
    "aiohttp", "aiohttp.abc", "requests", "requests.adapters", "requests.cookies",
    "requests.exceptions", "requests.structures", "urllib3", "urllib3.connectionpool", "urllib3.exceptions",
    "urllib3.util",
}  # fmt: skip


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules of a folder: their dotted names, and their syntax trees."""
    for file in sorted((PACKAGE / folder).rglob("*.py")):
        dotted = ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        yield dotted, ast.parse(file.read_text("utf-8"))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def foreign_bases(kind: type) -> list[type]:
    return [base for base in kind.__mro__ if base.__module__.partition(".")[0] in FOREIGN]


def names_in_class(node: ast.ClassDef) -> set[str]:
    """The names that a class defines, and those that its methods use of themselves."""
    found = {each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "self":
            found.add(each.attr)
        if isinstance(each, (ast.AnnAssign, ast.Assign)) and each in node.body:
            targets = [each.target] if isinstance(each, ast.AnnAssign) else each.targets
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def uses(folder: str) -> Iterator[tuple[str, str]]:
    """The private names that are used in a folder and may belong to another library, each with its module.

    What a class of ours uses of itself is its own, unless a base of it from another library has the name, too.
    """
    ours: set[str] = set()
    others: list[tuple[str, str]] = []
    for dotted, tree in modules(folder):
        loaded: Any = importlib.import_module(dotted)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                inherited = names_used_by(*foreign_bases(getattr(loaded, node.name)))
                names = {name for name in names_in_class(node) if is_private(name)}
                others += [(dotted, name) for name in names & inherited]
                ours |= names - inherited
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                others.append((dotted, node.attr))
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
                name = node.args[1]
                if isinstance(name, ast.Constant) and is_private(str(name.value)):
                    others.append((dotted, str(name.value)))
    yield from ((dotted, name) for dotted, name in others if name not in ours or name in LISTED[folder])


@pytest.mark.parametrize("folder", LISTED)
def test_every_private_name_of_another_library_is_listed(folder: str) -> None:
    """So it is probed when its module is imported, and renamed in a test."""
    used = set(uses(folder))
    unlisted = {(dotted, name) for dotted, name in used if name not in LISTED[folder]}
    assert not unlisted
    unused = {name for name in LISTED[folder] if is_private(name)} - {name for _, name in used}
    assert not unused, "is listed, and no longer used"


def test_every_undocumented_module_of_another_library_is_listed() -> None:
    """Its import may fail one day: `compatibility` finds that out."""
    imported = set()
    for _, tree in modules("transports"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module)
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    foreign = {name for name in imported if name.partition(".")[0] in ("aiohttp", "requests", "urllib3")}
    assert foreign - PUBLIC_MODULES <= MODULES
