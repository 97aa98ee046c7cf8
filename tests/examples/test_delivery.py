"""The document's delivery service: `@circuit_breaker.apply` in a class whose `__init__` makes the policy."""

from __future__ import annotations

import pytest

from delivery import DeliveryServiceError, DeliveryTrackingService
from examples.local_services import Answer, ClientMaker, LocalServices, VirtualClock
from examples.standins import Provider
from http_service_client import (
    CircuitBreakerPolicy,
    CircuitBreakerState,
    CircuitOpenError,
    ConfigurationError,
)

pytestmark = pytest.mark.asyncio

ADDRESS = {"street": "1 Main Street", "city": "Springfield"}


@pytest.fixture
def service(new_client: ClientMaker, clock: VirtualClock) -> DeliveryTrackingService:
    """The delivery service. Its circuit breaker is as the example made it, but in virtual time."""
    service = DeliveryTrackingService(Provider(new_client()))
    made = service.circuit_breaker
    service.circuit_breaker = CircuitBreakerPolicy(
        failure_threshold=made.failure_threshold,
        recovery_timeout=made.recovery_timeout,
        success_threshold=made.success_threshold,
        timeout=made.timeout,
        clock=clock.monotonic,
    )
    return service


async def fail(service: DeliveryTrackingService, times: int) -> None:
    """Ask for a delivery that the service fails to make, so many times."""
    for _ in range(times):
        with pytest.raises(DeliveryServiceError, match="Delivery creation failed: 500"):
            await service.create_delivery_request("42", ADDRESS)


async def test_the_policy_has_the_values_that_the_example_gives(new_client: ClientMaker) -> None:
    """And the attribute that the example reads, `timeout`."""
    policy = DeliveryTrackingService(Provider(new_client())).circuit_breaker
    assert (policy.failure_threshold, policy.recovery_timeout, policy.success_threshold, policy.timeout) == (
        5,
        60,
        3,
        10.0,
    )
    assert policy.state is CircuitBreakerState.CLOSED


async def test_a_delivery_is_requested_as_the_example_says(
    service: DeliveryTrackingService, services: LocalServices
) -> None:
    """The guarded method keeps its arguments, its result and its name."""
    services.answer(Answer(201, {"tracking_id": "tr_1"}))
    assert await service.create_delivery_request("42", delivery_address=ADDRESS) == {"tracking_id": "tr_1"}
    [request] = services.received
    assert (request.method, request.url) == ("POST", "api.delivery-service.com/v2/deliveries")
    assert (request.json["order_id"], request.json["delivery_address"]) == ("42", ADDRESS)
    assert DeliveryTrackingService.create_delivery_request.__name__ == "create_delivery_request"


async def test_the_circuit_opens_after_five_failures_and_then_refuses_without_a_request(
    service: DeliveryTrackingService, services: LocalServices
) -> None:
    """The fifth failure opens it; the sixth call is a CircuitOpenError and nothing is sent."""
    services.answer(Answer(500))
    await fail(service, 4)
    assert service.circuit_breaker.state is CircuitBreakerState.CLOSED
    await fail(service, 1)
    assert service.circuit_breaker.state is CircuitBreakerState.OPEN
    with pytest.raises(CircuitOpenError):
        await service.create_delivery_request("42", ADDRESS)
    assert len(services.received) == 5


async def test_each_service_object_has_a_circuit_of_its_own(
    service: DeliveryTrackingService, services: LocalServices, new_client: ClientMaker
) -> None:
    """The policy is found on `self`, not on the class."""
    services.answer(Answer(500))
    await fail(service, 5)
    other = DeliveryTrackingService(Provider(new_client()))
    services.answer(Answer(201, {"tracking_id": "tr_2"}))
    assert (await other.create_delivery_request("43", ADDRESS))["tracking_id"] == "tr_2"


