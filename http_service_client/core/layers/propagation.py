"""Letting the next service know how long the call still waits, and whether a failure would be retried.

What is left is written for each exchange, as late as possible: a retry, the hop of a redirect and a request that
waited for a connection have less of it than the first one had. A server that chose its own successor by a redirect to
another origin learns nothing, unless the user named its host: these headers are for one's own services.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...http.egress import host_matcher
from ...http.fields.propagation import Propagation
from ...http.messages import HttpRequest
from ...http.unix_sockets import UNIX
from ...http.urls import split_url
from ..effects import Outcome, Plan

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler

__all__ = ["PropagationLayer", "Stamp"]


class Stamp:
    """Sets the headers of the settings on a copy of a request.

    They replace those that the request has already: a gateway may have copied them from its own request, and a request
    that is sent again later has those of its first time.
    """

    def __init__(self, settings: Propagation) -> None:
        self._settings = settings
        self._is_named = None if settings.hosts is None else host_matcher("hosts", settings.hosts)

    def __call__(self, request: HttpRequest, call: Call) -> HttpRequest:
        if not self._may_learn(request, call):
            return request
        request = request.copy()
        headers = request.headers
        for name in self._settings.names:
            headers.pop(name, None)
        for name, value in self._settings.outbound(_left(call), _number(call), _is_retried(call)):
            headers[name] = value
        return request

    def _may_learn(self, request: HttpRequest, call: Call) -> bool:
        if self._is_named is None:
            return not call.current.has_left_origin
        url = split_url(request.url)
        return url.scheme != UNIX and self._is_named(url.host, url.port)


class PropagationLayer:
    """Stamps the request before it is signed. Without signers, the exchange does it, after the wait for a slot."""

    def __init__(self, stamp: Stamp) -> None:
        self._stamp = stamp

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        return proceed(self._stamp(request, call), call)


def _left(call: Call) -> float | None:
    """Seconds until the response is of no more use; None for no limit.

    The attempt's timeout ends with the head of a streamed response, and says nothing about the time for its body.
    """
    ends = [call.deadline_at, call.current.expires_at if call.options.stream is None else None]
    return min((end - call.clock() for end in ends if end is not None), default=None)


def _number(call: Call) -> int:
    """The number of the attempt, those of an enclosing retry policy and of the inbound request included."""
    outer = None if call.scope is None else call.scope.outer
    return call.attempt + (0 if outer is None else outer.earlier_attempts())


def _is_retried(call: Call) -> bool:
    """Whether a failure that the server may have acted on would be retried, by the call or around it.

    Of the call itself and not of a hop: the GET after a 303 fails as the POST before it. A caller that does not repeat
    its POST must not keep the server from retrying what it does for it.
    """
    if call.options.is_nested:
        return True
    retry, request = call.options.retry, call.request
    return (
        retry is not None
        and retry.max_attempts > 1
        and request.is_safe_to_repeat
        and request.body.is_replayable
    )
