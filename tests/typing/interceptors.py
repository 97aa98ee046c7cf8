"""Interceptors may be plain or async, and narrow what they return. Checked by mypy and pyright, not run."""

from http_service_client import (
    HttpContext,
    HttpRequest,
    HttpResponse,
    HttpServiceClient,
    RequestInterceptor,
    ResponseInterceptor,
)
from http_service_client.errors import Failure


class Plain(RequestInterceptor, ResponseInterceptor):
    def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
        return request

    def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        return response


class Asynchronous(RequestInterceptor, ResponseInterceptor):
    async def intercept_request(
        self, request: HttpRequest, context: HttpContext
    ) -> HttpRequest | HttpResponse:
        return request

    async def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        return response


class Wrong(RequestInterceptor):
    def intercept_request(self, request: HttpRequest, context: HttpContext) -> str:  # type: ignore[override]
        return request.url


def audit(request: HttpRequest, outcome: HttpResponse | Failure, context: HttpContext) -> None:
    if isinstance(outcome, Failure):
        print(context.call_id, outcome.error_type, outcome.message, outcome.sent_state)
    else:
        print(context.call_id, request.url, outcome.status_code, outcome.content)


def audited() -> HttpServiceClient:
    return HttpServiceClient(on_exchange=audit)


def kept(client: HttpServiceClient, request: HttpRequest) -> int:
    client.send(request, json={})  # type: ignore[call-arg]
    return client.send(request, response_type=int, timeout=3, name="charge card").data
