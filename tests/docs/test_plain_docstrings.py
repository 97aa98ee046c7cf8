"""Sphinx sees the shape of a plain docstring as markup."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from docs.loading import load
from kit.rows import each_row

plain_docstrings = load("docs/_ext/plain_docstrings.py")
public_names = load("docs/_ext/public_names.py")


@each_row(
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


def public_docstrings() -> Iterator[tuple[str, str]]:
    """The docstring of each public class, function and method, by its name."""
    for module in public_names.PUBLIC_MODULES:
        for name in getattr(public_names.public_module(module), "__all__", []):
            item = getattr(public_names.public_module(module), name)
            members = vars(item).items() if inspect.isclass(item) else ()
            for path, each in ((name, item), *((f"{name}.{key}", value) for key, value in members)):
                if isinstance(text := getattr(each, "__doc__", None), str):
                    yield path, text


def test_public_docstrings_separate_their_fields() -> None:
    """One space between two fields would show the second as part of the first."""
    joined = re.compile(r"^ *\*{0,2}[a-z_]\w*: .*\. [a-z_]\w*: ", re.MULTILINE)
    assert [path for path, text in public_docstrings() if joined.search(text)] == []
