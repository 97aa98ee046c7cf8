"""A request as it is written."""

from __future__ import annotations

from functools import lru_cache

from ...http.http1.head import head_of_request, request_head
from ...http.messages import HttpRequest
from ...http.preparation import METHODS_WITHOUT_CONTENT
from ...http.proxies.urls import HttpProxy, Proxy
from ...http.urls import split_url

__all__ = ["head_bytes", "request_bytes"]


def request_bytes(request: HttpRequest, proxy: Proxy | None = None) -> bytes:
    """A request whose body is in memory."""
    content = request.body.content
    head = head_bytes(request, proxy)
    return head + content if content else head


def head_bytes(request: HttpRequest, proxy: Proxy | None = None, is_chunked: bool = False) -> bytes:
    """The head of a request.   proxy: that it goes through.   is_chunked: how the body is framed."""
    method, headers = request.method, request.headers
    target, host = _target_and_host(request.url)
    added: list[tuple[str, str]] = []
    if isinstance(proxy, HttpProxy) and not request.url.startswith("https:"):
        target = request.url  # of a forwarding proxy (RFC 9112, 3.2.2)
        added += proxy.fields_beside(headers)
    if is_chunked:
        added.append(("Transfer-Encoding", "chunked"))
    elif (
        not request.body.content and method not in METHODS_WITHOUT_CONTENT and "Content-Length" not in headers
    ):
        added.append(("Content-Length", "0"))
    if added:
        return request_head(method, target, host, [*headers.pairs(), *added])
    return head_of_request(method, target, host, headers)


@lru_cache(maxsize=1024)
def _target_and_host(url: str) -> tuple[str, str]:
    parts = split_url(url)
    return parts.target, parts.host_field
