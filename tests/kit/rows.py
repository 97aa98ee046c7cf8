"""A table that one test goes through, row by row.

For rows that are quick and make all that they change. As a test of its own, such a row costs pytest more than it takes;
where rows are slow, or need a fixture that starts afresh, `pytest.mark.parametrize` is right.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup  # pytest needs it, too

__all__ = ["each_row"]

# The last is that of a table within.
_FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception, BaseExceptionGroup)
_Named = type(pytest.param())


def each_row(
    names: str | Sequence[str],
    rows: Iterable[Any],
    ids: Iterable[str] | Callable[[Any], object] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `pytest.mark.parametrize`, in one test: it goes through all rows, and its failure names those that failed.

    Several of them on a test make it go through all combinations. A row cannot be skipped: that is a failure.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    rows = list(rows)
    table = [_values(names, row) for row in rows]
    assert table, "a table without a row"
    given = ids if ids is None or callable(ids) else list(ids)
    assert not isinstance(given, list) or len(given) == len(table), "as many ids as rows"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def all_rows(*args: Any, **kwargs: Any) -> None:
            failures: dict[str, BaseException] = {}
            for number, row in enumerate(table):
                try:
                    test(*args, **kwargs, **row)
                except _FAILURES as error:
                    failures[_name(rows[number], row, given, number)] = error
            if failures:
                message = f"{len(failures)} of {len(table)} rows: {'; '.join(failures)}"
                raise BaseExceptionGroup(message, list(failures.values()))

        left = [parameter for name, parameter in signature.parameters.items() if name not in names]
        all_rows.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]  # for pytest
        return all_rows

    return decorate


def _values(names: list[str], row: Any) -> dict[str, Any]:
    """The values of a row by the names of the test's parameters."""
    if type(row) is _Named:
        assert not row.marks, "a row cannot be marked"
        row = row.values
    elif len(names) == 1:
        row = (row,)
    return dict(zip(names, row, strict=True))


def _name(
    row: Any, values: dict[str, Any], ids: list[str] | Callable[[Any], object] | None, number: int
) -> str:
    if type(row) is _Named and row.id is not None:
        name = str(row.id)
    elif ids is None:
        name = ", ".join(map(_shown, values.values()))
    elif callable(ids):
        name = "-".join(str(ids(value)) for value in values.values())
    else:
        name = ids[number]
    return f"[{number}] {name}"


def _shown(value: Any) -> str:
    try:
        return repr(value)[:60]
    except Exception:  # Python refuses to write an int of thousands of digits, for one
        return type(value).__name__
