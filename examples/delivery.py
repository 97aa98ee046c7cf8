"""A delivery service whose method is guarded by a circuit breaker, with a fallback while the circuit is open.

The class decorates a method with a policy that `__init__` makes later: `circuit_breaker` of the package finds it
on `self` when the method is called.
"""

from http_service_client import HttpServiceClient, circuit_breaker
from neuroglia.dependency_injection import ServiceProviderBase


class DeliveryServiceError(Exception):
    pass


# >>> Resilient External Service Integration
from http_service_client import CircuitBreakerPolicy, CircuitBreakerState

class DeliveryTrackingService:
    def __init__(self, service_provider: ServiceProviderBase):
        self.http_client = service_provider.get_service(HttpServiceClient)
        self.base_url = "https://api.delivery-service.com/v2"

        # Configure circuit breaker for delivery API
        self.circuit_breaker = CircuitBreakerPolicy(
            failure_threshold=5,        # Open after 5 failures
            recovery_timeout=60,        # Try recovery after 60 seconds
            success_threshold=3,        # Close after 3 successful calls
            timeout=10.0               # Individual request timeout
        )

    @circuit_breaker.apply
    async def create_delivery_request(self, order_id: str, delivery_address: dict) -> dict:
        """Create delivery request with circuit breaker protection."""

        delivery_request = {
            "order_id": order_id,
            "pickup_address": {
                "street": "123 Pizza Street",
                "city": "Pizza City",
                "zip": "12345"
            },
            "delivery_address": delivery_address,
            "priority": "standard",
            "special_instructions": "Handle with care - hot pizza!"
        }

        try:
            response = await self.http_client.post_async(
                url=f"{self.base_url}/deliveries",
                json=delivery_request,
                timeout=self.circuit_breaker.timeout
            )

            if response.is_success:
                delivery_data = response.json()
                print(f" Delivery scheduled: {delivery_data['tracking_id']}")
                return delivery_data
            else:
                raise DeliveryServiceError(f"Delivery creation failed: {response.status_code}")

        except Exception as e:
            print(f" Delivery service unavailable: {e}")
            # Circuit breaker will handle this failure
            raise

    async def get_delivery_status(self, tracking_id: str) -> dict:
        """Get delivery status with fallback handling."""

        if self.circuit_breaker.state == CircuitBreakerState.OPEN:
            # Circuit is open - use fallback
            return await self.get_fallback_delivery_status(tracking_id)

        try:
            response = await self.http_client.get_async(
                url=f"{self.base_url}/deliveries/{tracking_id}",
                timeout=5.0
            )

            if response.is_success:
                return response.json()
            else:
                return await self.get_fallback_delivery_status(tracking_id)

        except Exception:
            return await self.get_fallback_delivery_status(tracking_id)

    async def get_fallback_delivery_status(self, tracking_id: str) -> dict:
        """Fallback delivery status when service is unavailable."""
        print(f" Using fallback status for delivery {tracking_id}")

        return {
            "tracking_id": tracking_id,
            "status": "in_transit",
            "estimated_delivery": "Service temporarily unavailable",
            "fallback": True
        }
# <<<
