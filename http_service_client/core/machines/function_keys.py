"""The key by which the result of a function's call is kept: the function and its arguments."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

from ...errors import ConfigurationError

__all__ = ["call_key", "key_of"]


def call_key(own: Callable[..., Hashable], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Hashable:
    """The key that a user's function makes of the arguments of a call.

    Raises ConfigurationError where it does not take these arguments, and where it returns an awaitable, of which no two are equal.
    """
    try:
        key = own(*args, **kwargs)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:
            raise  # an error in the function
        raise ConfigurationError(
            f"key must be a function of the arguments of the guarded function, of which a block has none: {error}"
        ) from None
    if hasattr(type(key), "__await__"):
        raise ConfigurationError(f"key must return a value, not {key!r}, which nobody awaits")
    return key


def key_of(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    own: Callable[..., Hashable] | None,
) -> Hashable:
    """Equal for calls whose results may stand in for each other.

    own: makes the key of the arguments; None for the arguments themselves. Equal arguments of different types have
        different keys: 1, 1.0 and True lead to different texts. Arguments passed by name and by position differ, too.

    Raises TypeError for a key that cannot be hashed. It names the argument.
    """
    key: Hashable
    if own is not None:
        key = function, call_key(own, args, kwargs)
    elif kwargs:
        named = tuple(sorted(kwargs.items()))
        key = function, args, tuple(map(type, args)), named, tuple([type(value) for _, value in named])
    else:
        key = function, args, tuple(map(type, args))
    try:
        hash(key)
    except TypeError:
        raise TypeError(_about(function, args, kwargs, own, key)) from None
    return key


def _about(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    own: Callable[..., Hashable] | None,
    key: Any,
) -> str:
    name = getattr(function, "__qualname__", repr(function))
    if own is not None:
        return f"key= returned a {type(key[1]).__name__} for {name}, which cannot be hashed; return text or a tuple"
    for label, value in [*enumerate(args, 1), *kwargs.items()]:
        try:
            hash(value)
        except TypeError:
            what = f"argument {label!r}" if isinstance(label, str) else f"argument {label}"
            return (
                f"{what} of {name} is a {type(value).__name__}, which cannot be hashed, so that its result cannot be kept; "
                "pass a tuple or text, or key=, a function of the same arguments that returns one"
            )
    return f"{name} cannot be hashed; pass key=, a function of the same arguments"
