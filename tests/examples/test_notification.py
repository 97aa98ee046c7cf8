"""The document's notification service: `@retry_policy.apply`, conditions behind exceptions, one level of retries."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import notification
from examples.local_services import Answer, ClientMaker, LocalServices, VirtualClock
from examples.standins import Provider
from http_service_client import (
    AttemptTimeoutError,
    ConnectError,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
)
from notification import EmailDeliveryError, SMSDeliveryError

pytestmark = pytest.mark.asyncio

ORDER = {
    "order_id": "42",
    "customer_name": "Ann",
    "items": ["Margherita"],
    "total_amount": 25.99,
    "estimated_delivery": "19:30",
}
HANGS = Answer(hangs=True)


class NotificationService(notification.NotificationService):
    """The example, with the two methods that it calls and does not have."""

    def get_email_api_key(self) -> str:
        return "email-key"

    def get_sms_api_key(self) -> str:
        return "sms-key"


def in_virtual_time(client: HttpServiceClient, clock: VirtualClock) -> NotificationService:
    """The service, its retry policy as the example made it but for the clock."""
    service = NotificationService(Provider(client))
    assert isinstance(service.retry_policy, RetryPolicy)
    service.retry_policy = replace(service.retry_policy, clock=clock)
    return service


@pytest.fixture
def service(new_client: ClientMaker, clock: VirtualClock) -> NotificationService:
    """The notification service, its mail and SMS services up."""
    return in_virtual_time(new_client(), clock)


async def test_the_policy_has_the_values_that_the_example_gives(new_client: ClientMaker) -> None:
    """Attempts, waits and conditions can be read back."""
    policy = NotificationService(Provider(new_client())).retry_policy
    backoff = policy.backoff_strategy
    assert policy.max_attempts == 3
    assert (backoff.initial_delay, backoff.max_delay, backoff.backoff_factor) == (1.0, 30.0, 2.0)
    assert len(policy.retry_conditions) == 3


async def test_an_email_is_sent_as_the_example_says(
    service: NotificationService, services: LocalServices
) -> None:
    """To the URL that is written in the example, once."""
    assert await service.send_order_confirmation_email("ann@example.com", ORDER) is True
    [email] = services.received
    assert (email.method, email.url) == ("POST", "api.email-service.com/v1/send")
    assert email.headers["Authorization"] == "Bearer email-key"
    assert (email.json["to"], email.json["subject"]) == ("ann@example.com", " Order Confirmation - #42")
    assert email.json["variables"] == {**ORDER}


async def test_an_sms_is_sent_as_the_example_says(
    service: NotificationService, services: LocalServices
) -> None:
    """The second method is guarded by the same policy."""
    assert await service.send_sms_notification("+41790000000", "On its way") is True
    [sms] = services.received
    assert (sms.method, sms.url) == ("POST", "api.sms-service.com/v1/messages")
    assert sms.headers["Authorization"] == "Bearer sms-key"
    assert sms.json == {"to": "+41790000000", "message": "On its way", "from": "Mario's Pizzeria"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_status_behind_the_example_s_own_exception_is_retried(
    service: NotificationService, services: LocalServices, status: int
) -> None:
    """`on_status_codes` holds though the method turned the response into an EmailDeliveryError."""
    services.answer(Answer(status), Answer(status), Answer())
    assert await service.send_order_confirmation_email("ann@example.com", ORDER) is True
    assert len(services.received) == 3


async def test_three_attempts_are_three_requests(
    service: NotificationService, services: LocalServices
) -> None:
    """The client's own retries stand back: 3, not 3 × 3. The last exception is the example's own."""
    services.answer(Answer(503, {"error": "busy"}))
    with pytest.raises(EmailDeliveryError, match=r"Failed to send email: 503 - .*busy"):
        await service.send_order_confirmation_email("ann@example.com", ORDER)
    assert len(services.received) == 3
    with pytest.raises(SMSDeliveryError, match="SMS failed: 503"):
        await service.send_sms_notification("+41790000000", "On its way")
    assert len(services.received) == 6


@pytest.mark.parametrize("status", [400, 401, 404, 500])
async def test_a_status_that_the_example_does_not_list_is_not_retried(
    service: NotificationService, services: LocalServices, clock: VirtualClock, status: int
) -> None:
    """500, too: the client's own list does not matter when the method's policy is in charge."""
    services.answer(Answer(status))
    with pytest.raises(EmailDeliveryError, match=str(status)):
        await service.send_order_confirmation_email("ann@example.com", ORDER)
    assert len(services.received) == 1
    assert clock.slept == []


async def test_a_timeout_is_retried(
    new_client: ClientMaker, services: LocalServices, clock: VirtualClock
) -> None:
    """The example's 10 s are cut to 0.2 s by the transport; twice nothing comes, then an answer."""
    service = in_virtual_time(new_client(longest=0.2), clock)
    services.answer(HANGS, HANGS, Answer())
    assert await service.send_order_confirmation_email("ann@example.com", ORDER) is True
    assert len(services.received) == 3


