"""Which tests are the likeliest to notice a mutant of a file, judged by names and imports alone.

They need no record of what they execute, and notice nine mutants of ten. For core/machines/retry/backoff.py, in this order:

    1. tests/unit/core/machines/retry/test_backoff*.py
    2. modules of tests that import it
    3. the other modules of tests/unit/core/machines/retry
    4. test_backoff*.py elsewhere
    5. tests/unit/core/layers/test_retry*.py, since core/layers/retry.py imports it, and so on
    6. modules of tests/unit that take a class or function that it defines from another module, which passes it on
    7. tests/architecture, which is about all files
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import PurePosixPath

from .project import Project

__all__ = ["Likely", "dotted", "imported"]


class Likely:
    """Names and imports of a project. Everything that is parsed here is parsed once."""

    def __init__(self, project: Project) -> None:
        self._modules = project.test_modules
        self._imports_of_tests = {
            module: imported((project.root / module).read_bytes()) for module in self._modules
        }
        self._importers: dict[str, list[str]] = {}
        for file, source in project.sources.items():
            for name in imported(source, dotted(project.package, file), is_package=_is_init(file)):
                self._importers.setdefault(name, []).append(file)
        self._definitions = {file: _defined(source) for file, source in project.sources.items()}
        self._package = project.package

    def tests_of(self, file: str) -> list[str]:
        """The modules of tests, the likeliest first. Those that it does not have may notice a mutant, too."""
        name = dotted(self._package, file)
        folder = self.folder_of(file)
        named = list(self._named_after(file))
        found = [
            *(module for module in named if _parent(module) == folder),
            *(module for module in self._modules if name in self._imports_of_tests[module]),
            *(module for module in self._modules if _parent(module) == folder),
            *named,
        ]
        for importer in self._importers.get(name, ()):
            found += (module for module in self._named_after(importer) if module.startswith("tests/unit/"))
        defined = self._definitions.get(file, frozenset())
        for module in self._modules:
            names = {imported_name.rpartition(".")[2] for imported_name in self._imports_of_tests[module]}
            if module.startswith("tests/unit/") and not names.isdisjoint(defined):
                found.append(module)
        found += (module for module in self._modules if _parent(module) == "tests/architecture")
        return list(dict.fromkeys(found))

    def _named_after(self, file: str) -> Iterator[str]:
        path = PurePosixPath(file)
        stem = path.parent.name if _is_init(file) else path.stem
        yield from (
            module for module in self._modules if _is_named(PurePosixPath(module).stem, f"test_{stem}")
        )

    def folder_of(self, file: str) -> str:
        """The folder of unit tests that mirrors the file's, or the nearest above it that there is."""
        folder = PurePosixPath("tests/unit", file).parent
        folders = {_parent(module) for module in self._modules}
        while str(folder) not in folders and folder != PurePosixPath("tests/unit"):
            folder = folder.parent
        return str(folder)


def imported(source: bytes, module: str = "", *, is_package: bool = False) -> set[str]:
    """Dotted names of what a module imports: modules, and what it takes from them, which may be modules.

    module: its own name, for relative imports.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if node.level == is_package else is_package - node.level]
            origin = ".".join([*(above if node.level else ()), *([node.module] if node.module else ())])
            names.update((origin, *(f"{origin}.{alias.name}" for alias in node.names)))
    return names


def _defined(source: bytes) -> frozenset[str]:
    """The public classes and functions of a module."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for node in ast.parse(source).body if isinstance(node, kinds))
    return frozenset(node.name for node in nodes if not node.name.startswith("_"))


def _is_named(stem: str, wanted: str) -> bool:
    return stem == wanted or stem.startswith(f"{wanted}_")


def _is_init(file: str) -> bool:
    return PurePosixPath(file).name == "__init__.py"


def dotted(package: str, file: str) -> str:
    """The name of the module in this file of the package."""
    path = PurePosixPath(package, file)
    return ".".join((path.parent if _is_init(file) else path.with_suffix("")).parts)


def _parent(module: str) -> str:
    return str(PurePosixPath(module).parent)
