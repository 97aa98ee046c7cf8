"""The package's source as the architecture tests read it: files, imports, and what runs only for a type checker."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import http_service_client

NAME = "http_service_client"
CHECKOUT = Path(__file__).resolve().parents[2] / NAME
INSTALLED = Path(http_service_client.__file__).resolve().parent


class Import(NamedTuple):
    """One imported name. name: full and dotted.   for_typing: only under `if TYPE_CHECKING`."""

    line: int
    name: str
    for_typing: bool


def sources() -> list[str]:
    """Every file of the package, as a path inside it."""
    return sorted(path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.rglob("*.py"))


@functools.cache
def parse(file: str) -> ast.Module:
    """The tree of a file, for those who do not change it."""
    return ast.parse((CHECKOUT / file).read_text(encoding="utf-8"), file)


def imports(tree: ast.Module, file: str) -> Iterator[Import]:
    """All imports of a file: at the top, in functions, by `import_module`, and for type checkers."""
    package = [NAME, *Path(file).parent.parts]
    for node, for_typing in _nodes(tree, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, for_typing)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from . import errors` names the module itself, `from .errors import X` a part of it.
            for alias in node.names:
                yield Import(node.lineno, f"{module}.{alias.name}", for_typing)
        elif isinstance(node, ast.Call) and _last_name(node.func).endswith("import_module"):
            match node.args:
                case [ast.Constant(value=str(name)), *_]:
                    yield Import(node.lineno, name, for_typing)
                case _:
                    # A name that is known only at run time would hide the import from every check.
                    yield Import(node.lineno, f"<{ast.unparse(node.args[0])}>", for_typing)


def _last_name(node: ast.AST) -> str:
    """Of `name` and of `module.name` the name; of anything else nothing."""
    return getattr(node, "id", None) or getattr(node, "attr", "")


def _nodes(node: ast.AST, for_typing: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, for_typing
        if isinstance(child, ast.If) and _last_name(child.test) == "TYPE_CHECKING":
            for body, typing in ((child.body, True), (child.orelse, for_typing)):
                for other in body:
                    yield other, typing
                    yield from _nodes(other, typing)
        else:
            yield from _nodes(child, for_typing)


def file_of(name: str, files: frozenset[str]) -> str | None:
    """The file of the package that defines a dotted name, or is it; None for a name of another package."""
    package, _, rest = name.partition(".")
    if package != NAME:
        return None
    parts = rest.split(".") if rest else []
    for length in range(len(parts), -1, -1):
        path = "/".join(parts[:length])
        for file in (f"{path}.py", f"{path}/__init__.py" if path else "__init__.py"):
            if file in files:
                return file
    return None
