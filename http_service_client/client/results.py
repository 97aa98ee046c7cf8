"""From a call's outcome to its response, or to the one error that is raised.

The traceback that a caller sees ends here: a new error each time, with nothing of the layers in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Failure, HttpStatusError
from ..http.messages import HttpResponse
from ..http.urls import redact_url

if TYPE_CHECKING:
    from ..core.call import Call
    from ..core.effects import Outcome

__all__ = ["check_download", "finish", "open_stream"]


def open_stream(call: Call, outcome: Outcome) -> HttpResponse:
    """The response, its timeline left open; or raises the error."""
    return finish(call, outcome, None) if isinstance(outcome, Failure) else outcome


def check_download(response: HttpResponse) -> HttpResponse:
    """The response to a download, if it was one of a file."""
    response.raise_for_status()
    if response.status_code not in (200, 206):
        message = f"GET {redact_url(response.url)} answered {response.status_code}, which brings no file"
        raise HttpStatusError(message, status_code=response.status_code, **response._evidence())
    return response


def finish(call: Call, outcome: Outcome, response_type: Any) -> HttpResponse:
    """Close the timeline; return the response, or raise the error, here and only here."""
    result = call.finish(outcome)
    if isinstance(result, HttpResponse):
        if response_type is not None and result.is_success:
            from .response_types import validated

            result.data = validated(result, response_type)
        return result
    try:
        raise result
    finally:
        del result  # its traceback holds this frame
