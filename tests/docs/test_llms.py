"""llms.txt is what docs/llms.py makes of the pages, in the form of llmstxt.org; llms-full.txt needs no Sphinx to be read."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from docs.loading import ROOT, load

pytestmark = pytest.mark.once

llms = load("docs/llms.py")

TEXT = (ROOT / "llms.txt").read_text("utf-8")
INDEX = (ROOT / "docs/index.md").read_text("utf-8")
# Pages of folders have an index page of their own.
PAGES = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}


@pytest.fixture(scope="module")
def full() -> str:
    """All pages as one text."""
    text: str = llms.llms_full()
    return text


class TestTheIndex:
    def test_every_page_is_listed_and_in_the_tree_of_its_group(self) -> None:
        """A reader of the repository finds the same pages, in the same order, as a reader of the site."""
        for heading, text in re.findall(r"^## (.+)\n\n((?:.+\n)+)", INDEX, re.MULTILINE):
            (tree,) = re.findall(rf":caption: {re.escape(heading)}\n\n((?:.+\n)+)```", INDEX)
            assert tree.split() == re.findall(r"\]\(([\w/-]+)\.md\)", text)
        assert set(re.findall(r"\]\(([\w-]+\.md)\)", INDEX)) == PAGES


class TestLlms:
    def test_it_is_fresh(self) -> None:
        """Who changes the index or the rules writes it again."""
        assert llms.llms() == TEXT, "run: python docs/llms.py"

    def test_it_has_the_form_of_llmstxt_org(self) -> None:
        """A title, a quoted summary, no other heading before the lists, and nothing but links in these."""
        title, summary, rest = TEXT.split("\n\n", 2)
        assert title == "# http-service-client"
        assert re.fullmatch(r"> .+", summary)
        preamble, *sections = re.split(r"^## .+\n\n", rest, flags=re.MULTILINE)
        assert not re.search(r"^#", preamble, re.MULTILINE)
        assert sections
        for line in "".join(sections).split("\n"):
            assert re.fullmatch(r"- \[[^\]]+\]\(https://[^)]+\): \S.+|", line)

    def test_its_links_lead_to_files_that_exist(self) -> None:
        """They are absolute: the file is read alone."""
        links = re.findall(r"\]\(([^)]+)\)", TEXT)
        assert links
        for link in links:
            assert (ROOT / link.removeprefix(llms._URL)).is_file()

    def test_a_reader_may_skip_what_is_about_the_project(self) -> None:
        """The form calls such a list Optional."""
        _, _, optional = TEXT.partition("\n## Optional\n")
        assert re.findall(r"\[([^\]]+)\]", optional) == ["Architecture", "Changelog", "Contributing"]

    def test_it_is_short(self) -> None:
        """It costs an assistant a few thousand tokens at most."""
        assert len(TEXT) < 12_000


class TestLlmsFull:
    def test_it_has_every_page_for_users_in_the_order_of_the_index(self, full: str) -> None:
        """Each after its name, to which links of other pages lead."""
        files = [
            page.file for group, pages in llms.groups().items() if group != llms.PROJECT for page in pages
        ]
        assert re.findall(r"^<!-- (\S+) -->$", full, re.MULTILINE) == [
            file.rpartition("/")[2] for file in files
        ]
        for file in files:
            title = (ROOT / file).read_text("utf-8").partition("\n")[0]
            assert f"-->\n\n{title}\n" in full

    def test_nothing_is_left_to_sphinx(self, full: str) -> None:
        """No directive, and no picture that only a browser can show."""
        assert not re.search(r"^(`{3,}|:{3,})\{|^\.\. \w+::|^!\[", full, re.MULTILINE)

    def test_programs_and_tables_are_written_out(self, full: str) -> None:
        """Examples of frameworks, the layers of a call, the transitions of a circuit."""
        assert (ROOT / "examples/frameworks/fastapi_orders.py").read_text("utf-8").strip() in full
        assert "`core/layers/retry.py` |" in full
        assert re.search(r"^\| 1 \| .*closed.*open", full, re.MULTILINE)

    def test_the_reference_has_signatures_members_and_first_paragraphs(self, full: str) -> None:
        """In a line each."""
        lines = full.splitlines()
        assert any(
            line.startswith("- `http_service_client.gather(awaitables, *, at_once=") and "`: " in line
            for line in lines
        )
        assert (
            "  - `.raise_for_status()`: Return this response; raise HttpStatusError for a 4xx or 5xx."
            in lines
        )
        (states,) = [line for line in lines if line.startswith("- `http_service_client.errors.SentState`")]
        assert "`NEVER_SENT` (never_sent)" in states

    def test_a_directive_that_nobody_can_write_out_is_an_error(self) -> None:
        """Whoever adds one is told where to say what becomes of it."""
        with pytest.raises(ValueError, match=r"cannot write out \{youtube\}"):
            llms.written_out("```{youtube} abc\n```\n")


@pytest.mark.parametrize(
    ("format", "error", "written"),
    [
        ("html", None, ["llms-full.txt", "llms.txt"]),
        ("html", ValueError("a page"), []),
        ("latex", None, []),
    ],
)
def test_the_site_has_both(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    full: str,
    format: str,
    error: Exception | None,
    written: list[str],
) -> None:
    """At its root, once the pages are built."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # to which the configuration adds
    conf = load("docs/conf.py")
    hooks: dict[str, Any] = {}
    conf.setup(SimpleNamespace(connect=hooks.__setitem__))
    app = SimpleNamespace(builder=SimpleNamespace(format=format), outdir=str(tmp_path))
    hooks["build-finished"](app, error)
    found = {path.name: path.read_text("utf-8") for path in sorted(tmp_path.iterdir())}
    assert list(found) == written
    assert found == {name: {"llms.txt": TEXT, "llms-full.txt": full}[name] for name in written}


def test_the_examples_of_the_script_hold() -> None:
    """Its doctests are run as those of the package are."""
    assert doctest.testmod(llms).failed == 0
