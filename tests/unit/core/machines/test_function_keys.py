"""The keys by which results of functions are kept: equal for calls whose results may stand in for each other."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client.core.machines.function_keys import call_key, key_of
from http_service_client.errors import ConfigurationError
from kit.rows import each_row


def price(*args: Any, **kwargs: Any) -> None:
    """A guarded function."""


def other(*args: Any, **kwargs: Any) -> None:
    """Another one."""


@each_row(
    ("one", "another", "is_equal"),
    [
        ((price, (1, "a"), {}), (price, (1, "a"), {}), True),
        ((price, (1,), {}), (other, (1,), {}), False),
        ((price, (1,), {}), (price, (2,), {}), False),
        ((price, (1,), {}), (price, (1.0,), {}), False),
        ((price, (1,), {}), (price, (True,), {}), False),
        ((price, (1,), {}), (price, (), {"sku": 1}), False),
        ((price, (1,), {"a": 1, "b": 2}), (price, (1,), {"b": 2, "a": 1}), True),
        ((price, (1,), {"a": 1}), (price, (2,), {"a": 1}), False),
        ((price, (1,), {"a": 1}), (price, (1.0,), {"a": 1}), False),
        ((price, (), {"a": 1}), (price, (), {"a": 2}), False),
        ((price, (), {"a": 1}), (price, (), {"a": 1.0}), False),
        ((price, (), {"a": 1}), (price, (), {"b": 1}), False),
    ],
)
def test_calls_whose_results_may_stand_in_for_each_other(one: Any, another: Any, is_equal: bool) -> None:
    """Those of one function with equal arguments of equal types, by position and by name."""
    assert (key_of(*one, None) == key_of(*another, None)) is is_equal


def test_a_function_of_the_user_makes_the_key() -> None:
    """Of the arguments, which need not be hashable then; each guarded function has keys of its own."""
    assert call_key(lambda tenant, *, region: (tenant, region), ("a",), {"region": "eu"}) == ("a", "eu")
    key = key_of(price, ({"sku": 1},), {}, lambda item: item["sku"])
    assert key == key_of(price, ({"sku": 1, "count": 2},), {}, lambda item: item["sku"])
    assert key != key_of(price, ({"sku": 2},), {}, lambda item: item["sku"])
    assert key != key_of(other, ({"sku": 1},), {}, lambda item: item["sku"])


def test_a_key_that_nobody_awaits_is_refused() -> None:
    """No two are equal, so that each call would have a limit, and a result, of its own."""

    class Awaitable:
        def __await__(self) -> Any:
            raise AssertionError("nobody awaits it")

    with pytest.raises(ConfigurationError, match=r"key must return a value, not <.*Awaitable.*nobody awaits"):
        call_key(lambda tenant: Awaitable(), ("a",), {})


def test_a_key_that_does_not_take_the_arguments() -> None:
    """It is named as a setting; a TypeError inside the function is its own."""
    with pytest.raises(
        ConfigurationError, match=r"key must be a function of the arguments .*: .*positional"
    ) as caught:
        call_key(lambda tenant: tenant, ("a", 1), {})
    assert caught.value.__cause__ is None
    with pytest.raises(TypeError, match="concatenate"):
        call_key(lambda tenant: tenant + 1, ("a",), {})


class Unhashable:
    """A callable that has no hash, nor a name."""

    __hash__ = None  # type: ignore[assignment]  # on purpose

    def __call__(self) -> None: ...

    def __repr__(self) -> str:
        return "<an object>"


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "own", "message"),
    [
        (price, ({},), {}, None, "argument 1 of price is a dict, which cannot be hashed, so that its result cannot be kept; "
         "pass a tuple or text, or key=, a function of the same arguments that returns one"),
        (price, (1, []), {"a": {}}, None, "argument 2 of price is a list, which cannot be hashed"),
        (price, (1,), {"a": 1, "sku": set()}, None, "argument 'sku' of price is a set, which cannot be hashed"),
        (price, (1,), {}, lambda sku: [sku], "key= returned a list for price, which cannot be hashed; return text or a tuple"),
        (Unhashable(), (1,), {}, None, "<an object> cannot be hashed; pass key=, a function of the same arguments"),
    ],
    ids=["by position", "the second", "by name", "of the user", "the function"],
)  # fmt: skip
def test_what_cannot_be_hashed_is_named(
    function: Any, args: Any, kwargs: Any, own: Any, message: str
) -> None:
    """With its type, and what to pass instead."""
    with pytest.raises(TypeError) as caught:
        key_of(function, args, kwargs, own)
    assert str(caught.value).startswith(message)
    assert caught.value.__cause__ is None
