"""`client.poll(response)`: from "accepted" to the result of a long operation, with one deadline."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..core.checks import check_number, is_plain, suggests_arguments, verdict_of
from ..core.deadline import AMBIENT_DEADLINE, earliest, remaining
from ..core.effects import Sleep
from ..drivers.imports import import_apart
from ..errors import ConfigurationError, DeadlineExceededError, PollingError
from ..http.fields.retry_after import requested_delay
from ..http.messages import HttpResponse
from ..http.references import in_ascii, location_target
from ..http.urls import normalise_url, origin_of, redact_url
from .config.defaults import CLIENT_DEFAULT
from .paging import Paging
from .results import check_type
from .views import about_view
from .wiring import load_templates

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from ..drivers.clocks import Clock

    T = TypeVar("T", default=None)  # of the data: None without a `response_type`

__all__ = ["Polls"]

_SHORTEST = 0.1  # seconds: a Retry-After of 0 must not make a busy loop
_LEAST = 1e-9


def _about_keyword(name: str) -> str | None:
    if name == "params":
        return "add them to url"
    option = about_view(name)
    return None if option is None else f"{option}.poll(accepted)"


class Polls(Paging):
    """`poll` and `poll_async`, made of `request` and `request_async`."""

    __slots__ = ()

    @suggests_arguments(_about_keyword)
    def poll(
        self,
        accepted: HttpResponse[Any],
        *,
        url: str | None = None,
        path_params: Mapping[str, object] | None = None,
        total_timeout: float | None = CLIENT_DEFAULT,
        interval: float = 1.0,
        is_done: Callable[[HttpResponse], object] | None = None,
        allowed_origins: Iterable[str] = (),
        response_type: type[T] | None = None,
    ) -> HttpResponse[T]:
        """Wait for the result of an operation that a service has accepted: 202, Location, Retry-After.

        accepted: the response to the request that began it. If it is the result already, it is returned.
        url: where to look, absolute or relative to `accepted`; None for its Location. A later Location replaces it.
        path_params: values for the ``{name}`` placeholders in the path of `url`, each encoded to stay within its segment.
        total_timeout: seconds for all looks and the waits between them; None for no limit; left out, the client's.
        interval: seconds between two looks, 0.1 or more, where the service does not say how long to wait.
        is_done: called with each 2xx response, `accepted` included, returns whether it is the result; None: any status
            but 202 is.
        allowed_origins: other origins that a Location may lead to, with the headers and credentials of the client.
        response_type: any type that pydantic can validate; `data` of a 2xx result is then of this type.

        Each look is a GET, a call of its own with retries and circuit. Headers and credentials are those of the client:
        ``client.with_options(auth=…).poll(accepted)`` has others. A redirect, such as 303, leads to the result.

        Returns the result, whatever its status. Raises as `request`; DeadlineExceededError, before a wait that would not
        end in time; PollingError if there is no URL to look at, or it is of another origin.
        """
        polling = _Polling(
            self, accepted, url, path_params, total_timeout, interval, is_done, allowed_origins, response_type
        )
        driver = self._call_builder.backends.blocking()
        self._warn_inside_a_loop()  # before the first wait, and not after it
        while not polling.is_over:
            driver.run(iter(Sleep(polling.wait())))
            polling.take(self.get(polling.url, **polling.options()))
        return polling.result()

    @suggests_arguments(_about_keyword)
    async def poll_async(
        self,
        accepted: HttpResponse[Any],
        *,
        url: str | None = None,
        path_params: Mapping[str, object] | None = None,
        total_timeout: float | None = CLIENT_DEFAULT,
        interval: float = 1.0,
        is_done: Callable[[HttpResponse], object] | None = None,
        allowed_origins: Iterable[str] = (),
        response_type: type[T] | None = None,
    ) -> HttpResponse[T]:
        """As `poll`, in an asyncio task.

        accepted: the response to the request that began it. If it is the result already, it is returned.
        url: where to look, absolute or relative to `accepted`; None for its Location. A later Location replaces it.
        path_params: values for the ``{name}`` placeholders in the path of `url`, each encoded to stay within its segment.
        total_timeout: seconds for all looks and the waits between them; None for no limit; left out, the client's.
        interval: seconds between two looks, 0.1 or more, where the service does not say how long to wait.
        is_done: called with each 2xx response, `accepted` included, returns whether it is the result; None: any status
            but 202 is.
        allowed_origins: other origins that a Location may lead to, with the headers and credentials of the client.
        response_type: any type that pydantic can validate; `data` of a 2xx result is then of this type.

        Returns and raises as `poll`.
        """
        polling = _Polling(
            self, accepted, url, path_params, total_timeout, interval, is_done, allowed_origins, response_type
        )
        driver = self._call_builder.backends.asyncio()
        while not polling.is_over:
            await driver.run(iter(Sleep(polling.wait())))
            polling.take(await self.get_async(polling.url, **polling.options()))
        return polling.result()

    @abstractmethod
    def _warn_inside_a_loop(self) -> None: ...


class _Polling:
    """One operation that is waited for. It makes no call.

    url: where to look next.   is_over: the last response is the result.
    """

    url: str  # set while it goes on
    is_over: bool

    def __init__(
        self,
        client: Polls,
        accepted: HttpResponse[Any],
        url: str | None,
        path_params: Mapping[str, object] | None,
        total_timeout: Any,
        interval: float,
        is_done: Callable[[HttpResponse], object] | None,
        allowed_origins: Iterable[str],
        response_type: Any,
    ) -> None:
        if response_type is not None:
            check_type(response_type)  # a type that cannot be validated is an error now
        if not isinstance(accepted, HttpResponse):
            remedy = "; write client.poll(client.post(…))"
            if isinstance(accepted, str):
                remedy = "; pass the response to that request, and the URL to look at as url="
            elif inspect.isawaitable(accepted):
                remedy = "; await it first"
            raise ConfigurationError(
                f"poll takes the response to the request that began the operation, not {type(accepted).__name__}{remedy}"
            )
        if is_done is not None and not is_plain(is_done):
            raise ConfigurationError(
                f"is_done must be a plain function of a response, or None, not {is_done!r}"
            )
        if isinstance(allowed_origins, str):
            raise ConfigurationError(
                f"allowed_origins must be a list of origins; write [{allowed_origins!r}]"
            )
        check_number("interval", interval, unit="of seconds ")
        self._seconds: float | None = client._call_builder.total_timeout(
            {} if total_timeout is CLIENT_DEFAULT else {"total_timeout": total_timeout}
        )
        self._clock: Clock = client._clock
        outer = remaining(self._clock.monotonic, AMBIENT_DEADLINE.get())
        self._is_outer = self._seconds is None or (outer is not None and outer <= self._seconds)
        self._ends_at = earliest(self._seconds, self._clock.monotonic)
        # A stored "it goes on" would be the answer until it is stale. With a validator, a 304 still saves the body.
        has_cache = client._call_builder.cache is not None
        self._headers = {"headers": {"Cache-Control": "no-cache"}} if has_cache else {}
        self._interval = max(interval, _SHORTEST)
        self._is_done = is_done
        self._response_type = response_type
        self._origins = {origin_of(normalise_url(it)) for it in allowed_origins}
        self._origins |= _trusted_origin(accepted)
        self._template: str | None = None
        if path_params is not None:
            if url is None:
                raise ConfigurationError("path_params is for the placeholders of url; pass url=, too")
            import_apart(load_templates)
            from ..http.path_templates import fill_path

            url, self._template = fill_path(url, path_params)
        self.last = accepted
        self._judge(accepted)
        if not self.is_over:
            where = _location(accepted) if url is None else url
            if where is None:
                raise _error("it has no Location; pass url=", accepted)
            self.url = self._resolved(where)

    def wait(self) -> float:
        """Seconds until the next look. Raises DeadlineExceededError if there is no time for it."""
        requested = requested_delay(self.last.headers, self._clock.wall())
        wait = self._interval if requested is None else max(requested, _SHORTEST)
        left = self._left()
        if left is not None and wait >= left:
            limit = "the deadline" if self._is_outer else f"{self._seconds:g} s (total_timeout)"
            raise DeadlineExceededError(
                f"the operation at {redact_url(self.url)} was still going on, and the next look, in {wait:.3g} s, "
                f"would not be within {limit}",
                **self.last._evidence(),
            )
        return wait

    def options(self) -> dict[str, Any]:
        """The keywords of the next look."""
        left = self._left()
        limit = {} if left is None else {"total_timeout": max(_LEAST, left)}
        template = {} if self._template is None else {"_url_template": self._template}
        return {**self._headers, **limit, **template}

    def take(self, response: HttpResponse[Any]) -> None:
        """The response to a look."""
        self.last = response
        self._judge(response)
        if not self.is_over and (where := _location(response)) is not None:
            url = self._resolved(where)
            if url.partition("?")[0] != self.url.partition("?")[0]:
                self._template = None
            self.url = url

    def result(self) -> HttpResponse[Any]:
        """The last response, its data validated."""
        if self._response_type is not None and self.last.is_success:
            from .response_types import validated

            self.last.data = validated(self.last, self._response_type)
        return self.last

    def _judge(self, response: HttpResponse[Any]) -> None:
        is_done = self._is_done
        self.is_over = (
            response.status_code != 202
            if is_done is None or not response.is_success
            else verdict_of(is_done(response))
        )

    def _left(self) -> float | None:
        return None if self._ends_at is None else self._ends_at - self._clock.monotonic()

    def _resolved(self, url: str) -> str:
        try:
            target = location_target(self.last.url, in_ascii(url).strip())
            origin = origin_of(target)
        except (ValueError, AttributeError) as error:  # InvalidRequestError is one; it may be no text
            raise _error(f"its URL cannot be used: {error}", self.last) from None
        if origin not in self._origins:
            raise _error(
                f"its status is at another origin, {origin}, which must not get the headers and credentials for "
                f"{', '.join(sorted(self._origins)) or 'the service'}; name it in allowed_origins if it may",
                self.last,
            )
        return target


def _location(response: HttpResponse[Any]) -> str | None:
    """The Location of a response. Raises PollingError for two that differ: the other one may be injected."""
    found = set(response.headers.get_all("Location"))
    if len(found) > 1:
        raise _error("it has more than one Location", response)
    return found.pop() if found else None


def _trusted_origin(accepted: HttpResponse[Any]) -> set[str]:
    """Where the credentials of the client may go: not to the origin that a redirect led to."""
    ours = [it for it in (*accepted.history, accepted) if it.request is None or not it.request.left_origin]
    return {origin_of(it.url) for it in ours[-1:] if it.url}


def _error(why: str, response: HttpResponse[Any]) -> PollingError:
    where = f" accepted by {redact_url(response.url)}" if response.url else ""
    return PollingError(
        f"the operation{where} cannot be followed: {why}",
        **response._evidence(),
    )
