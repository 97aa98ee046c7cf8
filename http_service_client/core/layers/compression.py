"""The body's content coding, for each exchange anew: who does not take it is sent the plain body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...events import CodingRefused
from ...http.content_codings.compression import compress
from ...http.messages import HttpRequest, HttpResponse
from ...http.urls import split_url
from ..effects import Outcome, Plan, Work
from ..outcomes import FAILURE_STATUSES

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..origins import OriginRegistry

__all__ = ["CompressionLayer"]

_AT_ONCE = 64 * 1024  # bytes that are compressed on an event loop: some two milliseconds of it
_TELLS_NOTHING = FAILURE_STATUSES | {415}  # of the coding, when it is the answer to the plain body


class CompressionLayer:
    """Compresses bodies; one that a server refuses by 415 is sent once more as it is (RFC 7694, RFC 9110 15.5.16).

    A 415 is a refusal to process, so that repeating the request does no harm. When the plain body is taken,
    the coding was to blame, and the origin gets no more of it. When that is a 415 too, the content was.

    threshold: smallest body, in bytes, that is compressed.   coding: "gzip" or "zstd".
    """

    def __init__(self, keys: OriginRegistry, threshold: int, coding: str) -> None:
        self._keys = keys
        self._threshold = threshold
        self._coding = coding

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        origin = self._keys.get(split_url(request.url).origin)
        packed = None if origin.refuses_codings else (yield from self._packed(request, call))
        if packed is None:
            return (yield from proceed(request, call))
        outcome = yield from proceed(packed, call)
        if not isinstance(outcome, HttpResponse) or outcome.status_code != 415:
            return outcome
        call.record(CodingRefused(call.elapsed(), call.attempt, call.key, self._coding))
        outcome = yield from proceed(request, call)
        if isinstance(outcome, HttpResponse) and outcome.status_code not in _TELLS_NOTHING:
            origin.refuses_codings = True
        return outcome

    def _packed(self, request: HttpRequest, call: Call) -> Plan[HttpRequest | None]:
        """The request with its body compressed; None where that is not to be, or gains nothing."""
        body = request.body
        content = body.content
        if content is None or len(content) < self._threshold or "Content-Encoding" in request.headers:
            return None
        call.current.exchange_timeout = None  # what this takes is of the attempt's time
        if len(content) > _AT_ONCE:
            smaller = yield from Work(compress, body, self._coding)
        else:
            smaller = compress(body, self._coding)
        if smaller is None:
            return None
        packed = request.copy()
        packed.body = smaller
        packed.headers.pop("Content-Length", None)
        packed.headers["Content-Encoding"] = self._coding
        packed.headers["Content-Length"] = str(smaller.length)
        return packed
