"""How a service that uses the client is tested: with mocks, and against a server on loopback.

Run it with pytest, in pytest-asyncio's mode `auto`. The marker `integration` must be registered.
"""

import time
from http_service_client import HttpClientConfig
from payment import PaymentGatewayService, PaymentProcessingError, PaymentServiceUnavailableError


# >>> Unit Testing with HTTP Mocks
import pytest
from unittest.mock import AsyncMock, Mock
from http_service_client import HttpServiceClient, HttpResponse

class TestPaymentGatewayService:

    @pytest.fixture
    def mock_http_client(self):
        client = Mock(spec=HttpServiceClient)
        client.post_async = AsyncMock()
        client.get_async = AsyncMock()
        return client

    @pytest.fixture
    def payment_service(self, mock_http_client):
        service_provider = Mock()
        service_provider.get_service.return_value = mock_http_client
        return PaymentGatewayService(service_provider)

    @pytest.mark.asyncio
    async def test_successful_payment(self, payment_service, mock_http_client):
        """Test successful payment processing."""

        # Mock successful response
        mock_response = Mock(spec=HttpResponse)
        mock_response.is_success = True
        mock_response.json.return_value = {
            "charge_id": "ch_123456",
            "status": "succeeded",
            "amount": 25.99
        }
        mock_http_client.post_async.return_value = mock_response

        # Test payment
        result = await payment_service.charge_customer("order_123", 25.99)

        # Verify request was made correctly
        mock_http_client.post_async.assert_called_once()
        call_args = mock_http_client.post_async.call_args

        assert "charges" in call_args[1]["url"]
        assert call_args[1]["json"]["amount"] == 25.99
        assert call_args[1]["json"]["order_id"] == "order_123"

        # Verify response
        assert result["charge_id"] == "ch_123456"
        assert result["status"] == "succeeded"

    @pytest.mark.asyncio
    async def test_payment_failure(self, payment_service, mock_http_client):
        """Test payment processing failure."""

        # Mock failed response
        mock_response = Mock(spec=HttpResponse)
        mock_response.is_success = False
        mock_response.status_code = 402
        mock_response.text = "Insufficient funds"
        mock_http_client.post_async.return_value = mock_response

        # Test payment failure
        with pytest.raises(PaymentProcessingError) as exc_info:
            await payment_service.charge_customer("order_123", 25.99)

        assert "Payment failed" in str(exc_info.value)

    @pytest.mark.asyncio
    async def test_service_unavailable(self, payment_service, mock_http_client):
        """Test handling of service unavailability."""

        # Mock connection error
        mock_http_client.post_async.side_effect = ConnectionError("Service unavailable")

        # Test service unavailable handling
        with pytest.raises(PaymentServiceUnavailableError) as exc_info:
            await payment_service.charge_customer("order_123", 25.99)

        assert "Cannot process payment" in str(exc_info.value)
# <<<


# >>> Integration Testing with Test Servers
@pytest.mark.integration
class TestHttpServiceIntegration:

    @pytest.fixture
    async def test_server(self):
        """Start test HTTP server for integration testing."""
        from aiohttp import web
        from aiohttp.test_utils import TestServer

        async def payment_handler(request):
            data = await request.json()

            if data.get("amount", 0) <= 0:
                return web.json_response(
                    {"error": "Invalid amount"},
                    status=400
                )

            return web.json_response({
                "charge_id": "ch_test_123",
                "status": "succeeded",
                "amount": data["amount"]
            })

        async def rate_limit_handler(request):
            return web.json_response(
                {"error": "Rate limit exceeded"},
                status=429,
                headers={"Retry-After": "5"}
            )

        app = web.Application()
        app.router.add_post("/charges", payment_handler)
        app.router.add_post("/rate-limited", rate_limit_handler)

        server = TestServer(app)
        await server.start_server()
        yield server
        await server.close()

    @pytest.fixture
    def http_client(self):
        config = HttpClientConfig(
            base_timeout=5.0,
            enable_circuit_breaker=True,
            enable_retry_policy=True
        )
        return HttpServiceClient(config)

    @pytest.mark.asyncio
    async def test_end_to_end_payment(self, test_server, http_client):
        """Test end-to-end payment processing."""

        payment_data = {
            "order_id": "integration_test_order",
            "amount": 19.99,
            "currency": "USD"
        }

        response = await http_client.post_async(
            url=f"{test_server.make_url('/charges')}",
            json=payment_data,
            timeout=10.0
        )

        assert response.is_success
        result = response.json()
        assert result["status"] == "succeeded"
        assert result["amount"] == 19.99

    @pytest.mark.asyncio
    async def test_circuit_breaker_behavior(self, test_server, http_client):
        """Test circuit breaker with failing service."""

        # Make multiple requests to trigger circuit breaker
        for i in range(6):  # Trigger failure threshold
            try:
                await http_client.post_async(
                    url=f"{test_server.make_url('/rate-limited')}",
                    json={"test": "data"},
                    timeout=1.0
                )
            except Exception:
                pass  # Expected failures

        # Circuit should now be open - next request should fail fast
        start_time = time.time()

        with pytest.raises(Exception):  # Circuit breaker should fail fast
            await http_client.post_async(
                url=f"{test_server.make_url('/rate-limited')}",
                json={"test": "data"}
            )

        duration = time.time() - start_time
        assert duration < 0.1  # Should fail fast, not wait for timeout
# <<<
