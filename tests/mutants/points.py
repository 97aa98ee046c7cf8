"""Where a source file can be mutated: every small change of behaviour that a test should notice.

    operator     change
    compare      < to <=, > to >=, == to !=, is to is not, in to not in, and back
    logic        and to or, or to and
    operand      `a and b` to `a`, and to `b`
    negate       a condition to its opposite; `not x` to `x`
    number       an integer to one more and one less, a float to its double
    flag         True to False, and back
    text         a string or bytes to the same with XX at its end
    arithmetic   + to -, * to /, // to *, << to >>, | to &, min to max, any to all, and back; -x to x
    return       a value to None
    drop         a statement to nothing: a call, a raise, a bare return, a del, an assignment to an attribute or item
    loop         break to continue, and back
    except       a type that is no longer caught

Not mutated, because behaviour would not change or should not be pinned: annotations, `TYPE_CHECKING` blocks,
overloads, docstrings, assertions, `__all__`, `__slots__`, the size of a cache, `__repr__`, what stands behind a return,
and prose. Prose is a string with two lower-case words in it, and any string in a `raise` or in the call of an error, a
warning or a logger: messages have tests of their own.

A mutant replaces a few bytes of the source and keeps its comments and layout, so its diff is easy to read.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Mutant", "is_sound", "mutants_of"]


@dataclass(frozen=True)
class Mutant:
    """One change to one file.

    file: path below the package.   function: qualified name, "" at the top level.   operator: see above.
    line: where the change begins.   number: counts the mutants of that line from 1.
    lines: a test that executes one of them may notice: the first of the statement, and those changed.
    at_import: whether the code runs when the module is imported, not when a function is called.
    start, end, new: the bytes to replace.   before, after: the lines changed, without comments, white space normalised.
    """

    file: str
    function: str
    operator: str
    line: int
    number: int
    lines: frozenset[int]
    at_import: bool
    start: int
    end: int
    new: bytes
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.number}"

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Stays the same when lines move, or their comments change."""
        return self.file, self.function, self.before, self.after

    def apply(self, source: bytes) -> bytes:
        """The mutated file."""
        return source[: self.start] + self.new + source[self.end :]


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All mutants of a file, in the order of its bytes. A few may not be sound: see `is_sound`."""
    finder = _Finder(file, source)
    finder.visit(ast.parse(source))
    return sorted(finder.mutants, key=lambda mutant: (mutant.start, mutant.number))


def is_sound(mutant: Mutant, source: bytes) -> bool:
    """Whether the mutated file compiles, and to another program. It parses, so call it for drawn mutants only."""
    try:
        changed = ast.parse(mutant.apply(source))
        compile(changed, mutant.file, "exec")
    except SyntaxError:
        return False
    return ast.dump(changed) != ast.dump(ast.parse(source))


_Span = tuple[int, int]  # bytes from, to

_COMPARISONS: dict[type[ast.cmpop], tuple[bytes, bytes]] = {
    ast.Lt: (rb"<", b"<="),
    ast.LtE: (rb"<=", b"<"),
    ast.Gt: (rb">", b">="),
    ast.GtE: (rb">=", b">"),
    ast.Eq: (rb"==", b"!="),
    ast.NotEq: (rb"!=", b"=="),
    ast.Is: (rb"\bis\b", b"is not"),
    ast.IsNot: (rb"\bis\s+not\b", b"is"),
    ast.In: (rb"\bin\b", b"not in"),
    ast.NotIn: (rb"\bnot\s+in\b", b"in"),
}
# Negating a condition of one of these is the mutant that `compare` makes already.
_OPPOSITES = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
_ARITHMETIC: dict[type[ast.operator], tuple[bytes, bytes]] = {
    ast.Add: (rb"\+", b"-"),
    ast.Sub: (rb"-", b"+"),
    ast.Mult: (rb"\*", b"/"),
    ast.Div: (rb"/", b"*"),
    ast.FloorDiv: (rb"//", b"*"),
    ast.LShift: (rb"<<", b">>"),
    ast.RShift: (rb">>", b"<<"),
    ast.BitOr: (rb"\|", b"&"),
    ast.BitAnd: (rb"&", b"|"),
}
_FUNCTIONS = {"min": b"max", "max": b"min", "any": b"all", "all": b"any"}
_COMMENT = re.compile(r"\s# .*")
_PROSE = re.compile(r"[a-z],? [a-z]")
_MESSAGE_CALL = re.compile(r".*(Error|Warning|Exception)$|warn|debug|info|warning|error|exception")
_TYPE_FORMS = {"cast", "TypeVar", "ParamSpec", "NewType"}  # their strings are names for a type checker
_KEYWORDS_OF_SPEED = {"maxsize", "slots"}
_TYPES = {"dict", "frozenset", "list", "set", "tuple", "type"}
_UNTESTED_NAMES = {"__all__", "__slots__", "__match_args__"}
_FunctionDef = (ast.FunctionDef, ast.AsyncFunctionDef)


class _Finder(ast.NodeVisitor):
    """Walks the tree of a file, and collects the mutants."""

    def __init__(self, file: str, source: bytes) -> None:
        self.mutants: list[Mutant] = []
        self._file = file
        self._source = source
        self._line_starts = [0, *(match.end() for match in re.finditer(rb"\n", source)), len(source) + 1]
        self._numbers: Counter[int] = Counter()
        self._scope: list[str] = []
        self._function: ast.FunctionDef | ast.AsyncFunctionDef | None = None
        self._statement = 0  # its first line
        self._is_prose = False  # whether strings are read by people

    # Positions

    def _offset(self, line: int, column: int) -> int:
        return self._line_starts[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt) -> _Span:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _between(self, left: ast.expr, right: ast.expr, operator: bytes) -> _Span:
        """Where the operator stands; beside it there are only parentheses, white space and comments."""
        start, end = self._span(left)[1], self._span(right)[0]
        match = re.compile(operator).search(self._source, start, end)
        assert match is not None, (self._file, left.lineno, operator)
        return match.span()

    def _add(self, operator: str, span: _Span, new: bytes) -> None:
        start, end = span
        first, last = (bisect_right(self._line_starts, at) for at in span)
        head, tail = self._line_starts[first - 1], self._line_starts[last] - 1
        self._numbers[first] += 1
        self.mutants.append(
            Mutant(
                file=self._file,
                function=".".join(self._scope),
                operator=operator,
                line=first,
                number=self._numbers[first],
                lines=frozenset({self._statement, *range(first, last + 1)}),
                at_import=self._function is None,
                start=start,
                end=end,
                new=new,
                before=_normalised(self._source[head:tail]),
                after=_normalised(self._source[head:start] + new + self._source[end:tail]),
            )
        )

    def _wrap(self, operator: str, node: ast.expr, before: bytes, after: bytes) -> None:
        start, end = self._span(node)
        self._add(operator, (start, end), before + self._source[start:end] + after)

    # Where we are

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            self._statement = node.lineno
        super().visit(node)

    def _visit_all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    @contextmanager
    def _prose(self) -> Iterator[None]:
        was, self._is_prose = self._is_prose, True
        yield
        self._is_prose = was

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if any(_name(decorator) == "overload" for decorator in node.decorator_list):
            return  # for type checkers
        # Run when the function is made, which is in the scope around it.
        self._visit_all([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
        if node.name == "__repr__":
            return
        around, self._function = self._function, node
        self._scope.append(node.name)
        self._visit_all(_reached(node.body))
        self._scope.pop()
        self._function = around

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(node.decorator_list)
        self._scope.append(node.name)
        self._visit_all(node.body)
        self._scope.pop()

    def visit_arg(self, node: ast.arg) -> None:
        pass  # nothing but an annotation

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in _KEYWORDS_OF_SPEED:
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        pass  # for type checkers and readers

    def visit_Subscript(self, node: ast.Subscript) -> None:
        # In an alias or a base class, `Callable[["A"], "B"]` has annotations, too.
        is_type = self._function is None and (_name(node.value) in _TYPES or _name(node.value)[:1].isupper())
        if _name(node.value) != "Literal" and not is_type:
            self.generic_visit(node)

    # Conditions

    def visit_If(self, node: ast.If) -> None:
        if _name(node.test) == "TYPE_CHECKING":
            self._visit_all(node.orelse)
            return
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While | ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    visit_IfExp = visit_While

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        if isinstance(test, ast.Constant) or (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            return  # `flag` does it, or the `not` is dropped
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], _OPPOSITES):
            return
        self._wrap("negate", test, b"not (", b")")

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, op, right in zip(operands, node.ops, operands[1:], strict=False):
            old, new = _COMPARISONS[type(op)]
            self._add("compare", self._between(left, right, old), new)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = (rb"\band\b", b"or") if isinstance(node.op, ast.And) else (rb"\bor\b", b"and")
        pairs = zip(node.values, node.values[1:], strict=False)
        operators = [self._between(left, right, old) for left, right in pairs]
        for span in operators:
            self._add("logic", span, new)
        # An operand goes with the operator before it, the first with the one behind: so parentheses go too.
        start, end = self._span(node)
        self._add("operand", (start, operators[0][1]), b"")
        for at, (before, _) in enumerate(operators):
            self._add("operand", (before, operators[at + 1][0] if operators[at + 1 :] else end), b"")
        self.generic_visit(node)

    # Values

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start, _ = self._span(node)
        if isinstance(node.op, ast.Not):
            self._add("negate", (start, start + len(b"not")), b"")
        elif isinstance(node.op, ast.USub):
            self._add("arithmetic", (start, start + len(b"-")), b"")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        is_type = isinstance(node.op, ast.BitOr) and self._function is None  # X | None
        if type(node.op) in _ARITHMETIC and not is_type:
            old, new = _ARITHMETIC[type(node.op)]
            self._add("arithmetic", self._between(node.left, node.right, old), new)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._drop(node)
        if type(node.op) in _ARITHMETIC:
            old, new = _ARITHMETIC[type(node.op)]
            self._add("arithmetic", self._between(node.target, node.value, old), new)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if isinstance(node.func, ast.Name) and name in _FUNCTIONS:
            self._add("arithmetic", self._span(node.func), _FUNCTIONS[name])
        if _MESSAGE_CALL.fullmatch(name):
            with self._prose():
                self.generic_visit(node)
        elif name in _TYPE_FORMS:
            self._visit_all(node.args[1:])
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value, span = node.value, self._span(node)
        if value is True or value is False:
            self._add("flag", span, b"False" if value else b"True")
        elif isinstance(value, int):
            self._add("number", span, b"%d" % (value + 1))
            self._add("number", span, b"%d" % (value - 1))
        elif isinstance(value, float):
            self._add("number", span, repr(value * 2 or 1.0).encode())
        elif isinstance(value, (str, bytes)):
            self._lengthen(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        # Not what stands in its braces: before Python 3.12 the positions there are wrong.
        self._lengthen(node)

    def _lengthen(self, node: ast.expr) -> None:
        """Put XX before the closing quote."""
        start, end = self._span(node)
        text = self._source[start:end]
        if self._is_prose or _PROSE.search(text.decode()):
            return
        quote = 3 if text.endswith((b'"""', b"'''")) else 1
        self._add("text", (end - quote, end - quote), b"XX")

    # Statements

    def _drop(self, node: ast.stmt, operator: str = "drop") -> None:
        """Put `pass` in place of a statement; a generator that would lose its only yield stays one."""
        new = b"pass"
        if self._function is not None and _yields([node]) and not _yields(self._function.body, without=node):
            if isinstance(self._function, ast.AsyncFunctionDef):
                return
            new = b"yield from ()"
        self._add(operator, self._span(node), new)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring, or `...`
        self._drop(node)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if any(_name(target) in _UNTESTED_NAMES for target in node.targets):
            return
        if all(_is_kept_elsewhere(target) for target in node.targets):
            self._drop(node)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is None or _name(node.annotation) == "TypeAlias":
            return
        if _is_kept_elsewhere(node.target):
            self._drop(node)
        self.visit(node.value)

    def visit_Delete(self, node: ast.Delete) -> None:
        self._drop(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._drop(node)
        with self._prose():
            self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            if self._function is None or node is not self._function.body[-1]:
                self._drop(node)
        elif _yields([node]) or any(isinstance(part, ast.Await) for part in ast.walk(node)):
            self._wrap("return", node.value, b"((", b"), None)[1]")  # its effects stay
        elif not isinstance(node.value, ast.Constant):
            self._add("return", self._span(node.value), b"None")
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._add("loop", self._span(node), b"continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._add("loop", self._span(node), b"break")

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if isinstance(node.type, ast.Tuple):
            for dropped in node.type.elts:
                others = [ast.unparse(one) for one in node.type.elts if one is not dropped]
                self._add("except", self._span(node.type), f"({', '.join(others)},)".encode())
        elif node.type is not None:
            self._add("except", self._span(node.type), b"()")
        self._visit_all(node.body)


def _normalised(lines: bytes) -> str:
    return " ".join(_COMMENT.sub(" ", lines.decode()).split())


def _name(node: ast.expr) -> str:
    """The last part of a dotted name, "" for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _reached(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    """Without what stands behind a return or a raise: a `yield` there makes a function a generator, and never runs."""
    ends = (at for at, statement in enumerate(body, 1) if isinstance(statement, (ast.Return, ast.Raise)))
    return body[: next(ends, None)]


def _is_kept_elsewhere(target: ast.expr) -> bool:
    """Whether a dropped assignment leaves an old value to be read, not a NameError that any test notices."""
    if isinstance(target, ast.Tuple):
        return all(map(_is_kept_elsewhere, target.elts))
    return isinstance(target, (ast.Attribute, ast.Subscript))


def _yields(body: Sequence[ast.AST], without: ast.AST | None = None) -> bool:
    """Whether a function with this body is a generator; those that it defines do not count."""
    nodes = list(body)
    while nodes:
        node = nodes.pop()
        if node is without or isinstance(node, (*_FunctionDef, ast.Lambda)):
            continue
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        nodes.extend(ast.iter_child_nodes(node))
    return False
