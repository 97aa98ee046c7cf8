"""The founding document and the samples taken from it, as lines.

The document is no part of the repository: it lies in `shared/seed/` beside the checkout. What needs it is
marked `needs_the_document` and is skipped in a fresh clone.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

__all__ = [
    "DOCUMENT",
    "as_a_sample",
    "as_in_the_document",
    "document_blocks",
    "needs_the_document",
    "sample_blocks",
]

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[2] / "shared" / "seed" / "http-service-client.md"

needs_the_document = pytest.mark.skipif(
    not DOCUMENT.exists(), reason=f"{DOCUMENT} is not here; it is no part of the repository"
)

# How the import lines of the document begin, and how they do in a sample.
IMPORT_LINES = [
    (
        "from neuroglia.dependency_injection import ServiceProviderBase",
        "from seed.standins import ServiceProviderBase",
    ),
    ("from neuroglia.http import ", "from http_service_client import "),
]

Blocks = dict[str, list[str]]  # the lines of a block by the heading above it


def document_blocks() -> Blocks:
    """Every Python block of the document."""
    text = DOCUMENT.read_text("utf-8")
    headings_and_sections = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)[1:]
    blocks = {}
    for heading, section in zip(headings_and_sections[::2], headings_and_sections[1::2], strict=True):
        fenced = re.findall(r"^```python\n(.*?)^```$", section, flags=re.MULTILINE | re.DOTALL)
        assert len(fenced) == 1, f"{heading}: {len(fenced)} blocks; one is told from another by its heading"
        blocks[heading] = fenced[0].splitlines()
    assert text.count("```python") == len(blocks), "a block stands above the first heading"
    return blocks


def sample_blocks() -> Blocks:
    """What stands between `# >>> heading` and `# <<<` in the files of `samples/`."""
    blocks: Blocks = {}
    for path in sorted((HERE / "samples").glob("*.py")):
        found = re.findall(
            r"^# >>> ([^\n]+)\n(.*?)^# <<<$", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
        )
        for heading, body in found:
            assert heading not in blocks, f"{heading} is in two samples"
            blocks[heading] = body.splitlines()
    return blocks


def as_a_sample(line: str) -> str:
    """A line of the document as it reads in a sample: the same, but for import lines."""
    for document, sample in IMPORT_LINES:
        if line.startswith(document):
            return sample + line.removeprefix(document)
    return line


def as_in_the_document(line: str) -> str:
    """A line of a sample as it reads in the document."""
    for document, sample in IMPORT_LINES:
        if line.startswith(sample):
            return document + line.removeprefix(sample)
    return line
