"""The Idempotency-Key of a request that is not safe to repeat: the client's setting `auto_idempotency_key`.

All attempts of a call have the same key, since it is added before the first one. A guarded function that is repeated makes
its calls again; then each of them has the key that its request had before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ..core.nesting import current_scope
from ..drivers.locks import ForkSafeLock
from ..http.ids import new_id
from ..http.request import HttpRequest

__all__ = ["add_idempotency_key"]

_LOCK = ForkSafeLock()  # shared by all operations: it is held for a few microseconds only


def add_idempotency_key(request: HttpRequest, is_quoted: bool) -> None:
    """Give the request a key.   is_quoted: see `HttpClientConfig.quote_idempotency_key`."""
    request.headers["Idempotency-Key"] = _key_of(request, _new_quoted if is_quoted else new_id)


def _key_of(request: HttpRequest, make: Callable[[], str]) -> str:
    """A new key; in a guarded function that is repeated, the key of the same request in the attempt before.

    A streamed body cannot be compared with an earlier one before it is sent, so it gets a new key: under the key of
    another request, the server would ignore it as a repetition.
    """
    scope, content = current_scope(), request.body.content
    keys = None if scope is None else scope.operation_keys(make, _LOCK)
    if keys is None or content is None:
        return make()
    boundary = (request.body.content_type or "").partition("boundary=")[2]
    if boundary:  # it is random for each request, and not part of the content
        content = content.replace(boundary.encode(), b"")
    digest = hashlib.sha256(content).digest()
    return keys.key_for((request.method, request.url, digest), request.headers.pairs())


def _new_quoted() -> str:
    """As an item of a structured field, which the draft standard makes of it (RFC 9651, 3.3.3)."""
    return f'"{new_id()}"'
