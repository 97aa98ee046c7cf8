"""Writes what a language model should read about this package, from the pages of the documentation.

    python docs/llms.py                        llms.txt, at the root of the checkout
    python docs/llms.py --full > llms-full.txt

`llms.txt` (the form of https://llmstxt.org) has the summary and the groups of docs/index.md, and the rules of
docs/assistants.md. `llms-full.txt` is the pages themselves, one after the other, without those on the project itself. The
first is kept in the repository, and a test says when it is out of date. The second repeats the pages, so it is made when
the site is built: both are at its root.

What a page leaves to Sphinx is written out: included files, tables from the code, signatures with their docstrings.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

_DOCS = Path(__file__).resolve().parent
_ROOT = _DOCS.parent
_URL = "https://raw.githubusercontent.com/http-service-client/http-service-client/main/"

PROJECT = "The project"
"""The group of pages that a user of the package can do without."""

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_FENCE = re.compile(r"^(`{3,}|:{3,})\{([\w-]+)\}[ ]*(.*)\n((?:.*\n)*?)\1[ ]*$", re.MULTILINE)
_OPTION = re.compile(r"^:[\w-]+:.*\n", re.MULTILINE)
_COMMENT = re.compile(r"^<!--.*-->\n", re.MULTILINE)
_PICTURE = re.compile(r"^!\[([^\]]*)\]\([^)]*\)$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^\.\. (?:py:|auto)(\w+):: (\S+)\n((?: {3}.*\n|\n(?= {3}))*)", re.MULTILINE)


class Page(NamedTuple):
    """A page as docs/index.md lists it. file: from the root of the checkout."""

    title: str
    file: str
    note: str


def groups() -> dict[str, list[Page]]:
    """The pages by the headings of docs/index.md."""
    index = (_DOCS / "index.md").read_text("utf-8")
    found = {}
    for heading, text in re.findall(r"^## (.+)\n\n((?:.+\n)+)", index, re.MULTILINE):
        items = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
        found[heading] = [_page(" ".join(item.split())) for item in items]
    return found


def _page(item: str) -> Page:
    title, name, note = re.fullmatch(r"\[([^\]]+)\]\(([^)]+)\)[:,]? *(.*)", item).groups()  # type: ignore[union-attr]
    source = (_DOCS / name).read_text("utf-8")
    included = re.match(r"```\{include\} \.\./(\S+)", source)
    return Page(title, included[1] if included else f"docs/{name}", _LINK.sub(r"\1", note))


def llms() -> str:
    """The text of llms.txt."""
    index = (_DOCS / "index.md").read_text("utf-8")
    title, _, rest = index.partition("\n")
    summary = " ".join(rest.partition("\n## ")[0].split())
    guide = (_DOCS / "assistants.md").read_text("utf-8")
    rules = guide.partition("\n## Rules\n\n")[2].partition("\n## ")[0]
    parts = [title, f"> {summary}", "Rules for code that uses it:", _LINK.sub(r"\1", rules).strip()]
    for heading, pages in groups().items():
        lines = [f"- [{page.title}]({_URL}{page.file}): {page.note}" for page in pages]
        parts += [f"## {'Optional' if heading == PROJECT else heading}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def llms_full() -> str:
    """The text of llms-full.txt: each page after a line with its name, which is that of links to it."""
    index = (_DOCS / "index.md").read_text("utf-8").partition("\n## ")[0]
    parts = [index.strip()]
    for heading, pages in groups().items():
        if heading != PROJECT:
            for page in pages:
                text = (_ROOT / page.file).read_text("utf-8")
                parts.append(f"<!-- {Path(page.file).name} -->\n\n{written_out(text)}")
    return "\n\n".join(parts) + "\n"


def written_out(text: str) -> str:
    """A page without what only Sphinx can read.

    >>> written_out("![A retry storm](_static/storm.svg)")
    '(Picture: A retry storm)'
    """
    return _PICTURE.sub(r"(Picture: \1)", _FENCE.sub(_replaced, _COMMENT.sub("", text))).strip()


def _replaced(fence: re.Match[str]) -> str:
    _, name, argument, body = fence.groups()
    if name not in _WRITERS:
        raise ValueError(f"docs/llms.py cannot write out {{{name}}}; add it to its table")
    return _WRITERS[name](argument, _OPTION.sub("", body)).strip()


def _extension(name: str) -> ModuleType:
    """One of the extensions of Sphinx beside the pages, which need no Sphinx themselves."""
    sys.path.insert(0, str(_DOCS / "_ext"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def _program(path: str, body: str) -> str:
    return f"```python\n{(_DOCS / path).read_text('utf-8').strip()}\n```"


def _note(title: str, body: str) -> str:
    return f"{title}\n{body}"


def _table(name: str) -> Callable[[str, str], str]:
    def write(argument: str, body: str) -> str:
        head, *rows = getattr(_extension("diagrams"), name)()
        lines = [head, ["---"] * len(head), *rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)

    return write


def _reference(argument: str, body: str) -> str:
    return _DIRECTIVE.sub(_entry, body)


def _entry(directive: re.Match[str]) -> str:
    kind, dotted, rest = directive.groups()
    found = named(dotted)
    lines = [_line(dotted, found)]
    if kind == "data":
        words = " ".join(_OPTION.sub("", rest.replace("   ", "")).split())
        lines = [f"- `{dotted}`: {words or _first_paragraph(found)}"]
    elif kind == "module":
        lines += [
            _line(f"{dotted}.{name}", member)
            for name, member in ((name, getattr(found, name)) for name in found.__all__)
            if inspect.isclass(member) or inspect.isfunction(member)
        ]
    else:
        options = dict(re.findall(r"^ *:([\w-]+):[ ]*(.*)", rest, re.MULTILINE))
        shown = _names(options.get("members", ""))
        if "members" in options and not shown:
            shown = _public_members(found)
        hidden = _names(options.get("exclude-members", ""))
        lines += [
            f"  {_line(f'.{name}', inspect.getattr_static(found, name, None))}"
            for name in shown
            if name not in hidden
        ]
    return "\n".join(lines) + "\n"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def named(dotted: str) -> Any:
    """The object with a dotted name."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise LookupError(dotted)


