"""`client.paginate(url)`: the pages of a listing, one call for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, NoReturn
from typing import TypeVar as _TypeVar

from ..drivers.imports import import_apart
from ..errors import PaginationError
from .verbs import Verbs

if TYPE_CHECKING:
    from typing_extensions import TypeVar, Unpack

    from ..drivers.clocks import Clock
    from ..http.messages import HttpResponse
    from .call_builder import CallBuilder
    from .keywords import StreamRequestOptions
    from .pages import Next, Pages

    T = TypeVar("T", default=None)  # of the data: None without a `response_type`

V = _TypeVar("V")

__all__ = ["AsyncSteps", "Paging", "Steps"]


class Steps(Iterator[V]):
    """The values of a generator. After a step that raised, further steps raise, too.

    A generator is over then, and a loop that goes on after an error would take what it has for the whole listing.
    """

    def __init__(self, values: Iterator[V]) -> None:
        self._values = values
        self._has_failed = False

    def __repr__(self) -> str:
        return "<pages of a listing: write 'for page in client.paginate(…)'>"

    def __next__(self) -> V:
        _check(self._has_failed)
        try:
            return next(self._values)
        except StopIteration:
            raise
        except BaseException:
            self._has_failed = True
            raise

    if not TYPE_CHECKING:  # a type checker finds these mistakes on its own

        def __aiter__(self) -> NoReturn:
            raise TypeError(
                "these pages are read by blocking calls: write 'for', "
                "or in asyncio 'async for page in client.paginate_async(…)'"
            )

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"the pages of a listing have no {name!r}: write 'for page in client.paginate(…)'"
            )


class AsyncSteps(AsyncIterator[V]):
    """The same, in asyncio."""

    def __init__(self, values: AsyncIterator[V]) -> None:
        self._values = values
        self._has_failed = False

    def __repr__(self) -> str:
        return "<pages of a listing: write 'async for page in client.paginate_async(…)'>"

    async def __anext__(self) -> V:
        _check(self._has_failed)
        try:
            return await self._values.__anext__()
        except StopAsyncIteration:
            raise
        except BaseException:
            self._has_failed = True
            raise

    if not TYPE_CHECKING:

        def __iter__(self) -> NoReturn:
            raise TypeError("these pages are read in asyncio: write 'async for', not 'for'")

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(
                f"the pages of a listing have no {name!r}: write 'async for page in client.paginate_async(…)'"
            )


def _check(has_failed: bool) -> None:
    if has_failed:
        raise PaginationError("this listing ended with an error, and pages are missing; call paginate again")


class Paging(Verbs):
    """`paginate` and `paginate_async`, made of `request` and `request_async`."""

    __slots__ = ()

    _call_builder: CallBuilder
    _clock: Clock

    def paginate(
        self,
        url: str,
        *,
        method: str = "GET",
        next: Next | None = None,
        max_pages: int | None = None,
        allowed_origins: Iterable[str] = (),
        response_type: type[T] | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> Iterator[HttpResponse[T]]:
        """The pages of a listing, as an iterator of responses; each page is requested when it is asked for.

        url: absolute, or relative to the client's `base_url`.   method: such as "GET" or "POST".
        next: called with each response, returns what comes next: a URL, resolved against that of the response; a
            mapping of keywords to change, such as ``{"params": {"page": 2}}`` (parameters replace those of the same
            name and keep the others); or None after the last page. Left out, the Link header with rel="next" decides.
            `next_by_field` makes one for a field of the body.
        max_pages: the iterator ends after so many; None for no limit.
        allowed_origins: other origins that a next URL may lead to, with all headers and credentials of the call.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        Each page is a call with these keywords, but `total_timeout` is for all pages together, without the time that
        the caller spends between them; left out, each page has the client's. `data` must be something that can be
        sent again, and `files` are refused.

        Raises as `request`, for wrong arguments at once, for a page when it is asked for: HttpStatusError if its
        status is 4xx or 5xx, PaginationError if the next URL is of another origin, or a page was requested before.
        """
        import_apart(_load_pages)
        from .pages import Pages

        pages = Pages(
            self._call_builder.base_url,
            self._call_builder.base_origins,
            self._clock.monotonic,
            url,
            method,
            next,
            max_pages,
            allowed_origins,
            options,
        )
        return Steps(self._pages(pages, response_type))

    def paginate_async(
        self,
        url: str,
        *,
        method: str = "GET",
        next: Next | None = None,
        max_pages: int | None = None,
        allowed_origins: Iterable[str] = (),
        response_type: type[T] | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> AsyncIterator[HttpResponse[T]]:
        """As `paginate`, for ``async for`` in an asyncio task.

        url: absolute, or relative to the client's `base_url`.   method: such as "GET" or "POST".
        next: called with each response, returns what comes next: a URL, resolved against that of the response; a
            mapping of keywords to change, such as ``{"params": {"page": 2}}`` (parameters replace those of the same
            name and keep the others); or None after the last page. Left out, the Link header with rel="next" decides.
            `next_by_field` makes one for a field of the body.
        max_pages: the iterator ends after so many; None for no limit.
        allowed_origins: other origins that a next URL may lead to, with all headers and credentials of the call.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        Raises as `paginate`.
        """
        import_apart(_load_pages)
        from .pages import Pages

        pages = Pages(
            self._call_builder.base_url,
            self._call_builder.base_origins,
            self._clock.monotonic,
            url,
            method,
            next,
            max_pages,
            allowed_origins,
            options,
        )
        return AsyncSteps(self._pages_async(pages, response_type))

    def _pages(self, pages: Pages, response_type: type[T] | None) -> Iterator[HttpResponse[T]]:
        while (page := pages.next_page()) is not None:
            with pages.time_limit():
                response = self.request(*page, response_type=response_type, **pages.options)
            pages.last = response.raise_for_status()
            yield response

    async def _pages_async(
        self, pages: Pages, response_type: type[T] | None
    ) -> AsyncIterator[HttpResponse[T]]:
        while (page := pages.next_page()) is not None:
            with pages.time_limit():
                response = await self.request_async(*page, response_type=response_type, **pages.options)
            pages.last = response.raise_for_status()
            yield response


def _load_pages() -> None:
    """Import what pages need, before the first call begins."""
    from . import pages  # noqa: F401
