"""Sphinx sees the shape of a plain docstring as markup."""

from __future__ import annotations

import pytest

from docs.loading import load

plain_docstrings = load("docs/_ext/plain_docstrings.py")


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
def test_two_spaces_or_more_begin_the_next_field(line: str, items: list[str]) -> None:
    """Several fields on a line are several items; a sentence after a name is part of its meaning."""
    assert plain_docstrings.to_restructured_text([line]) == [*items, ""]
