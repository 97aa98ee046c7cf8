"""Problem details: how an API describes an error, by RFC 9457 (which replaces RFC 7807).

Parsed as leniently as the RFC asks: a member of the wrong type is ignored (3.1), members that the RFC does
not define are kept as extensions (3.2), and content that is not a problem document is None. `status` is only
advisory; the status of the response itself counts (3.1.2). The XML form is not supported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .media_types import parse_content_type
from .printable import printable

__all__ = ["Problem", "parse_problem"]

_MEMBERS = frozenset({"type", "title", "status", "detail", "instance"})
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    type: a URI reference that names the kind of problem, unchanged; "about:blank" adds nothing to the status.
    title: a summary of the kind.  status: 100 to 599.  detail: what went wrong this time.
    instance: a URI reference that names this occurrence.
    extensions: all other members. A plain dict, so that an error that carries it can be pickled.
    """

    type: str = "about:blank"
    title: str | None = None
    status: int | None = None
    detail: str | None = None
    instance: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        """One printable line for a log: title and detail, shortened; the type when both are missing."""
        return ": ".join(printable(text) for text in (self.title, self.detail) if text) or printable(
            self.type
        )


def parse_problem(content_type: str | None, content: bytes) -> Problem | None:
    """The problem that a response describes, or None. Never raises.

    Content of more than 1 MiB is not parsed: each error does so, without being asked to, on the event loop.

    content_type: the header's value. The media type must be application/problem+json or a vendor's
        refinement of it (``application/vnd.example.problem+json``): in JSON of another kind, a "title" may
        mean something else.
    """
    if content_type is None or len(content) > _LARGEST or not _is_problem(content_type):
        return None
    try:
        # Always UTF-8, whatever the charset parameter says (RFC 8259 8.1, 11); a BOM may be ignored.
        members = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict):
        return None
    kind = _text(members, "type")
    return Problem(
        type="about:blank" if kind is None else kind,
        title=_text(members, "title"),
        status=_status(members.get("status")),
        detail=_text(members, "detail"),
        instance=_text(members, "instance"),
        extensions={name: value for name, value in members.items() if name not in _MEMBERS},
    )


def _is_problem(content_type: str) -> bool:
    kind, _, subtype = parse_content_type(content_type)[0].partition("/")
    return kind == "application" and (subtype == "problem+json" or subtype.endswith(".problem+json"))


def _text(members: dict[str, Any], name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) else None


def _status(value: object) -> int | None:
    """404 and 404.0 are the same number in JSON."""
    if not isinstance(value, (int, float)):  # True is one of them, and no status
        return None
    return int(value) if 100 <= value <= 599 and value == int(value) else None
