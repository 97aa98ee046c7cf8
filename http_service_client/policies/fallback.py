"""The fallback policy: what stands in for a result that could not be had."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any

from ..core.checks import suggests_keywords
from ..core.machines.fallback import NOTHING, RENAMED, FallbackSettings
from .listeners import judging

__all__ = ["FallbackPolicy"]


@suggests_keywords(RENAMED)
class FallbackPolicy:
    """A value, a function's result or the last good result in the place of a failure: ``fallback=FallbackPolicy(value=[])``.

    In a client's configuration, or with one call, it stands in for the response to a request that failed after all
    attempts. `response.is_fallback` says so, and `response.timeline.fallback_used` says which and for what.

    value: the result. For a client's call: an `HttpResponse`, or the data of a JSON response with status 200. Each user of
        a list, a dictionary or a set gets a copy.
    function: called with the error, plain or async; if it takes more than one argument, also with the arguments of the
        guarded function, or with the `HttpRequest` of a client's call. It returns the result, as for `value`. Where it raises
        the error that it was given, nothing stands in.
    last_good: seconds for which the last good result of the same request, or of the function with the same arguments, stands
        in. It comes first; `value` or `function` is for when there is none.
    failures: what counts as a failure, in place of the rules below: a list of statuses, ranges of them, and exception
        classes, such as [503, range(520, 530), ConnectError].
    is_failure: judges each result and each exception in their place: True where the fallback stands in.
    unsafe_methods: also for a POST and other requests that change something. A fallback hides that they failed, and that they
        may have been processed, so the default is GET, HEAD, OPTIONS, TRACE and QUERY alone. Around a function, it does not
        stand in for an error of such a request that may have been processed.
    single_user: the credentials that interceptors, auth flows, signers and a cookie jar add are always those of one user. By
        default, a response to a request with such credentials is not kept, since another user must not get it.
    key: of a guarded function's result: a function of the same arguments; by default the arguments themselves.
    max_entries, max_bytes: limits of the results that are kept: their number, and of responses their size.

    Failures are: what a policy refuses, such as an open circuit; transport errors, of this package and of requests, urllib3,
    aiohttp, httpx and httpx2; timeouts; 408, 429 and 5xx. Not: any other status, errors of the program such as a TypeError, a
    certificate that is not trusted, cancellation.

    Raises ConfigurationError (a ValueError) that names the argument, its value and the remedy.
    """

    def __init__(
        self,
        *,
        value: Any = NOTHING,
        function: Callable[..., Any] | None = None,
        last_good: float | None = None,
        failures: Iterable[int | range | type[BaseException]] | None = None,
        is_failure: Callable[[Any], bool | None] | None = None,
        unsafe_methods: bool = False,
        single_user: bool = False,
        key: Callable[..., Hashable] | None = None,
        max_entries: int = 1000,
        max_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        settings = FallbackSettings(
            value=value,
            function=function,
            last_good=last_good,
            failures=failures,
            is_failure=is_failure,
            unsafe_methods=unsafe_methods,
            single_user=single_user,
            key=key,
            max_entries=max_entries,
            max_bytes=max_bytes,
        )
        self._settings = replace(settings, is_failure=judging(is_failure))

    @property
    def settings(self) -> FallbackSettings:
        """The settings alone, as a frozen record that compares, pickles and copies."""
        return self._settings
