"""The settings of a timeout around functions."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import check_duration, check_flag, suggests_keywords

__all__ = ["TIMEOUT_RENAMED", "TimeoutSettings"]

TIMEOUT_RENAMED = {
    **dict.fromkeys(("timeout", "duration", "delay", "timeout_seconds", "limit"), "it is called seconds"),
    **dict.fromkeys(("use_thread", "threaded", "strategy"), "it is called in_thread"),
}


@suggests_keywords(TIMEOUT_RENAMED)
@dataclass(frozen=True, kw_only=True)
class TimeoutSettings:
    """The settings of a timeout. See `TimeoutPolicy`, which has them as its arguments."""

    seconds: float
    in_thread: bool = False

    def __post_init__(self) -> None:
        check_duration("seconds", self.seconds, optional=False)
        check_flag("in_thread", self.in_thread)
