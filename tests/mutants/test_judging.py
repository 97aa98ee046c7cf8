"""Choosing, running and reporting: which tests try a mutant, and what their end says of it."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kit.rows import each_row
from mutants.equivalents import Equivalent
from mutants.judging import Outcome, Verdict, reading
from mutants.likely import Likely, imported
from mutants.points import Mutant, mutants_of
from mutants.process import Ending, Place
from mutants.project import Project
from mutants.records import Record, runs_for
from mutants.report import areas_below, table
from mutants.sampling import drawn, named, stale

pytestmark = pytest.mark.once

SOURCE = "LIMIT = 3\n\n\ndef is_allowed(count):\n    return count < LIMIT\n\n\ndef is_odd(number):\n    return number % 2 == 1\n"
TESTS = """
from toy.rules import is_allowed, is_odd

def test_a_large_number_is_refused():
    assert not is_allowed(9)

def test_an_odd_number_is_odd():
    assert is_odd(3)
    assert not is_odd(4)

def test_a_loop():
    while not is_allowed(2):
        pass
"""

SHAPES = """
class Shape:
    def __init__(self, sides):
        self.sides = sides

class Triangle(Shape):
    def __init__(self):
        super().__init__(3)

def is_square(shape):
    return shape.sides == 4

def is_round(shape):
    return not shape.sides
"""
TESTS_OF_SHAPES = """
def test_a_triangle_is_no_square():
    import toy.shapes as shapes
    assert not shapes.is_square(shapes.Triangle())

