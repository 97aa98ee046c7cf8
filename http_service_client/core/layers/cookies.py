"""Cookies of a jar, for each exchange: a redirect may set, delete and move them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...http.cookies.header import cookie_names
from ...http.cookies.jar import CookieJar
from ...http.messages import HttpRequest, HttpResponse
from ..effects import Outcome, Plan

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["CookiesLayer"]


class CookiesLayer:
    """Adds the jar's cookies for the URL to each request, and stores those that the response sets.

    wall: seconds since the epoch, by which cookies expire.
    """

    def __init__(self, jar: CookieJar, wall: Callable[[], float]) -> None:
        self._jar = jar
        self._wall = wall

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        own = request.headers.get("Cookie", "")
        taken = len(own.encode()) + 2 if own else 0
        stored = self._jar.header(request.url, self._wall(), cookie_names(own), taken)
        if stored and request.method != "TRACE":  # its response would repeat them (RFC 9110, 9.3.8)
            # On a copy: a redirect copies the original request and must not take these along.
            request = request.copy()
            request.headers["Cookie"] = f"{own}; {stored}" if own else stored
        outcome = yield from proceed(request, call)
        if isinstance(outcome, HttpResponse):
            lines = outcome.headers.get_all("Set-Cookie")
            if lines:
                self._jar.store(request.url, lines, self._wall())
        return outcome
