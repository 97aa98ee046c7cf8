"""Draws the pipeline, the circuit breaker and the rooms of the package from the code when the pages are built.

    {pipeline-diagram}    the layers that `core/layer_order.py` puts around an exchange, in its order,
                          each with the comment beside it there
    {breaker-diagram}     the transitions that the breaker's own docstring lists, between the
                          states of `CircuitBreakerState`
    {rooms-diagram}       the floors of `tests/architecture/rooms.py`, highest first, each room with
                          the comment beside it there

A drawing therefore cannot go stale: a layer or a room without a comment, a state without a position or a
transition without a path fails the build and never leaves a gap. Each drawing comes with a table that says
the same in words, for readers who cannot see it and for formats other than HTML.

Reading and drawing need only the standard library and the package, so that tests run them without
Sphinx; `setup` at the end needs Sphinx.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "http_service_client"
PIPELINE = f"{PACKAGE}.core.layer_order"
ROOMS = Path(__file__).resolve().parents[2] / "tests/architecture/rooms.py"


class StaleDiagramError(Exception):
    """The code says something that cannot be drawn yet."""


# ---- what the code says -----------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """One layer of a call, or the exchange at its centre.

    name: for people.   comment: the one beside it in the list of layers.
    promise: the first line of its docstring.   file: its path inside the package.
    repeats: whether it may run the layers inside it more than once.
    """

    name: str
    comment: str
    promise: str
    file: str
    repeats: bool


@dataclass(frozen=True)
class State:
    """A state of the breaker.   comment: the one beside the member of the enum."""

    name: str
    comment: str


@dataclass(frozen=True)
class Transition:
    """One row of the breaker's table. source: None for "any"."""

    source: str | None
    target: str
    when: str


def pipeline_stages(source: str | None = None) -> list[Stage]:
    """The layers in the order in which a request passes them, the exchange last.

    source: the text of `core/layer_order.py`; None for the package's own.
    """
    module = importlib.import_module(PIPELINE)
    source = inspect.getsource(module) if source is None else source
    function = _definition(ast.parse(source), ast.FunctionDef, "call_pipeline")
    lists = [node.value for node in function.body if isinstance(node, ast.AnnAssign)]
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and _called(node) == "compose"]
    if len(lists) != 1 or not isinstance(lists[0], ast.List) or len(calls) != 1 or len(calls[0].args) != 2:
        raise StaleDiagramError(
            "call_pipeline must make one list of layers and call compose(layers, handler)"
        )
    comments = _comments(source)
    return [_stage(node, comments, module) for node in (*lists[0].elts, calls[0].args[1])]


def _stage(node: ast.expr, comments: dict[int, str], module: ModuleType) -> Stage:
    # A layer that is left out when it is not needed.
    made = node.body if isinstance(node, ast.IfExp) else node
    shown = ast.unparse(made)
    # By its name, or as a part of a package whose names are imported when they are used.
    names = ast.unparse(made.func).split(".") if isinstance(made, ast.Call) else [""]
    made_by: object = module
    for name in names:
        made_by = getattr(made_by, name, None)
    if made_by is None or not inspect.isclass(made_by):
        raise StaleDiagramError(f"{shown} in call_pipeline is not the name of a layer")
    comment = comments.get(node.end_lineno or 0)
    if not comment:
        raise StaleDiagramError(f"{shown} in call_pipeline needs a comment beside it: the drawing shows it")
    words = re.findall(r"[A-Z][a-z]*", made_by.__name__.removesuffix("Layer"))
    return Stage(
        name=" ".join(words).capitalize(),
        comment=comment,
        promise=(inspect.getdoc(made_by) or "").partition("\n")[0],
        file="/".join(made_by.__module__.split(".")[1:]) + ".py",
        repeats=_repeats(made_by),
    )