async def test_a_rejected_order_is_no_failure_of_the_service(
    service: DeliveryTrackingService, services: LocalServices
) -> None:
    """The example turns a 422 into an exception, too; the circuit sees the 422 behind it and stays closed."""
    services.answer(Answer(422))
    for _ in range(10):
        with pytest.raises(DeliveryServiceError, match="422"):
            await service.create_delivery_request("42", ADDRESS)
    assert service.circuit_breaker.state is CircuitBreakerState.CLOSED


async def test_while_open_the_status_comes_from_the_fallback(
    service: DeliveryTrackingService, services: LocalServices
) -> None:
    """`state == CircuitBreakerState.OPEN`, as the example asks, and no request is made."""
    services.answer(Answer(500))
    await fail(service, 5)
    services.answer(Answer(body={"status": "delivered"}))
    status = await service.get_delivery_status("tr_1")
    assert status == {
        "tracking_id": "tr_1",
        "status": "in_transit",
        "estimated_delivery": "Service temporarily unavailable",
        "fallback": True,
    }
    assert len(services.received) == 5


async def test_the_status_comes_from_the_service_while_it_works(
    service: DeliveryTrackingService, services: LocalServices
) -> None:
    """A GET of the delivery's own URL."""
    services.answer(Answer(body={"status": "delivered"}))
    assert await service.get_delivery_status("tr_1") == {"status": "delivered"}
    [request] = services.received
    assert (request.method, request.url) == ("GET", "api.delivery-service.com/v2/deliveries/tr_1")


@pytest.mark.parametrize("is_down", [False, True], ids=["it answers 404", "it is down"])
async def test_the_status_falls_back_when_the_service_has_none(
    new_client: ClientMaker, services: LocalServices, is_down: bool
) -> None:
    """Not found and not reached are both answered by the fallback."""
    services.answer(Answer(404))
    service = DeliveryTrackingService(Provider(new_client(down=is_down)))
    assert (await service.get_delivery_status("tr_1"))["fallback"] is True


async def test_the_circuit_recovers_by_three_successes_after_sixty_seconds(
    service: DeliveryTrackingService, services: LocalServices, clock: VirtualClock
) -> None:
    """Open until the 60th second, then half-open, then closed by the third success in a row."""
    services.answer(Answer(500))
    await fail(service, 5)
    services.answer(Answer(201, {"tracking_id": "tr_1"}))
    clock.advance(59.9)
    with pytest.raises(CircuitOpenError):
        await service.create_delivery_request("42", ADDRESS)
    clock.advance(0.1)
    states = []
    for _ in range(3):
        await service.create_delivery_request("42", ADDRESS)
        states.append(service.circuit_breaker.state)
    assert states == [
        CircuitBreakerState.HALF_OPEN,
        CircuitBreakerState.HALF_OPEN,
        CircuitBreakerState.CLOSED,
    ]
    assert (await service.get_delivery_status("tr_1")) == {"tracking_id": "tr_1"}


async def test_a_failed_trial_opens_the_circuit_for_another_sixty_seconds(
    service: DeliveryTrackingService, services: LocalServices, clock: VirtualClock
) -> None:
    """One trial is enough to know that the service is still ill."""
    services.answer(Answer(500))
    await fail(service, 5)
    clock.advance(60)
    await fail(service, 1)
    assert service.circuit_breaker.state is CircuitBreakerState.OPEN
    clock.advance(59.9)
    with pytest.raises(CircuitOpenError):
        await service.create_delivery_request("42", ADDRESS)
    assert len(services.received) == 6


async def test_a_service_that_forgot_its_policy_is_told_so(new_client: ClientMaker) -> None:
    """The error names the class, the attribute and the remedy."""
    service = DeliveryTrackingService(Provider(new_client()))
    del service.circuit_breaker
    with pytest.raises(ConfigurationError, match=r"DeliveryTrackingService\.circuit_breaker .* __init__"):
        await service.create_delivery_request("42", ADDRESS)
