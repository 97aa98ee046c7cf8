"""The house stands as DESIGN lays it out: who may import whom, and what the core never does.

The checks read the source, so they hold for branches that no test runs. Names that are imported
under `if TYPE_CHECKING` are exempt: they are for readers and type checkers, and gone at run time.
"""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import http_service_client

NAME = "http_service_client"
CHECKOUT = Path(__file__).resolve().parent.parent / NAME
INSTALLED = Path(http_service_client.__file__).resolve().parent

# ---------------------------------------------------------------------------------------------
# Who may import whom. Lowest first: each part may import the parts that its row names, itself, and
# `_version`. Parts of one height (core's drivers and transports; integrations, testing and cli)
# do not know each other.
# ---------------------------------------------------------------------------------------------
VOCABULARY = {"errors", "protocol", "messages", "events"}
MACHINERY = VOCABULARY | {
    "core",
    "drivers",
    "transports",
    "deadlines",
    "guarding",
    "policies",
    "config",
    "observability",
}

MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "protocol": {"errors"},
    "messages": {"errors", "protocol"},
    "events": {"errors", "protocol", "messages"},
    "core": VOCABULARY,
    "drivers": VOCABULARY | {"core"},
    "transports": VOCABULARY | {"core", "drivers"},
    "observability": VOCABULARY | {"core", "drivers"},
    "deadlines": VOCABULARY | {"core"},
    "guarding": VOCABULARY | {"core", "deadlines"},
    "policies": VOCABULARY | {"core", "drivers", "guarding"},
    "config_checks": VOCABULARY | {"core"},
    "config": VOCABULARY | {"core", "policies", "config_checks"},
    "environment": {"errors", "protocol"},
    "validation": VOCABULARY,
    "progress": {"errors", "protocol"},
    "opening": VOCABULARY | {"core", "drivers", "policies", "config", "progress", "validation"},
    "worlds": VOCABULARY | {"core", "drivers", "transports"},
    "stream_items": {"core"},
    "streaming": VOCABULARY | {"core", "drivers", "stream_items"},
    "stream_openings": {"errors", "messages", "streaming"},
    "downloads": VOCABULARY | {"core"},
    "performing": VOCABULARY | {"core", "validation"},
    "verbs": set(),
    "assembly": VOCABULARY | {"core", "config", "drivers", "environment", "transports"},
    "client": MACHINERY
    | {
        "assembly",
        "downloads",
        "opening",
        "performing",
        "stream_openings",
        "streaming",
        "validation",
        "verbs",
        "worlds",
    },
    "integrations": MACHINERY | {"client"},
    "testing": MACHINERY | {"client"},
    "cli": MACHINERY | {"client", "testing"},  # the demo plays against the test kit's server
    # The package's own __init__ and __main__: the front of the house.
    "__init__": MACHINERY | {"client", "integrations", "streaming", "testing"},
    "__main__": {"cli"},
}

# Which files may import which third party, at any depth, functions included. What is not named
# here may be imported nowhere.
THIRD_PARTY: dict[str, list[str]] = {
    "requests": ["transports/over_requests*", "integrations/requests_adapter*", "testing/*"],
    "urllib3": ["transports/over_requests*", "integrations/requests_adapter*", "testing/*"],
    "aiohttp": ["transports/over_aiohttp*", "integrations/aiohttp_middleware*", "testing/*", "cli/*"],
    "yarl": ["transports/over_aiohttp*", "integrations/aiohttp_middleware*"],
    "multidict": ["transports/over_aiohttp*", "integrations/aiohttp_middleware*"],
    "certifi": ["transports/*"],
    "backoff": ["core/backoff*"],
    "idna": ["protocol/hosts*"],  # there wherever requests is, which depends on it
    "brotli": ["protocol/decoding*"],
    "brotlicffi": ["protocol/decoding*"],
    "zstandard": ["protocol/decoding*"],
    "pydantic": ["validation*"],
    "neuroglia": ["integrations/neuroglia*"],
    "redis": ["integrations/redis*"],
    "prometheus_client": ["observability/prometheus*"],
    "opentelemetry": ["observability/opentelemetry*"],
    "pytest": ["testing/*"],
    "aioresponses": ["testing/mocks*"],
    "tqdm": ["progress*"],
}

# The core decides and never does: time, chance and the world come to it as arguments.
PURE = ["core/*", "protocol/*"]
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


def sources() -> list[str]:
    """Every file of the package, as a path inside it."""
    return sorted(path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.rglob("*.py"))


def parse(file: str) -> ast.Module:
    return ast.parse((CHECKOUT / file).read_text(encoding="utf-8"), file)


