"""The page on architecture names rooms, files and modules that exist."""

from __future__ import annotations

import re

import pytest

from architecture.rooms import FLOORS, PUBLIC_MODULES
from docs.loading import ROOT
from kit.rows import each_row
from kit.sources import CHECKOUT, sources

pytestmark = pytest.mark.once

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PATHS = sorted(
    set(re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+(?:/|\.py))`", PAGE)) | set(re.findall(r"`(\S+\.py)`", PAGE))
)


@each_row("path", PATHS)
def test_every_path_exists(path: str) -> None:
    """Inside the package, or from the root of the checkout; a folder ends with a slash."""
    found = [root / path for root in (CHECKOUT, ROOT) if (root / path).exists()]
    assert found
    assert found[0].is_dir() is path.endswith("/")


def test_every_line_of_the_walk_begins_with_a_path() -> None:
    """The files that a call passes exist, and so do the alternatives beside them."""
    _, _, walk = PAGE.partition("## A call walks through the rooms\n\n```text\n")
    files = {file.rpartition("/")[2] for file in sources()}
    for line in walk.partition("```")[0].splitlines():
        first, *others = re.findall(r"[\w/]+(?:\.py|/)", line[:31])
        assert (CHECKOUT / first).exists() or (CHECKOUT / "transports" / first).exists()
        assert set(others) <= files


def test_every_folder_at_the_root_is_in_the_one_sentence_or_the_drawing() -> None:
    """The drawing is made of `FLOORS`, and the sentence names rooms that are there."""
    rooms = {room for floor in FLOORS for room in floor}
    _, _, sentence = PAGE.partition("> **")
    assert set(re.findall(r"`(\w+/)`", sentence.partition("**")[0])) <= rooms
    assert {f"{path.name}/" for path in CHECKOUT.iterdir() if (path / "__init__.py").exists()} <= rooms


def test_the_public_modules_are_those_of_the_list() -> None:
    """The table has each of them, and no other."""
    _, _, section = PAGE.partition("## Public modules\n")
    named = set(re.findall(r"`http_service_client\.?([\w.]*)`", section))
    assert named == {"", *PUBLIC_MODULES}
