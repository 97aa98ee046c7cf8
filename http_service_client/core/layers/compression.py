"""Compression of request bodies, for each exchange. A server that rejects the coding gets the plain body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import AttemptTimeoutError, Failure, SentState
from ...events import CodingRefused
from ...http.content_codings.compression import compress
from ...http.messages import HttpRequest, HttpResponse
from ...http.urls import split_url
from ..effects import TIMED_OUT, Outcome, Plan, Work
from ..origins import state_key
from ..outcomes import FAILURE_STATUSES

if TYPE_CHECKING:
    from ..call import Call
    from ..layer import Handler
    from ..origins import OriginRegistry

__all__ = ["CompressionLayer"]

_AT_ONCE = 64 * 1024  # bytes that may be compressed on an event loop: about two milliseconds
# They are about the bytes that are sent, whose coding counts (RFC 9530, 2 and 3; RFC 9110, 14.4): they fit the plain body.
_ABOUT_THE_BYTES = frozenset(
    {"content-digest", "content-encoding", "content-md5", "content-range", "digest", "repr-digest"}
)
_SAYS_NOTHING = FAILURE_STATUSES | {415}  # about the coding, as the status of the plain body


class CompressionLayer:
    """Compresses bodies. One that is rejected with 415 is sent again uncompressed (RFC 7694, RFC 9110 15.5.16).

    A 415 is a refusal to process the request, so repeating it does no harm. If the server accepts the uncompressed
    body, compression is switched off for that origin. If it answers 415 again, the content was to blame.

    threshold: smallest body, in bytes, that is compressed.   coding: "gzip" or "zstd".
    """

    def __init__(self, keys: OriginRegistry, threshold: int, coding: str) -> None:
        self._keys = keys
        self._threshold = threshold
        self._coding = coding

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]:
        origin = self._keys.get(state_key(split_url(request.url).origin, call.options.key))
        packed = None if origin.refuses_codings else (yield from self._packed(request, call))
        if packed is None:
            return (yield from proceed(request, call))
        if isinstance(packed, Failure):
            return packed
        outcome = yield from proceed(packed, call)
        if not isinstance(outcome, HttpResponse) or outcome.status_code != 415:
            return outcome
        call.record(
            CodingRefused(call.elapsed(), call.attempt, call.key, self._coding, call.call_id, call.call_name)
        )
        outcome = yield from proceed(request, call)
        if isinstance(outcome, HttpResponse) and outcome.status_code not in _SAYS_NOTHING:
            origin.refuses_codings = True
        return outcome

    def _packed(self, request: HttpRequest, call: Call) -> Plan[HttpRequest | Failure | None]:
        """The request with its body compressed, or None when that is not wanted or does not make it smaller."""
        body = request.body
        content = body.content
        if content is None or len(content) < self._threshold or request.headers.has_any(_ABOUT_THE_BYTES):
            return None
        call.current.exchange_timeout = None  # compressing takes some of the attempt's time
        if len(content) > _AT_ONCE:
            expires_at = call.current.expires_at
            left = None if expires_at is None else expires_at - call.clock()
            smaller = yield from Work(compress, body, self._coding, timeout=left)
            if smaller is TIMED_OUT:
                message = f"the attempt timed out while its body of {len(content)} bytes was being compressed"
                return Failure(AttemptTimeoutError, message, SentState.NEVER_SENT)
        else:
            smaller = compress(body, self._coding)
        if smaller is None:
            return None
        packed = request.copy()
        packed.body = smaller
        # To set it alone would keep its place, before Content-Encoding.
        packed.headers.pop("Content-Length", None)
        packed.headers["Content-Encoding"] = self._coding
        packed.headers["Content-Length"] = str(smaller.length)
        return packed
