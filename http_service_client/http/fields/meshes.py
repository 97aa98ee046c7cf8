"""What a response says of the proxies on its way: whether one of them repeats requests, too.

A client that makes three attempts through a sidecar that makes three makes nine. One header shows it:

    x-envoy-attempt-count          how many attempts Envoy made of the request that the response is for, the first included;
                                   in responses only where `include_attempt_count_in_response` is set

All others show that there is a proxy, and not what it does: `x-envoy-upstream-service-time`, `server: envoy` and
`istio-envoy`, `x-envoy-overloaded` (Envoy's own limit refused the request), and `l5d-proxy-error` of Linkerd, whose retries
show in no header.
"""

from __future__ import annotations

from ..headers import Headers

__all__ = ["ATTEMPT_COUNT", "proxy_attempts", "proxy_headers"]

ATTEMPT_COUNT = "x-envoy-attempt-count"
_COUNTS = frozenset({ATTEMPT_COUNT})
_SIGNS = frozenset({ATTEMPT_COUNT, "x-envoy-upstream-service-time", "x-envoy-overloaded", "l5d-proxy-error"})
_SERVERS = frozenset({"envoy", "istio-envoy"})


def proxy_attempts(headers: Headers) -> int:
    """How many attempts a proxy says that it made; 1 if none says that it made more.

    >>> proxy_attempts(Headers({"x-envoy-attempt-count": "3"})), proxy_attempts(Headers())
    (3, 1)
    """
    if not headers.has_any(_COUNTS):
        return 1
    text = headers[ATTEMPT_COUNT]
    # Anything may stand there. Nobody makes a thousand attempts.
    is_count = text.isascii() and text.isdecimal() and len(text) <= 3
    return max(1, int(text)) if is_count else 1


def proxy_headers(headers: Headers) -> dict[str, str]:
    """The headers that show a proxy of a service mesh, whatever it does.

    >>> proxy_headers(Headers({"Server": "istio-envoy", "Content-Length": "0"}))
    {'Server': 'istio-envoy'}
    """
    return {
        name: value
        for name, value in headers.items()
        if name.lower() in _SIGNS or (name.lower() == "server" and value.strip().lower() in _SERVERS)
    }
