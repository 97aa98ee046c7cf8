"""The four services of the demo fail as the story says, and count what they did."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpClientError, HttpServiceClient
from http_service_client.cli.demo.script import Act, Fault, Story
from http_service_client.cli.demo.services import Services
from http_service_client.testing import Action, Received, drip, reset, respond

LATENCY = 0.02


def story(*faults: Fault, service: str = "delivery") -> Story:
    """A story in which the requests of order-001 meet these faults."""
    return Story(acts=(), faults={(service, "order-001"): faults}, retry_after=3)


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    with Services(request.param) as opened:
        yield opened


def request(order: str = "order-001", key: str | None = None) -> Received:
    headers = [] if key is None else [("X-Idempotency-Key", key)]
    return Received("POST", "/", "/", headers, json.dumps({"order_id": order}).encode(), b"", 1, 0.0)


def response_to(service: Any, *arguments: Any) -> Action:
    """What a service does with a request, without the network."""
    action: Action = service._respond(request(*arguments))
    return action


DONE = {"order_id": "order-001", "status": "done"}


@pytest.mark.parametrize(
    ("services", "action", "done"),
    [
        (story(), respond(json=DONE, delay=LATENCY), 1),
        (story(Fault.BUSY), respond(503, json={"error": "overloaded"}, delay=LATENCY), 0),
        (
            story(Fault.SLOW_DOWN),
            respond(429, json={"error": "too many requests"}, headers={"Retry-After": "3"}, delay=LATENCY),
            0,
        ),
        (story(Fault.DECLINE), respond(402, json={"error": "the card was declined"}, delay=LATENCY), 0),
        (story(Fault.RESET), reset(), 1),
        (story(Fault.DRIP), drip(b"", every=0.1, json=DONE), 1),
    ],
    indirect=["services"],
    ids=["none", "busy", "slow-down", "decline", "reset", "drip"],
)
def test_a_fault_says_what_happens_to_a_request(services: Services, action: Action, done: int) -> None:
    """The work is done before the connection is lost, and not at all where the service refuses."""
    assert response_to(services.delivery) == action
    assert services.delivery.done["order-001"] == done
    assert services.delivery.duplicates == 0


@pytest.mark.parametrize("services", [story(Fault.BUSY, Fault.RESET)], indirect=True)
def test_faults_belong_to_a_service_an_order_and_a_request_number(services: Services) -> None:
    """The first request meets the first fault, and so on; the requests after the last fault meet none."""
    healthy = respond(json=DONE, delay=LATENCY)
    actions = [response_to(services.delivery) for _ in range(4)]
    assert [actions[1], actions[2], actions[3]] == [reset(), healthy, healthy]
    assert actions[0] != healthy
    assert response_to(services.email) == healthy
    other = {"order_id": "order-002", "status": "done"}
    assert response_to(services.delivery, "order-002") == respond(json=other, delay=LATENCY)
    assert services.delivery.requests == {"order-001": 4, "order-002": 1}
    assert services.delivery.done == {"order-001": 3, "order-002": 1}
    assert services.delivery.duplicates == 2


@pytest.mark.parametrize("services", [story()], indirect=True)
def test_the_gateway_recognises_a_repeated_key(services: Services) -> None:
    """It returns the charge that was made, and makes no other."""
    actions = [
        response_to(services.payment, order, key)
        for order, key in (("order-001", "a"), ("order-001", "a"), ("order-002", "b"))
    ]
    assert actions[0] == actions[1] == respond(json={**DONE, "charge_id": "ch_1"}, delay=LATENCY)
    second = {"order_id": "order-002", "status": "done", "charge_id": "ch_2"}
    assert actions[2] == respond(json=second, delay=LATENCY)
    assert (services.payment.replays, services.payment.duplicates) == (1, 0)


@pytest.mark.parametrize("services", [story()], indirect=True)
def test_a_charge_without_a_key_is_made_each_time(services: Services) -> None:
    """There is nothing to recognise it by."""
    for _ in range(3):
        response_to(services.payment)
    assert (services.payment.replays, services.payment.duplicates) == (0, 2)


def test_a_gateway_that_forgets_keys_charges_again() -> None:
    """So that a test can see the demo notice it."""
    with Services(story(), forgets_keys=True) as services:
        for _ in range(2):
            response_to(services.payment, "order-001", "a")
        assert (services.payment.replays, services.payment.duplicates) == (0, 1)


def act(**settings: bool) -> Act:
    return Act(title="", seconds=1.0, share=1.0, **settings)


@pytest.mark.parametrize("services", [story(Fault.RESET, service="sms")], indirect=True)
def test_an_overloaded_sms_service_answers_few_requests(services: Services) -> None:
    """The order and its request decide which, whatever else arrives. The others count neither as requests nor as work."""
    busy = respond(503, json={"error": "overloaded"}, delay=LATENCY)
    services.enter(act(sms_is_overloaded=True))
    arrived = [[response_to(services.sms, f"order-00{n}") != busy for n in (1, 2, 3, 4)] for _ in range(4)]
    assert arrived == [
        [True, False, False, False],
        [False, False, True, False],
        [False, True, False, False],
        [False, False, False, False],
    ]
    assert (
        services.sms.requests
        == services.sms.done
        == dict.fromkeys(["order-001", "order-002", "order-003"], 1)
    )
    services.enter(act())
    assert response_to(services.sms) != busy


@pytest.mark.parametrize("services", [story()], indirect=True)
def test_an_act_can_have_delivery_down(services: Services) -> None:
    """Until the next act; the other services stay up."""
    services.enter(act(delivery_is_down=True))
    states = [repr(service.server).split()[2] for service in services]
    assert states == ["listening,", "refusing,", "listening,", "listening,"]
    services.enter(act())
    assert repr(services.delivery.server).split()[2] == "listening,"


def test_an_outage_can_be_without_an_end() -> None:
    """So that a test can see the demo notice it."""
    with Services(story(), stays_down=True) as services:
        services.enter(act(delivery_is_down=True))
        services.enter(act())
        assert repr(services.delivery.server).split()[2] == "refusing,"


@pytest.mark.parametrize("services", [story()], indirect=True)
def test_each_service_has_an_origin_and_a_health_check(services: Services) -> None:
    """Requests are counted over all services, and connections until they are closed."""
    assert list(services.urls) == ["payment", "delivery", "email", "sms"]
    assert len(set(services.urls.values())) == 4
    with HttpServiceClient() as client:
        for url in services.urls.values():
            assert client.get(f"{url}/health").json() == {"status": "up"}
        assert (
            client.post(f"{services.urls['email']}/send", json={"order_id": "order-009"}).status_code == 200
        )
        assert services.request_count == 5
        assert services.open_connections(patience=0.0) == 4
    assert services.open_connections(patience=5.0) == 0


def test_a_service_that_nobody_calls_is_quiet() -> None:
    """So there is nothing to wait for at the end."""
    with Services(story()) as services:
        assert services.email.is_quiet()


@pytest.mark.parametrize("services", [story()], indirect=True)
def test_connections_are_waited_for(services: Services) -> None:
    """One that ends within the given time is not left open."""
    host, port = services.urls["email"].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as held:
        assert services.email.server.wait_for(lambda: services.email.server.open_connections == 1)
        assert not services.email.is_quiet()
        timer = threading.Timer(0.02, held.close)
        timer.start()
        assert services.open_connections(patience=5.0) == 0
        timer.join()


def test_an_error_in_a_service_is_raised_at_the_end() -> None:
    """It is a bug of the demo, not a part of the show."""
    config = HttpClientConfig(enable_retry_policy=False)
    with (
        pytest.raises(KeyError, match="order_id"),
        Services(story()) as services,
        HttpServiceClient(config) as client,
        pytest.raises(HttpClientError),
    ):
        client.post(f"{services.urls['sms']}/messages", json={})
