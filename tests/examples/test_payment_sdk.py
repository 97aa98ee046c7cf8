"""The SDK of the payment gateway: one description of each method, for the blocking and for the asyncio client."""

from __future__ import annotations

import asyncio
import inspect
import json
from decimal import Decimal
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpServiceClient, InvalidRequestError
from http_service_client.testing import ScriptedTransport, VirtualClock
from payment_sdk import (
    AsyncPaymentGateway,
    Charge,
    GatewayUnavailableError,
    PaymentDeclinedError,
    PaymentError,
    PaymentGateway,
    PaymentUnknownError,
    Refund,
)

pytest.importorskip("pydantic", reason="an extra that is not installed here")

CHARGE = {
    "id": "c1",
    "order_id": "42",
    "amount": "25.50",
    "currency": "USD",
    "status": "succeeded",
    "created": "2024-05-01T12:00:00Z",
}


class Sdk:
    """Either SDK on a script: `call("charge", ...)` is its method, called or awaited."""

    def __init__(self, kind: Any, *script: Any) -> None:
        self.transport = ScriptedTransport(script)
        self.client = HttpServiceClient(transport=self.transport, clock=VirtualClock(), random=lambda: 0.5)
        self.gateway = kind("token-1", client=self.client)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        result = getattr(self.gateway, name)(*args, **kwargs)
        if inspect.isasyncgen(result):

            async def items() -> list[Any]:
                return [item async for item in result]

            return asyncio.run(items())
        if inspect.iscoroutine(result):
            return asyncio.run(result)
        return list(result) if inspect.isgenerator(result) else result


both = pytest.mark.parametrize("kind", [PaymentGateway, AsyncPaymentGateway])


def answer(status: int, body: Any, **headers: str) -> HttpResponse:
    return HttpResponse(
        status,
        headers={"Content-Type": "application/json", **headers},
        content=json.dumps(body).encode(),
    )


def problem(status: int, **members: Any) -> HttpResponse:
    return answer(status, members, **{"Content-Type": "application/problem+json"})


SEE_OTHER = answer(303, {}, Location="/charges/c1")


@both
def test_a_charge_is_made_once_for_an_order(kind: Any) -> None:
    """Under the key of the order, over the retries of a call and over the calls."""
    sdk = Sdk(kind, ConnectionResetError(), answer(201, CHARGE), answer(201, CHARGE))
    charges = [sdk.call("charge", "42", Decimal("25.50")) for _ in range(2)]
    assert charges[0] == charges[1]
    assert isinstance(charges[0], Charge)
    assert charges[0].amount == Decimal("25.50")
    sent = [exchange.request for exchange in sdk.transport.sent]
    assert {request.url for request in sent} == {"https://api.payment-gateway.com/v1/charges"}
    assert {request.headers["Idempotency-Key"] for request in sent} == {"charge-42"}
    assert {request.headers["Authorization"] for request in sent} == {"Bearer token-1"}
    assert json.loads(sdk.transport.sent[0].content) == {
        "order_id": "42",
        "amount": "25.50",
        "currency": "USD",
    }
    assert len(sent) == 3


@both
def test_a_refund_is_of_the_whole_charge_or_of_a_part(kind: Any) -> None:
    """Each has the key of its reference: two parts of the same amount are two refunds."""
    refund = {"refund_id": "r1", "charge_id": "c1", "amount": "5"}
    sdk = Sdk(kind, answer(200, CHARGE), *[answer(201, refund)] * 4)
    charge = sdk.call("get_charge", "c1")
    assert sdk.call("refund", charge, "return-1", Decimal(5)) == Refund("r1", "c1", Decimal(5))
    sdk.call("refund", charge, "return-2", Decimal(5))
    sdk.call("refund", charge, "return-2", Decimal("5.00"))
    sdk.call("refund", charge, "rest")
    bodies = [json.loads(exchange.content) for exchange in sdk.transport.sent[1:]]
    assert [body["amount"] for body in bodies] == ["5", "5", "5.00", "25.50"]
    keys = [exchange.request.headers["Idempotency-Key"] for exchange in sdk.transport.sent[1:]]
    assert keys == ["refund-c1-return-1", "refund-c1-return-2", "refund-c1-return-2", "refund-c1-rest"]


