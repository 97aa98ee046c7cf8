"""Exchanges over HTTP/2: limits for them, and what came of them as a test compares it."""

from __future__ import annotations

from typing import Any

from http_service_client.errors import Failure, SentState
from kit.http2_network import URL

__all__ = ["MAYBE", "NEVER", "READ", "REFUSED", "TOTAL", "WINDOW", "WRITE", "about", "told"]

WINDOW = 65_535  # bytes, of a server that has set none
MAYBE, REFUSED, NEVER = SentState.MAYBE_PROCESSED, SentState.REFUSED, SentState.NEVER_SENT
READ = f"timed out reading from {URL}"
TOTAL = f"no complete response from {URL} within"
WRITE = f"timed out sending the request to {URL}: nothing was accepted for"


def told(failure: Any) -> tuple[str, str, SentState]:
    """A failure's type, message and state."""
    assert isinstance(failure, Failure), failure
    return failure.error_type.__name__, failure.message, failure.sent_state


def about(outcome: Any) -> tuple[int, bytes]:
    """A response's status and content."""
    assert not isinstance(outcome, Failure), outcome
    return outcome.status_code, outcome.content