def is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below that can run: all but the bodies of `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        yield child
        if isinstance(child, ast.If) and is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from run_time_nodes(other)
        else:
            yield from run_time_nodes(child)


def imports(tree: ast.Module, file: str) -> Iterator[tuple[int, str]]:
    """The line and full dotted name of all that a file imports when it runs."""
    package = [NAME, *Path(file).parent.parts]
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from . import errors` names the module itself, `from .errors import X` a part of it.
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            match node.args:
                case [ast.Constant(value=str(name)), *_]:
                    yield node.lineno, name


def part_of(file: str) -> str:
    """The part of the house that a file belongs to: its folder, or itself at the top."""
    return Path(file).parts[0].removesuffix(".py")


def wrong_directions(tree: ast.Module, file: str) -> list[str]:
    """The imports of a file that run against `MAY_IMPORT`."""
    part = part_of(file)
    allowed = MAY_IMPORT.get(part, set()) | {part, "_version"}
    found = []
    for line, name in imports(tree, file):
        package, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        # `from . import __version__` and the like: a plain name of the package's own __init__.
        if package == NAME and target in MAY_IMPORT and target not in allowed:
            found.append(f"{file}:{line} imports {target}; {part} may import {sorted(allowed)}")
    return found


def stray_third_parties(tree: ast.Module, file: str) -> list[str]:
    """The imports of a file that `THIRD_PARTY` keeps elsewhere."""
    found = []
    for line, name in imports(tree, file):
        top = name.partition(".")[0]
        if top == NAME or top in sys.stdlib_module_names:
            continue
        homes = THIRD_PARTY.get(top, [])
        if not any(fnmatch(file, home) for home in homes):
            found.append(f"{file}:{line} imports {top}, whose place is {homes or 'nowhere'}")
    return found


def doings(tree: ast.Module, file: str) -> list[str]:
    """The imports by which a pure file could act on the world."""
    if not any(fnmatch(file, pure) for pure in PURE):
        return []
    return [
        f"{file}:{line} imports {name}; take it as an argument"
        for line, name in imports(tree, file)
        if name.partition(".")[0] in DOING
    ]


EFFECTS = {"Send", "Open", "Receive", "Sleep", "Acquire", "Invoke", "Work"}
YIELDED = {"Send", "Open", "Receive"}  # by themselves: `core.effects` says why


def plan_makers(trees: dict[str, ast.Module]) -> set[str]:
    """The names whose call makes a plan: the effects, `proceed`, and what is annotated `-> Plan[…]`."""
    return (
        EFFECTS
        | {"proceed"}
        | {
            node.name
            for tree in trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            and node.returns is not None
            and ast.unparse(node.returns).strip("'\"").startswith("Plan")
        }
    )


def forgotten_yield_from(tree: ast.Module, file: str, makers: set[str]) -> list[str]:
    """The calls that make a plan and drop it on the floor.

    Python says nothing of `Sleep(1)` or `x = proceed(request)` on its own: the plan is made and
    never run. A plain function may hand a plan on by `return`; a generator may not, as what it
    returns is its answer.
    """
    found: list[str] = []

    def visit(node: ast.AST, is_generator: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call) and called(child) in makers:
                driven = isinstance(node, ast.YieldFrom) or (
                    isinstance(node, ast.Yield) and called(child) in YIELDED
                )
                handed_on = isinstance(node, (ast.Return, ast.Lambda)) and not is_generator
                if not (driven or handed_on):
                    found.append(f"{file}:{child.lineno} {ast.unparse(child)} without yield from")
            if isinstance(child, ast.FunctionDef):
                visit(child, own_yields(child))
            else:
                # A lambda is a function of its own, and never a generator here.
                visit(child, is_generator and not isinstance(child, ast.Lambda))

    visit(tree, False)
    return found


def called(call: ast.Call) -> str | None:
    """The bare name that is called: `f(…)` or `self.f(…)`; other objects' methods are not ours to judge."""
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None


