"""A notification service that repeats emails and SMS by a retry policy of its own.

`retry_policy` of the package finds the policy on `self`, as `circuit_breaker` does in `delivery.py`.
`get_email_api_key` and `get_sms_api_key` are left to a subclass.
"""

from http_service_client import HttpServiceClient, retry_policy
from neuroglia.dependency_injection import ServiceProviderBase


class EmailDeliveryError(Exception):
    pass


class SMSDeliveryError(Exception):
    pass


# >>> Configurable Retry Strategies
from http_service_client import RetryPolicy, ExponentialBackoff, RetryCondition

class NotificationService:
    def __init__(self, service_provider: ServiceProviderBase):
        self.http_client = service_provider.get_service(HttpServiceClient)

        # Configure retry policy for notifications
        self.retry_policy = RetryPolicy(
            max_attempts=3,
            backoff_strategy=ExponentialBackoff(
                initial_delay=1.0,
                max_delay=30.0,
                backoff_factor=2.0
            ),
            retry_conditions=[
                RetryCondition.on_timeout(),
                RetryCondition.on_status_codes([429, 502, 503, 504]),
                RetryCondition.on_exceptions([ConnectionError, TimeoutError])
            ]
        )

    @retry_policy.apply
    async def send_order_confirmation_email(self, customer_email: str, order_details: dict) -> bool:
        """Send order confirmation email with retry policy."""

        email_request = {
            "to": customer_email,
            "subject": f" Order Confirmation - #{order_details['order_id']}",
            "template": "order_confirmation",
            "variables": {
                "customer_name": order_details['customer_name'],
                "order_id": order_details['order_id'],
                "items": order_details['items'],
                "total_amount": order_details['total_amount'],
                "estimated_delivery": order_details['estimated_delivery']
            }
        }

        response = await self.http_client.post_async(
            url="https://api.email-service.com/v1/send",
            json=email_request,
            headers={
                "Authorization": f"Bearer {self.get_email_api_key()}",
                "Content-Type": "application/json"
            },
            timeout=10.0
        )

        if response.is_success:
            print(f" Order confirmation sent to {customer_email}")
            return True
        else:
            error_msg = f"Failed to send email: {response.status_code} - {response.text}"
            print(f" {error_msg}")
            raise EmailDeliveryError(error_msg)

    @retry_policy.apply
    async def send_sms_notification(self, phone_number: str, message: str) -> bool:
        """Send SMS notification with retry policy."""

        sms_request = {
            "to": phone_number,
            "message": message,
            "from": "Mario's Pizzeria"
        }

        response = await self.http_client.post_async(
            url="https://api.sms-service.com/v1/messages",
            json=sms_request,
            headers={
                "Authorization": f"Bearer {self.get_sms_api_key()}",
                "Content-Type": "application/json"
            }
        )

        if response.is_success:
            print(f" SMS sent to {phone_number}")
            return True
        else:
            raise SMSDeliveryError(f"SMS failed: {response.status_code}")
# <<<
