"""Checks of settings: one sentence for each kind of mistake, with field, value and remedy."""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import FrozenInstanceError
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from ..errors import ConfigurationError

__all__ = [
    "check_count",
    "check_duration",
    "check_flag",
    "check_function",
    "check_no_line_break",
    "check_number",
    "class_remedy",
    "did_you_mean",
    "is_async",
    "is_generator",
    "is_plain",
    "keyword_remedy",
    "known_remedy",
    "nearest",
    "refuse_awaitable",
    "remedies",
    "shown",
    "suggests_arguments",
    "suggests_keywords",
    "verdict_of",
    "warn_of_milliseconds",
]

_OURS = __name__.partition(".")[0] + ".", "dataclasses"  # modules in which no user wrote the value

Class = TypeVar("Class", bound=type)
Method = TypeVar("Method", bound=Callable[..., Any])

Remedies = Mapping[str, str] | Callable[[], Mapping[str, str]]


def shown(value: object) -> str:
    """A value in a message, be it one that Python refuses to show: nested too deeply, or a number of too many digits.

    A class is shown by its name: the path of its module is no part of the interface.
    """
    if isinstance(value, type):
        return value.__name__
    try:
        return repr(value)
    except (RecursionError, ValueError):
        return f"a value of the type {type(value).__name__} that is too large to be shown"


def class_remedy(value: object) -> str:
    """What to write where an object is needed and its class was given; empty for anything else."""
    return f"; write {value.__name__}(…)" if isinstance(value, type) else ""


def check_duration(
    field: str, value: object, *, optional: bool = True, no_limit: str = "use None for no limit"
) -> None:
    """Raise ConfigurationError unless `value` is a positive, finite number of seconds.

    optional: None is allowed.   no_limit: how the user of this field writes "no limit", then.
    """
    if value is None and optional:
        return
    if not (_is_finite(value) and value > 0):  # type: ignore[operator]  # it is a number here
        remedy = _as_seconds(value) or (f"; {no_limit}" if optional else "")
        raise ConfigurationError(
            f"{field} must be a positive, finite number of seconds, not {shown(value)}{remedy}"
        )


def check_number(
    field: str, value: object, *, least: float = 0, most: float = math.inf, unit: str = ""
) -> None:
    """Raise ConfigurationError unless `value` is a finite number from `least` to `most`."""
    if not (_is_finite(value) and least <= value <= most):  # type: ignore[operator]  # it is a number here
        span = f"of {least:g} or more" if most == math.inf else f"from {least:g} to {most:g}"
        remedy = _as_seconds(value) if unit == "of seconds " else _as_share(value, least, most)
        raise ConfigurationError(f"{field} must be a finite number {unit}{span}, not {shown(value)}{remedy}")


def _as_seconds(value: object) -> str:
    """How to write a duration of another kind in seconds; empty for a number, and for what is no duration."""
    if isinstance(value, str):  # a file or a variable may have units, but not such a text
        return "; write a number; files and environment variables may have text such as '250ms', '1.5s', '2m' or '1h'"
    if isinstance(value, timedelta):
        return "; write its total_seconds()"
    if _is_finite(getattr(value, "total", None)):  # a Timeout, which has several limits
        return "; write its total"
    if type(value).__name__ == "Timeout":  # of httpx or urllib3
        return "; write a number, or for a call the Timeout of http_service_client"
    return "; write float(…) of it" if type(value).__name__ == "Decimal" else ""


