"""JSON by a faster library, with the results of the standard one.

    "orjson"     encodes requests and decodes responses (extra `orjson`)
    "msgspec"    decodes responses (extra `msgspec`). It would write some values that have no JSON form, such as bytes and
                 sets, so requests are encoded by the standard library.
    an object    with `encode(value) -> bytes` and `decode(content: bytes) -> value`: its results are its own

The standard library takes over what the first two refuse or would change, so that no value, and no text of an error,
depends on the setting. Only the text of some floats does: orjson writes ``1e-7`` for ``1e-07``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

from ...core.signals import raise_if_of_signal_handler
from ...errors import ConfigurationError, InvalidRequestError
from .json import decode_json, encode_json, plain

__all__ = ["JsonCodec", "new_codec"]

# orjson makes a float of an integer beyond 64 bits, which has 19 digits or more. A
# regular expression would cost more than orjson saves.
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_KINDS = "'orjson', 'msgspec', an object with encode and decode, or None"


class JsonCodec(Protocol):
    """Encodes the bodies of requests, and decodes those of responses."""

    def encode(self, value: Any) -> bytes:
        """The value as JSON in UTF-8. Raises InvalidRequestError."""
        ...

    def decode(self, content: bytes) -> Any:
        """The value of a JSON text. Raises ValueError or RecursionError."""
        ...


def new_codec(setting: object) -> JsonCodec | None:
    """The codec of a setting; None for the standard library. Raises ConfigurationError."""
    if setting is None:
        return None
    if setting == "orjson":
        return _Orjson()
    if setting == "msgspec":
        return _Msgspec()
    methods = [getattr(setting, name, None) for name in ("encode", "decode")]
    # Text has an `encode` of its own, but no `decode`; bytes the reverse.
    if isinstance(setting, type) or not all(map(callable, methods)):
        shown = setting.__name__ if isinstance(setting, type) else repr(setting)
        raise ConfigurationError(f"json_codec must be {_KINDS}, not {shown}")
    if any(map(inspect.iscoroutinefunction, methods)):
        raise ConfigurationError("the methods of json_codec must be plain, not async")
    return _Own(setting)


class _Orjson:
    def __init__(self) -> None:
        try:
            import orjson
        except ImportError as error:
            raise _missing("orjson") from error
        self._loads: Callable[[bytes], Any] = orjson.loads
        self._dumps: Callable[..., bytes] = orjson.dumps
        # What it leaves to `plain` has the form that it has without a codec.
        self._option = (
            orjson.OPT_PASSTHROUGH_DATACLASS
            | orjson.OPT_PASSTHROUGH_DATETIME
            | orjson.OPT_PASSTHROUGH_SUBCLASS
        )

    def encode(self, value: Any) -> bytes:
        others: list[Any] = []

        def other(item: Any) -> object:
            others.append(item)
            return plain(item)

        try:
            text = self._dumps(value, default=other, option=self._option)
        except (TypeError, ValueError, RecursionError):
            return encode_json(value)  # it encodes more, and says what is wrong
        if b"null" not in text:
            return text
        # It writes null for NaN and infinity, too. What it reads again is equal to the value if each null was None;
        # classes of users are not asked, since they may call anything equal.
        return encode_json(value) if others or self._loads(text) != value else text

    def decode(self, content: bytes) -> Any:
        if _LONG_NUMBER not in content.translate(_DIGITS_AS_ZEROS):
            try:
                return self._loads(content)
            except (ValueError, RecursionError):
                pass
        return decode_json(content)


class _Msgspec:
    def __init__(self) -> None:
        try:
            import msgspec
        except ImportError as error:
            raise _missing("msgspec") from error
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode

    def encode(self, value: Any) -> bytes:
        return encode_json(value)

    def decode(self, content: bytes) -> Any:
        try:
            return self._decode(content)
        except (ValueError, RecursionError):
            return decode_json(content)


class _Own:
    """A user's codec, whose errors become those of this package."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec
        self._name = type(codec).__name__

    def encode(self, value: Any) -> bytes:
        try:
            text = self._codec.encode(value)
        except Exception as error:
            raise_if_of_signal_handler()
            # Without its text, which may show the value, a secret perhaps.
            raise InvalidRequestError(
                f"json cannot be encoded: {self._name}.encode raised {type(error).__name__}"
            ) from error
        if not isinstance(text, bytes):
            raise InvalidRequestError(f"{self._name}.encode must return bytes, not {type(text).__name__}")
        return text

    def decode(self, content: bytes) -> Any:
        try:
            return self._codec.decode(content)
        except Exception as error:
            raise_if_of_signal_handler()
            raise ValueError(f"{self._name}.decode raised {type(error).__name__}") from error


def _missing(name: str) -> ConfigurationError:
    return ConfigurationError(f"json_codec={name!r} needs {name}: pip install 'http-service-client[{name}]'")
