"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["Finding", "Level", "fail", "ok", "skip", "warn"]


class Level(str, Enum):
    """How bad a finding is. Listed from the best."""

    OK = "ok"
    SKIP = "skip"  # not examined; the message says why
    WARN = "warn"  # calls succeed, and some day or for some callers they may not
    FAIL = "fail"  # calls fail, or will soon


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one check.

    check: such as "dns".  advice: what to do about it, "" for nothing.  details: the same as data, durations in seconds.
    """

    check: str
    level: Level
    message: str
    advice: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As data."""
        return {
            "check": self.check,
            "level": self.level.value,
            "message": self.message,
            "advice": self.advice or None,
            "details": dict(self.details),
        }


def ok(check: str, message: str, advice: str = "", **details: Any) -> Finding:
    return Finding(check, Level.OK, message, advice, details)


def skip(check: str, message: str, **details: Any) -> Finding:
    return Finding(check, Level.SKIP, message, "", details)


def warn(check: str, message: str, advice: str, **details: Any) -> Finding:
    return Finding(check, Level.WARN, message, advice, details)


def fail(check: str, message: str, advice: str, **details: Any) -> Finding:
    return Finding(check, Level.FAIL, message, advice, details)