def _repeats(layer: type) -> bool:
    """Whether the layer calls `proceed` inside a loop."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(layer)))
    loops = [node for node in ast.walk(tree) if isinstance(node, (ast.While, ast.For))]
    inside = (call for loop in loops for call in ast.walk(loop) if isinstance(call, ast.Call))
    return any(_called(call) == "proceed" for call in inside)


@dataclass(frozen=True)
class Room:
    """A folder or a file of the package.   comment: the one beside it in the list of floors."""

    name: str
    comment: str
    is_public: bool


def package_floors(source: str | None = None) -> list[list[Room]]:
    """The floors, highest first, each with its rooms.

    source: the text of `tests/architecture/rooms.py`; None for the file itself.
    """
    source = ROOMS.read_text(encoding="utf-8") if source is None else source
    tree, comments = ast.parse(source), _comments(source)
    public = {"__init__", *map(str, ast.literal_eval(_assigned(tree, "PUBLIC_MODULES")))}
    floors = _assigned(tree, "FLOORS")
    if not isinstance(floors, ast.List):
        raise StaleDiagramError("FLOORS must be a list of lists of rooms")
    return [
        [_room(room, comments, public) for room in floor.elts]
        for floor in reversed(floors.elts)
        if isinstance(floor, ast.List)
    ]


def _room(node: ast.expr, comments: dict[int, str], public: set[str]) -> Room:
    name = str(ast.literal_eval(node))
    comment = comments.get(node.end_lineno or 0)
    if not comment:
        raise StaleDiagramError(f"{name} in FLOORS needs a comment beside it: the drawing shows it")
    return Room(name, comment, name.removesuffix(".py").rstrip("/") in public)


def _assigned(tree: ast.Module, name: str) -> ast.expr:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node.value
    raise StaleDiagramError(f"{name} is no longer assigned in {ROOMS.name}")


def breaker_module() -> ModuleType:
    """The module of the core whose docstring has the table of transitions."""
    machines = Path(str(importlib.import_module(f"{PACKAGE}.core.machines").__file__)).parent
    for path in sorted(machines.rglob("*.py")):
        if _TABLE_HEAD.search(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""):
            name = ".".join(path.relative_to(machines).with_suffix("").parts)
            return importlib.import_module(f"{PACKAGE}.core.machines.{name}")
    raise StaleDiagramError('no module of core/machines has a docstring with a table "from  to  when"')


_TABLE_HEAD = re.compile(r"^ *from +to +when *$", re.MULTILINE)
_TABLE_ROW = re.compile(r"^ *(?P<source>\w+) {2,}(?P<target>\w+) {2,}(?P<when>\S.*)$")


def breaker_states() -> list[State]:
    """The states, in the order of the enum."""
    enum = importlib.import_module(PACKAGE).CircuitBreakerState
    source = textwrap.dedent(inspect.getsource(enum))
    comments = _comments(source)
    definition = _definition(ast.parse(source), ast.ClassDef, enum.__name__)
    states = []
    for node in definition.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if node.end_lineno not in comments:
                raise StaleDiagramError(f"{enum.__name__}.{name} needs a comment beside it")
            states.append(State(name, comments[node.end_lineno]))
    return states


def breaker_transitions(docstring: str | None = None) -> list[Transition]:
    """The rows of the table in the breaker's docstring.

    docstring: another docstring to read; None for the breaker's.
    """
    docstring = inspect.getdoc(breaker_module()) if docstring is None else docstring
    known = {state.name for state in breaker_states()}
    transitions = []
    _, _, below = str(docstring).partition(_TABLE_HEAD.search(str(docstring))[0])  # type: ignore[index]
    for line in below.strip("\n").splitlines():
        row = _TABLE_ROW.match(line)
        if row is None:
            break  # the table ends at the first line that is not a row
        source = None if row["source"] == "any" else row["source"]
        if {source, row["target"]} - {None} - known:
            raise StaleDiagramError(
                f"the breaker's table names a state that the enum does not have: {line.strip()!r}"
            )
        transitions.append(Transition(source, row["target"], row["when"].strip()))
    if not transitions:
        raise StaleDiagramError("the breaker's table of transitions has no rows")
    return transitions


def _definition(tree: ast.AST, kind: type, name: str) -> Any:
    for node in ast.walk(tree):
        if isinstance(node, kind) and node.name == name:  # type: ignore[attr-defined]  # both kinds have names
            return node
    raise StaleDiagramError(f"{name} is no longer defined")


def _called(call: ast.Call) -> str | None:
    return call.func.id if isinstance(call.func, ast.Name) else None


def _comments(source: str) -> dict[int, str]:
    """The comment at the end of each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


