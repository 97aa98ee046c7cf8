"""The document's own tests, run as they are, and what they do not ask of themselves.

The classes of the example are base classes here, so pytest collects their methods unchanged. One thing is
said on top: the example has an async generator under `@pytest.fixture`, which is for pytest-asyncio's auto
mode, while this repository is in strict mode. So the very same function is declared once more, as
`pytest_asyncio.fixture`. In a project with `asyncio_mode = auto` the example needs nothing.
"""

from __future__ import annotations

import inspect
import time

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

import testing as example
from http_service_client import HttpServiceClient


class TestPaymentGatewayService(example.TestPaymentGatewayService):
    """The document's unit tests, with `Mock(spec=HttpServiceClient)` and `Mock(spec=HttpResponse)`."""


class TestHttpServiceIntegration(example.TestHttpServiceIntegration):
    """The document's integration tests, against its own server."""

    test_server = pytest_asyncio.fixture(inspect.unwrap(example.TestHttpServiceIntegration.test_server))

    @pytest.mark.asyncio
    async def test_the_circuit_breaker_example_waits_for_nothing(
        self, test_server: TestServer, http_client: HttpServiceClient
    ) -> None:
        """The whole example takes far less than the 5 s that the server asks for, and less than one retry's wait."""
        started = time.monotonic()
        await self.test_circuit_breaker_behavior(test_server, http_client)
        assert time.monotonic() - started < 2.0

    @pytest.mark.asyncio
    async def test_the_circuit_breaker_example_fails_by_the_throttle_gate(
        self, test_server: TestServer, http_client: HttpServiceClient
    ) -> None:
        """It asks for any Exception; it gets the one of a server that asked for 5 s, which is no reason to open a circuit."""
        await self.test_circuit_breaker_behavior(test_server, http_client)
        origin = str(test_server.make_url("")).rstrip("/")
        assert http_client.get_circuit_breaker_states() == {origin: "closed"}
        assert (await http_client.metrics.get_counter("http_throttle_refusals_total")) == 6


def test_every_test_of_the_document_is_run_unchanged() -> None:
    """Three unit tests and two integration tests, none of them overridden here."""
    found = {
        (kind.__name__, name)
        for kind in (TestPaymentGatewayService, TestHttpServiceIntegration)
        for name, member in vars(getattr(example, kind.__name__)).items()
        if inspect.iscoroutinefunction(member) and getattr(kind, name) is member
    }
    assert found == {
        ("TestPaymentGatewayService", "test_successful_payment"),
        ("TestPaymentGatewayService", "test_payment_failure"),
        ("TestPaymentGatewayService", "test_service_unavailable"),
        ("TestHttpServiceIntegration", "test_end_to_end_payment"),
        ("TestHttpServiceIntegration", "test_circuit_breaker_behavior"),
    }
