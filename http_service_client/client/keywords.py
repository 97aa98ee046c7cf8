"""The keywords of a call, and what an error says of those that it does not have."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import IO, Any, Literal, TypedDict

from .. import http, policies
from ..core.checks import known_remedy
from ..core.timeouts import Timeout
from .config.client_config import HttpClientConfig

__all__ = [
    "IN_THE_REQUEST",
    "SPECIAL",
    "Data",
    "Params",
    "RequestOptions",
    "SendOptions",
    "StreamRequestOptions",
    "about_keyword",
]

# Keys and pairs are of text as a rule; the values are what `http.parameters` takes.
Params = Mapping[str, object] | Iterable[tuple[str, object]] | str | bytes | None
Data = (
    Mapping[str, object]
    | Iterable[tuple[str, object]]
    | Iterable[bytes]
    | AsyncIterable[bytes]
    | IO[str]
    | IO[bytes]
    | str
    | bytes
    | bytearray
    | memoryview
    | None
)


class SendOptions(TypedDict, total=False):
    """The keywords of `send`: those of a call that are not about what is in the request.

    For the signature of a function that makes the request itself and passes the rest on:
    ``def order(number: int, **options: Unpack[SendOptions])``.
    """

    auth: tuple[str, str] | str | http.AuthFlow | Literal[False] | None
    timeout: float | Timeout | None
    total_timeout: float | None
    allow_redirects: bool
    retry_policy: policies.RetryPolicy | bool | None
    circuit_breaker: policies.CircuitBreakerPolicy | bool | None
    retry_budget: bool | None
    fallback: policies.FallbackPolicy | bool | None
    hedging: policies.HedgingPolicy | bool | None
    key: str | None
    idempotent: bool | None
    progress: Callable[[int, int | None], object] | bool | str | None
    decompress: bool
    name: str | None
    error_type: Any


class StreamRequestOptions(SendOptions, total=False):
    """The keywords of `stream` and `download`, which `HttpServiceClient.request` explains."""

    path_params: Mapping[str, object] | None
    params: Params
    headers: Mapping[str, object] | Iterable[tuple[str, object]] | None
    json: object
    data: Data
    files: Mapping[str, object] | Iterable[tuple[str, object]] | None
    cookies: Mapping[str, object] | None


class RequestOptions(StreamRequestOptions, total=False):
    """The keywords of every verb, which `HttpServiceClient.request` explains.

    For the signature of a function that passes them on: ``def fetch(**options: Unpack[RequestOptions])``.
    """

    response_type: Any


IN_THE_REQUEST = set(StreamRequestOptions.__annotations__) - set(SendOptions.__annotations__)
SPECIAL = frozenset(SendOptions.__annotations__) - {"auth", "idempotent"}

# Keywords of other clients, and of other methods.
_RENAMED = {
    "verify": "set ssl_verify in ConnectionPoolConfig",
    "cert": "set ssl_cert_file in ConnectionPoolConfig",
    "ssl": "set ssl_verify or ssl_ca_file in ConnectionPoolConfig",
    "proxies": "set proxy in HttpClientConfig",
    "proxy": "set it in HttpClientConfig, or use client.with_options(proxy=…)",
    "base_url": "use client.with_options(base_url=…)",
    "cache": "use client.with_options(cache=…), or send Cache-Control in headers",
    **dict.fromkeys(("follow_redirect", "follow_redirects"), "it is called allow_redirects"),
    "max_redirects": "set allowed_redirect_count in HttpClientConfig",
    "content": "pass bytes as data",
    "stream": "use client.stream(method, url), or stream_async",
    "tenant": "it is called key",
    **dict.fromkeys(
        ("max_attempts", "max_retries", "retries", "retry"), "pass retry_policy=RetryPolicy(max_attempts=…)"
    ),
    "deadline": "pass total_timeout, or make the call in a 'with deadline(…)' block",
    "priority": "make the call in a 'with priority(…)' block",
    "idempotency_key": "send it in headers, as Idempotency-Key",
    **dict.fromkeys(("query", "search_params"), "it is called params"),
    **dict.fromkeys(("path_parameters", "url_params", "url_vars"), "it is called path_params"),
    **dict.fromkeys(("body", "payload"), "pass it as json, data or files"),
    "form": "pass the mapping as data",
    **dict.fromkeys(("auth_token", "bearer", "bearer_token", "token"), "it is called auth"),
    "api_key": "pass it as auth, or in headers",
    "user_agent": "send it in headers, as User-Agent",
    "hooks": "set request_interceptors or response_interceptors in HttpClientConfig",
    **dict.fromkeys(("before_retry", "on_retry"), "pass on_event to HttpServiceClient"),
    **dict.fromkeys(
        ("raise_for_status", "throw_http_errors", "validate_status"),
        "call raise_for_status() on the response",
    ),
    **dict.fromkeys(
        ("abort_signal", "cancel_token", "signal"), "pass total_timeout, or cancel the task of the call"
    ),
    "max_response_size": "only stream and download take it; for other calls set it in HttpClientConfig",
    "checksum": "only download takes it",
    "resume": "only download takes it",
    "method": "a download is a GET; use stream(method, url) for another",
}


def about_keyword(name: str) -> str:
    known = list(RequestOptions.__annotations__)
    elsewhere = dict.fromkeys(HttpClientConfig.__dataclass_fields__, "set it in HttpClientConfig")
    remedy = known_remedy(name, known, _RENAMED, elsewhere) or "see HttpServiceClient.request"
    return f"a call takes no keyword {name!r}; {remedy}"