def test_that_fails_anyhow():
    import toy.shapes as shapes
    assert shapes.is_square(shapes.Shape(5))
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A package `toy` of two rooms, and its tests."""
    for path, text in {
        "toy/__init__.py": "",
        "toy/rules.py": SOURCE,
        "toy/room/__init__.py": "",
        "toy/room/values.py": "ONE, TWO = 1, 2\n",
        "tests/test_rules.py": TESTS,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return Project(tmp_path, "toy")


def mutant_at(line: int) -> Mutant:
    return next(one for one in mutants_of("toy.py", SOURCE.encode()) if one.line == line)


class TestSampling:
    """Which mutants are tried, in which order."""

    def test_the_same_seed_draws_the_same_sample(self, project: Project) -> None:
        """And another seed another one."""
        first, again, other = (drawn(project, (), seed, None, ()) for seed in (1, 1, 2))
        assert first == again
        assert first != other
        assert set(first) == set(other)

    def test_the_areas_take_turns(self, project: Project) -> None:
        """So a run that ends early has seen all of them."""
        assert [Path(mutant.file).parent.name for mutant in drawn(project, (), 1, 2, ())] == ["", "room"] * 2

    @pytest.mark.parametrize("area", ["room", "room/values.py"])
    def test_an_area_alone_gives_the_sample_that_it_gives_among_others(
        self, project: Project, area: str
    ) -> None:
        """An area is a folder or a file."""
        among = [mutant for mutant in drawn(project, (), 1, 3, ()) if mutant.file == "room/values.py"]
        assert drawn(project, (area,), 1, 3, ()) == among

    def test_a_name_finds_a_line_or_one_mutant(self, project: Project) -> None:
        """FILE:LINE and FILE:LINE:N."""
        assert [str(mutant) for mutant in named(project, "rules.py:1")] == ["rules.py:1:1", "rules.py:1:2"]
        assert [str(mutant) for mutant in named(project, "rules.py:1:2")] == ["rules.py:1:2"]
        with pytest.raises(LookupError):
            named(project, "rules.py:2")

    def test_known_equivalents_are_left_out_and_old_entries_reported(self, project: Project) -> None:
        """An entry that matches nothing is one to remove."""
        known = Equivalent("rules.py", "", "LIMIT = 3", "LIMIT = 4", "a test of this test")
        old = known._replace(before="LIMIT = 5")
        assert "rules.py:1:1" not in map(str, drawn(project, (), 1, None, [known, old]))
        assert stale(project, [known, old]) == [old]


class TestChoosing:
    """Which tests can notice a mutant."""

    record = Record(
        "test_a.py",
        tests={"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0},
        lines={"toy.py": {1: -1, 4: -1, 5: 0b0001, 9: 0b0010}},
        forking=0b1000,
        failing=[],
    )

    def chosen(self, line: int, *records: Record) -> list[list[str]]:
        return [list(run.tests) for run in runs_for(mutant_at(line), records or [self.record])]

    def test_code_in_a_function_is_judged_by_the_tests_that_execute_it(self) -> None:
        """Tests that fork come last: what a child executes is not known."""
        assert self.chosen(5) == [["a"], ["d"]]

    def test_a_constant_is_judged_by_every_test_of_the_modules_that_import_it(self) -> None:
        """It is read in many places."""
        assert self.chosen(1) == [["a", "b", "c", "d"]]
        assert self.chosen(1, replace(self.record, lines={})) == [["d"]]

    def test_a_test_that_fails_without_a_mutant_is_not_used(self) -> None:
        """It would notice everything."""
        assert self.chosen(5, replace(self.record, failing=["a", "d"])) == []

    def test_the_tests_of_the_file_itself_come_first(self) -> None:
        """They execute more of its lines in less time."""
        passing = replace(self.record, module="test_b.py", tests=dict.fromkeys("efgh", 9.0))
        both = replace(self.record, module="test_c.py", lines={"toy.py": {5: 0b0011, 9: 0b0011}})
        runs = runs_for(mutant_at(5), [passing, self.record, both])
        assert [run.module for run in runs][:3] == ["test_c.py", "test_a.py", "test_b.py"]


class TestLikely:
    """Which tests are tried first, before anything is recorded."""

    @pytest.fixture
    def likely(self, tmp_path: Path) -> Likely:
        for path, text in {
            "toy/__init__.py": "",
            "toy/room/__init__.py": "",
            "toy/room/values.py": "class Value: ...",
            "toy/room/users.py": "from . import values",
            "toy/room/readers.py": "from ..room.users import one",
            "toy/other.py": "",
            "tests/unit/room/test_values.py": "",
            "tests/unit/room/test_values_again.py": "",
            "tests/unit/room/test_valuesets.py": "",
            "tests/unit/room/test_users.py": "",
            "tests/unit/room/test_readers.py": "",
            "tests/unit/test_other.py": "",
            "tests/unit/other/test_value.py": "from toy import Value",
            "tests/architecture/test_all.py": "",
            "tests/network/test_by_module.py": "import toy.room.values",
            "tests/network/test_by_name.py": "def test():\n    from toy.room import values",
            "tests/network/test_values.py": "",
            "tests/network/test_else.py": "from toy.room import users",
        }.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return Likely(Project(tmp_path, "toy"))

    def test_those_of_its_name_then_of_its_imports_then_of_its_folder(self, likely: Likely) -> None:
        """And a name that only begins like it is another."""
        assert likely.tests_of("room/values.py") == [
            "tests/unit/room/test_values.py",
            "tests/unit/room/test_values_again.py",
            "tests/network/test_by_module.py",
            "tests/network/test_by_name.py",
            "tests/unit/room/test_readers.py",
            "tests/unit/room/test_users.py",
            "tests/unit/room/test_valuesets.py",
            "tests/network/test_values.py",
            "tests/unit/other/test_value.py",
            "tests/architecture/test_all.py",
        ]

    def test_a_folder_without_tests_is_judged_by_the_one_above(self, likely: Likely) -> None:
        """So is the root of the package."""
        assert likely.tests_of("room/deep/values.py")[:2] == likely.tests_of("room/values.py")[:2]
        assert likely.tests_of("missing.py") == ["tests/unit/test_other.py", "tests/architecture/test_all.py"]

    @pytest.mark.parametrize(
        ("line", "names"),
        [
            ("import a.b", {"a.b"}),
            ("from a.b import c", {"a.b", "a.b.c"}),
            ("from . import c", {"a.b", "a.b.c"}),
            ("from .c import d", {"a.b.c", "a.b.c.d"}),
            ("from ..c import d", {"a.c", "a.c.d"}),
        ],
    )
    def test_relative_imports_are_resolved(self, line: str, names: set[str]) -> None:
        """In a module and in a package."""
        assert imported(line.encode(), "a.b.m") == names
        assert imported(line.encode(), "a.b", is_package=True) == names


@each_row(
    ("code", "failed", "within", "outcome"),
    [
        (1, ["a"], "", Outcome.NOTICED),
        (None, ["a"], "b", Outcome.NOTICED),
        (2, ["test_a.py"], "", Outcome.NOTICED),
        (0, [], "", Outcome.SURVIVED),
        (5, [], "", Outcome.SURVIVED),
        (None, [], "a", Outcome.HUNG),
        (None, [], "", Outcome.HUNG),
        (1, [], "a", Outcome.HUNG),
        (4, [], "", Outcome.NOTICED),
        (-11, [], "a", Outcome.NOTICED),
    ],
)
def test_the_end_of_a_run_says_what_became_of_the_mutant(
    code: int | None, failed: list[str], within: str, outcome: Outcome
) -> None:
    """A mutant that only hangs is not noticed; one that crashes is."""
    assert reading(Ending(code, [], failed, within))[0] is outcome


def test_an_area_is_judged_by_what_counts() -> None:
    """A mutant that hung was not noticed; one that was out of time does not count."""
    mutant = replace(mutant_at(5), file="room/toy.py")
    outcomes = [Outcome.NOTICED] * 3 + [Outcome.HUNG, Outcome.OUT_OF_TIME]
    verdicts = [Verdict(mutant, outcome, 1.0, "", frozenset(), False) for outcome in outcomes]
    assert list(table(verdicts))[1].split() == ["room", "3", "0", "1", "75.0%"]
    assert areas_below(0.75, verdicts) == []
    assert areas_below(0.76, verdicts) == ["room"]


posix_only = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by group")


def test_a_record_is_of_the_tests_that_were_copied(project: Project) -> None:
    """Those that are edited during a run get none of their own by it."""
    module = "tests/test_rules.py"
    path = project.record_path(module, lines=False)
    (project.root / module).write_text("")
    assert project.record_path(module, lines=False) == path
    assert Project(project.root, "toy").record_path(module, lines=False) != path


@posix_only
def test_a_test_that_hangs_is_named(project: Project) -> None:
    """Its process is killed, here when all is to stop, and nothing has failed."""
    with project.copies(1) as (folder,):
        place = Place(folder, "toy", threading.Event())
        rules = place.checkout / "toy/rules.py"
        rules.write_text(rules.read_text().replace("count < LIMIT", "count > LIMIT + count"))
        watcher = threading.Thread(target=stop_within_a_test, args=(place,))
        watcher.start()
        ending = place.run(["tests/test_rules.py"], 60.0, names=["tests/test_rules.py::test_a_loop"])
        watcher.join()
        place.close()
    name = "tests/test_rules.py::test_a_loop"
    assert ending == Ending(None, [name], [], name)


@posix_only
def test_each_run_imports_the_package_as_it_is_then(project: Project) -> None:
    """Runs are forks of one process, which has imported the libraries, but not the package."""
    name = "tests/test_rules.py::test_an_odd_number_is_odd"
    with project.copies(1) as (folder,):
        place = Place(folder, "toy", threading.Event())
        rules = place.checkout / "toy/rules.py"
        right = rules.read_text()
        failed = []
        for text in (right, right.replace("% 2 == 1", "% 2 == 0"), right):
            rules.write_text(text)
            failed.append(place.run(["tests/test_rules.py"], 60.0, names=[name]).failed)
        place.close()
    assert failed == [[], [name], []]


@posix_only
def test_the_exit_code_of_a_run_is_that_of_pytest(project: Project) -> None:
    """Or the signal that ended it."""
    dying = "import os\ndef test_it():\n    os.kill(os.getpid(), 9)\n"
    (project.root / "tests/test_dying.py").write_text(dying)
    with project.copies(1) as (folder,):
        place = Place(folder, "toy", threading.Event())
        codes = [
            place.run([module], 60.0, names=names).code
            for module, names in [
                ("tests/test_rules.py", []),
                ("tests/test_dying.py", None),
                ("tests/none.py", None),
            ]
        ]
        place.close()
    assert codes == [5, -9, 4]


def stop_within_a_test(place: Place) -> None:
    """Stop once the test has begun; at the latest when the run is over by itself."""
    diary = place.folder / "diary"
    for _ in range(1200):
        if place.stop.wait(0.05) or (diary.exists() and "begun" in diary.read_text()):
            break
    place.stop.set()


@posix_only
@pytest.mark.parametrize("options", [[], ["--quick"]])
def test_a_run_from_end_to_end(project: Project, options: list[str]) -> None:
    """Noticed, survived, and not executed: in the lines, as a diff, in the table, and by the exit code."""
    if not options:
        pytest.importorskip("coverage")
    program = f"""
