"""The core drives every plan that it makes."""

from __future__ import annotations

import ast
import textwrap

import pytest

from kit.rows import each_row
from kit.sources import parse, sources

pytestmark = pytest.mark.once

EFFECTS = {"Send", "Open", "Receive", "Sleep", "Acquire", "Invoke", "Work"}
YIELDED = {"Send", "Open", "Receive"}  # without `from`: `core.effects` says why


def plan_makers(trees: dict[str, ast.Module]) -> set[str]:
    """The names whose call makes a plan: the effects, `proceed`, and functions annotated `-> Plan[…]`."""
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
    """The calls that make a plan and drop it.

    Python does not warn about a bare `Sleep(1)` or `x = proceed(request)`: the plan is made and
    never run. A plain function may return a plan to its caller; a generator may not, because its
    return value is its answer.
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
                # A lambda is a separate function, and never a generator here.
                visit(child, is_generator and not isinstance(child, ast.Lambda))

    visit(tree, False)
    return found


def called(call: ast.Call) -> str | None:
    """The bare name that is called: `f(…)` or `self.f(…)`. Methods of other objects are not checked."""
    match call.func:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name
    return None


def own_yields(function: ast.FunctionDef) -> bool:
    """Whether a function is itself a generator, ignoring functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting.extend(ast.iter_child_nodes(node))
    return False


def test_the_core_drives_every_plan_that_it_makes() -> None:
    """No effect and no `proceed(…)` in the core lacks its `yield from`."""
    trees = {file: parse(file) for file in sources() if file.startswith("core/")}
    makers = plan_makers(trees)
    found = [problem for file, tree in trees.items() for problem in forgotten_yield_from(tree, file, makers)]
    assert not found, "\n" + "\n".join(found)


@each_row(
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
def test_a_forgotten_yield_from_is_found(line: str, is_fine: bool) -> None:
    """A plan is driven, or returned by a plain function."""
    source = "def _pause(s) -> Plan[None]: ...\ndef layer(self, request, proceed):\n" + textwrap.indent(
        line, "    "
    )
    tree = ast.parse(source)
    assert (forgotten_yield_from(tree, "core/x.py", plan_makers({"core/x.py": tree})) == []) is is_fine
