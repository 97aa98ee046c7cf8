"""JSON lines: one JSON value on each line (NDJSON, JSON Lines; RFC 7464 puts a record separator before each)."""

from __future__ import annotations

import json
from typing import Any

from ...errors import ResponseValidationError
from ...http.bodies.json import refuse_constant
from ...http.messages import HttpResponse
from ...http.urls import redact_url
from ..response_types import type_adapter, validate

__all__ = ["JsonLines"]

_BLANK = " \t\r\n\x1e"  # white space of JSON, and the record separator


class JsonLines:
    """Parses the lines of one response, and counts them for its errors.

    response_type: any type that pydantic can validate, or None for plain JSON.
    strict: refuse NaN, Infinity and -Infinity.
    """

    def __init__(self, response: HttpResponse, response_type: Any, strict: bool) -> None:
        self._response = response
        self._type = response_type
        self._adapter = None if response_type is None else type_adapter(response_type)
        self._decode = json.JSONDecoder(parse_constant=refuse_constant if strict else None).decode
        self._is_strict = strict
        self._number = 0

    def is_blank(self, line: str) -> bool:
        """Count the line. Whether it has no value."""
        self._number += 1
        return not line.strip(_BLANK)

    def parse(self, line: str) -> Any:
        """The value of the line that was just counted. Raises ResponseValidationError, which names the line."""
        text = line.strip(_BLANK)
        where = f"line {self._number} of the response of {redact_url(self._response.url)}"
        try:
            # pydantic reads the text itself, but takes NaN for a number.
            value = self._decode(text) if self._adapter is None or self._is_strict else None
        except json.JSONDecodeError as error:
            problem = f"is not JSON: {error.msg} at column {error.colno}"
        except (ValueError, RecursionError) as error:
            problem = f"is not JSON: {error}"
        else:
            if self._adapter is None:
                return value
            try:
                return validate(self._adapter, self._type, text)
            except ValueError as error:
                problem = str(error)
        raise ResponseValidationError(f"{where} {problem}", **self._response._evidence())
