"""No example of a framework is left unexecuted."""

from __future__ import annotations

from pathlib import Path

from kit.rows import each_row

HERE = Path(__file__).parent
EXAMPLES = sorted(path for path in (HERE.parents[2] / "examples" / "frameworks").iterdir() if path.is_file())


@each_row("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_run_by_a_test(example: Path) -> None:
    """A test in this folder names it, and the page about frameworks shows it."""
    tests = "".join(path.read_text("utf-8") for path in HERE.glob("test_*.py"))
    assert f'"{example.stem}"' in tests or f'"{example.name}"' in tests
    page = (HERE.parents[2] / "docs" / "frameworks.md").read_text("utf-8")
    assert f"../examples/frameworks/{example.name}" in page
