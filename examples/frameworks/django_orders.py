"""Orders that ask a stock service, with Django: plain and async views, served by WSGI or by ASGI.

A whole project in one file; in yours, the parts are in `settings.py`, `middleware.py`, `views.py`, `asgi.py`, `wsgi.py`.

    uvicorn django_orders:asgi_application
    gunicorn django_orders:wsgi_application
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[f"{__name__}.FailuresBehind"],
    STOCK_URL=os.environ.get("STOCK_URL", "https://stock.internal"),
)

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin

from http_service_client import HttpClientConfig, HttpServiceClient, Propagation
from http_service_client.integrations import asgi, wsgi
from http_service_client.integrations.error_responses import error_response


@cache
def stock() -> HttpServiceClient:
    """Django has no lifespan: the client of a process is made when it is first used, and ends with the process."""
    config = HttpClientConfig(base_timeout=5.0, propagation=Propagation())
    return HttpServiceClient(config, base_url=settings.STOCK_URL)


HEALTH = wsgi.HealthEndpoint(stock)


class FailuresBehind(MiddlewareMixin):
    """Turns the failure of a service behind into a 502, 503 or 504."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        response = error_response(error)
        if response is None:
            return None  # a bug of ours: Django's 500, and its log
        return HttpResponse(response.body, status=response.status, headers=response.headers)


async def show_order(request: HttpRequest, order: int) -> HttpResponse:
    items = await stock().get_async("/items/{order}", path_params={"order": order})
    return JsonResponse(items.raise_for_status().json())


def show_report(request: HttpRequest, order: int) -> HttpResponse:
    """A plain view. Under ASGI it runs on a thread, with the context of its request."""
    return JsonResponse(stock().get("/items/{order}", path_params={"order": order}).raise_for_status().json())


def show_health(request: HttpRequest) -> HttpResponse:
    """For a readiness probe."""
    response = HEALTH.respond(request.method or "GET")
    return HttpResponse(response.body, status=response.status, headers=response.headers)


urlpatterns: list[Any] = [
    path("orders/<int:order>", show_order),
    path("reports/<int:order>", show_report),
    path("health/clients", show_health),
]

# Around Django, and not in MIDDLEWARE: so the time holds for a streamed response, too.
asgi_application = asgi.DeadlineMiddleware(get_asgi_application(), max_timeout=30.0)
wsgi_application = wsgi.DeadlineMiddleware(get_wsgi_application(), max_timeout=30.0)
