"""A client in neuroglia's service container, and interceptors that the container makes.

It needs the extra `neuroglia`, and `install()` of `http_service_client.integrations.neuroglia`, which gives
neuroglia's containers the method `add_http_service_client`.
"""

from neuroglia.dependency_injection import ServiceCollection
from interceptors import AuthenticationInterceptor, LoggingInterceptor, RateLimitInterceptor


# >>> Service Registration
from neuroglia.hosting.web import WebApplicationBuilder
from http_service_client import HttpServiceClient, HttpClientConfig

def create_app():
    builder = WebApplicationBuilder()

    # Register HTTP service client
    http_config = HttpClientConfig(
        base_timeout=30.0,
        connection_timeout=5.0,
        max_connections=100,
        max_connections_per_host=20,
        enable_circuit_breaker=True,
        enable_retry_policy=True
    )

    builder.services.add_http_service_client(http_config)

    app = builder.build()
    return app
# <<<


# >>> Registering Interceptors
def configure_http_interceptors(services: ServiceCollection):
    """Configure HTTP client interceptors."""

    # Register interceptors in order of execution
    services.add_singleton(AuthenticationInterceptor)
    services.add_singleton(LoggingInterceptor)
    services.add_singleton(RateLimitInterceptor)

    # Configure HTTP client with interceptors
    http_config = HttpClientConfig(
        request_interceptors=[
            AuthenticationInterceptor,
            RateLimitInterceptor,
            LoggingInterceptor
        ],
        response_interceptors=[
            LoggingInterceptor,
            RateLimitInterceptor
        ]
    )

    services.add_http_service_client(http_config)
# <<<
