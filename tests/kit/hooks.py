"""Hooks in requests that change nothing: the switch between the two ways of a blocking exchange.

Without a hook an exchange goes over the client's own connections, and with one through requests. What is tested on the
first way can be tested on the second one, too: by `hooked()` around it, or with `HookedFrontEnd`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from kit.front_ends import BlockingFrontEnd, FrontEnd

__all__ = ["HOOKS", "HookedFrontEnd", "hooked"]

HOOKS: dict[str, tuple[type, str]] = {
    "Session.send": (requests.Session, "send"),
    "Session.get_adapter": (requests.Session, "get_adapter"),
    "HTTPAdapter.send": (HTTPAdapter, "send"),
    "HTTPAdapter.build_response": (HTTPAdapter, "build_response"),
}


@contextmanager
def hooked(*names: str) -> Iterator[list[str]]:
    """Wrap these functions of requests (`HOOKS`; without names, all) as instrumentation does. Yields the names called."""
    called: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in names or HOOKS:
            kind, attribute = HOOKS[name]
            patch.setattr(kind, attribute, _noting(getattr(kind, attribute), name, called))
        yield called


def _noting(function: Any, name: str, called: list[str]) -> Any:
    @functools.wraps(function)
    def noting(*arguments: Any, **options: Any) -> Any:
        called.append(name)
        return function(*arguments, **options)

    return noting


class HookedFrontEnd(BlockingFrontEnd):
    """The blocking front end while something is hooked into requests, for all clients of the process."""

    name = "hooked"

    def __enter__(self) -> FrontEnd:
        self._hooks = hooked()
        self._called = self._hooks.__enter__()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, traceback)
        finally:
            self._hooks.__exit__(kind, error, traceback)
        assert error is not None or {*self._called} in (set(), {*HOOKS}), "some exchanges bypassed requests"
