"""Each exchange tells its server how long the call still waits, and whether a failure would be retried."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from http_service_client import (
    ConfigurationError,
    ConnectionLostError,
    ConstantBackoff,
    HttpClientConfig,
    HttpResponse,
    Propagation,
    RetryPolicy,
    deadline,
)
from http_service_client.auth import OAuth2ClientCredentials, SignableRequest
from kit.fakes import RESET, URL, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from kit.guarded import policy_of
from kit.rows import each_row
from kit.threads import wait_until

TIMEOUT, ATTEMPT, ABOVE = "X-Request-Timeout-Ms", "X-Request-Attempt", "X-Request-Retried-Above"
RETRIES = {"retry_policy_config": RetryPolicy(3, ConstantBackoff(0.5, jitter="none"))}


def harness_of(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    return Harness(
        front_end, *script, **{"propagation": Propagation(), "base_timeout": 10.0, **RETRIES, **settings}
    )


def sent(harness: Harness, name: str) -> list[str | None]:
    return [request.headers.get(name) for request in harness.transport.sent]


def test_nothing_is_sent_by_default(front_end: FrontEnd) -> None:
    """A third party learns neither how long its caller waits nor how often it tries."""
    harness = Harness(front_end)
    harness.request(total_timeout=5.0)
    assert not {TIMEOUT, ATTEMPT, ABOVE}.intersection(harness.transport.sent[0].headers)


def test_each_attempt_sends_what_is_left_then(front_end: FrontEnd) -> None:
    """Of the deadline, once that is less than the timeout of an attempt."""
    harness = harness_of(front_end, 503, 503, 200)
    harness.request(total_timeout=10.5)
    assert sent(harness, TIMEOUT) == ["10000", "10000", "9500"]
    assert sent(harness, ATTEMPT) == ["1", "2", "3"]
    assert sent(harness, ABOVE) == ["true"] * 3


def test_an_ambient_deadline_counts_as_well(front_end: FrontEnd) -> None:
    """The earliest limit is sent, whoever set it."""
    harness = harness_of(front_end)
    with deadline(2.0, clock=harness.clock.monotonic):
        harness.request()
    assert sent(harness, TIMEOUT) == ["2000"]


def test_without_a_limit_no_duration_is_sent(front_end: FrontEnd) -> None:
    """The other headers are."""
    harness = harness_of(front_end)
    harness.request(timeout=None)
    assert (sent(harness, TIMEOUT), sent(harness, ATTEMPT)) == ([None], ["1"])


def test_a_stream_sends_the_deadline_alone(front_end: FrontEnd) -> None:
    """The attempt's timeout ends with the head, and would cut a long body short."""
    harness = harness_of(front_end)
    client, clock = harness.client, harness.clock
    for options in ({}, {"total_timeout": 60.0}):
        with front_end.stream(client, "GET", URL, **options):
            clock.now += 1.0
    assert sent(harness, TIMEOUT) == [None, "60000"]


@each_row(
    ("options", "announced"),
    [
        ({}, "true"),
        ({"method": "PUT", "data": b"x"}, "true"),
        ({"method": "POST", "data": b"x"}, None),
        ({"method": "POST", "data": b"x", "idempotent": True}, "true"),
        ({"method": "POST", "headers": {"Idempotency-Key": "k"}}, "true"),
        ({"method": "PUT", "data": iter([b"x"])}, None),
        ({"retry_policy": False}, None),
        ({"retry_policy": RetryPolicy(1)}, None),
        ({"retry_policy": RetryPolicy(2)}, "true"),
    ],
)
def test_retries_are_announced_only_by_a_call_that_may_repeat_itself(
    options: dict[str, Any], announced: str | None
) -> None:
    """Else a server that leaves the retries to its caller would leave them to nobody."""
    with BlockingFrontEnd() as front_end:
        harness = harness_of(front_end)
        harness.request(**{"method": "GET", **options})
        assert sent(harness, ABOVE) == [announced]


def test_the_hop_after_a_post_is_not_announced_as_one_that_is_retried(front_end: FrontEnd) -> None:
    """When the GET after a 303 fails, the call fails: its POST was processed."""
    harness = harness_of(front_end, (303, {"Location": "/done"}), 200)
    harness.request("POST", data=b"x")
    assert sent(harness, ABOVE) == [None, None]


def test_a_call_under_a_retry_policy_sends_the_attempt_of_the_policy(front_end: FrontEnd) -> None:
    """The call itself makes one attempt, and the policy repeats it, a POST too."""
    harness = harness_of(front_end, RESET, RESET, 200)
    front_end.run(policy_of().apply(harness.calling("POST", data=b"x")))
    assert sent(harness, ATTEMPT) == ["1", "2", "3"]
    assert sent(harness, ABOVE) == ["true"] * 3


@each_row(
    ("location", "hosts", "expected"),
    [
        ("/b", None, ["1", "1"]),
        ("https://b.test/", None, ["1", None]),
        ("https://b.test/", ["api.example.com", "b.test"], ["1", "1"]),
        ("https://b.test/", ["api.example.com"], ["1", None]),
        ("https://b.test/", ["b.test"], [None, "1"]),
        ("https://b.test:8443/", ["*.example.com:443", "b.test:443"], ["1", None]),
        ("https://10.1.2.3/", ["10.0.0.0/8"], [None, "1"]),
        ("/b", [], [None, None]),
    ],
)
def test_a_redirect_elsewhere_gets_nothing_unless_its_host_is_listed(
    front_end: FrontEnd, location: str, hosts: list[str] | None, expected: list[str | None]
) -> None:
    """Another server chose the address."""
    harness = harness_of(front_end, (307, {"Location": location}), 200, propagation=Propagation(hosts=hosts))
    harness.request()
    assert sent(harness, ATTEMPT) == expected


