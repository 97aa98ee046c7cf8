"""Documents the package by its public names only.

The public modules are listed in `tests/architecture/rooms.py`. `api.md` names each class by its public path;
autodoc records the internal module as the canonical name, so that references in annotations find it. This
extension adds:

- a default is shown as a reader would write it: `{}` for a factory, `10_485_760`, and `...` if a missing
  argument differs from every value;
- a signature is omitted if it says nothing (enumerations, protocols, errors) or is not for users
  (responses that only a client makes);
- the keywords that all verbs share are listed for `request` alone, though each verb's docstring has them for
  editors;
- the comment beside a member of an enumeration is its description;
- a page that names an internal module causes a warning, even if the name comes from a docstring.

Only `setup` needs Sphinx; tests run the rest without it.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import io
import re
import runpy
import textwrap
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "http_service_client"
ROOMS = Path(__file__).resolve().parents[2] / "tests/architecture/rooms.py"
PUBLIC_MODULES: list[str] = ["", *runpy.run_path(str(ROOMS))["PUBLIC_MODULES"]]

_DOTTED = re.compile(rf"\b{PACKAGE}((?:\.\w+)+)")
_MADE_BY_CLIENTS = {"AsyncStreamedResponse", "ResilienceMiddleware", "StreamedResponse", "Timeline"}
# Names of spans' attributes and events, and of metrics: see docs/opentelemetry.md.
_TELEMETRY = {
    *(
        "fallbacks",
        "chaos.injections",
        "chaos.kind",
        "fallback.source",
        "hedge.result",
        "hedges",
        "cache.requests",
        "cache.result",
        "host",
        "host.changes",
        "call.duration",
        "call.id",
        "circuit",
        "circuit.changes",
        "reason",
    ),
    *(
        "redirect_followed",
        "refusals",
        "retries",
        "retry_scheduled",
        "sent_state",
        "state",
        "wait.duration",
        "wait.kind",
    ),
}
# Of policies, for the pipeline.
_OF_STRATEGIES = {"guard", "rank", "repeats", "used_clock"}
_SENTINELS = {"Unset", "_ClientDefault"}
# A default whose name is private, or a sentinel: neither means anything to a reader.
# What stands before a type variable, a single capital letter.
_TYPE_VARIABLE = re.compile(r"~(?:[\w.]+\.)?~?(?=[A-Z]\b)")
_LEAK = re.compile(r"= _\w+|\bUNSET\b|\bCLIENT_DEFAULT\b")


def public_module(name: str) -> ModuleType:
    """A module by its name inside the package; "" for the package itself."""
    return importlib.import_module(f"{PACKAGE}.{name}" if name else PACKAGE)


def is_public(dotted: str) -> bool:
    """Whether a dotted name is a public module, a logger, or a name in our telemetry, or starts with a public name.

    >>> (
    ...     is_public("http_service_client.policies.RetryPolicy.apply"),
    ...     is_public("http_service_client.policies.retry"),
    ... )
    (True, False)
    """
    parts = dotted.split(".")[1:]
    if len(parts) == 1 and parts[0] in public_module("drivers.loggers").BRANCHES:
        return True
    if ".".join(parts) in _TELEMETRY:
        return True
    for length in range(len(parts), -1, -1):
        if ".".join(parts[:length]) in PUBLIC_MODULES:
            names = getattr(public_module(".".join(parts[:length])), "__all__", [])
            return not parts[length:] or parts[length] in names
    return False


def internal_names(text: str) -> list[str]:
    """The dotted names of the package in a text that are not public."""
    return sorted({match[0] for match in _DOTTED.finditer(text) if not is_public(match[0])})


# ---- signatures -------------------------------------------------------------------------------


class _Shown:
    """A default value with the `repr` that the page shows."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def shown_default(value: Any) -> Any:
    """A default as a reader would write it; the value itself if its `repr` already reads well.

    A function of the package's own that is not public is shown as "...".

    >>> import random, time
    >>> (
    ...     shown_default(10 * 2**20),
    ...     shown_default(time.monotonic),
    ...     shown_default(random.random),
    ...     shown_default(5),
    ... )
    (10_485_760, time.monotonic, random.random, 5)
    """
    if type(value).__name__ in _SENTINELS:
        return _Shown("...")
    if isinstance(value, enum.Enum):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 10_000:
        return _Shown(f"{value:_}")
    if callable(value) and hasattr(value, "__name__"):
        # A builtin belongs to its module; a method of an object, to the module of its class.
        owner = getattr(value, "__self__", None)
        is_method = owner is not None and not isinstance(owner, ModuleType)
        name = f"{type(owner).__module__ if is_method else value.__module__}.{value.__name__}"
        return _Shown("..." if internal_names(name) else name)
    return _Shown(f"{type(value).__name__}()") if repr(value).startswith("<") else value


def shown_factory(factory: Callable[[], Any]) -> Any:
    """The product of a default factory, as a reader would write it."""
    made = factory()
    return dict(made) if isinstance(made, Mapping) else _Shown(f"{type(made).__name__}()")


