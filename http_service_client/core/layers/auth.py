"""Running an auth flow: a generator that yields requests and is sent the responses, within one attempt.

The layer is inside the redirects: each hop within the call's origin has a flow of its own, since a digest names the
URL, and a 401 to the GET after a 303 must never repeat the POST before it. It is inside the compression: a flow sees
the body that is sent. From the first redirect to another origin on, no flow runs, not even if it leads back: another
server chose the URL.

    the flow yields                 which is
    the request that it was given   sent, as changed: its headers and its query may be
    `TokenNeeded`                   answered with a token, for which the call may have to wait (see `tokens`)
    any other request               sent on its own, say to a token endpoint: without cookies, default headers or
                                    redirects, past the circuit breaker, but under the egress policy, the connection
                                    limits and the attempt's timeout

The result is the last response to the request itself. A flow vouches for nothing but what a status says: 400, 401,
403 and 407 mean that the request was not applied, so it may be sent again. After any other response only a request
that is safe to repeat may.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import (
    AttemptTimeoutError,
    Failure,
    HttpClientError,
    InterceptorError,
    InvalidRequestError,
    SentState,
    worst,
)
from ...events import AuthContinued, AuthStopped
from ...http.headers import Headers
from ...http.messages import HttpRequest, HttpResponse
from ...http.urls import redact_url, split_url
from ..effects import Outcome, Plan
from ..open_body import OpenResponse
from .attempt_timeout import with_limit
from .tokens import TokenNeeded, Tokens

if TYPE_CHECKING:
    from ...events import TokenAwaited
    from ...http.auth.flow import AuthFlow
    from ..call import Call
    from ..layer import Handler
    from ..machines.caching.token_cache import Token

__all__ = ["AuthLayer"]

_MOST = 5  # requests of one flow: some to get a token, and the call's own once more after a 401
_NOT_APPLIED = frozenset({400, 401, 403, 407})


class AuthLayer:
    """Runs the flow of the call's options, if it has one.

    send: sends a request of the flow's own.   prepare: brings a request into its final form.
    headers: for requests of the flow's own that do not set them.   tokens: finds those that a flow asks for.
    """

    def __init__(
        self,
        send: Handler,
        prepare: Callable[[HttpRequest, HttpRequest], None],
        headers: Headers,
        tokens: Tokens,
    ) -> None:
        self._send = send
        self._prepare = prepare
        self._headers = headers
        self._tokens = tokens

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        auth = call.options.auth
        if auth is None or call.current.has_left_origin:
            return (yield from proceed(request, call))
        run = _Run(auth, request, call, self._prepare, self._headers)
        answer: HttpResponse | None = None  # the last one
        sent: HttpResponse | Token | None = None  # what the flow is sent
        awaited: list[TokenAwaited] = []
        try:
            while True:
                call.current.exchange_timeout = None  # the flow's code takes some of the attempt's time
                step = run.advance(answer, sent)
                # After `AuthContinued`, which is known only now: the response that it names is why a token was awaited.
                for event in awaited:
                    call.record(event._replace(at=call.elapsed()))
                awaited.clear()
                if isinstance(step, TokenNeeded):
                    found = yield from self._tokens.get(step, call, awaited.append)
                    if isinstance(found, Failure):
                        return run.without_token(found)
                    sent = found
                    continue
                if not isinstance(step, HttpRequest):
                    return step
                if run.sends_own:
                    outcome = yield from proceed(step, call)
                else:
                    outcome = yield from self._send(step, call)
                if isinstance(outcome, Failure):
                    return run.failed(outcome)
                answer = sent = outcome
        finally:
            run.close()
            for event in awaited:
                call.record(event)


class _Run:
    """One run of a flow. It makes no exchange: the layer asks which request is next.

    sends_own: the request that `advance` returned is the call's own, and not one of the flow's.
    """

    def __init__(
        self,
        auth: AuthFlow,
        request: HttpRequest,
        call: Call,
        prepare: Callable[[HttpRequest, HttpRequest], None],
        headers: Headers,
    ) -> None:
        self._name = f"{type(auth).__name__}.auth_flow"
        self._auth = auth
        self._original = request  # as the redirects passed it on, without credentials
        self._own = request.copy()
        self._call = call
        self._prepare = prepare
        self._headers = headers
        self._flow: Generator[Any, Any, None] | None = None
        # To the call's own request; None when its body was discarded.
        self._latest: HttpResponse | None = None
        self._latest_status: int | None = None
        self._sent = 0
        self.sends_own = False

    def advance(
        self, answer: HttpResponse | None, sent: HttpResponse | Token | None
    ) -> HttpRequest | TokenNeeded | Outcome:
        """The next request to send, or the outcome.

        answer: the response to the last one; None to begin.   sent: that, or the token that the flow asked for.
        """
        call = self._call
        if answer is not None and self.sends_own:
            self._latest, self._latest_status = answer, answer.status_code
        try:
            flow = self._flow or self._begin()
            if isinstance(flow, Failure):
                return flow
            yielded: Any = next(flow) if sent is None else flow.send(sent)
            if isinstance(yielded, TokenNeeded):
                return yielded
            if not isinstance(yielded, HttpRequest):
                return self._misused(f"yielded {_kind(yielded)}; yield an http_service_client.HttpRequest")
            self.sends_own = (yielded.method, yielded.url) == (self._own.method, self._own.url)
            request = self._prepared_own(yielded) if self.sends_own else self._prepared_other(yielded)
        except StopIteration:
            return self._latest or self._misused(
                "ended without the request; yield it, or raise if it cannot be sent"
            )
        except InvalidRequestError as error:
            return self._failure(InvalidRequestError, str(error))
        except HttpClientError as error:
            # Such as that of `raise_for_status` on the response of a token endpoint. Its own state says nothing about the
            # call's request.
            error.sent_state = worst(call.sent_state, self._state())
            raise
        if isinstance(request, Failure):
            return request
        self._sent += 1
        if self._sent > _MOST:
            return self._misused(
                f"yielded more than {_MOST} requests; the last response was {_status(answer)}"
            )
        return request if answer is None else self._continued(request, answer)

    def _begin(self) -> Generator[Any, Any, None] | Failure:
        if getattr(self._auth, "requires_request_body", False) and self._own.content is None:
            message = "needs the body's bytes (requires_request_body), but the body is a stream or a file; pass bytes"
            return self._failure(InvalidRequestError, f"{self._name} {message}")
        flow = self._auth.auth_flow(self._own)
        if not isinstance(flow, Generator):
            return self._misused(f"returned {_kind(flow)}; write a plain generator, which yields requests")
        self._flow = flow
        return flow

    def _prepared_own(self, yielded: HttpRequest) -> HttpRequest | Failure:
        """The call's request with what the flow changed."""
        original = self._original
        request = yielded.copy()
        if not request.has_body_of(original):
            return self._misused("changed the body, which its headers describe; change it in an interceptor")
        request.body = original.body
        self._prepare(request, original)
        if request.method != original.method or _resource(request.url) != _resource(original.url):
            return self._misused(
                "changed the request's method or URL; of these it may change the query alone"
            )
        return request

    def _prepared_other(self, yielded: HttpRequest) -> HttpRequest:
        request = yielded.copy()
        for name, value in self._headers.pairs():
            request.headers.setdefault(name, value)
        request.headers.secret_names = self._original.headers.secret_names
        self._prepare(request, self._original)
        return request

    def _continued(self, request: HttpRequest, answer: HttpResponse) -> HttpRequest | Outcome:
        """The request that follows a response, if it may follow."""
        call, latest, status = self._call, self._latest, answer.status_code
        if self.sends_own and self._latest_status is not None:
            if not request.body.may_send and latest is not None:
                call.record(
                    AuthStopped(
                        call.elapsed(),
                        call.attempt,
                        call.key,
                        latest.status_code,
                        call.call_id,
                        call.call_name,
                    )
                )
                return latest
            if self._latest_status not in _NOT_APPLIED and not request.is_safe_to_repeat:
                shown = str(self._latest_status) if latest is None else _status(latest)
                return self._misused(
                    f"yielded the {request.method} again after {shown}, when it may have been processed; "
                    "send it again only after 400, 401, 403 or 407"
                )
        if answer is latest:
            state = SentState.REFUSED if status in _NOT_APPLIED else SentState.ANSWERED
            call.current.sent_state = worst(call.current.sent_state, state)
            if isinstance(answer, OpenResponse):
                self._latest = None  # without its body it is no result
                call.discard_body()
        call.record(
            AuthContinued(
                call.elapsed(), call.attempt, call.key, status, redact_url(answer.url),
                request.method, redact_url(request.url), call.call_id, call.call_name,
            )
        )  # fmt: skip
        return request

    def failed(self, failure: Failure) -> Failure:
        """The failure of an exchange, as that of the attempt."""
        call = self._call
        if self._sent > 1 and failure.error_type is AttemptTimeoutError:  # of all exchanges together
            failure = dataclasses.replace(failure, message=with_limit(failure, call.options.timeout.total))
        if self.sends_own:
            return failure
        # It says nothing about the call's service, and nothing new about what became of the call's own request.
        call.current.answered_by = self._name
        # The response of a token endpoint may hold a token.
        details = {name: value for name, value in failure.details.items() if name != "response"}
        message = f"a request of {self._name} failed: {failure.message}"
        return self._failure(failure.error_type, message, failure.cause, details)

    def without_token(self, failure: Failure) -> Failure:
        """There is no token. That says nothing about the call's service."""
        call, message = self._call, failure.message
        call.current.answered_by = self._name
        details = dict(failure.details)
        if self._latest_status in _NOT_APPLIED:
            message = f"the request was refused ({self._latest_status}), and {message}"
            details["response"] = self._latest
            call.current.sent_state = worst(call.current.sent_state, SentState.REFUSED)
        return Failure(failure.error_type, message, call.current.sent_state, failure.cause, details)

    def _misused(self, message: str) -> Failure:
        return self._failure(InterceptorError, f"{self._name} {message}")

    def _failure(
        self,
        error_type: type[HttpClientError],
        message: str,
        cause: BaseException | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Failure:
        return Failure(error_type, message, self._state(), cause, details or {})

    def _state(self) -> SentState:
        """What became of the call's own request in this attempt."""
        state = self._call.current.sent_state
        return state if self._latest is None else worst(state, self._latest.sent_state)

    def close(self) -> None:
        if self._flow is not None:
            self._flow.close()


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _status(response: HttpResponse | None) -> str:
    return "missing" if response is None else f"{response.status_code} {response.reason_phrase}".rstrip()


def _resource(url: str) -> tuple[str, str]:
    """The URL without its query."""
    parts = split_url(url)
    return parts.origin, parts.target.partition("?")[0]
