"""A table that one test goes through, row by row.

For laws of pure functions. As a test of its own, a row costs pytest more than such a function takes; where rows take
longer, or need fixtures that start afresh, `pytest.mark.parametrize` is right.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup  # pytest needs it, too

__all__ = ["each_row"]

_FAILURES = (Exception, pytest.fail.Exception, pytest.skip.Exception)


def each_row(
    names: str | Sequence[str],
    rows: Iterable[Any],
    ids: Sequence[str] | Callable[[Any], object] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """As `pytest.mark.parametrize`, in one test: it goes through all rows, and its failure names those that failed.

    Several of them on a test make it go through all combinations. A row cannot be skipped: that is a failure.
    """
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    name_of = ids if ids is None or callable(ids) else iter(ids)
    table = [_row(names, row, name_of) for row in rows]
    assert table, "a table without a row"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def all_rows(*args: Any, **kwargs: Any) -> None:
            failures: list[BaseException] = []
            failed: list[str] = []
            for name, row in table:
                try:
                    test(*args, **kwargs, **row)
                except _FAILURES as error:
                    failures.append(error)
                    failed.append(name)
            if failures:
                raise BaseExceptionGroup(f"{len(failed)} of {len(table)} rows: {'; '.join(failed)}", failures)

        left = [parameter for name, parameter in signature.parameters.items() if name not in names]
        all_rows.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]  # for pytest
        return all_rows

    return decorate


def _row(
    names: list[str], row: Any, ids: Iterator[str] | Callable[[Any], object] | None
) -> tuple[str, dict[str, Any]]:
    """The name of a row, and its values by the names of the test's parameters."""
    name = None
    if hasattr(row, "marks"):  # of pytest.param
        assert not row.marks, "a row cannot be marked"
        values, name = row.values, row.id
    else:
        values = (row,) if len(names) == 1 else tuple(row)
    assert len(values) == len(names), f"{names} and {values!r} do not match"
    if ids is None:
        name = name or ", ".join(repr(value)[:60] for value in values)
    elif callable(ids):
        name = name or "-".join(str(ids(value)) for value in values)
    else:
        name = next(ids)
    return name, dict(zip(names, values, strict=True))
