"""The shape of a docstring, as Sphinx is told of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

EXTENSION = Path(__file__).resolve().parents[2] / "docs/_ext/plain_docstrings.py"


@pytest.fixture(scope="module")
def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_plain_docstrings", EXTENSION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("line", "items"),
    [
        ("url: absolute.", ["- ``url``: absolute."]),
        ("url: absolute.  data: a form.", ["- ``url``: absolute.", "- ``data``: a form."]),
        ("url: absolute.   data: a form.", ["- ``url``: absolute.", "- ``data``: a form."]),
        (
            "url: absolute.  json, data: the body.",
            ["- ``url``: absolute.", "- ``json``, ``data``: the body."],
        ),
        ("url: absolute.   None means none.", ["- ``url``: absolute.   None means none."]),
        ("url: absolute. data: a form.", ["- ``url``: absolute. data: a form."]),
    ],
)
def test_two_spaces_or_more_begin_the_next_field(extension: ModuleType, line: str, items: list[str]) -> None:
    """Several names on a line are several items; a sentence after a name is part of its meaning."""
    assert extension.to_restructured_text([line]) == [*items, ""]
