"""Response data of a declared type: by pydantic (the extra `pydantic`), or by the library that the type is of."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache
from typing import Any, get_origin

from ..core.checks import shown
from ..drivers.imports import import_apart
from ..errors import ConfigurationError, ResponseValidationError
from ..http.bodies.json import in_utf8
from ..http.messages import HttpResponse
from ..http.printable import printable
from .msgspec_and_attrs import Misfit, OtherAdapter, other_adapter

__all__ = ["type_adapter", "validate", "validate_body", "validated"]

_MOST_SHOWN = 20
_MOST_LISTED = 1000  # pydantic has no way to list a part of them: a million would cost a gigabyte


def validated(response: HttpResponse, response_type: Any) -> Any:
    """The response's JSON as `response_type`: a model, dataclass, TypedDict, list of them, ...

    An empty body, as of a 204, counts as null for a type that null is of.

    Raises ResponseValidationError with the path to each wrong field; ConfigurationError when pydantic is not
    installed, or cannot handle the type.
    """
    try:
        adapter = type_adapter(response_type)
        if not response.content:
            return _of_nothing(adapter, response_type)
        return validate_body(adapter, response_type, response)
    except ValueError as error:
        raise ResponseValidationError(f"{response._described()} {error}", **response._evidence()) from None


def validate_body(adapter: Any, response_type: Any, response: HttpResponse) -> Any:
    """As `validate`, of a response's content in any encoding that its `json()` reads."""
    try:
        return validate(adapter, response_type, response.content)
    except ValueError:  # pydantic and msgspec know plain UTF-8 alone
        if (text := in_utf8(response.content, response.headers.get("Content-Type"))) is None:
            raise
        return validate(adapter, response_type, text)


def validate(adapter: Any, response_type: Any, text: str | bytes) -> Any:
    """The JSON text as the adapter's type. Raises ValueError: "is not a valid …" and the path to each wrong field."""
    if isinstance(adapter, OtherAdapter):
        try:
            return adapter.validate_json(text)
        except Misfit as error:
            problem = f"is not a valid {_shown(response_type)}: {error}"
        raise ValueError(problem)
    import pydantic

    try:
        return adapter.validate_json(text)
    except pydantic.ValidationError as error:
        problem = f"is not a valid {_shown(response_type)}: {_problems(error)}"
    raise ValueError(problem)


def _of_nothing(adapter: Any, response_type: Any) -> Any:
    """What null is of the type: None, or a model around it."""
    with suppress(ValueError):
        return validate(adapter, response_type, b"null")
    raise ValueError(
        f"is not a valid {_shown(response_type)}: the body is empty; if that is a response to expect, "
        f"write response_type={_shown(response_type)} | None"
    )


def _problems(error: Any) -> str:
    """The first wrong fields, each with its path. The server chose the keys in a path, and the number of errors."""
    count = error.error_count()
    if count > _MOST_LISTED:
        return f"{count} fields are wrong"
    problems = [
        printable(f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {problem['msg']}")
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = f"; and {count - _MOST_SHOWN} more" if count > _MOST_SHOWN else ""
    return "; ".join(problems[:_MOST_SHOWN]) + more


def type_adapter(response_type: Any) -> Any:
    """The adapter for a type, cached if the type is hashable."""
    try:
        return _cached_adapter(response_type)
    except TypeError:  # it cannot be hashed; or it is wrong, and says so again
        return _new_adapter(response_type)


def _new_adapter(response_type: Any) -> Any:
    other = other_adapter(response_type)
    if other is not None:
        return other
    try:
        import_apart(_load_pydantic)
        import pydantic
    except ImportError:
        raise ConfigurationError(
            "response_type needs pydantic: pip install 'http-service-client[pydantic]'"
        ) from None
    try:
        adapter = pydantic.TypeAdapter(response_type)
        if not getattr(adapter, "pydantic_complete", True):  # it names a type that is not defined
            adapter.rebuild()
        return adapter
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as error:
        problem = error.message.partition("\n")[0]
        raise ConfigurationError(f"response_type {response_type!r} cannot be validated: {problem}") from None
    except AttributeError:  # of an object: pydantic asks it for what a class has
        raise ConfigurationError(
            f"response_type must be a type such as dict or list[Order], not {shown(response_type)}; "
            f"write {type(response_type).__name__}"
        ) from None


def _load_pydantic() -> None:
    from pydantic import TypeAdapter  # noqa: F401  # which its package imports when it is asked for


def _shown(response_type: Any) -> str:
    """The type as its user writes it: Order, list[Order]."""
    is_plain = isinstance(response_type, type) and get_origin(response_type) is None
    return response_type.__name__ if is_plain else re.sub(r"\b\w+\.", "", str(response_type))


_cached_adapter = lru_cache(maxsize=256)(_new_adapter)
