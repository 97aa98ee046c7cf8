"""What surrounds the code agrees with it: hooks, forms, settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*_*.yml"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def test_the_hook_formats_as_the_lint_group_does() -> None:
    """pre-commit pins a release of ruff, which must be one that `tox -e lint` may install."""
    (requirement,) = map(Requirement, PROJECT["dependency-groups"]["lint"])
    (pinned,) = (
        hooks["rev"]
        for hooks in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
        if hooks["repo"].endswith("/ruff-pre-commit")
    )
    assert requirement.name == "ruff"
    assert requirement.specifier.contains(pinned.removeprefix("v"))


def test_no_comment_stands_behind_code_that_the_formatter_wrapped() -> None:
    """The formatter takes a line apart that a comment makes too long; a comment above the line leaves it whole."""
    behind = re.compile(r"^\s*[])}]+[,:]*\s+# (?!fmt:|type:|noqa|pragma|pyright)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("http_service_client", "tests", "benchmarks", "examples", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if behind.match(line)
    ]
    assert not found


def test_no_test_module_has_more_than_500_lines() -> None:
    """A reader finds a test by the names of modules, so each module has one subject that its name and docstring say."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
    }
    too_long = [f"{module} has {lines} lines" for module, lines in lengths.items() if lines > 500]
    assert not too_long, (
        f"{'; '.join(too_long)}, and at most 500 are allowed. Split it by subject into modules whose names say what "
        "they are about. Move the fixtures that both need to a conftest.py beside them, other helpers to tests/kit."
    )


def test_the_folders_of_unit_tests_are_those_of_the_package() -> None:
    """Whoever reads `transports/over_h2/pool.py` finds its tests in `tests/unit/transports/over_h2`."""

    def folders_with(pattern: str, top: Path) -> set[str]:
        return {path.parent.relative_to(top).as_posix() for path in top.rglob(pattern)}

    assert folders_with("test_*.py", ROOT / "tests" / "unit") == folders_with(
        "*.py", ROOT / "http_service_client"
    )


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_the_forge_requires(form: Path) -> None:
    """An invalid form is not shown: names and descriptions, ids that differ, a label for each field."""
    fields = read_yaml(form)
    assert {"name", "description", "body"} <= set(fields)
    questions = [field for field in fields["body"] if field["type"] != "markdown"]
    assert questions
    assert {field["type"] for field in questions} <= {"checkboxes", "dropdown", "input", "textarea"}
    assert all(field["attributes"]["label"] for field in questions)
    ids = [field["id"] for field in questions]
    assert len(ids) == len(set(ids))


def test_the_line_that_prints_the_versions_works() -> None:
    """A user who copies it from the form of a bug report gets the versions that matter, one a line."""
    text = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug_report.yml").read_text("utf-8")
    (program,) = re.findall(r'^ *python -c "(.+)"$', text, re.MULTILINE)
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^http-service-client \d|^requests \d|^urllib3 \d|^aiohttp \d", printed, re.MULTILINE)
    assert len(printed.splitlines()) == 6


def test_settings_are_in_one_file() -> None:
    """Each of these tools prefers a file of its own, if there is one, and would not read pyproject.toml."""
    own = ["pytest.ini", ".pytest.ini", "pytest.toml", "ruff.toml", ".ruff.toml", "mypy.ini", ".mypy.ini"]
    own += ["pyrightconfig.json", ".coveragerc"]
    assert [name for name in own if (ROOT / name).exists()] == []
    assert {"pytest", "ruff", "mypy", "pyright", "coverage"} <= set(PROJECT["tool"])
