"""Automatic idempotency keys in repeated functions: the same for a repetition, another for each order."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    ConnectionLostError,
    ConstantBackoff,
    HttpResponse,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.core.machines.operation_keys import OperationKeys
from http_service_client.core.nesting import current_scope
from http_service_client.events import RetryStopped, StopReason
from kit.fakes import REFUSED, RESET, URL, FakeClock, Harness
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.rows import each_row


def policy_of(attempts: int = 2, **options: Any) -> RetryPolicy:
    """Retries at once."""
    return RetryPolicy(attempts, ConstantBackoff(0.0), clock=FakeClock(), **options)


def keyed(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    """A client that adds keys."""
    settings.setdefault("enable_circuit_breaker", False)
    return Harness(front_end, *script, auto_idempotency_key=True, **settings)


def keys_sent(harness: Harness) -> list[str]:
    return [request.headers["Idempotency-Key"] for request in harness.transport.sent]


def post(front_end: FrontEnd, harness: Harness, **options: Any) -> HttpResponse:
    return front_end.request(harness.client, "POST", URL, json={"item": 1}, **options)


@pytest.mark.parametrize(
    ("quoted", "form"), [(False, r"[0-9a-f-]{36}"), (True, r'"[0-9a-f-]{36}"')], ids=["bare", "quoted"]
)
def test_an_automatic_key_is_bare_or_quoted(front_end: FrontEnd, quoted: bool, form: str) -> None:
    """Services want it bare, the draft standard in quotes. A success is recorded under the key as it was sent."""
    harness = keyed(front_end, 201, RESET, 201, 201, quote_idempotency_key=quoted)

    def body() -> None:
        post(front_end, harness)
        post(front_end, harness)

    policy_of().call(body)
    keys = keys_sent(harness)
    assert all(re.fullmatch(form, key) for key in keys)
    assert keys == [keys[0], keys[1], keys[1], keys[0]]  # first that of the request that did not succeed


def test_a_nested_policy_repeats_with_the_same_key(front_end: FrontEnd) -> None:
    """Both levels repeat one charge. A second key would charge twice."""
    harness = keyed(front_end, RESET, RESET, RESET, 201)
    inner = policy_of(nested=True).apply(lambda: post(front_end, harness))
    assert policy_of().call(inner).status_code == 201
    assert (harness.sends, len(set(keys_sent(harness)))) == (4, 1)


def test_a_call_that_retries_inside_a_policy_keeps_its_key(front_end: FrontEnd) -> None:
    """The client's own retries are a level of repetition, too."""
    own = RetryPolicy(2, ConstantBackoff(0.0), nested=True)
    harness = keyed(front_end, RESET, RESET, RESET, 201, retry_policy_config=own)
    assert policy_of().call(lambda: post(front_end, harness)).status_code == 201
    assert (harness.sends, len(set(keys_sent(harness)))) == (4, 1)


def test_nested_policies_side_by_side_have_keys_of_their_own(front_end: FrontEnd) -> None:
    """The repetition of the second never gets the key of the first, nor in a repetition of both."""
    harness = keyed(front_end, 201, RESET, 201, 201, 201)
    inner = policy_of(nested=True).apply(lambda: post(front_end, harness))
    fails = [ConnectionError, None]

    def body() -> None:
        inner()
        inner()
        error = fails.pop(0)
        if error is not None:
            raise error

    policy_of().call(body)
    first, second, again, *repeated = keys_sent(harness)
    assert first != second
    assert again == second
    assert sorted(repeated) == sorted({first, second})


def test_nested_policies_that_run_together_do_not_share_keys() -> None:
    """Each repeats its own request, whichever is repeated first."""
    front_end = AsyncioFrontEnd()
    harness = keyed(front_end, RESET, RESET, 201, 201)
    inner = policy_of(nested=True).apply(harness.calling("POST", json={"item": 1}))

    async def body() -> None:
        await asyncio.gather(inner(), inner())

    front_end.run(policy_of().apply(body))
    sent = keys_sent(harness)
    assert len(sent) == 4
    assert sorted(sent) == sorted([*set(sent)] * 2)


def test_what_an_interceptor_sends_has_a_new_key_each_time(front_end: FrontEnd) -> None:
    """It is a call of its own. The token of the attempt before may be the one that the server rejected."""
    tokens: list[str] = []

    class Login:
        async def intercept_request(self, request: Any, context: Any) -> Any:
            if not request.url.endswith("/token"):
                await harness.client.post_async("https://api.example.com/token")
                tokens.append(keys_sent(harness)[-1])
            return request

    harness = keyed(front_end, 200, RESET, 200, 200, request_interceptors=[Login()])
    policy_of().call(lambda: post(front_end, harness))
    charges = [key for key in keys_sent(harness) if key not in tokens]
    assert len(set(tokens)) == 2
    assert len(charges) == 2
    assert len(set(charges)) == 1


def remembering(send: Callable[[Any], object], items: list[Any]) -> Callable[[], None]:
    """A function that skips what was done in the attempt before."""

    def body() -> None:
        while items:
            send(items[0])
            items.pop(0)

    return body


def test_a_function_that_skips_an_equal_request_repeats_the_one_that_failed(front_end: FrontEnd) -> None:
    """Two equal orders, the first was made: with its key the second would be lost."""
    harness = keyed(front_end, 201, RESET, 201)
    policy_of().call(remembering(lambda _: post(front_end, harness), [1, 1]))
    first, second, again = keys_sent(harness)
    assert first != second
    assert again == second