@both
@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([problem(402, title="Declined", code="insufficient_funds")], PaymentDeclinedError),
        ([answer(400, {})], PaymentError),
        ([answer(401, {})], PaymentError),
        ([answer(429, {}, **{"Retry-After": "0"})] * 3, GatewayUnavailableError),
        ([ConnectionRefusedError()] * 3, GatewayUnavailableError),
        ([answer(500, {})] * 3, PaymentUnknownError),
        ([ConnectionResetError()] * 3, PaymentUnknownError),
        ([ConnectionResetError(), answer(400, {})], PaymentUnknownError),
        ([answer(500, {}), *[answer(429, {}, **{"Retry-After": "0"})] * 2], PaymentUnknownError),
        ([ConnectionResetError(), problem(402, title="Declined")], PaymentDeclinedError),
        ([answer(201, {"id": "c1"})], PaymentUnknownError),
        ([SEE_OTHER, *[ConnectionRefusedError()] * 3], PaymentUnknownError),
        ([SEE_OTHER, answer(404, {})], PaymentUnknownError),
        ([answer(307, {}, Location="/a"), *[ConnectionRefusedError()] * 3], GatewayUnavailableError),
        ([answer(300, {})], PaymentUnknownError),
        ([answer(304, {})], PaymentUnknownError),
    ],
)
def test_a_failed_charge_says_whether_it_may_have_been_made(kind: Any, script: Any, error: Any) -> None:
    """Over all its attempts. The gateway's own reason is the last word."""
    sdk = Sdk(kind, *script)
    with pytest.raises(PaymentError) as caught:
        sdk.call("charge", "42", Decimal(1))
    assert type(caught.value) is error
    assert caught.value.__cause__.timeline is not None
    if error is PaymentDeclinedError and len(script) == 1:
        assert caught.value.code == "insufficient_funds"


@both
def test_a_read_that_failed_has_charged_nobody(kind: Any) -> None:
    """Whatever became of it."""
    sdk = Sdk(kind, *[ConnectionResetError()] * 3)
    with pytest.raises(GatewayUnavailableError):
        sdk.call("get_charge", "c1")


@both
def test_mistakes_of_the_program_are_no_payment_errors(kind: Any) -> None:
    """A handler of declined cards must not hide them."""
    sdk = Sdk(kind, answer(200, CHARGE))
    with pytest.raises(InvalidRequestError):
        sdk.call("get_charge", "")  # it would be the listing
    with pytest.raises(TypeError):
        sdk.call("charge", "42")


@both
def test_the_id_of_a_charge_leads_to_no_other_resource(kind: Any) -> None:
    """It may come from a user."""
    sdk = Sdk(kind, answer(200, CHARGE))
    sdk.call("get_charge", "../refunds")
    assert sdk.transport.requests[0].url.endswith("/charges/..%2Frefunds")


@both
def test_a_listing_gives_the_items_of_all_its_pages(kind: Any) -> None:
    """One page after the other; a page that fails is an error of the SDK."""
    pages = [
        answer(200, {"charges": [CHARGE, {**CHARGE, "id": "c2"}], "next": "/v1/charges?after=c2"}),
        answer(200, {"charges": [{**CHARGE, "id": "c3"}], "next": None}),
        *[answer(500, {})] * 3,
    ]
    sdk = Sdk(kind, *pages)
    assert [charge.id for charge in sdk.call("charges", order_id="42")] == ["c1", "c2", "c3"]
    assert [exchange.request.url.partition("/v1")[2] for exchange in sdk.transport.sent] == [
        "/charges?order=42",
        "/charges?after=c2",
    ]
    with pytest.raises(GatewayUnavailableError):
        sdk.call("charges")


def test_a_shared_client_stays_open() -> None:
    """And keeps its own settings; a client of the SDK's own is closed with it."""
    sdk = Sdk(PaymentGateway, answer(200, CHARGE), answer(200, CHARGE))
    with sdk.gateway as gateway:
        gateway.get_charge("c1")
    sdk.client.get("https://other.example/")
    assert "Authorization" not in sdk.transport.sent[-1].request.headers

    async def own() -> AsyncPaymentGateway:
        async with AsyncPaymentGateway("token-1") as gateway:
            return gateway

    for client in (asyncio.run(own()).client, _left(PaymentGateway("token-1")).client):
        assert "closed" in repr(client)


def _left(gateway: PaymentGateway) -> PaymentGateway:
    with gateway:
        return gateway


@both
def test_methods_are_documented_where_they_are_described(kind: Any) -> None:
    """For `help()`, editors at run time and Sphinx: the parameters, the result, and whether to await it."""
    assert str(inspect.signature(kind.charge)) == (
        "(self, order_id: 'str', amount: 'Decimal', currency: 'str' = 'USD') -> 'Charge'"
    )
    assert (
        str(inspect.signature(kind.charges)) == "(self, order_id: 'str | None' = None) -> 'Iterator[Charge]'"
    )
    assert "order" not in inspect.signature(kind("t").get_charge).parameters
    assert kind.charge.__doc__.startswith("Charge the customer")
    assert kind.charge.__name__ == "charge"
    assert inspect.iscoroutinefunction(kind.charge) is (kind is AsyncPaymentGateway)
