"""Three interceptors: credentials for each service, a log of requests and responses, and a rate limit.

`RateLimitInterceptor.get_rate_limit_wait_time` is left to a subclass.
"""

import asyncio
import time
from http_service_client import HttpRequest, HttpResponse


# >>> Middleware for Cross-Cutting Concerns
from http_service_client import RequestInterceptor, ResponseInterceptor, HttpContext

class AuthenticationInterceptor(RequestInterceptor):
    """Add authentication to all external service requests."""

    async def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
        # Add API key based on service
        if "payment-gateway.com" in request.url:
            request.headers["Authorization"] = f"Bearer {self.get_payment_api_key()}"
        elif "delivery-service.com" in request.url:
            request.headers["X-API-Key"] = self.get_delivery_api_key()
        elif "email-service.com" in request.url:
            request.headers["Authorization"] = f"Bearer {self.get_email_api_key()}"

        # Add common headers
        request.headers["User-Agent"] = "MariosPizzeria/1.0"
        request.headers["X-Request-ID"] = context.correlation_id

        return request

    def get_payment_api_key(self) -> str:
        return "payment_api_key_here"

    def get_delivery_api_key(self) -> str:
        return "delivery_api_key_here"

    def get_email_api_key(self) -> str:
        return "email_api_key_here"

class LoggingInterceptor(RequestInterceptor, ResponseInterceptor):
    """Log all HTTP requests and responses."""

    async def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
        print(f" HTTP Request: {request.method} {request.url}")
        print(f" Headers: {dict(request.headers)}")

        if request.json:
            print(f" Request Body: {request.json}")

        context.start_time = time.time()
        return request

    async def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        duration = time.time() - context.start_time

        print(f" HTTP Response: {response.status_code} ({duration:.2f}s)")
        print(f" Response Size: {len(response.content)} bytes")

        if not response.is_success:
            print(f" Error Response: {response.text}")

        return response

class RateLimitInterceptor(RequestInterceptor):
    """Handle rate limiting with backoff."""

    def __init__(self):
        self.rate_limit_trackers = {}

    async def intercept_request(self, request: HttpRequest, context: HttpContext) -> HttpRequest:
        service_key = self.extract_service_key(request.url)

        # Check if we're rate limited
        if self.is_rate_limited(service_key):
            wait_time = self.get_rate_limit_wait_time(service_key)
            print(f" Rate limited for {service_key}, waiting {wait_time}s")
            await asyncio.sleep(wait_time)

        return request

    async def intercept_response(self, response: HttpResponse, context: HttpContext) -> HttpResponse:
        if response.status_code == 429:  # Too Many Requests
            service_key = self.extract_service_key(context.request.url)
            self.handle_rate_limit_response(service_key, response)

        return response

    def extract_service_key(self, url: str) -> str:
        """Extract service identifier from URL."""
        if "payment-gateway.com" in url:
            return "payment_gateway"
        elif "delivery-service.com" in url:
            return "delivery_service"
        elif "email-service.com" in url:
            return "email_service"
        return "unknown"

    def is_rate_limited(self, service_key: str) -> bool:
        """Check if service is currently rate limited."""
        tracker = self.rate_limit_trackers.get(service_key)
        if not tracker:
            return False

        return time.time() < tracker["retry_after"]

    def handle_rate_limit_response(self, service_key: str, response: HttpResponse):
        """Handle rate limit response headers."""
        retry_after = response.headers.get("Retry-After", "60")

        self.rate_limit_trackers[service_key] = {
            "retry_after": time.time() + int(retry_after),
            "limit_exceeded_at": time.time()
        }
# <<<