# ---- drawing ----------------------------------------------------------------------------------

# Furo's variables, so that a drawing follows the reader's light or dark theme.
_STYLE = """
.hsc { max-width: 100%; height: auto; display: block; margin: 1.2rem auto; font-family: inherit }
.hsc text { fill: var(--color-foreground-primary, currentColor); font-size: 13px }
.hsc .name { font-weight: 600; font-size: 14px }
.hsc .small { fill: var(--color-foreground-secondary, currentColor); font-size: 12px }
.hsc .frame { fill: var(--color-brand-primary, #2962ff); fill-opacity: .055;
  stroke: var(--color-foreground-border, #888); stroke-width: 1 }
.hsc .core { fill-opacity: .16; stroke: var(--color-brand-primary, #2962ff); stroke-width: 1.5 }
.hsc .path { fill: none; stroke: var(--color-brand-primary, #2962ff); stroke-width: 1.6 }
.hsc .any { stroke-dasharray: 4 4 }
.hsc .tip { fill: var(--color-brand-primary, #2962ff); stroke: none }
.hsc .disc { fill: var(--color-background-primary, #fff); stroke: var(--color-brand-primary, #2962ff) }
""".strip()


def _svg(kind: str, title: str, width: int, height: int, shapes: Iterator[str]) -> str:
    arrow = (
        f'<marker id="{kind}-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path class="tip" d="M0 0 8 4 0 8z"/></marker>'
    )
    # On one line: an empty line inside would end the HTML for some writers.
    return "".join(
        [
            f'<svg class="hsc" id="{kind}-diagram" viewBox="0 0 {width} {height}" width="{width}" height="{height}" ',
            f'role="img" aria-label="{escape(title)}" xmlns="http://www.w3.org/2000/svg">',
            f"<style>{' '.join(_STYLE.split())}</style><defs>{arrow}</defs>",
            *shapes,
            "</svg>",
        ]
    )


def _text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{css}" text-anchor="{anchor}">{escape(words)}</text>'


def pipeline_svg(stages: list[Stage] | None = None) -> str:
    """The layers as nested frames: a request passes them on its way in, an outcome on its way out."""
    stages = pipeline_stages() if stages is None else stages
    width, header, inset, top, pad = 720, 46, 13, 34, 11
    depth = len(stages)
    bottom = top + depth * header + (depth - 1) * pad
    inward, outward = 470, 510

    def shapes() -> Iterator[str]:
        for level, stage in enumerate(stages):
            x, y = 10 + level * inset, top + level * header
            wide, high = width - 2 * x, bottom - level * pad - y
            css = "frame core" if level == depth - 1 else "frame"
            yield f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="7" class="{css}"/>'
            yield _text(x + 14, y + 20, stage.name, "name")
            yield _text(x + 14, y + 37, stage.comment, "small")
            if stage.repeats:
                yield _text(x + wide - 14, y + 20, "↻ repeats", "small", "end")
        end = top + (depth - 1) * header
        yield _text(inward, 14, "request", "small", "middle")
        yield _text(outward + 14, 14, "outcome", "small", "middle")
        yield f'<path class="path" d="M{inward} 20V{end}" marker-end="url(#pipeline-tip)"/>'
        yield f'<path class="path" d="M{outward} {end}V20" marker-end="url(#pipeline-tip)"/>'

    title = (
        "A request passes "
        + ", ".join(stage.name.lower() for stage in stages)
        + "; the outcome goes back out"
    )
    return _svg("pipeline", title, width, bottom + 10, shapes())


