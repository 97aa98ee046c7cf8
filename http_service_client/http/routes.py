"""Routes: a method and a path template, such as ``GET /orders/{order_id}``, that requests are compared with.

    POST /charges            this method and path
    GET /orders/{order_id}   something in place of each placeholder; never an empty segment
    * /health                any method
    GET *                    any path

A request may match several routes. The most specific one counts: segment by segment from the left, text comes before
text with a placeholder in it, and that before a placeholder alone; ``*`` for the path comes last. Among routes of the
same path, one with a method comes before ``*``. So the order in which routes are written does not matter, and two that
could both be first are an error.

A comparison takes time in proportion to the path and to the number of routes that have as many segments and begin alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import ConfigurationError, InvalidRequestError
from .header_validation import is_token
from .path_templates import fits, parse_template
from .urls import path_span

__all__ = ["Route", "RouteTable", "parse_route", "path_below"]

_ANY = "*"


class Route(NamedTuple):
    """A parsed route.

    method: in upper case; None for any.   template: the path with its placeholders; None for any path.
    segments: for each segment of the path, the texts around its placeholders; one text for none.
    """

    method: str | None
    template: str | None
    segments: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return f"{self.method or _ANY} {self.template or _ANY}"

    def matches(self, method: str, segments: Sequence[str]) -> bool:
        """Whether a request matches.   segments: of its path."""
        if self.method is not None and self.method != method:
            return False
        if self.template is None:
            return True
        return len(segments) == len(self.segments) and all(map(fits, segments, self.segments))

    def matches_url(self, method: str, url: str) -> bool:
        """Whether a request matches, below any base URL."""
        segments = url.partition("?")[0].split("/")
        return self.matches(method, segments[-len(self.segments) :] if self.segments else segments)


def parse_route(field: str, text: object) -> Route:
    """A route of its text.   field: for messages. Raises ConfigurationError."""
    shown = "a method and a path, such as 'POST /charges' or 'GET /orders/{order_id}'"
    if not isinstance(text, str):
        raise ConfigurationError(f"{field} has {text!r}, which is no route; write {shown}")
    method, _, path = text.strip().partition(" ")
    path = path.strip()
    if not path or is_token(method) is None:
        raise ConfigurationError(f"{field} has {text!r}, which is no route; write {shown}")
    if method == path == _ANY:
        raise ConfigurationError(f"{field} has {text!r}, which is every request; set it for the client")
    given_method = None if method == _ANY else method.upper()
    if path == _ANY:
        return Route(given_method, None)
    if not path.startswith("/"):
        raise ConfigurationError(
            f"{field} has {text!r}, whose path must begin with '/': it is relative to the base URL, without an origin"
        )
    if "?" in path or "#" in path:
        raise ConfigurationError(
            f"{field} has {text!r}, with a query or fragment; a route is of the path alone"
        )
    foreign = next(
        (each for each in path.split("/") if each[:1] == ":" or each[:1] + each[-1:] == "<>"), None
    )
    if foreign is not None:
        name = foreign.strip(":<>").rpartition(":")[2] or "id"
        raise ConfigurationError(
            f"{field} has {text!r}, with the placeholder {foreign!r} of another library; write {{{name}}}"
        )
    try:
        parsed = parse_template(path)
    except InvalidRequestError as error:
        raise ConfigurationError(f"{field} has {text!r}: {error}") from None
    return Route(given_method, parsed.template, tuple(segment[::2] for segment in parsed.segments[1:]))


def path_below(url: str, base_url: str | None) -> str | None:
    """The path of a URL in normal form below the base URL, with its first slash; None for a URL elsewhere.

    >>> path_below("https://api.test/v1/orders?page=2", "https://api.test/v1")
    '/orders'
    """
    begin, end = path_span(url)
    if base_url is None:
        return url[begin:end]
    base = base_url.rstrip("/")  # in normal form
    if not url.startswith(base) or url[len(base) : len(base) + 1] not in ("/", "?", ""):
        return None
    return url[len(base) : end] or "/"


class RouteTable:
    """Finds the most specific route of a request.   field: for messages. Raises ConfigurationError for an ambiguity."""

    def __init__(self, field: str, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        ordered = sorted(range(len(self.routes)), key=lambda index: _rank(self.routes[index]))
        paths = [index for index in ordered if self.routes[index].template is not None]
        # By the number of segments, and by the first one; those that begin with a placeholder belong to every first one.
        self._any_start: dict[int, list[int]] = {}
        self._by_start: dict[tuple[int, str], list[int]] = {}
        for index in paths:
            segments = self.routes[index].segments
            first = segments[0]
            if len(first) == 1:
                self._by_start[len(segments), first[0]] = []
            else:
                self._any_start.setdefault(len(segments), []).append(index)
        for (length, text), found in self._by_start.items():
            for index in paths:
                segments = self.routes[index].segments
                first = segments[0]
                if len(segments) == length and (len(first) > 1 or first == (text,)):
                    found.append(index)
        self._of_any_path = {
            self.routes[index].method: index for index in ordered if self.routes[index].template is None
        }
        self._check(field, ordered)

    def _check(self, field: str, ordered: Sequence[int]) -> None:
        for place, index in enumerate(ordered):
            for other in ordered[place + 1 :]:
                one, two = self.routes[index], self.routes[other]
                if _rank(one) != _rank(two):
                    break
                if one.method == two.method and all(map(_overlap, one.segments, two.segments)):
                    raise ConfigurationError(
                        f"{field} has '{one}' and '{two}', which the same requests may match; keep one of them"
                    )

    def find(self, method: str, path: str) -> int | None:
        """The number of the route, or None."""
        segments = path.split("/")[1:]
        length = len(segments)
        candidates = self._by_start.get((length, segments[0]))
        if candidates is None:
            candidates = self._any_start.get(length, [])
        for index in candidates:
            if self.routes[index].matches(method, segments):
                return index
        return self._of_any_path.get(method)


_Rank = tuple[bool, int, tuple[tuple[int, int], ...], bool]


def _rank(route: Route) -> _Rank:
    """Routes are tried in the order of their ranks; those of equal ranks must exclude each other."""
    segments = tuple((0, 0) if len(texts) == 1 else (1, -sum(map(len, texts))) for texts in route.segments)
    return route.template is None, len(route.segments), segments, route.method is None


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether a segment may match both, which are of one rank, as far as their beginnings and ends say."""
    if len(one) == 1:  # and so has the other, of the same rank
        return one == other
    return (one[0].startswith(other[0]) or other[0].startswith(one[0])) and (
        one[-1].endswith(other[-1]) or other[-1].endswith(one[-1])
    )
