"""The document's payment service against a gateway on loopback."""

from __future__ import annotations

import pytest

from examples.local_services import Answer, ClientMaker, LocalServices, VirtualClock
from examples.standins import Provider
from http_service_client import CircuitOpenError, ConnectError, HttpClientConfig
from payment import (
    PaymentGatewayService,
    PaymentProcessingError,
    PaymentServiceUnavailableError,
    RefundProcessingError,
)

pytestmark = pytest.mark.asyncio

CHARGES = "api.payment-gateway.com/v1/charges"
REFUNDS = "api.payment-gateway.com/v1/refunds"


@pytest.fixture
def service(new_client: ClientMaker) -> PaymentGatewayService:
    """The payment service, its gateway up."""
    return PaymentGatewayService(Provider(new_client()))


async def test_a_charge_is_sent_as_the_example_says_and_its_answer_comes_back(
    service: PaymentGatewayService, services: LocalServices
) -> None:
    """URL, JSON and headers reach the gateway unchanged, the example's own Content-Type once."""
    services.answer(Answer(body={"charge_id": "ch_1", "status": "succeeded"}))
    assert await service.charge_customer("42", 25.99, "EUR") == {"charge_id": "ch_1", "status": "succeeded"}
    [charge] = services.received
    assert (charge.method, charge.url) == ("POST", CHARGES)
    assert charge.json == {
        "order_id": "42",
        "amount": 25.99,
        "currency": "EUR",
        "description": "Mario's Pizzeria Order 42",
        "metadata": {"restaurant": "marios_pizzeria", "order_type": "online"},
    }
    assert charge.headers["Authorization"] == "Bearer your_api_key_here"
    assert charge.headers["X-Idempotency-Key"] == "order_42"
    assert charge.headers.getall("Content-Type") == ["application/json"]  # type: ignore[attr-defined]  # aiohttp's


async def test_a_declined_charge_is_the_example_s_error_and_is_not_tried_again(
    service: PaymentGatewayService, services: LocalServices, clock: VirtualClock
) -> None:
    """402 is an answer: one request, and an error that says why."""
    services.answer(Answer(402, {"error": "Insufficient funds"}))
    with pytest.raises(PaymentProcessingError, match=r"Payment failed: .*Insufficient funds"):
        await service.charge_customer("42", 25.99)
    assert len(services.received) == 1
    assert clock.slept == []


async def test_a_charge_with_an_idempotency_key_is_sent_again_with_the_same_key(
    service: PaymentGatewayService, services: LocalServices, clock: VirtualClock
) -> None:
    """The gateway fails twice; the third attempt succeeds, and the gateway can tell that it is the same charge."""
    services.answer(Answer(503), Answer(500), Answer(body={"charge_id": "ch_1"}))
    assert (await service.charge_customer("42", 25.99))["charge_id"] == "ch_1"
    assert [charge.headers["X-Idempotency-Key"] for charge in services.received] == ["order_42"] * 3
    first, second = clock.slept
    assert 0 <= first <= 1
    assert 0 <= second <= 2


async def test_a_gateway_that_is_down_is_the_example_s_unavailability(
    new_client: ClientMaker, clock: VirtualClock
) -> None:
    """Three refused connections, then the example's error, ours behind it."""
    service = PaymentGatewayService(Provider(new_client(down=True)))
    with pytest.raises(PaymentServiceUnavailableError, match="Cannot process payment") as caught:
        await service.charge_customer("42", 25.99)
    assert isinstance(caught.value.__context__, ConnectError)
    assert len(clock.slept) == 2


async def test_a_gateway_that_stays_down_is_refused_by_the_client_s_own_circuit(
    new_client: ClientMaker,
) -> None:
    """After five failed attempts, with the document's settings, charging fails without a look at the network."""
    client = new_client(
        HttpClientConfig(circuit_breaker_config={"failure_threshold": 5, "recovery_timeout": 60}), down=True
    )
    service = PaymentGatewayService(Provider(client))
    for _ in range(2):
        with pytest.raises(PaymentServiceUnavailableError):
            await service.charge_customer("42", 25.99)
    with pytest.raises(PaymentServiceUnavailableError, match="circuit") as caught:
        await service.charge_customer("42", 25.99)
    assert isinstance(caught.value.__context__, CircuitOpenError)
    assert client.get_circuit_breaker_states() == {"https://api.payment-gateway.com": "open"}


@pytest.mark.parametrize(
    ("amount", "sent"),
    [
        (12.5, {"charge_id": "ch_1", "reason": "customer_request", "amount": 12.5}),
        (None, {"charge_id": "ch_1", "reason": "customer_request"}),
    ],
)
async def test_a_refund_names_its_amount_only_when_it_has_one(
    service: PaymentGatewayService, services: LocalServices, amount: float | None, sent: dict[str, object]
) -> None:
    """In part or in full."""
    services.answer(Answer(body={"refund_id": "re_1"}))
    assert await service.refund_payment("ch_1", amount) == {"refund_id": "re_1"}
    [refund] = services.received
    assert (refund.method, refund.url, refund.json) == ("POST", REFUNDS, sent)
    assert refund.headers["Authorization"] == "Bearer your_api_key_here"


async def test_a_refund_without_a_key_is_not_sent_twice(
    service: PaymentGatewayService, services: LocalServices
) -> None:
    """A 500 may come after the money moved: the example's error after one request."""
    services.answer(Answer(500, {"error": "no"}))
    with pytest.raises(RefundProcessingError, match=r"Refund failed: .*no"):
        await service.refund_payment("ch_1")
    assert len(services.received) == 1
