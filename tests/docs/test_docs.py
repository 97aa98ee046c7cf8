"""The documentation is true: the tests run every Python sample in it.

They run each ```` ```python ```` block of README.md and of the pages under docs/, and each `>>>` example in a
docstring of the package. The rules for a page:

- A page is one session: its blocks run in order and share their names.
- `await`, `async with` and `async for` work at the top level, all on one event loop per page.
- A block with `>>>` prompts is a doctest: it must print the output that it shows.
- A `text` block that comes right after a program is what the program prints, but for the digits of numbers, which may
  depend on the clock, and for what `…` stands for.
- `https://anything.example.com` is a live server (see docs_server); each host has its own.
- No mark exempts a block. Text that is not a program is `text`, `console` or `ini`.
- A page that imports an extra which is not installed is skipped from that block on.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import gc
import importlib
import inspect
import logging
import re
import sys
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import http_service_client
from kit.docs_server import DocsServer
from kit.rows import each_row

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(http_service_client.__file__).resolve().parent
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if path.exists() and "_build" not in path.parts
]
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)$")
EXAMPLE_HOST = re.compile(r"https?://(?:[a-z0-9-]+\.)*example\.(?:com|org)(?![\w.-]*\w)(?::\d+)?")
# Spellings of Python that the runner would not see.
LOOKALIKE = re.compile(
    r"^(py|py3|python3|pycon|python-repl|ipython.*|python\W.*|\{code(-block|-cell)?\} *i?py.*)$"
)

# Modules of the extras in setup.cfg, which a sample may import beside the package and the standard library.
EXTRAS = {
    *(
        "aioresponses",
        "authlib",
        "botocore",
        "h2",
        "httpx",
        "http_message_signatures",
        "matplotlib",
        "msgspec",
        "neuroglia",
        "opentelemetry",
        "orjson",
        "prometheus_client",
        "pydantic",
        "pythonjsonlogger",
        "structlog",
        "trio",
    ),
    *("requests_mock", "responses"),
}


@dataclass(frozen=True)
class Block:
    """One fenced block: its position, its info string, and its text."""

    page: str
    line: int  # of the first line inside the fence, 1-based
    info: str
    source: str

    @property
    def position(self) -> str:
        return f"{self.page}:{self.line}"

    def numbered(self) -> str:
        """The source as the page shows it, each line with its number there."""
        lines = self.source.splitlines()
        return "\n".join(f"{number:>5}  {line}" for number, line in enumerate(lines, self.line))


def fenced_blocks(page: str, text: str) -> Iterator[Block]:
    """Each fenced block of a Markdown text, also inside lists and notes."""
    lines = iter(enumerate(text.splitlines(), 1))
    directives: list[str] = []  # the fences of the enclosing directives, innermost last
    for _, line in lines:
        opening = FENCE.match(line)
        if opening is None:
            continue
        info, ticks = opening["info"].strip(), opening["ticks"]
        if directives and not info and ticks.startswith(directives[-1]):
            directives.pop()
            continue
        if info.startswith("{") and not info.startswith("{code"):
            directives.append(ticks)  # such as {note}, whose content is Markdown again
            continue
        start, body = 0, []
        for number, inner in lines:
            start = start or number
            closing = FENCE.match(inner)
            if closing and closing["ticks"].startswith(ticks) and not closing["info"].strip():
                break
            body.append(inner)
        yield Block(page, start, info, textwrap.dedent("\n".join(body)) + "\n")


class Page:
    """Runs the blocks of one page, in one namespace and on one event loop."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.loop = asyncio.new_event_loop()
        self.servers = ExitStack()
        self.urls: dict[str, str] = {}

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.names.clear()
        gc.collect()  # an unclosed object warns now, under the name of this page
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        self.servers.close()
        gc.freeze()  # the modules that it imported are not searched after each page that follows
        _reset_loggers()

    def run(self, block: Block, shown: Block | None = None) -> None:
        """Run a block, or fail with its position, its source and the error.   shown: what it prints, on the page."""
        with redirect_stdout(StringIO()) as printed:
            self._run(block)
        text = printed.getvalue()
        if shown is not None and text.strip():
            for host, url in self.urls.items():
                text = text.replace(url, host)
            pattern = ".*".join(map(re.escape, _comparable(shown.source).split("…")))
            assert re.fullmatch(pattern, _comparable(text)), (
                f"{shown.position} shows another output:\n\n{text}"
            )

    def _run(self, block: Block) -> None:
        run = self._run_session if ">>> " in block.source else self._run_program
        try:
            # The address is replaced in the text, so that samples need no names for it.
            run(block, EXAMPLE_HOST.sub(self._live_url, block.source))
        except Exception as error:
            missing = _missing_extra(error)
            if missing is not None:
                pytest.skip(f"{block.position} needs {missing}, an extra that is not installed here")
            report = "".join(traceback.format_exception(type(error), error, _past_this_file(error)))
        else:
            return
        # Outside the except block, or the failure would show the error twice.
        pytest.fail(f"{block.position} failed:\n\n{block.numbered()}\n\n{report}", pytrace=False)

    def _live_url(self, match: re.Match[str]) -> str:
        host = match[0]
        if host not in self.urls:
            self.urls[host] = self.servers.enter_context(DocsServer()).url
        return self.urls[host]

    def _run_program(self, block: Block, source: str) -> None:
        tree = ast.increment_lineno(ast.parse(source, block.page), block.line - 1)
        # The real path, so that tracebacks show the page's own lines.
        filename = str(ROOT / self.page)
        # dont_inherit: this file's `from __future__ import annotations` is not the page's.
        code = compile(tree, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        if code.co_flags & inspect.CO_COROUTINE:
            self.loop.run_until_complete(FunctionType(code, self.names)())
        else:
            exec(code, self.names)

    def _run_session(self, block: Block, source: str) -> None:
        test = doctest.DocTestParser().get_doctest(source, {}, block.page, block.page, block.line - 1)
        test.globs = self.names
        _check(test)


def _comparable(output: str) -> str:
    """Output without what differs from run to run: digits, the ids of calls, spaces around lines."""
    lines = (
        re.sub(r"[0-9a-f]{10,}-[0-9a-f]+|\d+", "0", line).strip() for line in output.strip().splitlines()
    )
    return "\n".join(lines)


def _reset_loggers() -> None:
    """What a page has set on the loggers of the package would change later tests."""
    for name, logger in logging.root.manager.loggerDict.items():
        if name.partition(".")[0] == PACKAGE.name and isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.setLevel(logging.NOTSET)


def _missing_extra(error: BaseException | None) -> str | None:
    """The missing extra that made a sample fail; the package may have wrapped its ModuleNotFoundError."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__ or error.__context__
    name = (error.name or "").partition(".")[0] if error is not None else ""
    return name if name in EXTRAS else None


def _past_this_file(error: BaseException) -> Any:
    """The traceback from the sample on, without the frames of this runner."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename == __file__:
        step = step.tb_next
    return step


def _check(test: doctest.DocTest) -> None:
    report: list[str] = []
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.DocTestRunner(optionflags=flags).run(test, out=report.append, clear_globs=False)
    assert not result.failed, "".join(report)


def _is_output(block: Block, following: Block | None) -> bool:
    """Whether the next block is right after this one, with nothing but an empty line between."""
    if following is None or following.info != "text":
        return False
    return following.line - (block.line + block.source.count("\n")) <= 3


def blocks_of(page: str) -> list[Block]:
    return list(fenced_blocks(page, (ROOT / page).read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES)
def test_every_sample_of_the_page_runs(page: str) -> None:
    """The Python of a page works when a reader copies it, block by block."""
    with Page(page) as session:
        blocks = blocks_of(page)
        for block, following in zip_longest(blocks, blocks[1:]):
            if block.info == "python":
                session.run(block, following if _is_output(block, following) else None)


@each_row("page", PAGES)
def test_no_python_is_hidden_from_the_runner(page: str) -> None:
    """Python is always fenced as `python`, so no sample is skipped."""
    odd = [f"{block.position}: {block.info}" for block in blocks_of(page) if LOOKALIKE.match(block.info)]
    assert not odd, f"write ```python instead: {odd}"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    """A `>>>` example in a docstring prints the output that it shows."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith(PACKAGE.name):
            raise
        pytest.skip(f"{name} needs {missing.name}, an extra that is not installed here")
    tests = [test for test in doctest.DocTestFinder().find(module, name) if test.examples]
    assert tests
    for test in tests:
        _check(test)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """A green build means that the command in the README works."""
    (command,) = [line for line in (ROOT / ".ci/run").read_text().splitlines() if "tox run" in line]
    assert command in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()


class TestTheRunnerItself:
    """A runner that misses mistakes would be worse than no runner."""

    @staticmethod
    def run(text: str) -> dict[str, Any]:
        with Page("sample.md") as page:
            for block in fenced_blocks("sample.md", textwrap.dedent(text)):
                if block.info == "python":
                    page.run(block)
            return dict(page.names)

    def test_blocks_share_names_and_one_event_loop(self) -> None:
        """A name, and an object bound to the loop, exist in the next block."""
        names = self.run("""
            ```python
            import asyncio
            first = asyncio.get_running_loop() if await asyncio.sleep(0, True) else None
            ```

            - in a list:

              ```python
              same = await asyncio.sleep(0, asyncio.get_running_loop() is first)
              ```
        """)
        assert names["same"] is True

    def test_example_hosts_are_live_servers_of_their_own(self) -> None:
        """Two hosts are two origins; one host is one."""
        names = self.run("""
            ```python
            a, b, c = "https://api.example.com/x", "https://pay.example.com/x", "https://api.example.com/y"
            from urllib.request import urlopen
            status = urlopen("https://api.example.com/orders/42").status
            ```
        """)
        assert names["status"] == 200
        assert names["a"].removesuffix("x") == names["c"].removesuffix("y") != names["b"].removesuffix("x")

    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("\n```python\nx = 1\nx / 0\n```\n", ["sample.md:3 failed", "    4  x / 0", "ZeroDivisionError"]),
            ("```python\n>>> 1 + 1\n3\n```\n", ["sample.md:2 failed", "Expected:", "Got:"]),
            ("```python\nassert await anext_is_missing()\n```\n", ["sample.md:2 failed", "NameError"]),
            ("```python\ndef broken(:\n```\n", ["sample.md:2 failed", "SyntaxError"]),
        ],
        ids=["program", "session", "coroutine", "syntax"],
    )
    def test_a_failure_names_page_line_and_source(self, text: str, parts: list[str]) -> None:
        """A broken sample is found without searching."""
        with pytest.raises(pytest.fail.Exception) as failure:
            self.run(text)
        assert [part for part in parts if part not in str(failure.value)] == []

    def test_a_page_is_skipped_where_an_extra_is_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """neuroglia, for one, cannot be installed on Python 3.14."""
        monkeypatch.setitem(sys.modules, "neuroglia", None)  # so that importing it fails
        with pytest.raises(pytest.skip.Exception, match=r"sample\.md:2 needs neuroglia"):
            self.run("```python\nimport neuroglia.hosting\n```\n")

    def test_an_unknown_module_is_a_failure(self) -> None:
        """A misspelt import does not pass for a missing extra."""
        with pytest.raises(pytest.fail.Exception, match="ModuleNotFoundError"):
            self.run("```python\nimport neuroglai\n```\n")

    @pytest.mark.parametrize(
        "info", ["py", "python no-run", "python {.no-run}", "pycon", "{code-block} python"]
    )
    def test_other_spellings_of_python_are_found(self, info: str) -> None:
        """No other spelling bypasses the runner."""
        (block,) = fenced_blocks("sample.md", f"```{info}\nx\n```\n")
        assert LOOKALIKE.match(block.info)

    def test_blocks_inside_directives_are_found(self) -> None:
        """The runner also runs the samples in notes."""
        text = "````{note}\n```python\nx = 1\n```\n````\n:::{tip}\n```python\ny = 1\n```\n:::\n"
        assert [block.source for block in fenced_blocks("p", text)] == ["x = 1\n", "y = 1\n"]
