"""How users type against an SDK with methods of one description for both front ends (examples/payment_sdk.py)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal

from typing_extensions import assert_type

from payment_sdk import AsyncPaymentGateway, Charge, PaymentGateway, Refund


def blocking_methods_return_what_the_operation_says() -> None:
    with PaymentGateway("token") as gateway:
        assert_type(gateway, PaymentGateway)
        charge = gateway.charge("42", Decimal("25.50"), currency="EUR")
        assert_type(charge, Charge)
        assert_type(gateway.refund(charge, "return-1"), Refund)
        assert_type(gateway.charges(), Iterator[Charge])
        gateway.charge("42")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        gateway.charge("42", "25.50")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        gateway.charge("42", Decimal(1), curency="EUR")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def asyncio_methods_are_awaited() -> None:
    async with AsyncPaymentGateway("token") as gateway:
        assert_type(gateway, AsyncPaymentGateway)
        assert_type(await gateway.charge("42", Decimal("25.50")), Charge)
        task = asyncio.create_task(gateway.get_charge("c1"))
        assert_type(await task, Charge)
        assert_type(gateway.charges(order_id="42"), AsyncIterator[Charge])
        async for charge in gateway.charges():
            assert_type(charge, Charge)
        await gateway.get_charge(42)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