def _as_share(value: object, least: float, most: float) -> str:
    """How to write a percentage as a share; empty where no share is asked for, and for what is no percentage."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            percent = float(value[:-1])
        except ValueError:
            return ""
    elif _is_finite(value) and value >= 5:  # type: ignore[operator]  # 1.5 may be a share that is too large, or a factor
        percent = float(value)  # type: ignore[arg-type]
    else:
        return ""
    is_meant = most <= 1 and least <= percent / 100 <= most
    return f"; write {percent / 100:g} for {percent:g} %" if is_meant else ""


def warn_of_milliseconds(field: str, value: float | None) -> None:
    """Warn of the limit of an attempt, in seconds, if it was surely meant in milliseconds.

    An attempt of 30000 s would take more than eight hours. A multiple of half an hour, such as 7200 or 86400, may be meant.
    """
    if value is None or not 5_000 <= value <= 600_000 or value % 500 or not value % 1800:
        return
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(
        f"{field}={value:g} is {value / 3600:.1f} hours, since durations are in seconds; "
        f"write {value / 1000:g} if milliseconds are meant, or filter this warning if hours are",
        UserWarning,
        stacklevel=depth,
    )


def check_count(field: str, value: object, *, least: int = 1, unit: str = "") -> None:
    """Raise ConfigurationError unless `value` is a whole number of `least` or more."""
    if type(value) is not int or value < least:
        raise ConfigurationError(
            f"{field} must be a whole number {unit}of {least} or more, not {shown(value)}"
        )
    if value > sys.maxsize:  # beyond it, a count cannot be calculated with
        raise ConfigurationError(f"{field} must be at most {sys.maxsize}, not {shown(value)}")


def check_flag(field: str, value: object) -> None:
    """Raise ConfigurationError unless `value` is True or False."""
    if type(value) is not bool:
        raise ConfigurationError(f"{field} must be True or False, not {value!r}")


_LONGEST_NAME = 100


def check_call_name(name: object) -> None:
    """Raise ConfigurationError unless this can name a kind of call in logs and metrics."""
    if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ConfigurationError(
            f"name must be a short text in one line, such as 'charge card', of at most {_LONGEST_NAME} characters, "
            f"not {name[:_LONGEST_NAME] if isinstance(name, str) else name!r}"
        )


def check_no_line_break(field: str, value: object) -> None:
    """Raise ConfigurationError for text with a control character in it: files of secrets often end with a line break.

    A service that compares such a secret, or a signature by it, says only that it is wrong.
    """
    if isinstance(value, str) and any(character < " " or character == "\x7f" for character in value):
        raise ConfigurationError(
            f"{field} has a line break, or another control character, in it; strip it, by value.strip() say"
        )


def check_function(field: str, value: object) -> None:
    """Raise ConfigurationError unless `value` is a plain function.

    Nobody would await an async one. One with a `yield` would never begin, and the generator that it returns is always true.
    """
    if not callable(value):
        raise ConfigurationError(f"{field} must be a function, not {value!r}")
    if is_async(value):
        raise ConfigurationError(
            f"{field} must be a plain function, not the async {value!r}, which nobody would await"
        )
    if is_generator(value):
        raise ConfigurationError(
            f"{field} must be a plain function, not {value!r}, whose yield makes it a generator, which nobody would iterate over"
        )


def is_async(function: object) -> bool:
    """Whether it is an `async def`, without a yield; or an object whose `__call__` is one."""
    return any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))


def is_plain(function: object) -> bool:
    """Whether it is a function whose result is there when it returns."""
    return callable(function) and not is_async(function) and not is_generator(function)


def is_generator(function: object) -> bool:
    """Whether it is a `def` or an `async def` with a yield; or an object whose `__call__` is one."""
    kinds = inspect.isgeneratorfunction, inspect.isasyncgenfunction
    return any(is_kind(each) for is_kind in kinds for each in (function, type(function).__call__))


def verdict_of(value: object) -> bool:
    """Whether what a user's function returned is true. Raises TypeError for an awaitable, which would always be."""
    if type(value) is bool:
        return value
    refuse_awaitable(value)
    return bool(value)


def refuse_awaitable(value: object) -> None:
    """Raise TypeError if what a user's function returned would have to be awaited, as with ``lambda it: notify(it)``."""
    if hasattr(type(value), "__await__"):
        message = f"it returned {value!r}, which nobody awaits; it must be a plain function"
        if inspect.iscoroutine(value):
            value.close()  # the error says it all, and Python would warn that it was never awaited
        raise TypeError(message)


