"""The verbs of HTTP, sync and async, with one list of keywords for all of them.

An editor shows a docstring as the source has it: not one that is inherited, or made at run time. So each verb
lists the keywords in full, and a test keeps the lists alike. The signatures do not, since passing fifteen
keywords on by name takes four times as long as passing `**options`, at every call. `response_type` is the exception:
a type checker needs it in the signature, to know the type of `data`. One generic signature covers every type.
Overloads would do so, too, but a wrong keyword is then reported as "no overload matches", with each of them in full.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import TypeVar, Unpack

    from ..http.messages import HttpResponse
    from .keywords import StreamRequestOptions

    T = TypeVar("T", default=None)  # of the data: None without a `response_type`

__all__ = ["Verbs"]


class Verbs(ABC):
    """A method for each verb, made of `request` and `request_async`."""

    __slots__ = ()

    @abstractmethod
    def request(
        self,
        method: str,
        url: str,
        *,
        response_type: type[T] | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse[T]:
        """Make a call and return the response, whatever its status."""

    @abstractmethod
    async def request_async(
        self,
        method: str,
        url: str,
        *,
        response_type: type[T] | None = None,
        **options: Unpack[StreamRequestOptions],
    ) -> HttpResponse[T]:
        """As `request`, in an asyncio task."""

    def get(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """GET a resource. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("GET", url, response_type=response_type, **options)

    def post(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """POST to a resource. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("POST", url, response_type=response_type, **options)

    def put(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """PUT a resource. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("PUT", url, response_type=response_type, **options)

    def patch(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """PATCH a resource. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("PATCH", url, response_type=response_type, **options)

    def delete(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """DELETE a resource. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("DELETE", url, response_type=response_type, **options)

    def head(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """Fetch a resource's headers by HEAD. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("HEAD", url, response_type=response_type, **options)

    def options(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """Ask by OPTIONS what a resource supports. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("OPTIONS", url, response_type=response_type, **options)

    def query(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """QUERY a resource: a safe request whose body is the query (RFC 10008). Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request`.
        """
        return self.request("QUERY", url, response_type=response_type, **options)

    async def get_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """GET a resource, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("GET", url, response_type=response_type, **options)

    async def post_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """POST to a resource, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("POST", url, response_type=response_type, **options)

    async def put_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """PUT a resource, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("PUT", url, response_type=response_type, **options)

    async def patch_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """PATCH a resource, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("PATCH", url, response_type=response_type, **options)

    async def delete_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """DELETE a resource, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("DELETE", url, response_type=response_type, **options)

    async def head_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """Fetch a resource's headers by HEAD, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("HEAD", url, response_type=response_type, **options)

    async def options_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """Ask by OPTIONS what a resource supports, in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("OPTIONS", url, response_type=response_type, **options)

    async def query_async(
        self, url: str, *, response_type: type[T] | None = None, **options: Unpack[StreamRequestOptions]
    ) -> HttpResponse[T]:
        """QUERY a resource (RFC 10008), in an asyncio task. Returns the response, whatever its status.

        url: absolute, or relative to the client's `base_url`.
        path_params: values for the ``{name}`` placeholders in the path of the URL, each encoded to stay within its segment.
        params: query parameters, added to those of the URL; values of None are left out.
        headers: replace default headers of the same name; a value of None leaves a default header out.
        json: sent as application/json.   data: a form, text, bytes, a file or an iterable of bytes.
        files: a multipart form, whose plain fields are `data`.
        cookies: names and values, for this call alone.
        auth: (user, password), a bearer token, or an object with an auth flow; False or None for none.
        timeout: seconds for each attempt as a whole, or a `Timeout`; None for no limit.
        total_timeout: seconds for the call, waits between attempts included; None for no limit.
        allow_redirects: False returns the redirect itself.
        retry_policy: a `RetryPolicy` for this call; False or None for a single attempt.
        circuit_breaker: a `CircuitBreakerPolicy` for this call; False or None for no circuit breaker.
        retry_budget: False or None for retries that the budget does not count.
        fallback: a `FallbackPolicy` for this call; False or None for no fallback.
        hedging: a `HedgingPolicy` for this call; False or None for no hedges.
        key: a name, such as a tenant's, that has a circuit, retry budget, throttle gate and connection slots of its own at
            each origin; None for those of the origin.
        idempotent: True if processing the request twice does no harm, False if it does; None decides by the
            method and the headers.
        response_type: any type that pydantic can validate; `data` of a 2xx response is then of this type.
        progress: called during an upload with the bytes sent and the total (None if unknown), from 0 in each
            attempt; True draws a bar with tqdm, a text one with this label.
        decompress: False returns the body as it arrived, with its content coding; True decodes it.
        name: of this kind of call, such as "charge card": events, the log, metrics and `explain()` have it.
        error_type: a type as for `response_type`: `data` of a 4xx or 5xx response, and of its HttpStatusError, is then of
            this type, or None where the body is not.

        auth, timeout, total_timeout, retry_policy, circuit_breaker, retry_budget and decompress are the client's own
        when left out.
        Raises as `request_async`.
        """
        return await self.request_async("QUERY", url, response_type=response_type, **options)
