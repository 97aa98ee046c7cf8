"""A payment service: a charge with an idempotency key, a refund, and errors of its own.

Its unit tests in `testing.py` show how the errors relate: the error that `charge_customer` raises for a declined
payment is caught there as a PaymentProcessingError.
"""


class PaymentProcessingError(Exception):
    pass


class PaymentServiceUnavailableError(PaymentProcessingError):
    pass


class RefundProcessingError(Exception):
    pass


# >>> Simple HTTP Operations
from http_service_client import HttpServiceClient
from neuroglia.dependency_injection import ServiceProviderBase
from typing import Optional

class PaymentGatewayService:
    def __init__(self, service_provider: ServiceProviderBase):
        self.http_client = service_provider.get_service(HttpServiceClient)
        self.base_url = "https://api.payment-gateway.com/v1"
        self.api_key = "your_api_key_here"

    async def charge_customer(self, order_id: str, amount: float, currency: str = "USD") -> dict:
        """Charge customer payment through external gateway."""

        payment_request = {
            "order_id": order_id,
            "amount": amount,
            "currency": currency,
            "description": f"Mario's Pizzeria Order {order_id}",
            "metadata": {
                "restaurant": "marios_pizzeria",
                "order_type": "online"
            }
        }

        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/json",
            "X-Idempotency-Key": f"order_{order_id}"
        }

        try:
            response = await self.http_client.post_async(
                url=f"{self.base_url}/charges",
                json=payment_request,
                headers=headers,
                timeout=15.0
            )

            if response.is_success:
                print(f" Payment successful for order {order_id}: ${amount}")
                return response.json()
            else:
                print(f" Payment failed for order {order_id}: {response.status_code}")
                raise PaymentProcessingError(f"Payment failed: {response.text}")

        except Exception as e:
            print(f" Payment service error: {e}")
            raise PaymentServiceUnavailableError(f"Cannot process payment: {e}")

    async def refund_payment(self, charge_id: str, amount: Optional[float] = None) -> dict:
        """Process refund through payment gateway."""

        refund_request = {
            "charge_id": charge_id,
            "reason": "customer_request"
        }

        if amount:
            refund_request["amount"] = amount

        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "Content-Type": "application/json"
        }

        response = await self.http_client.post_async(
            url=f"{self.base_url}/refunds",
            json=refund_request,
            headers=headers
        )

        if response.is_success:
            refund_data = response.json()
            print(f" Refund processed: {refund_data['refund_id']}")
            return refund_data
        else:
            raise RefundProcessingError(f"Refund failed: {response.text}")
# <<<
