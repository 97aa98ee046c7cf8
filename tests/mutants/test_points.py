"""Mutation points: each operator changes exactly what its row says, and nothing else is touched."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from kit.rows import each_row
from mutants import points
from mutants.points import Mutant, is_sound, mutants_of

pytestmark = pytest.mark.once


def mutants(source: str) -> list[Mutant]:
    return mutants_of("module.py", textwrap.dedent(source).encode())


def in_function(lines: str) -> list[str]:
    """What the lines of a function are changed to."""
    source = "def function():\n" + textwrap.indent(textwrap.dedent(lines), "    ")
    return [mutant.after for mutant in mutants(source)]


@each_row(
    ("line", "changed"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a == b", ["x = a != b"]),
        ("x = a is not b", ["x = a is b"]),
        ("x = a not in b", ["x = a in b"]),
        ("x = a < b >= c", ["x = a <= b >= c", "x = a < b > c"]),
        ("x = a and b", ["x = b", "x = a or b", "x = a"]),
        ("x = (a == b) or c", ["x = c", "x = (a != b) or c", "x = (a == b) and c", "x = (a == b)"]),
        ("if a: x = b", ["if not (a): x = b"]),
        ("if a == b: x = c", ["if a != b: x = c"]),
        ("x = not a", ["x = a"]),
        ("x = a if b else c", ["x = a if not (b) else c"]),
        ("x = [a for a in b if a]", ["x = [a for a in b if not (a)]"]),
        ("x = 5", ["x = 6", "x = 4"]),
        ("x = 0.5", ["x = 1.0"]),
        ("x = 0.0", ["x = 1.0"]),
        ("x = True", ["x = False"]),
        ("x = 'a'", ["x = 'aXX'"]),
        ("x = b''", ["x = b'XX'"]),
        ("x = '''a'''", ["x = '''aXX'''"]),
        ("x = f'{a}b'", ["x = f'{a}bXX'"]),
        ("x = a + b", ["x = a - b"]),
        ("x = -a", ["x = a"]),
        ("x = min(a, b)", ["x = max(a, b)"]),
        ("x += a", ["pass", "x -= a"]),
        ("x.y = a", ["pass"]),
        ("x[y], x.y = a", ["pass"]),
        ("a()", ["pass"]),
        ("await a()", ["pass"]),
        ("del x[a]", ["pass"]),
        ("raise a", ["pass"]),
        ("return a", ["return None"]),
        ("while a: break", ["while not (a): break", "while a: continue"]),
    ],
)
def test_each_operator_makes_the_changes_of_its_row(line: str, changed: list[str]) -> None:
    """All changes of a line, in the order of their place in it."""
    assert in_function(line) == changed


@each_row(
    "source",
    [
        '"""A docstring."""',
        "x: int | None",
        "def f(x: 'A') -> 'B': ...",
        "__all__ = ['a']",
        "class A:\n    __slots__ = ('a',)",
        "class A:\n    def __repr__(self):\n        return 'A' + str(1)",
        "if TYPE_CHECKING:\n    from a import b\n    x = 1",
        "assert x == 1",
        "A = Literal['a']",
        "A = Callable[[int, 'a'], 'b']",
        "class A(dict[int, 'b']): ...",
        "A = TypeVar('A')",
        "x = 'text for people'",
        "@lru_cache(maxsize=5)\ndef f(): ...",
        "X = A | B",
        "def f():\n    return",
        "def f():\n    x = None",
        "@overload\ndef f(x=1): ...",
    ],
)
def test_what_is_no_behaviour_is_not_mutated(source: str) -> None:
    """Annotations, names for type checkers, prose and the like."""
    assert mutants(source) == []


def test_the_message_of_an_error_is_not_mutated_but_its_raise_is() -> None:
    """Messages have tests of their own."""
    assert in_function("raise A('b')") == ["pass"]
    assert in_function("x = SomeError('a', 1)") == ["x = SomeError('a', 2)", "x = SomeError('a', 0)"]


def test_an_exception_type_is_no_longer_caught() -> None:
    """One of several goes from the tuple; a single one leaves an empty tuple."""
    assert in_function("try: x = a\nexcept A: x = b") == ["except (): x = b"]
    assert in_function("try: x = a\nexcept (A, B): x = b") == ["except (B,): x = b", "except (A,): x = b"]


def test_a_generator_stays_a_generator() -> None:
    """Without its only yield a function would not run at all when called, which any test notices."""
    assert in_function("yield a") == ["yield from ()"]
    assert in_function("yield from a\nyield b") == ["pass", "pass"]
    assert in_function("return (yield a)") == ["return (((yield a), None)[1])"]
    assert in_function("return a\nyield") == ["return None"]  # the yield is never reached


def test_a_dropped_operand_takes_its_parentheses_along() -> None:
    """Also when the condition stands on several lines, with comments between."""
    source = "x = (\n    (a or b)  # the first\n    and (c or d)\n)"
    dropped = [mutant for mutant in mutants(source) if mutant.operator == "operand"]
    assert len(dropped) == 6
    for mutant in dropped:
        assert is_sound(mutant, source.encode())


def test_a_mutant_differs_in_the_change_alone() -> None:
    """Comments, layout and line numbers stay."""
    source = b"# \xc3\xa9\nx = [  # a comment\n    1,\n]\n"
    first, second = mutants_of("module.py", source)
    assert first.apply(source) == source.replace(b"1", b"2")
    assert second.apply(source) == source.replace(b"1", b"0")
    assert (str(first), str(second)) == ("module.py:3:1", "module.py:3:2")
    assert first.lines == {2, 3}  # the first of the statement, and the line changed


def test_a_change_that_leaves_the_program_as_it_was_is_not_sound() -> None:
    """Nor is one that does not compile."""
    source = b"x = 1\n"
    (mutant, _) = mutants_of("module.py", source)
    same = Mutant(**{**vars(mutant), "new": b"1"})
    broken = Mutant(**{**vars(mutant), "new": b"("})
    assert [is_sound(one, source) for one in (mutant, same, broken)] == [True, False, False]


def test_the_key_of_a_mutant_does_not_change_when_lines_move() -> None:
    """So an entry among the equivalents holds until its own code is edited; comments do not matter."""
    source = "class A:\n    def f(self):\n        return self.x < 1\n"
    before = [mutant.key for mutant in mutants(source)]
    assert before == [mutant.key for mutant in mutants(f"import a\n\n\n{source[:-1]}  # why\n")]
    assert before[0] == ("module.py", "A.f", "return self.x < 1", "return None")


def test_code_that_runs_at_import_is_marked() -> None:
    """Constants, defaults and decorators; not the body of a function."""
    found = mutants("x = 1\n\n@a(2)\ndef f(y=3):\n    return 4\n\nclass A:\n    z = 5\n")
    assert {mutant.before for mutant in found if not mutant.at_import} == {"return 4"}
    assert len({mutant.before for mutant in found if mutant.at_import}) == 4


def test_every_mutant_of_a_line_has_a_number_of_its_own() -> None:
    """`--only FILE:LINE:N` names one mutant."""
    found = mutants("def f():\n    return a < 1 and b\n")
    assert sorted(mutant.number for mutant in found) == list(range(1, len(found) + 1))


def test_the_tool_s_own_source_gives_sound_mutants() -> None:
    """Real code, in which each operator finds something to change."""
    source = Path(points.__file__).read_bytes()
    found = mutants_of("points.py", source)
    assert len({mutant.operator for mutant in found}) >= 10
    assert [mutant for mutant in found[::10] if not is_sound(mutant, source)] == []
