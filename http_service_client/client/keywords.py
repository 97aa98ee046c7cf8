"""The keywords of a call, and what an error says of those that it does not have."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import IO, Any, Literal, TypedDict

from .. import http, policies
from ..core.checks import known_remedy, remedies
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
_RENAMED = remedies(
    {
        "set ssl_verify in ConnectionPoolConfig": "verify",
        "set ssl_cert_file in ConnectionPoolConfig": "cert",
        "set ssl_verify or ssl_ca_file in ConnectionPoolConfig": "ssl",
        "set proxy in HttpClientConfig": "proxies",
        "set it in HttpClientConfig, or use client.with_options(proxy=…)": "proxy",
        "use client.with_options(base_url=…)": "base_url",
        "use client.with_options(cache=…), or send Cache-Control in headers": "cache",
        "it is called allow_redirects": "follow_redirect follow_redirects",
        "set allowed_redirect_count in HttpClientConfig": "max_redirects",
        "pass bytes as data": "content",
        "use client.stream(method, url), or stream_async": "stream",
        "it is called key": "tenant",
        "pass retry_policy=RetryPolicy(max_attempts=…)": "max_attempts max_retries retries retry",
        "pass total_timeout, or make the call in a 'with deadline(…)' block": "deadline",
        "make the call in a 'with priority(…)' block": "priority",
        "send it in headers, as Idempotency-Key": "idempotency_key",
        "it is called params": "query search_params",
        "it is called path_params": "path_parameters url_params url_vars",
        "pass it as json, data or files": "body payload",
        "pass the mapping as data": "form",
        "it is called auth": "auth_token bearer bearer_token token",
        "pass it as auth, or in headers": "api_key",
        "send it in headers, as User-Agent": "user_agent",
        "set request_interceptors or response_interceptors in HttpClientConfig": "hooks",
        "pass on_event to HttpServiceClient": "before_retry on_retry",
        "call raise_for_status() on the response": "raise_for_status throw_http_errors validate_status",
        "pass total_timeout, or cancel the task of the call": "abort_signal cancel_token signal",
        "only stream and download take it; for other calls set it in HttpClientConfig": "max_response_size",
        "only download takes it": "checksum resume",
        "a download is a GET; use stream(method, url) for another": "method",
    }
)


def about_keyword(name: str) -> str:
    known = list(RequestOptions.__annotations__)
    elsewhere = dict.fromkeys(HttpClientConfig.__dataclass_fields__, "set it in HttpClientConfig")
    remedy = known_remedy(name, known, _RENAMED, elsewhere) or "see HttpServiceClient.request"
    return f"a call takes no keyword {name!r}; {remedy}"