_BOX = (230, 88)
_CORNERS = {"CLOSED": (20, 60), "OPEN": (490, 60), "HALF_OPEN": (255, 262)}  # of each state's box: left, top
# The path of each transition, and the position of its number. Transitions of one pair share a path.
_PATHS: dict[tuple[str | None, str], tuple[str, tuple[int, int]]] = {
    ("CLOSED", "OPEN"): ("M250 104H484", (367, 104)),
    ("OPEN", "HALF_OPEN"): ("M655 148C655 262 600 310 491 310", (614, 272)),
    ("HALF_OPEN", "OPEN"): ("M440 262C440 200 560 220 560 154", (500, 209)),
    ("HALF_OPEN", "CLOSED"): ("M255 306C150 306 135 250 135 154", (156, 266)),
    (None, "OPEN"): ("M605 8V54", (605, 24)),
    (None, "CLOSED"): ("M135 8V54", (135, 24)),
}


def breaker_svg(states: list[State] | None = None, transitions: list[Transition] | None = None) -> str:
    """The states, and the transitions between them by number."""
    states = breaker_states() if states is None else states
    transitions = breaker_transitions() if transitions is None else transitions

    def shapes() -> Iterator[str]:
        for state in states:
            if state.name not in _CORNERS:
                raise StaleDiagramError(f"give the state {state.name} a corner in docs/_ext/diagrams.py")
            x, y = _CORNERS[state.name]
            yield f'<rect x="{x}" y="{y}" width="{_BOX[0]}" height="{_BOX[1]}" rx="9" class="frame core"/>'
            yield _text(x + _BOX[0] / 2, y + 24, _plain(state.name), "name", "middle")
            for line, words in enumerate(textwrap.wrap(state.comment.replace("`", ""), 36)):
                yield _text(x + _BOX[0] / 2, y + 44 + 16 * line, words, "small", "middle")
        numbers: dict[tuple[str | None, str], list[int]] = {}
        for number, transition in enumerate(transitions, 1):
            numbers.setdefault((transition.source, transition.target), []).append(number)
        for pair, ours in numbers.items():
            if pair not in _PATHS:
                raise StaleDiagramError(f"give the transition {pair} a path in docs/_ext/diagrams.py")
            path, (x, y) = _PATHS[pair]
            css = "path any" if pair[0] is None else "path"
            yield f'<path class="{css}" d="{path}" marker-end="url(#breaker-tip)"/>'
            yield f'<ellipse class="disc" cx="{x}" cy="{y}" rx="{5 + 6 * len(ours)}" ry="11"/>'
            yield _text(x, y + 4.5, ", ".join(map(str, ours)), "", "middle")
            if pair[0] is None:
                yield _text(x + 12 + 6 * len(ours), y + 4.5, "from any state", "small")

    title = "; ".join(
        f"{number}: {_plain(each.source)} to {_plain(each.target)} when {each.when}"
        for number, each in enumerate(transitions, 1)
    )
    return _svg("breaker", title, 740, 360, shapes())


def _plain(state: str | None) -> str:
    return "any" if state is None else state.lower().replace("_", "-")


def rooms_svg(floors: list[list[Room]] | None = None) -> str:
    """The rooms, floor above floor; the floors of the core stand in one frame."""
    floors = package_floors() if floors is None else floors
    width, margin, gap = 720, 34, 10
    space = width - margin - 10
    lines = [_wrapped_comments(floor, space, gap) for floor in floors]
    heights = [30 + 15 * max(map(len, wrapped)) for wrapped in lines]
    tops = [10 + sum(heights[:level]) + gap * level for level in range(len(floors))]
    core = [
        level for level, floor in enumerate(floors) if all(room.name.startswith("core/") for room in floor)
    ]

    def shapes() -> Iterator[str]:
        if core:
            y, end = tops[core[0]] - 5, tops[core[-1]] + heights[core[-1]] + 5
            yield f'<rect x="5" y="{y}" width="{space + 10}" height="{end - y}" rx="9" class="frame core"/>'
        for floor, wrapped, y, high in zip(floors, lines, tops, heights, strict=True):
            wide = (space - gap * (len(floor) - 1)) / len(floor)
            for index, (room, comment) in enumerate(zip(floor, wrapped, strict=True)):
                x = 10 + index * (wide + gap)
                yield f'<rect x="{x:g}" y="{y}" width="{wide:g}" height="{high}" rx="7" class="frame"/>'
                yield _text(x + 12, y + 19, room.name, "name")
                if room.is_public:
                    yield _text(x + wide - 12, y + 19, "public", "small", "end")
                for line, words in enumerate(comment):
                    yield _text(x + 12, y + 36 + 15 * line, words, "small")
        x, end = width - 10, tops[-1] + heights[-1]
        yield f'<path class="path" d="M{x} 12V{end - 4}" marker-end="url(#rooms-tip)"/>'

    title = "Floors of the package, highest first; imports lead down: " + "; ".join(
        ", ".join(room.name for room in floor) for floor in floors
    )
    return _svg("rooms", title, width, tops[-1] + heights[-1] + 12, shapes())