@each_row("outcome", [RESET, REFUSED, 503, 409], ids=["reset", "refused", "503", "409"])
def test_a_function_that_repeats_equal_requests_makes_each_once(front_end: FrontEnd, outcome: Any) -> None:
    """Whichever failed: the repetition uses the same keys, and no third."""
    harness = keyed(front_end, 201, outcome, 201, 201)

    def body() -> None:
        for _ in range(2):
            post(front_end, harness).raise_for_status()

    policy_of(retry_conditions=[RetryCondition.on_exceptions([Exception])]).call(body)
    sent = keys_sent(harness)
    assert len(sent) == 4
    assert sorted(sent[2:]) == sorted(set(sent[:2])) == sorted(set(sent))


def test_a_repetition_after_success_has_the_key_of_the_success(front_end: FrontEnd) -> None:
    """The charge was made and the next step failed: a new key would charge again."""
    harness = keyed(front_end, 201, RESET, 201, 200)

    def body() -> None:
        post(front_end, harness)
        front_end.request(harness.client, "GET", URL)

    policy_of().call(body)
    first, again = (r.headers["Idempotency-Key"] for r in harness.transport.sent if r.method == "POST")
    assert first == again


@each_row("order", [["a", "b"], ["b", "a"], ["b"]], ids="".join)
def test_requests_that_differ_in_a_header_find_their_own_key(front_end: FrontEnd, order: list[str]) -> None:
    """Two tenants with the same body, in any order, though each attempt carries another request id."""
    harness = keyed(front_end, 201, RESET, 201, 201)
    orders, ids = [["a", "b"], order], iter("1234")

    def body() -> None:
        for tenant in orders.pop(0):
            post(front_end, harness, headers={"X-Tenant": tenant, "X-Request-Id": next(ids)})

    policy_of().call(body)
    used: dict[str, set[str]] = {}
    for request in harness.transport.sent:
        used.setdefault(request.headers["X-Tenant"], set()).add(request.headers["Idempotency-Key"])
    assert [len(keys) for keys in used.values()] == [1, 1]
    assert used["a"] != used["b"]


def test_a_header_that_changes_in_each_attempt_does_not_change_the_key(front_end: FrontEnd) -> None:
    """A new key for a new trace id would make the order twice."""
    harness, ids = keyed(front_end, RESET, 201), iter("12")
    policy_of().call(lambda: post(front_end, harness, headers={"traceparent": next(ids)}))
    first, again = keys_sent(harness)
    assert first == again


def test_an_operation_of_too_many_keys_is_not_repeated(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endless loop would fill the memory, and without the keys a repetition would order twice."""
    monkeypatch.setattr(OperationKeys, "most", 2)
    harness = keyed(front_end, 201, 201, 201, RESET, RESET, RESET)
    items = [1, 2, 3, 4]

    def body() -> None:
        while items:
            front_end.request(harness.client, "POST", URL, json={"item": items.pop(0)})

    with pytest.raises(ConnectionLostError):
        policy_of(5).call(body)
    *done, again = keys_sent(harness)[:5]
    assert len(set(done)) == 4
    assert again == done[-1]  # the client's own retries are in charge again
    assert harness.sends == 6
    stops = [event.reason for event in harness.events if isinstance(event, RetryStopped)]
    assert stops == [StopReason.EXHAUSTED, StopReason.NOT_SAFE]
    decisions = [event.decision for event in harness.events if isinstance(event, RetryStopped)]
    assert decisions[-1] is not None
    assert decisions[-1].changes() == ()  # no setting would have helped


def test_an_operation_of_as_many_keys_as_are_kept_is_repeated(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds all of them again."""
    monkeypatch.setattr(OperationKeys, "most", 2)
    harness = keyed(front_end, 201, RESET, 201)

    def body() -> None:
        for item in (1, 2):
            front_end.request(harness.client, "POST", URL, json={"item": item})

    policy_of().call(body)
    sent = keys_sent(harness)
    assert sent[:2] == sent[2:]


def test_a_full_operation_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when an operation inside goes on to ask it."""
    monkeypatch.setattr(OperationKeys, "most", 2)
    lock, numbers = threading.RLock(), itertools.count()
    outer = OperationKeys(lambda: str(next(numbers)), lock)
    inner = [OperationKeys(lambda: str(next(numbers)), lock, outer) for _ in range(3)]
    keys = [each.key_for(request, []) for each in inner for request in "abc"]
    assert len(set(keys)) == 9
    assert outer.is_full
    outer.record_success(keys[-1])
    assert not any([outer._known, outer._left, outer._values, outer._done])


def test_keys_given_by_hand_are_not_kept(front_end: FrontEnd) -> None:
    """The memory of an operation does not grow with them."""
    kept: list[Any] = []
    harness = keyed(front_end, 201)

    def body() -> None:
        post(front_end, harness)
        for number in range(9):
            post(front_end, harness, headers={"Idempotency-Key": f"order-{number}"})
        scope = current_scope()
        assert scope is not None
        kept.append(scope.keys)

    policy_of().call(body)
    assert [len(kept[0]._values), len(kept[0]._done)] == [1, 1]