from pathlib import Path
from mutants.__main__ import main
from mutants.project import Project
names = ["--only", "rules.py:9:1", "--only", "rules.py:1:1", "--only", "room/values.py:1:1"]
raise SystemExit(main([*names, *{options}], Project(Path({str(project.root)!r}), "toy")))
"""
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tests, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    outcomes = {line.split()[3]: line.split()[0] for line in lines if " s  " in line and ":" in line}
    assert outcomes == {
        "rules.py:9:1": "noticed",
        "rules.py:1:1": "SURVIVED",
        "room/values.py:1:1": "SURVIVED",
    }
    assert "-LIMIT = 3" in lines
    assert "+LIMIT = 4" in lines
    assert "  tox -e mutants -- --only rules.py:1:1" in lines
    assert any(line.endswith("no test executes it") for line in lines)
    assert (project.root / "toy/rules.py").read_text() == SOURCE


@posix_only
@pytest.mark.skipif(sys.version_info < (3, 12), reason="lines are recorded by sys.monitoring")
def test_mutants_of_functions_are_swapped(project: Project) -> None:
    """By the tests that execute their lines; one that fails anyhow is not used."""
    (project.root / "toy/shapes.py").write_text(SHAPES)
    (project.root / "tests/test_shapes.py").write_text(TESTS_OF_SHAPES)
    program = f"""
