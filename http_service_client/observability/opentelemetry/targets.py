"""Where exchanges go, by which method: what is the same for all exchanges of one kind is made once.

A client that follows URLs of its users must not grow for ever: at most `_MOST` kinds are kept, and those that are in use.
"""

from __future__ import annotations

from ...drivers.forks import reset_in_forked_children
from ...drivers.locks import ForkSafeLock
from ...http.urls import Url, split_url
from .attributes import Attributes, KnownMethods

__all__ = ["Target", "Targets", "server_of"]

_MOST = 1000

_Key = tuple[str, str, str, int, "str | None"]  # method, scheme, host, port, template


class Target:
    """One method at one server, with one template of a path.

    span_name: of its CLIENT spans.   attributes: of its spans, without the URL.   common: of its metrics.
    server: server.address and server.port alone.   active: a mark for each exchange that is under way.
    outcomes: by the outcome, its own attributes, and those of a metric with it.
    """

    __slots__ = ("active", "attributes", "common", "outcomes", "server", "span_name")

    def __init__(self, method: str, url: Url, template: str | None, methods: KnownMethods) -> None:
        self.server = server_of(url)
        shown = methods.shown(method)
        self.common: Attributes = {**self.server, "http.request.method": shown}
        self.span_name = "HTTP" if shown != method else method
        if template is not None:
            self.common["url.template"] = template
            self.span_name += f" {template}"
        self.attributes = self.common.copy()
        if shown != method:
            self.attributes["http.request.method_original"] = method
        self.active: list[None] = []  # `append` and `pop` are atomic
        self.outcomes: dict[object, tuple[Attributes, Attributes]] = {}

    def with_outcome(self, key: object, attributes: Attributes) -> tuple[Attributes, Attributes]:
        """A new entry of `outcomes`."""
        found = self.outcomes[key] = attributes, {**self.common, **attributes}
        return found


class Targets:
    """The targets that are known."""

    def __init__(self, methods: KnownMethods) -> None:
        self._methods = methods
        self._known: dict[_Key, Target] = {}
        self._lock = ForkSafeLock()
        reset_in_forked_children(self)

    def _reset_after_fork(self) -> None:
        for target in self._known.values():
            target.active = []  # the others are of threads that do not exist here

    def of(self, method: str, url: str, template: str | None) -> Target:
        """The target of a request."""
        parts = split_url(url)
        key = (method, parts.scheme, parts.host, parts.port, template)
        return self._known.get(key) or self._add(key, parts)

    def _add(self, key: _Key, url: Url) -> Target:
        target = Target(key[0], url, key[4], self._methods)
        with self._lock:
            if len(self._known) >= _MOST:
                self._known = {known: each for known, each in self._known.items() if each.active}
            if len(self._known) < _MOST:
                return self._known.setdefault(key, target)
        return target

    def active(self) -> list[tuple[Attributes, int]]:
        """How many exchanges are under way, for each target."""
        with self._lock:
            return [(target.common, len(target.active)) for target in self._known.values()]


def server_of(url: Url) -> Attributes:
    """server.address and server.port, or the path of a Unix socket."""
    path = url.socket_path
    if path is not None:
        return {"server.address": path}
    return {"server.address": url.host, "server.port": url.port}
