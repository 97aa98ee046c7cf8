"""The wheel contains the whole package and nothing else."""

from __future__ import annotations

from pathlib import Path

from kit.sources import CHECKOUT, INSTALLED


def test_the_installed_files_are_those_of_the_checkout() -> None:
    """The wheel misses no module, py.typed and the alert rules included, and has none from an old build."""

    def contents(root: Path) -> set[str]:
        return {
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.name.endswith((".py", ".yml", "py.typed"))
        }

    assert contents(INSTALLED) == contents(CHECKOUT), (
        "if a removed file is back: delete build/ and run tox -r"
    )