def own_yields(function: ast.FunctionDef) -> bool:
    """Whether a function is itself a generator, functions inside it aside."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def test_every_part_of_the_house_has_a_row() -> None:
    """A new folder or top-level module is given its place on purpose."""
    assert {part_of(file) for file in sources()} <= set(MAY_IMPORT)


def test_the_table_itself_has_no_circle() -> None:
    """There is an order of the parts in which each imports only what came before."""
    placed: set[str] = set()
    left = dict(MAY_IMPORT)
    while ready := [part for part, needs in left.items() if needs <= placed]:
        placed.update(ready)
        for part in ready:
            del left[part]
    assert not left


@pytest.mark.parametrize(
    "check", [wrong_directions, stray_third_parties, doings], ids=lambda check: check.__name__
)
def test_imports_keep_to_the_tables(check) -> None:  # type: ignore[no-untyped-def]  # three signatures alike
    """Nothing imports upwards, third parties stay in their rooms, and the core does nothing."""
    found = [problem for file in sources() for problem in check(parse(file), file)]
    assert not found, "\n" + "\n".join(found)


def test_the_core_drives_every_plan_that_it_makes() -> None:
    """No effect and no `proceed(…)` in the core is forgotten without `yield from`."""
    trees = {file: parse(file) for file in sources() if part_of(file) == "core"}
    makers = plan_makers(trees)
    found = [problem for file, tree in trees.items() for problem in forgotten_yield_from(tree, file, makers)]
    assert not found, "\n" + "\n".join(found)


class TestTheChecksThemselves:
    """A check that cannot fail would be worse than none."""

    @pytest.mark.parametrize(
        ("check", "file", "source"),
        [
            (wrong_directions, "core/retry.py", "from ..client import HttpServiceClient"),
            (wrong_directions, "core/retry.py", "def f():\n    from .. import client"),
            (wrong_directions, "errors.py", "from .events import Timeline"),
            (wrong_directions, "errors.py", "import http_service_client.events"),
            (wrong_directions, "drivers/tasks.py", "from ..transports import base"),
            (stray_third_parties, "client.py", "import requests"),
            (stray_third_parties, "client.py", "from aiohttp import web"),
            (stray_third_parties, "client.py", "importlib.import_module('urllib3.util')"),
            (stray_third_parties, "transports/over_requests.py", "import httpx"),
            (doings, "core/retry.py", "from time import monotonic"),
            (doings, "core/deep/er.py", "def f():\n    import random"),
            (doings, "protocol/urls.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import asyncio"),
        ],
    )
    def test_a_wrong_import_is_found(self, check, file: str, source: str) -> None:  # type: ignore[no-untyped-def]
        """Relative or absolute, at the top or in a function."""
        assert len(check(ast.parse(source), file)) == 1

    @pytest.mark.parametrize("check", [wrong_directions, stray_third_parties, doings])
    def test_type_checking_imports_are_exempt(self, check) -> None:  # type: ignore[no-untyped-def]
        """What only a type checker sees makes no dependency."""
        source = "if TYPE_CHECKING:\n    import asyncio, aiohttp\n    from ..client import HttpServiceClient"
        assert check(ast.parse(source), "core/retry.py") == []

    @pytest.mark.parametrize(
        ("line", "is_fine"),
        [
            ("outcome = yield from proceed(request)", True),
            ("return (yield from Send(request, 1.0))", True),
            ("outcome = yield Send(request, 1.0)", True),
            ("Send(request, 1.0); yield", False),
            ("yield proceed(request)", False),
            ("outcome = proceed(request)", False),
            ("Sleep(1.0)", False),
            ("yield Sleep(1.0)", False),
            ("yield from wrap(proceed(request))", False),
            ("return proceed(request); yield", False),
            ("return proceed(request)", True),
            ("yield from _pause(1.0)", True),
            ("_pause(1.0)", False),
            ("self._pause(1.0)", False),
            ("later = lambda: proceed(request); yield", True),
        ],
    )
    def test_a_forgotten_yield_from_is_found(self, line: str, is_fine: bool) -> None:
        """A plan is driven, or handed on whole by a plain function."""
        source = "def _pause(s) -> Plan[None]: ...\ndef layer(self, request, proceed):\n" + textwrap.indent(
            line, "    "
        )
        tree = ast.parse(source)
        assert (forgotten_yield_from(tree, "core/x.py", plan_makers({"core/x.py": tree})) == []) is is_fine


def run_apart(program: str) -> str:
    """What a program prints in a Python of its own, with the package under test on its path."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(INSTALLED.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_loads_no_http_library() -> None:
    """`import http_service_client` is cheap: what a program does not use, it does not pay for."""
    heavy = {"requests", "urllib3", "aiohttp", "asyncio", "backoff", "pydantic", "neuroglia", "ssl"}
    loaded = run_apart("""
        import sys
        import http_service_client
        print(*sys.modules)
    """)
    assert heavy.isdisjoint(loaded.split())


def test_every_public_name_resolves_and_is_shown() -> None:
    """`__all__` promises no name that is not there, twice, or hidden from `dir()`."""
    names: list[str] = http_service_client.__all__
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(http_service_client, name)] == []
    assert set(names) <= set(dir(http_service_client))


def test_public_modules_promise_only_what_they_have() -> None:
    """Each `__all__` in the package is true, so that `from … import *` and the reference work."""
    missing = []
    for file in sources():
        if part_of(file) not in {"errors", "events", "messages", "config", "policies", "client"}:
            continue
        module = importlib.import_module(f"{NAME}.{file.removesuffix('.py').replace('/', '.')}")
        missing += [f"{file}: {name}" for name in module.__all__ if not hasattr(module, name)]
    assert not missing


def test_what_is_installed_is_what_is_in_the_checkout() -> None:
    """No module is left out of the wheel, py.typed included, and none is left over from an old build."""

    def contents(root: Path) -> set[str]:
        return {
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.name.endswith((".py", "py.typed"))
        }

    assert contents(INSTALLED) == contents(CHECKOUT), (
        "if a removed file is back: delete build/ and run tox -r"
    )