def with_shown_defaults(function: Any) -> None:
    """Give a function a signature with readable defaults, and remove the internal annotation of `**options`.

    One table in docs/configuration.md lists the keywords behind `**options` for all verbs.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    factories = _factories(function)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and "Unpack" in str(parameter.annotation):
            getattr(function, "__annotations__", {}).pop(parameter.name, None)
            parameter = parameter.replace(annotation=inspect.Parameter.empty)
        if parameter.name in factories:
            parameter = parameter.replace(default=shown_factory(factories[parameter.name]))
        elif parameter.default is not inspect.Parameter.empty:
            parameter = parameter.replace(default=shown_default(parameter.default))
        parameters.append(parameter)
    try:
        function.__signature__ = signature.replace(parameters=parameters)
    except AttributeError:  # a bound method or a builtin
        return


def _factories(function: Any) -> dict[str, Callable[[], Any]]:
    """The default factories of a dataclass, by field; function: its generated `__init__`."""
    owner, _, name = getattr(function, "__qualname__", "").rpartition(".")
    cls = getattr(inspect.unwrap(function), "__globals__", {}).get(owner)
    if name != "__init__" or not is_dataclass(cls):
        return {}
    return {item.name: item.default_factory for item in fields(cls) if item.default_factory is not MISSING}


def with_plain_type_variables(text: str | None) -> str | None:
    """A part of a signature with the type variables as in the source, without module and variance.

    >>> with_plain_type_variables(
    ...     "(function: ~collections.abc.Callable[[~P], ~package.retry.R], *args: ~typing.~P)"
    ... )
    '(function: ~collections.abc.Callable[[P], R], *args: P)'
    """
    return None if text is None else _TYPE_VARIABLE.sub("", text)


def has_no_signature(cls: Any) -> bool:
    """Whether the arguments of a class say nothing, or are not for users."""
    if not inspect.isclass(cls):
        return False
    if issubclass(cls, BaseException):
        return cls.__base__ is not Exception  # the root shows the arguments of all errors
    return (
        issubclass(cls, enum.Enum) or getattr(cls, "_is_protocol", False) or cls.__name__ in _MADE_BY_CLIENTS
    )


# ---- docstrings -------------------------------------------------------------------------------


def without_shared_keywords(lines: list[str], shared: str) -> list[str]:
    """A verb's docstring without the lines that it shares with that of `request`.

    >>> shared = "Make a call.\\n\\njson: a body.\\nresponse_type: a type."
    >>> without_shared_keywords(["GET a file.", "path: of the file.", "json: a body.", "Raises."], shared)[2:]
    ['', 'Keywords as for `request`, except response_type.', '', 'Raises.']
    """
    known = {line.strip() for line in shared.splitlines()[1:] if line.strip()}
    repeated = [line.strip() in known for line in lines]
    if not any(repeated):
        return lines
    first = repeated.index(True)
    kept = [
        line for line, is_repeated in zip(lines[first:], repeated[first:], strict=True) if not is_repeated
    ]
    is_without_type = not any(line.strip().startswith("response_type:") for line in lines)
    exception = ", except response_type" if is_without_type else ""
    return [*lines[:first], "", f"Keywords as for `request`{exception}.", "", *kept]


def member_lines(cls: type[enum.Enum]) -> list[str]:
    """A list of the members, each with the comment beside it.

    >>> from http_service_client import CircuitBreakerState
    >>> member_lines(CircuitBreakerState)[0]
    '- ``CLOSED`` = ``"closed"``: calls pass, failures in a row are counted'
    """
    source = textwrap.dedent(inspect.getsource(cls))
    comments = {
        source.splitlines()[token.start[0] - 1].partition("=")[0].strip(): token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    lines = []
    for member in cls:
        value = f'"{member.value}"' if isinstance(member.value, str) else repr(member.value)
        comment = comments.get(member.name)
        lines.append(f"- ``{member.name}`` = ``{value}``" + (f": {comment}" if comment else ""))
    return lines


def is_field_of_a_tuple(item: Any) -> bool:
    """Whether a member has only the generated docstring "Alias for field number …"."""
    return str(getattr(item, "__doc__", "")).startswith("Alias for field number")


# ---- Sphinx -----------------------------------------------------------------------------------


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    from sphinx.util import logging

    logger = logging.getLogger(__name__)

    def before_signature(_app: Any, item: Any, _is_bound: bool) -> None:
        with_shown_defaults(item)

    def signature(
        _app: Any, what: str, _name: str, item: Any, _options: Any, arguments: str | None, returns: str | None
    ) -> tuple[str | None, str | None]:
        if what in {"class", "exception"} and has_no_signature(item):
            return "", ""
        return with_plain_type_variables(arguments), with_plain_type_variables(returns)

    def shared(_app: Any, what: str, name: str, _item: Any, _options: Any, lines: list[str]) -> None:
        client = public_module("").HttpServiceClient
        if (
            what == "method"
            and name.startswith(f"{PACKAGE}.{client.__name__}.")
            and not name.endswith(".request")
        ):
            lines[:] = without_shared_keywords(lines, client.request.__doc__)

    def members(_app: Any, what: str, _name: str, item: Any, _options: Any, lines: list[str]) -> None:
        if what == "class" and issubclass(item, enum.Enum):
            lines += ["", *member_lines(item), ""]

    def skip(_app: Any, _what: str, name: str, item: Any, _skip: bool, _options: Any) -> bool | None:
        return True if name in _OF_STRATEGIES or is_field_of_a_tuple(item) else None

    def check(_app: Any, doctree: Any, page: str) -> None:
        text = doctree.astext()
        for name in internal_names(text):
            logger.warning("%s names %s, which is not public", page, name, location=page)
        for leak in _LEAK.findall(text) if page == "api" else ():
            logger.warning("%s shows %s, which is internal", page, leak, location=page)

    app.connect("autodoc-before-process-signature", before_signature)
    app.connect("autodoc-process-signature", signature)
    # Before plain_docstrings, which has priority 500, and after it, because the list of members is markup already.
    app.connect("autodoc-process-docstring", shared, priority=400)
    app.connect("autodoc-process-docstring", members, priority=600)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-resolved", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
