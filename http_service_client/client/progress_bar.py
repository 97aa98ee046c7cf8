"""What a call's `progress` may be: a function, or True or a label for a bar drawn by tqdm (extra `progress`)."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from ..drivers.imports import import_apart
from ..errors import ConfigurationError
from ..http.bodies.progress import Progress
from ..http.printable import printable

__all__ = ["ProgressBar", "parse_progress"]


def parse_progress(given: Any, *, may_be_async: bool) -> Progress | None:
    """The function to call with the bytes transferred and the total, or None for no progress.

    Raises ConfigurationError.
    """
    if given is None or given is False:
        return None
    if given is True:
        return ProgressBar()
    if isinstance(given, str) and printable(given):
        return ProgressBar(printable(given))
    if not callable(given):
        raise ConfigurationError(
            f"progress must be a function of two numbers, True or a label for a bar, or None, not {given!r}"
        )
    if not may_be_async and (_is_async(given) or _is_async(type(given).__call__)):
        raise ConfigurationError(
            "progress of an upload must be a plain function, not async: it is called between two writes"
        )
    return given  # type: ignore[no-any-return]  # it is called with two numbers, whatever it accepts


_is_async = inspect.iscoroutinefunction


class ProgressBar:
    """One tqdm bar for one call, on standard error; each attempt starts it over.

    Bars of several calls at a time have a line each, which tqdm assigns and `close` frees.

    label: what stands before the bar, or None.

    Raises ConfigurationError if tqdm is not installed.
    """

    def __init__(self, label: str | None = None) -> None:
        self._label = label
        try:
            import_apart(_load_tqdm)
            self._new_bar: Any = importlib.import_module("tqdm").tqdm
        except ModuleNotFoundError:
            message = "progress=True, or a label, draws a bar with tqdm; pip install 'http-service-client[progress]'"
            raise ConfigurationError(message) from None
        self._bar: Any = None

    def __call__(self, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = self._new_bar(
                desc=self._label, total=total, unit="B", unit_scale=True, unit_divisor=1024
            )
        elif done < self._bar.n:
            self._bar.reset()
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is drawn."""
        if self._bar is not None:
            self._bar.close()


def _load_tqdm() -> None:
    importlib.import_module("tqdm")