def _wrapped_comments(floor: list[Room], space: int, gap: int) -> list[list[str]]:
    """The comment of each room of a floor, in lines as wide as its box; a character takes about 6.3 px."""
    columns = int(((space - gap * (len(floor) - 1)) / len(floor) - 24) / 6.3)
    return [textwrap.wrap(room.comment, columns) for room in floor]


# ---- the same in words ------------------------------------------------------------------------


def rooms_table() -> list[list[str]]:
    """A heading row, then one for each room, highest floor first."""
    floors = package_floors()
    rows = [
        [str(len(floors) - level), f"`{room.name}`", room.comment, "yes" if room.is_public else ""]
        for level, floor in enumerate(floors)
        for room in floor
    ]
    return [["floor", "room", "what is in it", "public"], *rows]


def pipeline_table() -> list[list[str]]:
    """A heading row, then one for each layer. Words in backticks are code."""
    rows = [[stage.name, stage.promise, f"`{stage.file}`"] for stage in pipeline_stages()]
    return [["layer", "what it does", "file"], *rows]


def breaker_table() -> list[list[str]]:
    """A heading row, then one for each transition, numbered as in the drawing."""
    rows = [
        [str(number), _plain(each.source), _plain(each.target), each.when]
        for number, each in enumerate(breaker_transitions(), 1)
    ]
    return [["", "from", "to", "when"], *rows]


# ---- Sphinx -----------------------------------------------------------------------------------


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    def paragraph(words: str) -> nodes.paragraph:
        # Every second piece was between backticks.
        pieces = enumerate(words.split("`"))
        return nodes.paragraph(
            "",
            "",
            *[
                (nodes.literal if odd % 2 else nodes.Text)(*([piece] * (1 + odd % 2)))
                for odd, piece in pieces
            ],
        )

    def table(rows: list[list[str]]) -> nodes.table:
        group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in rows[0]], cols=len(rows[0]))
        lines = [nodes.row("", *[nodes.entry("", paragraph(cell)) for cell in row]) for row in rows]
        group += [nodes.thead("", lines[0]), nodes.tbody("", *lines[1:])]
        return nodes.table("", group, classes=["colwidths-auto"])

    class Diagram(SphinxDirective):
        draw: Any
        describe: Any
        sources: Any

        def run(self) -> list[nodes.Node]:
            for path in self.sources():
                self.env.note_dependency(str(path))  # a change there rebuilds the page
            try:
                return [nodes.raw("", self.draw(), format="html"), table(self.describe())]
            except StaleDiagramError as error:
                raise self.error(str(error)) from error

    class PipelineDiagram(Diagram):
        draw, describe = staticmethod(pipeline_svg), staticmethod(pipeline_table)
        sources = staticmethod(lambda: [importlib.import_module(PIPELINE).__file__])

    class BreakerDiagram(Diagram):
        draw, describe = staticmethod(breaker_svg), staticmethod(breaker_table)
        sources = staticmethod(lambda: [breaker_module().__file__])

    class RoomsDiagram(Diagram):
        draw, describe = staticmethod(rooms_svg), staticmethod(rooms_table)
        sources = staticmethod(lambda: [ROOMS])

    app.add_directive("pipeline-diagram", PipelineDiagram)
    app.add_directive("breaker-diagram", BreakerDiagram)
    app.add_directive("rooms-diagram", RoomsDiagram)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
