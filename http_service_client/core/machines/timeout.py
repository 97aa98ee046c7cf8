"""The settings of a timeout around functions."""

from __future__ import annotations

from dataclasses import dataclass

from ..checks import check_duration, check_flag, remedies, suggests_keywords

__all__ = ["TIMEOUT_RENAMED", "TimeoutSettings"]

TIMEOUT_RENAMED = remedies(
    {
        "it is called seconds": "timeout duration delay timeout_seconds limit timeout_duration total"
        " deadline",
        "it is called in_thread": "use_thread threaded strategy",
        "an async function is cancelled; a plain one is left behind by in_thread=True": "cancel_running_future optimistic pessimistic timeout_strategy",
        "pass on_event to ResiliencePipeline": "on_timeout",
    }
)


@suggests_keywords(TIMEOUT_RENAMED)
@dataclass(frozen=True, kw_only=True)
class TimeoutSettings:
    """The settings of a timeout. See `TimeoutPolicy`, which has them as its arguments."""

    seconds: float
    in_thread: bool = False

    def __post_init__(self) -> None:
        check_duration("seconds", self.seconds, optional=False)
        check_flag("in_thread", self.in_thread)
