"""Where a listing goes on, and where it must not: what `client.paginate` requests next.

The server chooses the URL of the next page, as it does for a redirect. The request to it carries the call's
credentials, so it must stay with the origin that the caller named. Nothing here makes a call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ..core.checks import check_count, check_duration, is_plain
from ..errors import ConfigurationError, InvalidRequestError, PaginationError
from ..http.path_templates import fill_path
from ..http.preparation import parse_method
from ..http.references import in_ascii, location_target
from ..http.urls import RawUrl, UrlUnderBase, is_relative, normalise_url, origin_of, redact_url
from ..policies.deadline import deadline
from .keywords import StreamRequestOptions

if TYPE_CHECKING:
    from ..http.messages import HttpResponse

__all__ = ["Next", "Pages", "next_by_field", "prepare_for_repeats"]

# What comes after a page: a URL, keywords of the call to change, or None after the last page.
Next = Callable[["HttpResponse"], "str | Mapping[str, Any] | None"]

_REPLAYABLE = (str, bytes, bytearray, memoryview, Mapping, list, tuple)
_LEAST = 1e-9  # seconds: a deadline that has passed ends the next call at once


def next_by_field(path: str, param: str | None = None) -> Next:
    """The next page by a field of the JSON body, for `HttpServiceClient.paginate`.

    path: of the field, such as "next" or "paging.cursors.after". Without the field, or if it is null, false or "",
        the page is the last one. So is a 204, which has no fields.
    param: the query parameter that takes the field's value; None if the field is the URL of the next page.
    """
    if not isinstance(path, str) or not path or not (param is None or isinstance(param, str)):
        raise ConfigurationError(
            f"next_by_field takes the path of a field and the name of a parameter, not {path!r} and {param!r}"
        )

    def find(response: HttpResponse) -> str | Mapping[str, Any] | None:
        if response.status_code == 204:
            return None
        value = response.json()
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is None or value is False or value == "":
            return None
        if param is not None:
            return {"params": {param: value}}
        if not isinstance(value, str):
            raise _error(f"the field {path!r} is no URL; if it is a cursor, name its parameter", response)
        return value

    return find


class Pages:
    """Where a listing goes on.

    base_origins: of the base URLs, if several stand in for each other. A listing of one may go on at another.
    options: the keywords of the next call.   last: the page that arrived last, or None.
    """

    def __init__(
        self,
        base_url: str | None,
        base_origins: Sequence[str],
        clock: Callable[[], float],
        url: str,
        method: str,
        next: Next | None,
        max_pages: int | None,
        allowed_origins: Iterable[str],
        options: StreamRequestOptions,
    ) -> None:
        if next is not None and not is_plain(next):
            raise ConfigurationError(f"next must be a plain function of a response, or None, not {next!r}")
        if max_pages is not None:
            check_count("max_pages", max_pages)
        if isinstance(allowed_origins, str):
            raise ConfigurationError(
                f"allowed_origins must be a list of origins; write [{allowed_origins!r}]"
            )
        self.options: Any = dict(options)
        self.last: HttpResponse | None = None
        self._method = parse_method(method)
        self._base_url, self._template = base_url, url
        self._path_params: dict[str, object] = {}
        params = self.options.pop("params", None)
        url = self._filled(self.options.pop("path_params", None))
        self._url = normalise_url(url, params, base_url)
        if is_relative(url):
            self._url = UrlUnderBase(self._url)
        self._next = next
        self._left = max_pages
        self._seconds: Any = options.get("total_timeout")
        if "total_timeout" in options:
            check_duration("total_timeout", self._seconds)  # of a page, too, which has less by `time_limit`
        self._clock = clock
        own = origin_of(self._url)
        self._origins = {
            *(base_origins if own in base_origins else [own]),
            *(origin_of(normalise_url(it)) for it in allowed_origins),
        }
        self._seen: set[bytes] = set()
        prepare_for_repeats("paginate", self.options)

    def next_page(self) -> tuple[str, str] | None:
        """Method and URL of the next page, or None after the last one."""
        if self._left == 0:
            return None
        if self.last is not None and not self._go_on(self.last):
            return None
        if self._left is not None:
            self._left -= 1
        page = (self._method, self._url)
        body = [self.options.get(name) for name in ("headers", "json", "data")]
        digest = hashlib.sha256(repr((page, body)).encode()).digest()
        if digest in self._seen:
            assert self.last is not None  # of the first page, nothing was seen
            raise _error(f"it is {redact_url(self._url)}, which was requested before", self.last)
        self._seen.add(digest)
        return page

    def time_limit(self) -> AbstractContextManager[object]:
        """Around the call for a page: what is left of the time for all pages."""
        return nullcontext() if self._seconds is None else _TimeLimit(self)

    def _go_on(self, response: HttpResponse) -> bool:
        """Take what comes after a page. False if nothing does."""
        found = response.links.get("next", {}).get("url") if self._next is None else self._next(response)
        if found is None:
            return False
        if isinstance(found, str):
            self._move(found, None, response)
        elif isinstance(found, Mapping):
            self._change(dict(found), response)
        else:
            raise TypeError(f"next must return a URL, a mapping of keywords, or None, not {found!r}")
        return True

    def _change(self, changes: dict[str, Any], response: HttpResponse) -> None:
        for name in changes:
            if name not in StreamRequestOptions.__annotations__ and name not in ("url", "method"):
                raise InvalidRequestError(
                    f"next returned a mapping with {name!r}, which is no keyword of a call; "
                    f"a query parameter is {{'params': {{{name!r}: ...}}}}"
                )
        path_params = changes.pop("path_params", None)
        if "url" in changes:
            self._move(changes.pop("url"), path_params, response)
        elif path_params is not None:  # another path, and the same query
            path = normalise_url(self._filled(path_params), None, self._base_url).partition("?")[0]
            self._url = type(self._url)("".join([path, *self._url.partition("?")[1:]]))
        self._method = parse_method(changes.pop("method", self._method))
        params = changes.pop("params", None)
        if params is not None:
            is_under_base = isinstance(self._url, UrlUnderBase)
            self._url = normalise_url(_without(self._url, params), params)
            if is_under_base:
                self._url = UrlUnderBase(self._url)
        self.options.update(changes)
        prepare_for_repeats("paginate", self.options)

    def _move(self, url: str, path_params: Any, response: HttpResponse) -> None:
        """Go on at another URL. Its template is that of the page before, if it has the same path."""
        self._template, self._path_params = url, {}
        target = self._resolved(self._filled(path_params), response)
        if path_params is None and target.partition("?")[0] != self._url.partition("?")[0]:
            self.options.pop("_url_template", None)
        self._url = target

    def _filled(self, path_params: Any) -> str:
        """The URL as it was given, its placeholders filled; values replace those of the same name."""
        if path_params is None:
            return self._template
        if isinstance(path_params, Mapping):
            self._path_params |= path_params
            path_params = self._path_params
        url, self.options["_url_template"] = fill_path(self._template, path_params)
        return url

    def _resolved(self, url: str, response: HttpResponse) -> str:
        """The absolute URL of the next page, if the call may go there."""
        if not isinstance(url, str):
            raise TypeError(f"next must return a URL as text, not {url!r}")
        try:
            target = url if isinstance(url, RawUrl) else location_target(response.url, in_ascii(url).strip())
            origin = origin_of(target)
        except InvalidRequestError as error:
            raise _error(f"its URL cannot be used: {error}", response) from None
        if origin not in self._origins:
            raise _error(
                f"it is at another origin, {origin}, which must not get the headers and credentials for "
                f"{', '.join(sorted(self._origins))}; name it in allowed_origins if it may",
                response,
            )
        return target


class _TimeLimit:
    """A deadline of what is left; the time that the block took is taken off."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._deadline = deadline(max(_LEAST, pages._seconds), clock=pages._clock)

    def __enter__(self) -> None:
        self._began_at = self._pages._clock()
        self._deadline.__enter__()

    def __exit__(self, *about: Any) -> None:
        self._deadline.__exit__(*about)
        self._pages._seconds -= self._pages._clock() - self._began_at


def _without(url: str, params: object) -> str:
    """The URL without the query parameters that are set again."""
    if not isinstance(params, Mapping):
        raise InvalidRequestError(f"next returned params that are no mapping: {type(params).__name__}")
    names = {str(name) for name in params}
    start, _, query = url.partition("?")
    kept = [pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) not in names]
    return type(url)(f"{start}?{'&'.join(kept)}" if any(kept) else start)


def prepare_for_repeats(method: str, options: dict[str, Any]) -> None:
    """Keep what can be sent only once from being sent twice.   method: of the client, which makes several calls."""
    headers = options.get("headers")
    if headers is not None and not isinstance(headers, Mapping):
        options["headers"] = list(headers)
    data = options.get("data")
    if options.get("files") is not None or not (data is None or isinstance(data, _REPLAYABLE)):
        raise InvalidRequestError(
            f"{method} sends its body several times, so it takes neither files nor data that is read only once; "
            "pass bytes, a form or json"
        )


def _error(why: str, response: HttpResponse) -> PaginationError:
    return PaginationError(
        f"the page after {redact_url(response.url)} was not requested: {why}", **response._evidence()
    )
