"""The rooms of the package stand on floors: a file imports from its own room or from a lower floor."""

from __future__ import annotations

import ast

import pytest

from architecture.rooms import FLOORS
from kit.rows import each_row
from kit.sources import file_of, imports, parse, sources

pytestmark = pytest.mark.once

FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# What an error carries: every HTTP library's errors name the request and the response that they are about.
TYPING_ONLY = {
    ("errors.py", "events.py"),
    ("errors.py", "http/messages.py"),
    ("errors.py", "http/problems.py"),
}

FILES = frozenset(sources())


def room(file: str) -> str:
    return max((room for room in FLOOR if file.startswith(room)), key=len)


def may_import(file: str, other: str) -> bool:
    return room(file) == room(other) or FLOOR[room(other)] < FLOOR[room(file)]


def wrong_floors(tree: ast.Module, file: str) -> list[str]:
    """The imports of a file that lead upwards or into a room beside it, imports for type checkers included."""
    found = []
    for line, name, for_typing in imports(tree, file):
        other = file_of(name, FILES)
        if other is None or may_import(file, other) or (for_typing and (file, other) in TYPING_ONLY):
            continue
        found.append(f"{file}:{line} imports {other}, which is not below {room(file)}")
    return found


def test_every_file_has_a_room() -> None:
    """Somebody decides the floor of a new folder or top-level module."""
    assert [file for file in FILES if not any(file.startswith(room) for room in FLOOR)] == []
    assert [room for room in FLOOR if not any(file.startswith(room) for file in FILES)] == []


def test_every_import_leads_down() -> None:
    """Imports for type checkers as well, because readers follow them too."""
    found = [problem for file in FILES for problem in wrong_floors(parse(file), file)]
    assert not found, "\n" + "\n".join(sorted(found))


def test_no_file_is_in_a_circle() -> None:
    """The files can be read in an order in which each imports only earlier ones, typing imports included."""
    needs = {
        file: {other for name in imports(parse(file), file) if (other := file_of(name.name, FILES))}
        - {file}
        - {other for source, other in TYPING_ONLY if source == file}
        for file in FILES
    }
    while ready := {file for file, others in needs.items() if not others}:
        needs = {file: others - ready for file, others in needs.items() if file not in ready}
    assert not needs, "\n" + "\n".join(f"{file} needs {sorted(others)}" for file, others in needs.items())


class TestTheCheckItself:
    """A check that cannot fail would be worse than no check."""

    @each_row(
        ("file", "source"),
        [
            ("core/layers/retry.py", "from ...client.client import HttpServiceClient"),
            ("core/layers/retry.py", "def f():\n    from ... import client"),
            ("core/machines/retry/backoff.py", "from ...call import Call"),
            ("core/machines/retry/backoff.py", "if TYPE_CHECKING:\n    from ...call import Call"),
            ("events.py", "from .http.urls import redact_url"),
            ("errors.py", "from .events import Timeline"),
            ("errors.py", "import http_service_client.events"),
            ("drivers/blocking.py", "from ..transports import base"),
            ("transports/base.py", "from ..policies import RetryPolicy"),
        ],
    )
    def test_a_wrong_import_is_found(self, file: str, source: str) -> None:
        """Upwards or sideways, relative or absolute, at the top or in a function, or for type checkers."""
        assert len(wrong_floors(ast.parse(source), file)) == 1

    @pytest.mark.parametrize(
        ("file", "source"),
        [
            ("core/layers/retry.py", "from ..machines.backoff import ExponentialBackoff"),
            ("core/layers/retry.py", "from .cookies import CookiesLayer"),
            ("core/layers/retry.py", "from time import monotonic"),
            ("errors.py", "if TYPE_CHECKING:\n    from .events import Timeline"),
        ],
    )
    def test_an_allowed_import_passes(self, file: str, source: str) -> None:
        """Downwards, within the room, from other packages, and the types that an error carries."""
        assert wrong_floors(ast.parse(source), file) == []
