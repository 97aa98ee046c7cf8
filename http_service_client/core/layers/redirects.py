"""Following redirects within one attempt, by RFC 9110, 15.4. The rules are in `http.redirects`."""

from __future__ import annotations

import dataclasses
import math
from itertools import chain
from typing import TYPE_CHECKING

from ...errors import (
    AttemptTimeoutError,
    Failure,
    HttpClientError,
    ResponseTooLargeError,
    SentState,
    TooManyRedirectsError,
    UnsafeRedirectError,
    worst,
)
from ...events import RedirectFollowed
from ...http.content_codings.decoder import too_large
from ...http.messages import HttpRequest, HttpResponse
from ...http.redirects import REDIRECT_CODES, Hop, headers_for_hop, next_hop
from ...http.secret_names import SecretNames
from ...http.urls import redact_url
from ..call import Call
from ..effects import Outcome, Plan
from .attempt_timeout import with_limit

if TYPE_CHECKING:
    from ..layer import Handler

__all__ = ["RedirectsLayer"]


class RedirectsLayer:
    """Follows at most `max_redirects` hops. Credentials stay with the origin that they were meant for.

    max_size: bytes of all the responses of a call together, or None. Its history is in memory as long as the last one.
    """

    def __init__(self, secret_names: SecretNames, max_size: int | None) -> None:
        self._secret_names = secret_names
        self._limit = math.inf if max_size is None else max_size

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        request.follows_redirects = call.options.max_redirects > 0
        call.current.has_left_origin = False  # a download may begin again, within the attempt
        history: list[HttpResponse] = []
        kept, limit = 0, self._limit  # bytes of the history, and of all together
        while True:
            outcome = yield from proceed(request, call)
            if isinstance(outcome, Failure):
                if history and outcome.error_type is AttemptTimeoutError:  # of all hops together
                    message = with_limit(outcome, call.options.timeout.total)
                    outcome = dataclasses.replace(outcome, message=message)
                break
            if outcome.status_code not in REDIRECT_CODES:
                break
            following = self._follow(request, outcome, call, len(history))
            if following is None:
                break
            if isinstance(following, Failure):
                return following
            history.append(outcome)
            kept += len(outcome.content) + sum(map(len, chain(*outcome.headers.multi_items())))
            if kept > limit:
                return _too_large(limit, outcome)
            request = following
            call.hops = (*call.hops, request)
        if history and isinstance(outcome, HttpResponse):
            is_streamed = call.options.stream is not None and outcome.is_success  # with a limit of its own
            if not is_streamed and kept + len(outcome.content) > limit:
                return _too_large(limit, outcome)
            outcome.history = tuple(history)
        return outcome

    def _follow(
        self, request: HttpRequest, response: HttpResponse, call: Call, hops: int
    ) -> HttpRequest | Failure | None:
        """The next request, None when the response is to be returned, or a failure when it must not be followed."""
        limit = call.options.max_redirects
        if limit == 0:
            return None
        locations = set(response.headers.get_all("Location"))
        if len(locations) > 1:  # which one is meant? The other may be injected (response splitting)
            message = f"the redirect from {redact_url(request.url)} has more than one Location"
            return _stopped(UnsafeRedirectError, message, response)
        location = locations.pop() if locations else None
        try:
            hop = next_hop(request.method, request.url, response.status_code, location)
        except HttpClientError as error:
            return _stopped(UnsafeRedirectError, str(error), response)
        if hop is None:
            return None
        if hops >= limit:
            message = f"more than {limit} redirects, the last from {redact_url(request.url)}; see allowed_redirect_count"
            return _stopped(TooManyRedirectsError, message, response)
        if hop.keeps_body and not request.body.may_send:
            message = f"{response.status_code} needs the body again, but it was a stream and is consumed; pass bytes or a file"
            return _stopped(UnsafeRedirectError, message, response)
        call.record(
            RedirectFollowed(
                call.elapsed(),
                call.attempt,
                call.key,
                response.status_code,
                hop.method,
                redact_url(hop.url),
                call.call_id,
                call.call_name,
            )
        )
        # A redirect to GET means that the server processed the request; one that keeps the method and the body
        # means that it did not.
        state = SentState.REFUSED if hop.keeps_body else SentState.ANSWERED
        call.current.sent_state = worst(call.current.sent_state, state)
        if not hop.same_origin:
            call.current.has_left_origin = True
        return self._hop_request(request, hop)

    def _hop_request(self, request: HttpRequest, hop: Hop) -> HttpRequest:
        following = request.copy()
        following.method, following.url = hop.method, hop.url
        following.url_template = None  # it is of the URL that the caller gave
        following.headers = headers_for_hop(request.headers, hop, self._secret_names)
        if not hop.keeps_body:
            following.content = b""
        if not hop.same_origin:
            following.left_origin = True
        return following


def _too_large(limit: float, response: HttpResponse) -> Failure:
    return _stopped(ResponseTooLargeError, f"with its redirects, {too_large(limit, 'raise it')}", response)


def _stopped(error_type: type[HttpClientError], message: str, response: HttpResponse) -> Failure:
    return Failure(error_type, message, SentState.ANSWERED, details={"response": response})
