"""The warehouse example: a token for each branch, fetched once, and an order that waits while there is none."""

from __future__ import annotations

import asyncio

import pytest

from examples.local_services import Answer, ClientMaker, LocalServices
from http_service_client import TokenError
from oauth2 import Warehouse, warehouse_config

pytestmark = pytest.mark.asyncio

ORDERS, TOKEN = "api.warehouse.com/orders", "id.warehouse.com/oauth/token"
SECRETS = {"north": "s3cret-n", "south": "s3cret-s"}


def token(value: str) -> Answer:
    return Answer(body={"access_token": value, "token_type": "Bearer", "expires_in": 3600})


async def test_orders_of_a_branch_share_one_token(new_client: ClientMaker, services: LocalServices) -> None:
    """Each branch has its own; calls at the same time wait for the same fetch."""
    warehouse = Warehouse(new_client(warehouse_config(), base_url="https://api.warehouse.com"), SECRETS)
    booked = Answer(201, {"number": "7"})
    services.answer(token("n"), booked, booked, booked)
    assert await asyncio.gather(*(warehouse.order("north", "flour") for _ in range(3))) == ["7"] * 3
    services.answer(token("s"), booked)
    assert await warehouse.order("south", "salt") == "7"
    assert [request.url for request in services.received] == [TOKEN, ORDERS, ORDERS, ORDERS, TOKEN, ORDERS]
    sent = [request.headers["Authorization"] for request in services.received if request.url == ORDERS]
    assert sent == ["Bearer n"] * 3 + ["Bearer s"]


async def test_an_order_without_a_token_is_not_sent(new_client: ClientMaker, services: LocalServices) -> None:
    """It waits as long as the token service asks for; a wrong secret is an error."""
    warehouse = Warehouse(new_client(warehouse_config(), base_url="https://api.warehouse.com"), SECRETS)
    services.answer(Answer(429, headers={"Retry-After": "120"}))
    assert await warehouse.order("north", "flour") == "try again in 120 s"
    services.answer(Answer(401, {"error": "invalid_client"}))
    with pytest.raises(TokenError, match="invalid_client"):
        await warehouse.order("south", "salt")
    assert ORDERS not in [request.url for request in services.received]