def did_you_mean(name: object, known: Iterable[str]) -> str | None:
    """The known name that this one may be a misspelling of, as a question; None when none is similar."""
    near = nearest(name, known)
    return None if near is None else f"did you mean {near!r}?"


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that this one may be a misspelling of; None when none is similar."""
    import difflib  # for a mistake only

    return next(iter(difflib.get_close_matches(str(name), list(known), n=1)), None)


_MILLISECONDS = ("_ms", "_millis", "_milliseconds")


def known_remedy(name: object, known: Iterable[str], *tables: Mapping[str, str]) -> str | None:
    """The first remedy for a name that is unknown here, else the known name that it may be a misspelling of.

    Java, C#, Go and JavaScript write names such as maxAttempts or MaxAttempts, and many of them have milliseconds.

    >>> known_remedy("sockConnect", ["connect"], {"sock_connect": "it is called connect"})
    'it is called connect'
    >>> known_remedy("timeout_ms", ["timeout"])
    "did you mean 'timeout', in seconds?"
    """
    plain = _in_snake_case(str(name))
    stem = next((plain.removesuffix(unit) for unit in _MILLISECONDS if plain.endswith(unit)), plain)
    remedy = next((it[stem] for it in tables if stem in it), None) or did_you_mean(stem, known)
    if remedy is None or stem == plain:
        return remedy
    return f"{remedy[:-1]}, in seconds?" if remedy.endswith("?") else f"{remedy}, in seconds"


def _in_snake_case(name: str) -> str:
    """``maxAttempts``, ``TLSHandshake`` and ``baseURL`` as Python writes them."""
    import re  # for a mistake only

    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def remedies(names: Mapping[str, str]) -> dict[str, str]:
    """Each name of another library with its remedy.   names: what to write, and the names instead of which it is written.

    >>> remedies({"it is called max_wait": "timeout max_delay"})
    {'timeout': 'it is called max_wait', 'max_delay': 'it is called max_wait'}
    """
    return {name: remedy for remedy, those in names.items() for name in those.split()}


_RENAMED: dict[type, Remedies] = {}


def keyword_remedy(name: object, known: Iterable[str], *takers: type) -> str | None:
    """What to write instead of an unknown keyword of these classes; None for no idea.   known: their keywords.

    The last class comes first: that of a retry policy would refer to its backoff, whose keywords are beside its own here.
    """
    tables = (_RENAMED[taker] for taker in reversed(takers) if taker in _RENAMED)
    return known_remedy(name, known, *(it() if callable(it) else it for it in tables))


def suggests_keywords(renamed: Remedies) -> Callable[[Class], Class]:
    """A class decorator: an unknown keyword of the constructor is a TypeError that says what to write instead.

    So are too many arguments by position, a policy that is used as a decorator before it is made, and an assignment to a
    field of a frozen dataclass, which remains a FrozenInstanceError.

    renamed: the remedies for keywords that other libraries, or other classes here, use; or a function that knows them, called
        when there is a mistake.
    """

    def decorate(kind: Class) -> Class:
        init: Any = kind.__init__  # type: ignore[misc]  # of this very class
        # `inspect.signature` takes a hundred times as long, at each import.
        code = inspect.unwrap(init).__code__
        most, end = code.co_argcount - 1, code.co_argcount + code.co_kwonlyargcount
        known, by_name_only = set(code.co_varnames[1:end]), code.co_varnames[most + 1 : end]
        takes_any = bool(code.co_flags & inspect.CO_VARARGS)

        @wraps(init)
        def init_or_suggest(self: object, *values: Any, **named: Any) -> None:
            for name in named:
                if name not in known:
                    remedy = keyword_remedy(name, sorted(known), kind)
                    raise TypeError(
                        f"{kind.__name__} takes no keyword {name!r}{f'; {remedy}' if remedy else ''}"
                    )
            if values and inspect.isfunction(values[0]) and hasattr(kind, "apply"):
                or_by_name = ", or function=…" if "function" in known else ""
                raise TypeError(
                    f"{kind.__name__} takes no function by position; "
                    f"as a decorator write @{kind.__name__}(…).apply{or_by_name}"
                )
            if len(values) > most and not takes_any:
                count = f"{most} argument{'' if most == 1 else 's'}" if most else "no arguments"
                raise TypeError(
                    f"{kind.__name__} takes {count} by position, and {len(values)} {'was' if len(values) == 1 else 'were'} given; "
                    f"write them by name: {', '.join(f'{name}=…' for name in by_name_only[:4])}"
                )
            init(self, *values, **named)

        kind.__init__ = init_or_suggest  # type: ignore[misc]
        if hasattr(kind, "__dataclass_fields__"):
            kind.__setattr__ = _refusing_assignments(kind)  # type: ignore[method-assign, assignment]
        _RENAMED[kind] = renamed
        return kind

    return decorate


def suggests_arguments(
    remedy: Callable[[str], str | None], *, several: str | None = None
) -> Callable[[Method], Method]:
    """A decorator of functions: an unknown keyword is a TypeError that says what to write instead.

    remedy: called with the keyword; None where a misspelling is all that it can be.
    several: what to write where there are several arguments by position, of a function that takes one.
    """

    def decorate(method: Method) -> Method:
        known = list(inspect.signature(method).parameters)

        def check(values: Sequence[Any], named: Mapping[str, Any]) -> None:
            for name in named:
                if name not in known:
                    instead = remedy(name) or known_remedy(name, known[1:]) or "see its docstring"
                    raise TypeError(f"{method.__name__} takes no keyword {name!r}; {instead}")
            if several is not None and len(values) > 1:
                raise TypeError(
                    f"{method.__name__} takes 1 argument by position, and {len(values)} were given; {several}"
                )

        def checked(*values: Any, **named: Any) -> Any:
            check(values, named)
            return method(*values, **named)

        async def checked_async(*values: Any, **named: Any) -> Any:
            check(values, named)
            return await method(*values, **named)

        wrapper: Any = checked_async if inspect.iscoroutinefunction(method) else checked
        decorated: Any = wraps(method)(wrapper)
        return decorated  # type: ignore[no-any-return]  # it takes and returns what the method does

    return decorate


def _refusing_assignments(kind: Any) -> Callable[[object, str, object], None]:
    assign = kind.__setattr__  # it lets a user's subclass have attributes of its own

    def set_or_suggest(self: object, name: str, value: object) -> None:
        try:
            assign(self, name, value)
        except FrozenInstanceError:
            message = (
                f"{name} of {kind.__name__} cannot be assigned; write dataclasses.replace(settings, {name}=…)"
            )
            raise FrozenInstanceError(message) from None

    return set_or_suggest


def _is_finite(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # NaN fails every comparison; a whole number may be too large for a float.
    return is_number and -sys.float_info.max <= value <= sys.float_info.max  # type: ignore[operator]