def _public_members(cls: Any) -> list[str]:
    """Methods and properties, those of its own base classes first."""
    own = [base for base in reversed(cls.__mro__) if base.__module__.startswith("http_service_client")]
    kinds = (property, classmethod, staticmethod)
    return [
        name
        for name in dict.fromkeys(name for base in own for name in vars(base))
        if not name.startswith("_")
        and (callable(member := inspect.getattr_static(cls, name)) or isinstance(member, kinds))
    ]


def _line(name: str, found: Any) -> str:
    return f"- `{name}{_signature(found)}`: {_first_paragraph(found)}{_members(found)}".rstrip(": ")


def _members(found: Any) -> str:
    """Those of an enumeration."""
    if not isinstance(found, type) or not issubclass(found, Enum):
        return ""
    return " Members: " + ", ".join(f"`{member.name}` ({member.value})" for member in found)


def _signature(found: Any) -> str:
    if isinstance(found, (classmethod, staticmethod)):
        found = found.__func__
    if not callable(found) or (isinstance(found, type) and _says_nothing(found)):
        return ""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return ""
    words = []
    for each in parameters:
        if each.name.startswith("_") or each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and "*" not in words:
            words.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        words.append(f"{stars}{each.name}{_default(each.default)}")
    return f"({', '.join(words)})"


def _says_nothing(cls: type) -> bool:
    return bool(_extension("public_names").has_no_signature(cls)) or issubclass(cls, tuple)


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return ""
    shown = repr(value)
    return "=…" if len(shown) > 30 or shown.startswith("<") else f"={shown}"


def _first_paragraph(found: Any) -> str:
    if isinstance(found, (classmethod, staticmethod)):
        found = found.__func__
    return " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].split()).replace("``", "`")


_WRITERS: dict[str, Callable[[str, str], str]] = {
    "literalinclude": _program,
    "note": _note,
    "tip": _note,
    "warning": _note,
    "eval-rst": _reference,
    "pipeline-diagram": _table("pipeline_table"),
    "breaker-diagram": _table("breaker_table"),
    "rooms-diagram": _table("rooms_table"),
}


def main(arguments: list[str]) -> None:
    """Write llms.txt, or print all pages."""
    sys.path.insert(0, str(_ROOT))  # the checkout, not an installed copy
    if arguments == ["--full"]:
        sys.stdout.write(llms_full())
    elif arguments:
        sys.exit("usage: python docs/llms.py [--full]")
    else:
        (_ROOT / "llms.txt").write_text(llms(), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
