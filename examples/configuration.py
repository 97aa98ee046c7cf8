"""A client's configuration: connections, keep-alive, TLS, compression, circuit breaker and retries."""


# >>> Connection Pool and Performance Tuning
from http_service_client import HttpClientConfig, ConnectionPoolConfig

def create_optimized_http_config():
    connection_config = ConnectionPoolConfig(
        # Connection limits
        max_connections=200,
        max_connections_per_host=50,

        # Timeouts
        connection_timeout=5.0,
        request_timeout=30.0,
        pool_timeout=10.0,

        # Keep-alive settings
        keep_alive_timeout=75.0,
        keep_alive_max_requests=1000,

        # SSL/TLS settings
        ssl_verify=True,
        ssl_cert_file=None,
        ssl_key_file=None,

        # Compression
        enable_compression=True,
        compression_threshold=1024
    )

    http_config = HttpClientConfig(
        connection_pool=connection_config,

        # Default timeouts
        base_timeout=30.0,
        connection_timeout=5.0,

        # Resilience patterns
        enable_circuit_breaker=True,
        circuit_breaker_config={
            "failure_threshold": 5,
            "recovery_timeout": 60,
            "success_threshold": 3
        },

        enable_retry_policy=True,
        retry_policy_config={
            "max_attempts": 3,
            "backoff_factor": 2.0,
            "max_delay": 60.0
        },

        # Request/Response settings
        max_response_size=10 * 1024 * 1024,  # 10MB
        enable_request_compression=True,
        enable_response_decompression=True,

        # Security
        allowed_redirect_count=3,
        trust_env_proxy_settings=True
    )

    return http_config
# <<<
