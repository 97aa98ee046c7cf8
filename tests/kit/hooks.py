"""Hooks in requests that change nothing: the switch between the two ways of a blocking exchange.

Without a hook an exchange goes over the client's own connections, and with one through requests. What is tested on the
first way can be tested on the second one, too: by `hooked()` around it, or with `HookedFrontEnd`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from http_service_client import HttpResponse, HttpServiceClient
from kit.front_ends import BlockingFrontEnd

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
    """The blocking front end, whose calls go through requests: something is hooked in for as long as each lasts.

    called: the hooks that were called so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        with hooked() as called:
            try:
                yield
            finally:
                self.called.update(called)

    def request(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> HttpResponse:
        with self._hooked():
            return super().request(client, method, url, **options)

    @contextmanager
    def stream(self, client: HttpServiceClient, method: str, url: str, **options: Any) -> Iterator[Any]:
        with self._hooked(), super().stream(client, method, url, **options) as response:
            yield response