async def test_timeouts_to_the_end_are_the_client_s_error(
    new_client: ClientMaker, services: LocalServices, clock: VirtualClock
) -> None:
    """The SMS method sets no timeout: the client's `base_timeout` holds. A TimeoutError comes out."""
    service = in_virtual_time(new_client(HttpClientConfig(base_timeout=0.1)), clock)
    services.answer(HANGS)
    with pytest.raises(TimeoutError) as caught:
        await service.send_sms_notification("+41790000000", "On its way")
    assert isinstance(caught.value, AttemptTimeoutError)
    assert len(services.received) == 3


async def test_a_refused_connection_is_retried(new_client: ClientMaker, clock: VirtualClock) -> None:
    """Our connection errors are builtin ConnectionErrors, which the example lists."""
    service = in_virtual_time(new_client(down=True), clock)
    with pytest.raises(ConnectionError) as caught:
        await service.send_order_confirmation_email("ann@example.com", ORDER)
    assert isinstance(caught.value, ConnectError)
    assert len(clock.slept) == 2


@pytest.mark.parametrize(("chance", "waits"), [(0.0, [0.0, 0.0]), (0.5, [0.5, 1.0]), (1.0, [1.0, 2.0])])
async def test_the_waits_are_drawn_from_one_and_two_seconds(
    service: NotificationService,
    services: LocalServices,
    clock: VirtualClock,
    chance: float,
    waits: list[float],
) -> None:
    """Full jitter: wait n is chance × 1.0 s × 2^(n-1)."""
    service.retry_policy = replace(service.retry_policy, random=lambda: chance)
    services.answer(Answer(503))
    with pytest.raises(EmailDeliveryError):
        await service.send_order_confirmation_email("ann@example.com", ORDER)
    assert clock.slept == pytest.approx(waits)


async def test_with_real_chance_the_waits_stay_within_their_bounds(
    service: NotificationService, services: LocalServices, clock: VirtualClock
) -> None:
    """The policy as the example made it: [0, 1] s, then [0, 2] s."""
    services.answer(Answer(503))
    with pytest.raises(EmailDeliveryError):
        await service.send_order_confirmation_email("ann@example.com", ORDER)
    first, second = clock.slept
    assert 0 <= first <= 1
    assert 0 <= second <= 2


@pytest.mark.parametrize(("retry_after", "waits"), [("5", [5.0, 5.0]), ("30", [30.0, 30.0]), ("31", [])])
async def test_what_the_server_asks_for_is_the_least_and_the_example_s_max_delay_the_most(
    service: NotificationService,
    services: LocalServices,
    clock: VirtualClock,
    retry_after: str,
    waits: list[float],
) -> None:
    """A Retry-After behind the exception is a floor; one above max_delay=30 s is not waited for at all."""
    services.answer(Answer(429, headers={"Retry-After": retry_after}))
    with pytest.raises(EmailDeliveryError, match="429"):
        await service.send_order_confirmation_email("ann@example.com", ORDER)
    assert clock.slept == waits


async def test_many_at_once_share_the_policy_and_not_the_attempts(
    service: NotificationService, services: LocalServices
) -> None:
    """Ten messages at the same time are ten times one request: what one sees is not another's."""
    results = await asyncio.gather(*(service.send_sms_notification(f"+4179{n:07}", "Hi") for n in range(10)))
    assert results == [True] * 10
    assert len({sms.json["to"] for sms in services.received}) == len(services.received) == 10
