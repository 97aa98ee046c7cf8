"""tox runs each test in one of the two parts that it divides the tests into."""

from __future__ import annotations

import pytest

from architecture.test_project_files import ROOT
from architecture.test_skips import read_ini

pytestmark = pytest.mark.once


def test_the_two_parts_are_all_tests() -> None:
    """A folder that is in `io` but not left out of `rest` runs twice, and the other way round never."""
    parts = read_ini("tox.ini")["io"]
    of_io = [*parts["on_each"].split(), *parts["on_both_ends"].split()]
    left_out = parts["others"].replace("\\", "").replace("--ignore", "").split()
    assert sorted(of_io) == sorted(left_out)
    assert all((ROOT / folder).is_dir() for folder in of_io)
