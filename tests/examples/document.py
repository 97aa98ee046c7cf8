"""The founding document and the examples taken from it, as lines.

The document is not part of the repository: it lies in `shared/seed/` beside the checkout. A test that needs it
is marked `needs_the_document` and is skipped in a fresh clone.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

__all__ = [
    "DOCUMENT",
    "EXAMPLES",
    "as_in_an_example",
    "as_in_the_document",
    "document_blocks",
    "example_blocks",
    "needs_the_document",
]

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT.parent / "shared" / "seed" / "http-service-client.md"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

needs_the_document = pytest.mark.skipif(
    not DOCUMENT.exists(), reason=f"{DOCUMENT} is not here; it is not part of the repository"
)

# How an import line of the package begins in the document, and how it begins in an example.
IN_THE_DOCUMENT = "from neuroglia.http import "
IN_AN_EXAMPLE = "from http_service_client import "

Blocks = dict[str, list[str]]  # the lines of a block by the heading above it


def document_blocks() -> Blocks:
    """Every Python block of the document."""
    text = DOCUMENT.read_text("utf-8")
    headings_and_sections = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)[1:]
    blocks = {}
    for heading, section in zip(headings_and_sections[::2], headings_and_sections[1::2], strict=True):
        fenced = re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        assert len(fenced) == 1, f"{heading}: {len(fenced)} blocks, but a heading must identify one"
        blocks[heading] = fenced[0].splitlines()
    assert text.count("```python") == len(blocks), "a block stands above the first heading"
    return blocks


def example_blocks() -> Blocks:
    """The lines between `# >>> heading` and `# <<<` in the files of `examples/`."""
    blocks: Blocks = {}
    for path in EXAMPLES:
        found = re.findall(
            r"^# >>> ([^\n]+)\n(.*?)^# <<<$", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for heading, body in found:
            assert heading not in blocks, f"{heading} is in two examples"
            blocks[heading] = body.splitlines()
    return blocks


def as_in_an_example(line: str) -> str:
    """A line of the document as it reads in an example: the same, but for the name of the package."""
    if line.startswith(IN_THE_DOCUMENT):
        return IN_AN_EXAMPLE + line.removeprefix(IN_THE_DOCUMENT)
    return line


def as_in_the_document(line: str) -> str:
    """A line of an example as it reads in the document."""
    if line.startswith(IN_AN_EXAMPLE):
        return IN_THE_DOCUMENT + line.removeprefix(IN_AN_EXAMPLE)
    return line
