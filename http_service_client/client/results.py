"""From a call's outcome to its response, or to the one error that is raised.

The traceback that a caller sees ends here: each error is new, and no frame of a layer is in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..drivers.imports import import_apart
from ..errors import Failure, HttpStatusError
from ..http.messages import HttpResponse
from ..http.urls import redact_url

if TYPE_CHECKING:
    from ..core.call import Call
    from ..core.effects import Outcome

__all__ = ["check_download", "check_type", "finish", "open_stream"]


def check_type(response_type: object) -> None:
    """Raise ConfigurationError for a type that cannot be validated. What validates it is imported apart."""
    import_apart(_load_response_types)
    from .response_types import type_adapter

    type_adapter(response_type)


def _load_response_types() -> None:
    from . import response_types  # noqa: F401


def open_stream(call: Call, outcome: Outcome) -> HttpResponse:
    """Return the response, its timeline left open, or raise the error."""
    if isinstance(outcome, Failure):
        return finish(call, outcome, None)
    if outcome.status_code >= 400 and call.options.error_type is not None:
        _add_error_data(call, outcome)
    return outcome


def _add_error_data(call: Call, response: HttpResponse) -> None:
    """Add the body of an error as the call's `error_type`. One of another kind adds nothing: it must not hide the status."""
    from .response_types import type_adapter, validate_body

    error_type = call.options.error_type
    try:
        response.data = validate_body(type_adapter(error_type), error_type, response)
    except ValueError:
        pass


_CONDITIONS = ("If-None-Match", "If-Modified-Since")


def check_download(response: HttpResponse) -> HttpResponse:
    """Return the response to a download. Raises HttpStatusError when it had no file.

    304 is what the caller's own condition asked for: the file at the path is still the current one.
    """
    response.raise_for_status()
    if response.status_code == 304 and _is_conditional(response):
        return response
    if response.status_code not in (200, 206):
        status = f"{response.status_code} {response.reason_phrase}".rstrip()
        message = f"GET {redact_url(response.url)} answered {status}: there is nothing to save"
        raise HttpStatusError(message, status_code=response.status_code, **response._evidence())
    return response


def _is_conditional(response: HttpResponse) -> bool:
    request = response.request
    return request is not None and any(name in request.headers for name in _CONDITIONS)


def finish(call: Call, outcome: Outcome, response_type: Any) -> HttpResponse:
    """Close the timeline, then return the response or raise the error. Errors are raised only here."""
    result = call.finish(outcome)
    if isinstance(result, HttpResponse):
        if response_type is not None and result.is_success:
            from .response_types import validated

            result.data = validated(result, response_type)
        elif result.status_code >= 400 and call.options.error_type is not None:
            _add_error_data(call, result)
        return result
    try:
        raise result
    finally:
        del result  # its traceback refers to this frame
