"""The wheel carries the package, all of it and nothing else."""

from __future__ import annotations

from pathlib import Path

from kit.sources import CHECKOUT, INSTALLED


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
