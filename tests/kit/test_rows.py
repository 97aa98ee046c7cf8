"""A test that goes through a table fails as its rows do, and names them."""

from __future__ import annotations

import inspect
import sys

import pytest

from kit.rows import each_row

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


def test_each_row_is_tried() -> None:
    """In order, with what the test has beside."""
    seen: list[tuple[int, str, str]] = []

    @each_row("number, text", [(1, "a"), pytest.param(2, "b", id="second")])
    def test(number: int, text: str, fixture: str) -> None:
        seen.append((number, text, fixture))

    test(fixture="f")
    assert seen == [(1, "a", "f"), (2, "b", "f")]
    assert list(inspect.signature(test).parameters) == ["fixture"]


def test_each_combination_is_tried() -> None:
    """Of two tables on one test."""
    seen: list[tuple[int, str]] = []

    @each_row("number", [1, 2])
    @each_row("text", "ab")
    def test(number: int, text: str) -> None:
        seen.append((number, text))

    test()
    assert sorted(seen) == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("ids", "named"),
    [(None, "[1] 2; [3] 4"), (str, "[1] 2; [3] 4"), (list("wxyz"), "[1] x; [3] z")],
    ids=["none", "function", "list"],
)
def test_the_rows_that_failed_are_named(ids: object, named: str) -> None:
    """Each has its own error, whichever way it failed."""

    @each_row("number", [1, 2, 3, 4], ids=ids)  # type: ignore[arg-type]
    def test(number: int) -> None:
        if number == 4:
            pytest.skip("not here")
        assert number % 2

    with pytest.raises(BaseExceptionGroup) as caught:
        test()
    assert str(caught.value).startswith(f"2 of 4 rows: {named}")
    assert [type(error) for error in caught.value.exceptions] == [AssertionError, pytest.skip.Exception]


def test_each_combination_is_tried_after_a_failure() -> None:
    """Also one that is no `Exception`. The rows of both tables are named."""

    @each_row("number", [1, 2])
    @each_row("text", "ab")
    def test(number: int, text: str) -> None:
        with pytest.raises(KeyError):
            pass

    with pytest.raises(BaseExceptionGroup, match=r"^2 of 2 rows: \[0\] 1; \[1\] 2") as caught:
        test()
    for within in caught.value.exceptions:
        assert str(within).startswith("2 of 2 rows: [0] 'a'; [1] 'b'")


def test_a_row_that_cannot_be_shown_has_the_name_of_its_type() -> None:
    """Its failure is reported as that of any other."""

    @each_row("number", [10**5000, "x" * 100])
    def test(number: object) -> None:
        raise ValueError

    with pytest.raises(BaseExceptionGroup) as caught:
        test()
    assert str(caught.value).startswith(f"2 of 2 rows: [0] int; [1] '{'x' * 59} ")


def test_a_wrong_table_is_refused() -> None:
    """When it is written."""
    for names, rows in [("a, b", [(1,)]), ("a", [pytest.param(1, marks=pytest.mark.once)]), ("a", [])]:
        with pytest.raises((AssertionError, ValueError)):
            each_row(names, rows)
    with pytest.raises(AssertionError, match="as many ids as rows"):
        each_row("a", [1, 2], ids=["one"])