from pathlib import Path
from mutants.__main__ import main
from mutants.project import Project
names = ["--only", "shapes.py", "--only", "rules.py:9"]
raise SystemExit(main(["--swap", "--tests", "tests", *names], Project(Path({str(project.root)!r}), "toy")))
"""
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tests, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    outcomes = {line.split()[3]: line.split()[0] for line in lines if " s  " in line and ":" in line}
    assert {name: outcome for name, outcome in outcomes.items() if name.startswith("shapes.py:4")} == {
        "shapes.py:4:1": "noticed"
    }
    assert {outcome for name, outcome in outcomes.items() if name.startswith("rules.py:9")} == {"noticed"}
    assert outcomes["shapes.py:11:2"] == "noticed"  # sides != 4
    assert outcomes["shapes.py:14:1"] == "SURVIVED"
    assert any(line.endswith("no test executes it") for line in lines)
    # Without `super` it has no closure over its class.
    assert "not swapped; try them without --swap: shapes.py:8:1" in lines
    assert "not used, since it fails without a mutant: tests/test_shapes.py::test_that_fails_anyhow" in lines


@posix_only
@pytest.mark.skipif(sys.version_info < (3, 12), reason="lines are recorded by sys.monitoring")
def test_tests_that_cannot_be_collected_are_an_error(project: Project) -> None:
    """Else none would be judged, and a share of 100 % reported."""
    program = f"""
from pathlib import Path
from mutants.__main__ import main
from mutants.project import Project
main(["--swap", "--tests", "tests/unit/rooms", "--only", "rules.py:9"], Project(Path({str(project.root)!r}), "toy"))
"""
    tests = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tests, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "pytest could not collect tests/unit/rooms"
