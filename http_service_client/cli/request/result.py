"""The whole result as one JSON object, for scripts: `--as-json`."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ...errors import HttpClientError
from ...events import Timeline, why_not
from ...http.headers import Headers
from ...http.media_types import charset_of
from ...http.messages import HttpResponse
from ...http.urls import redact_url
from ..exit_codes import idempotency_key
from .text import is_json

__all__ = ["as_json"]


def as_json(outcome: HttpResponse | HttpClientError, *, shows_secrets: bool) -> str:
    """The object in one line.

    status, reason, http_version, url, headers     null where there was no response; names in lower case, values in lists
    json, text or base64                           the body: the first of them that can hold it
    error                                          null, or its type and message
    attempts, sent_state, elapsed, timeline        of the call; elapsed in seconds
    """
    response = outcome if isinstance(outcome, HttpResponse) else outcome.response
    timeline = outcome.timeline or Timeline()
    result: dict[str, Any] = {
        "status": None,
        "reason": None,
        "http_version": None,
        "url": None,
        "headers": {},
    }
    if response is not None:
        headers = response.headers if shows_secrets else response.headers.redacted()
        result |= {
            "status": response.status_code,
            "reason": response.reason_phrase,
            "http_version": response.http_version,
            "url": response.url if shows_secrets else redact_url(response.url),
            "headers": _by_name(headers),
            **_body(response),
        }
    is_error = isinstance(outcome, HttpClientError)
    state = outcome.sent_state if is_error else timeline.sent_state
    result |= {
        "error": {"type": type(outcome).__name__, "message": str(outcome)} if is_error else None,
        "idempotency_key": idempotency_key(outcome.request),
        "attempts": getattr(timeline[-1], "attempts", 0) if timeline else 0,
        "sent_state": None if state is None else state.value,
        "elapsed": timeline[-1].at if timeline else 0.0,
        "timeline": [_event(event) for event in timeline],
    }
    return json.dumps(result)  # ASCII, for any terminal and any pipe


def _by_name(headers: Headers) -> Mapping[str, list[str]]:
    return {name.lower(): headers.get_all(name) for name in headers}


def _body(response: HttpResponse) -> dict[str, Any]:
    content_type = response.headers.get("Content-Type", "")
    if is_json(content_type):
        try:
            # What is not JSON, such as NaN, would not be read back by others.
            return {"json": response.json(strict=True)}
        except HttpClientError:
            pass
    if charset_of(content_type) is not None:
        return {"text": response.text}
    try:
        return {"text": response.content.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(response.content).decode()}


def _event(event: Any) -> dict[str, Any]:
    fields = event._asdict()
    if fields.pop("decision", None) is not None:
        fields["why"] = why_not(event)
    return {
        "event": fields.pop("name"),
        **{name: value.value if isinstance(value, Enum) else value for name, value in fields.items()},
        "text": str(event),
    }
