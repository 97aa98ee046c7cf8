"""Response data of msgspec's structs and of attrs classes, beside pydantic's types; chosen by the type.

msgspec decodes its own structs, and cattrs (the extra `attrs`) makes attrs classes of what JSON has. A type such as
``list[Order]`` goes by its parts. Neither takes text for a number; both ignore fields that the type does not have.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, get_args, get_origin

from ..core.signals import raise_if_of_signal_handler
from ..drivers.imports import import_apart
from ..errors import ConfigurationError
from ..http.printable import printable

__all__ = ["Misfit", "OtherAdapter", "other_adapter"]

_MOST_SHOWN = 20


class Misfit(ValueError):
    """JSON that is not of the type: the path to each wrong field."""


class OtherAdapter:
    """As pydantic's TypeAdapter.

    decode: takes the text. Raises ValueError with what is wrong, or Misfit where that can be shown as it is.
    """

    def __init__(self, decode: Callable[[str | bytes], Any]) -> None:
        self._decode = decode

    def validate_json(self, text: str | bytes) -> Any:
        """The value. Raises Misfit."""
        try:
            return self._decode(text)
        except Misfit:
            raise
        except ValueError as error:
            problem = printable(str(error))
        except RecursionError:
            problem = "it is nested too deeply"
        raise Misfit(problem)


def other_adapter(response_type: Any) -> OtherAdapter | None:
    """The adapter for a type with a struct or an attrs class in it; None for all others, which are pydantic's.

    Raises ConfigurationError if the library is not installed, or cannot handle the type.
    """
    for part in _parts(response_type):
        if hasattr(part, "__struct_fields__") and "msgspec" in sys.modules:
            return OtherAdapter(_of_msgspec(response_type))
        if "__attrs_attrs__" in vars(part) and not hasattr(part, "__pydantic_validator__"):
            return OtherAdapter(_of_attrs(response_type))
    return None


def _parts(response_type: Any) -> Iterator[type]:
    """The classes that a type is made of: those in ``dict[str, list[Order]]``, say, and that of a generic ``Page[int]``."""
    kind = get_origin(response_type) or response_type
    if isinstance(kind, type):
        yield kind
    for part in get_args(response_type):
        yield from _parts(part)


def _of_msgspec(response_type: Any) -> Callable[[str | bytes], Any]:
    import msgspec

    try:
        decode: Callable[[str | bytes], Any] = msgspec.json.Decoder(response_type).decode
    except (TypeError, NameError) as error:
        raise _unusable(response_type, error) from None
    return decode


def _of_attrs(response_type: Any) -> Callable[[str | bytes], Any]:
    try:
        import_apart(_load_cattrs)
        import cattrs
        from cattrs.preconf.json import make_converter
    except ImportError:
        raise ConfigurationError(
            "a response_type of attrs needs cattrs: pip install 'http-service-client[attrs]'"
        ) from None
    converter = make_converter()
    # By default cattrs converts: 1.9 to 1, and anything to text.
    for kind in (int, str, bool):
        converter.register_structure_hook(kind, _exactly(kind))
    converter.register_structure_hook(float, lambda value, _: float(_exactly(float, int)(value, float)))
    try:
        converter.get_structure_hook(response_type)
    except Exception as error:
        raise _unusable(response_type, error) from None

    def decode(text: str | bytes) -> Any:
        value = json.loads(text)
        try:
            return converter.structure(value, response_type)
        except Exception as error:
            raise_if_of_signal_handler()
            problems = cattrs.transform_error(error)
        more = f"; and {len(problems) - _MOST_SHOWN} more" if len(problems) > _MOST_SHOWN else ""
        raise Misfit("; ".join(map(printable, problems[:_MOST_SHOWN])) + more)

    return decode


def _load_cattrs() -> None:
    from cattrs.preconf import json  # noqa: F401


def _exactly(*kinds: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError
        return value

    return structure


def _unusable(response_type: Any, error: Exception) -> ConfigurationError:
    problem = str(error).partition("\n")[0]
    return ConfigurationError(f"response_type {response_type!r} cannot be validated: {problem}")