def test_a_unix_socket_is_no_listed_host() -> None:
    """Its path stands where a host does, and is no name to compare with."""
    with BlockingFrontEnd() as front_end:
        harness = harness_of(front_end, propagation=Propagation(hosts=["*"]))
        harness.request("GET", "http+unix://%2Frun%2Fstock.sock/items")
        assert sent(harness, ATTEMPT) == [None]


def test_a_hop_sends_what_the_one_before_left(front_end: FrontEnd) -> None:
    """All hops share the time of the attempt."""

    def slow(request: Any) -> Any:
        harness.clock.now += 4.0
        return (307, {"Location": "/b"})

    harness = harness_of(front_end, slow, 200)
    harness.request()
    assert sent(harness, TIMEOUT) == ["10000", "6000"]


def test_the_headers_replace_those_that_the_request_has(front_end: FrontEnd) -> None:
    """A gateway may have copied them from its own request; what is left now is less, or nothing is known."""
    harness = harness_of(front_end)
    stale = {TIMEOUT: "60000", ATTEMPT: "7", ABOVE: "true", "X-Other": "stays"}
    harness.request(headers=stale, retry_policy=False)
    harness.request(headers=stale, retry_policy=False, timeout=None)
    assert sent(harness, TIMEOUT) == ["10000", None]
    assert (sent(harness, ATTEMPT), sent(harness, ABOVE)) == (["1", "1"], [None, None])
    assert sent(harness, "X-Other") == ["stays", "stays"]


def test_a_request_that_is_sent_again_has_what_is_left_then(front_end: FrontEnd) -> None:
    """A kept request does not carry the duration of its first time."""
    harness = harness_of(front_end, RESET)
    kept = harness.error(ConnectionLostError, retry_policy=False, total_timeout=2.0).request
    harness.transport.script = [200]
    front_end.send(harness.client, kept)
    assert sent(harness, TIMEOUT) == ["2000", "10000"]


def test_the_headers_are_signed(front_end: FrontEnd) -> None:
    """They are on the request before the signers see it."""
    seen: list[str | None] = []

    def sign(request: SignableRequest, context: Any) -> None:
        seen.append(request.headers.get(TIMEOUT))
        harness.clock.now += 1.0  # what was signed is sent, though less is left by now

    harness = harness_of(front_end, 503, 200, request_signers=[sign])
    harness.request()
    assert seen == ["10000", "10000"] == sent(harness, TIMEOUT)


def test_a_request_of_an_auth_flow_gets_none(front_end: FrontEnd) -> None:
    """A token endpoint is often somebody else's."""

    class Flow:
        def auth_flow(self, request: Any) -> Any:
            from http_service_client import HttpRequest

            yield HttpRequest("POST", "https://id.test/token")
            yield request

    harness = harness_of(front_end, 200, auth=Flow())
    harness.request()
    assert sent(harness, ATTEMPT) == [None, "1"]


@pytest.mark.parametrize(
    ("hosts", "limits"), [(None, [None, "10000"]), (["id.example.com"], ["10000", None])]
)
def test_a_token_service_gets_none_unless_it_is_named(
    front_end: FrontEnd, hosts: list[str] | None, limits: list[str | None]
) -> None:
    """It is often a stranger's: it learns neither how long the client waits nor how often it tries."""
    login = OAuth2ClientCredentials(
        token_url="https://id.example.com/token", client_id="shop", client_secret="s3cret"
    )
    granted = HttpResponse(200, json={"access_token": "t1", "token_type": "Bearer"})
    harness = harness_of(front_end, granted, 200, auth=login, propagation=Propagation(hosts=hosts))
    harness.request()
    assert sent(harness, TIMEOUT) == limits


def test_what_a_wait_for_a_connection_took_is_gone() -> None:
    """The header is written when the connection is there."""
    with AsyncioFrontEnd() as front_end:
        harness = harness_of(front_end, max_connections_per_host=1)
        limit = harness.state.connections
        assert limit.try_acquire()

        def release() -> None:
            wait_until(lambda: bool(limit.waiting))
            harness.clock.now += 3.0
            limit.release()

        thread = threading.Thread(target=release)
        thread.start()
        harness.request(total_timeout=8.0)
        thread.join()
        assert sent(harness, TIMEOUT) == ["5000"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "write Propagation()"),
        (5, "must be a Propagation, a mapping of its arguments or None, not 5"),
        ({"dedline": "X-T"}, "did you mean 'deadline'"),
        ({"deadline": "X T"}, "propagation: deadline must be the name of a header"),
    ],
)
def test_a_wrong_setting_of_the_client_says_what_to_write(value: Any, message: str) -> None:
    """By the name of the field of the configuration."""
    with pytest.raises(ConfigurationError, match="propagation") as raised:
        HttpClientConfig(propagation=value)
    assert message in str(raised.value)


def test_a_mapping_sets_the_names_too() -> None:
    """As a file of settings has it."""
    settings = Propagation(deadline="grpc-timeout", attempt=None)
    config = HttpClientConfig(propagation={"deadline": "grpc-timeout", "attempt": None})
    assert config.resolved.propagation == settings
    assert config == HttpClientConfig(propagation=settings) == pickle.loads(pickle.dumps(config))
