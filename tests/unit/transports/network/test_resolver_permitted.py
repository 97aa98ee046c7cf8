"""Which of the addresses that a host resolves to a connection may be made to."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import EgressPolicy, EgressRefusedError
from http_service_client.transports.network.resolver import permitted

PUBLIC, OTHER, PRIVATE, LOOPBACK = "93.184.216.34", "2606:2800:220:1::1", "10.0.0.1", "127.0.0.1"


def allowed(addresses: list[str], egress: Any) -> list[str]:
    return permitted(addresses, str, "app.test", 443, egress)


@pytest.mark.parametrize(
    ("found", "egress", "expected"),
    [
        ([LOOPBACK, PUBLIC], None, [LOOPBACK, PUBLIC]),
        ([PRIVATE, PUBLIC, LOOPBACK, OTHER], EgressPolicy(), [PUBLIC, OTHER]),
        ([PUBLIC, LOOPBACK], EgressPolicy(allow_loopback=True), [PUBLIC, LOOPBACK]),
    ],
    ids=["no policy", "some", "all"],
)
def test_those_that_the_policy_allows_are_left(found: list[str], egress: Any, expected: list[str]) -> None:
    """In their order, which is that of preference. Those that it refuses do not make a host unreachable."""
    assert allowed(found, egress) == expected


@pytest.mark.parametrize(
    ("found", "named"), [([PRIVATE, LOOPBACK], PRIVATE), ([LOOPBACK, PRIVATE], LOOPBACK)]
)
def test_a_host_without_an_allowed_address_is_refused(found: list[str], named: str) -> None:
    """By its first address, which is the one that a connection would have been made to."""
    with pytest.raises(EgressRefusedError) as caught:
        allowed(found, EgressPolicy())
    assert (caught.value.host, caught.value.address) == ("app.test", named)
