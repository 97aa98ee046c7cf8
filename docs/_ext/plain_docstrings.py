"""Turns the package's plain docstrings into markup for Sphinx.

Docstrings here are for readers of the source, so they carry no markup. This extension adds the markup that
their shape implies:

- lines of the form `timeout: seconds, above 0.` are a list of names and meanings;
- indented text (a formula, a table, a tree) is shown literally;
- words in single backticks are code.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

_FIELD = re.compile(r"^(?P<names>\*{0,2}[a-z_]\w*(?:, \*{0,2}\w+)*): +(?P<meaning>.*)$")
# Several fields on one line, as in "method: upper case.  url: absolute."
_NEXT_FIELD = re.compile(r"(?<=\.) {2,}(?=\*{0,2}[a-z_]\w*(?:, \*{0,2}\w+)*: )")
_LIST_ITEM = re.compile(r"^(?:[-*]|\d+\.) ")


def to_restructured_text(lines: list[str]) -> list[str]:
    """The same docstring, with its shape as markup for docutils."""
    shaped: list[str] = []
    for is_blank, group in itertools.groupby(lines, key=lambda line: not line.strip()):
        if is_blank:
            continue
        for paragraph in _at_indents(list(group)):
            shaped += [*_shape(paragraph), ""]
    return shaped


def _at_indents(paragraph: list[str]) -> list[list[str]]:
    """A paragraph, split where plain text changes to indented text and back."""
    if _LIST_ITEM.match(paragraph[0]) or _FIELD.match(paragraph[0]) or paragraph[0].startswith(">>>"):
        return [paragraph]
    return [list(part) for _, part in itertools.groupby(paragraph, key=lambda line: line.startswith(" "))]


def _shape(paragraph: list[str]) -> list[str]:
    first = paragraph[0]
    if first.startswith(" "):
        return ["::", "", *(f"    {line}" for line in paragraph)]
    if not _FIELD.match(first):
        return paragraph
    items: list[str] = []
    for line in itertools.chain.from_iterable(map(_NEXT_FIELD.split, paragraph)):
        if field := _FIELD.match(line):
            names = ", ".join(f"``{name}``" for name in field["names"].split(", "))
            items.append(f"- {names}: {field['meaning']}")
        else:
            items.append(f"  {line.strip()}")
    return items


def _process(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = to_restructured_text(lines)


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _process)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
