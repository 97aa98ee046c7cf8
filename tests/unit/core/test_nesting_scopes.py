"""Scopes: what a call knows of the calls and policies around it, and when it is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext, suppress
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ResiliencePipeline
from http_service_client.core import nesting
from http_service_client.core.deadline import AMBIENT_DEADLINE
from http_service_client.core.nesting import (
    CallScope,
    EndedCall,
    InboundScope,
    RetryScope,
    Scope,
    current_scope,
)
from http_service_client.errors import SentState
from http_service_client.http.messages import HttpRequest, HttpResponse
from http_service_client.policies import CircuitBreakerPolicy, RetryPolicy, TimeoutPolicy, retry
from kit.fakes import READ_TIMEOUT, URL, Harness
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, run_task
from kit.guarded import policy_of
from kit.reentry import interrupt_each_line


def retrying() -> RetryScope:
    """A scope that has begun."""
    scope = RetryScope()
    scope._begin()
    return scope


def test_a_chain_of_tasks_does_not_accumulate_scopes() -> None:
    """A task that starts its successor inside its scope does not keep the scopes of earlier tasks."""
    depths: list[int] = []

    async def main() -> None:
        done = asyncio.Event()

        async def generation(number: int) -> None:
            await asyncio.sleep(0)  # the previous task has left its scope
            depth, own = 0, Scope()
            scope = own
            while scope.outer is not None:
                depth, scope = depth + 1, scope.outer
            depths.append(depth)
            if number < 10:
                successors.append(asyncio.create_task(generation(number + 1)))
            else:
                done.set()
            own.leave()

        successors = [asyncio.create_task(generation(0))]
        await done.wait()

    run_task(main())
    assert depths == [0] * 11


def test_tasks_that_start_the_next_inside_keep_no_more_than_is_running() -> None:
    """Each starts it in its scopes and deadlines, and leaves them when the next has begun."""
    lengths: list[tuple[int, int]] = []
    retry, breaker = RetryPolicy(), CircuitBreakerPolicy()
    pipeline = ResiliencePipeline(TimeoutPolicy(60.0), retry, TimeoutPolicy(50.0), breaker)

    def count(link: Any) -> int:
        number = 0
        while link is not None:
            link, number = link.outer, number + 1
        return number

    async def main() -> None:
        async def work(number: int) -> None:
            lengths.append((count(current_scope()), count(AMBIENT_DEADLINE.get())))
            if number < 20:
                tasks.append(asyncio.create_task(generation(number + 1)))
                await asyncio.sleep(0)  # the next one begins
                await asyncio.sleep(0)

        async def generation(number: int) -> None:
            await pipeline.call_async(retry.apply(work), number)

        tasks = [asyncio.create_task(generation(0))]
        for task in tasks:
            await task

    run_task(main())
    assert len(lengths) == 21
    assert lengths[-1] == lengths[5]


def test_a_scope_that_ended_keeps_no_response() -> None:
    """A task that was started inside may live for days, and holds the scope."""
    harness = Harness(AsyncioFrontEnd(), 200)

    async def main() -> None:
        go = asyncio.Event()
        scopes = []

        async def outliving() -> None:
            scopes.append(current_scope())
            await go.wait()
            await harness.client.get_async(URL)

        async def starts() -> asyncio.Task[None]:
            await harness.client.get_async(URL)
            task = asyncio.ensure_future(outliving())
            await asyncio.sleep(0)
            return task

        task = await policy_of().call_async(starts)
        (scope,) = scopes
        assert scope is not None
        assert scope.last_call is None
        go.set()
        await task
        assert scope.last_call is None

    run_task(main())


@pytest.mark.parametrize(
    "policy", [None, CircuitBreakerPolicy(), RetryPolicy()], ids=["call", "circuit", "retry"]
)
def test_a_call_that_ctrl_c_ends_as_it_begins_harms_no_later_one(
    monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    """Its scope is the current one and does not know it yet. A notebook goes on in that thread."""

    class Interrupted:
        get, reset = nesting._CURRENT.get, nesting._CURRENT.reset

        def set(self, scope: Scope) -> None:
            real.set(scope)
            raise KeyboardInterrupt

    real, harness = nesting._CURRENT, Harness(BlockingFrontEnd(), 200)
    begin = harness.request if policy is None else policy.apply(lambda: None)

    def calls() -> None:
        with monkeypatch.context() as interrupt, pytest.raises(KeyboardInterrupt):
            interrupt.setattr(nesting, "_CURRENT", Interrupted())
            begin()
        assert harness.request().status_code == 200
        assert harness.events[-1].parent_id is None  # type: ignore[union-attr]

    copy_context().run(calls)


def test_ctrl_c_ends_a_call_under_a_retry_policy_as_itself_wherever_it_comes() -> None:
    """At whichever line: no other error takes its place."""
    guarded = RetryPolicy().apply(lambda: None)

    def interrupt() -> None:
        raise KeyboardInterrupt

    def work() -> None:
        with suppress(KeyboardInterrupt):
            guarded()

    assert interrupt_each_line(work, interrupt, [nesting, retry]) > 10


def test_each_kind_of_scope_has_code_of_its_own() -> None:
    """The interpreter adapts code to one class. What a kind does when it is left, those derived from it do, too."""
    codes = [each.__code__ for kind in (Scope, CallScope, RetryScope) for each in (kind._begin, kind._end)]
    assert len({id(code) for code in codes}) == len(codes)
    assert CallScope.leave is CallScope._end
    assert InboundScope.leave is RetryScope.leave


def test_earlier_attempts_are_those_of_all_scopes_around() -> None:
    """Of those that have not ended, and not the present ones."""
    outer = retrying()
    outer.attempt = 3
    inner = retrying()
    inner.attempt = 2
    call = CallScope("7")
    call._begin()
    try:
        assert (call.earlier_attempts(), inner.earlier_attempts(), outer.earlier_attempts()) == (3, 3, 2)
    finally:
        for scope in (call, inner, outer):
            scope.leave()
    assert inner.earlier_attempts() == 0


@pytest.mark.parametrize(
    ("headers", "outcome", "recorded"),
    [
        ({"Idempotency-Key": "k"}, HttpResponse(201), ["k"]),
        ({"Idempotency-Key": "k"}, HttpResponse(399), ["k"]),
        ({"Idempotency-Key": "k"}, HttpResponse(400), []),
        ({"Idempotency-Key": "k"}, READ_TIMEOUT, []),
        ({}, HttpResponse(201), []),
    ],
    ids=str,
)
def test_an_operation_knows_the_keys_of_its_requests_that_succeeded(
    headers: dict[str, str], outcome: Any, recorded: list[str]
) -> None:
    """A repetition of the operation repeats them under the same keys."""
    found: list[str] = []
    scope, other = retrying(), retrying()
    try:
        scope.keys = SimpleNamespace(record_success=found.append, is_full=False)  # type: ignore[assignment]
        request = HttpRequest("POST", URL, headers=headers)
        ended = EndedCall(outcome, SentState.ANSWERED, "key", "7", None, request, None, None)
        other.record(ended)  # from inside: it has no keys of its own
        assert found == recorded
        failed = ended if outcome is READ_TIMEOUT else None
        for each in (scope, other):
            assert (each.last_call, each.failed_call) == (ended, failed)
    finally:
        other.leave()
        scope.leave()


def test_a_permit_is_held_by_a_scope_and_by_all_inside_until_it_ends() -> None:
    """That of another circuit is not."""
    breaker: Any = object()
    outer = CallScope("1")
    outer._begin()
    outer.breaker = breaker
    inner = retrying()
    try:
        assert (outer.holds(breaker), inner.holds(breaker), inner.holds(object())) == (True, True, False)  # type: ignore[arg-type]
    finally:
        inner.leave()
        outer.leave()
    assert (outer.holds(breaker), inner.holds(breaker)) == (False, False)


@pytest.mark.parametrize(
    ("around", "parent"), [([], None), (["retry"], None), (["a"], "a"), (["a", "b", "retry"], "b")]
)
def test_the_parent_of_a_call_is_the_innermost_call_around_it(around: list[str], parent: str | None) -> None:
    """Whatever policies are between the two."""
    scopes: list[Any] = []
    try:
        for each in [*around, "7"]:
            scopes.append(retrying() if each == "retry" else CallScope(each))
            if each != "retry":
                scopes[-1]._begin()
        assert scopes[-1].parent_id == parent
    finally:
        for scope in reversed(scopes):
            scope.leave()


def test_a_scope_may_be_left_in_another_context() -> None:
    """As when a coroutine is closed by the collector: that context stays as it is."""
    scope = copy_context().run(retrying)
    before = current_scope()
    scope.leave()
    assert (scope.has_ended, current_scope()) == (True, before)


@pytest.mark.parametrize("make", [lambda: CallScope("7"), RetryScope], ids=["call", "retry"])
def test_a_scope_may_be_left_before_it_began(make: Callable[[], Scope]) -> None:
    """Ctrl-C may have come in between."""
    scope, before = make(), current_scope()
    assert scope.has_ended
    scope.leave()
    assert (scope.has_ended, current_scope()) == (True, before)


class PausingScope(RetryScope):
    """As that of a loop in a generator."""

    may_pause = True
    is_paused = False

    @property
    def has_ended(self) -> bool:
        return self._token is None or self.is_paused


def test_what_begins_while_a_block_is_paused_is_not_inside() -> None:
    """The code that iterates over the generator runs then. It remains outside when the generator goes on."""
    block = PausingScope()
    block._begin()
    inside = Scope()
    inside.leave()
    block.is_paused = True
    outside = Scope()
    try:
        block.is_paused = False
        assert (inside.outer, inside.in_charge()) == (block, block)
        assert (outside.outer, outside.in_charge()) == (None, None)
    finally:
        outside.leave()
        block.leave()


def ended(outcome: Any) -> EndedCall:
    return EndedCall(outcome, SentState.ANSWERED, "key", "7", None, HttpRequest("GET", URL), None, None)


def test_an_attempt_knows_nothing_of_the_one_before() -> None:
    """Neither its calls, nor whether one was sent. Its requests have the keys of the operation."""
    begun: list[str] = []
    scope = retrying()
    try:
        scope.keys = SimpleNamespace(begin_attempt=lambda: begun.append("keys"), is_full=False)  # type: ignore[assignment]
        assert scope.attempt == 1
        for attempt in (2, 3):
            scope.record(ended(READ_TIMEOUT))
            scope.record_sending()
            assert scope.has_sent
            scope.begin_attempt()
            assert (scope.last_call, scope.failed_call, scope.has_sent) == (None, None, False)
            assert (scope.attempt, len(begun)) == (attempt, attempt - 1)
    finally:
        scope.leave()


def test_a_call_that_is_sent_is_noted_by_all_scopes_around_it() -> None:
    """A retry asks whether the attempt was refused as a whole."""
    outer, between, inner = retrying(), Scope(), retrying()
    try:
        outer.has_sent = between.has_sent = inner.has_sent = False
        between.record_sending()
        assert (outer.has_sent, between.has_sent, inner.has_sent) == (True, True, False)
    finally:
        for scope in (inner, between, outer):
            scope.leave()


def test_a_scope_that_was_left_keeps_no_call() -> None:
    """With its response, and what that holds."""
    scope, call = retrying(), ended(READ_TIMEOUT)
    scope.record(call)
    assert (scope.last_call, scope.failed_call) == (call, call)
    scope.leave()
    assert (scope.last_call, scope.failed_call) == (None, None)


def test_the_keys_of_a_request_are_those_of_the_innermost_operation_that_may_be_repeated() -> None:
    """What a client's call sends by its interceptors is an operation of its own."""
    full: Any = SimpleNamespace(is_full=True)
    scopes: list[Any] = []

    def keys() -> Any:
        return scopes[-1].operation_keys(lambda: "a key", nullcontext())

    try:
        scopes.append(Scope())
        assert keys() is None
        scopes.append(retrying())
        outer = keys()
        assert outer is scopes[-1].keys is not None
        assert keys() is outer
        scopes.append(Scope())
        assert keys() is outer
        scopes.append(retrying())
        inner = keys()
        assert inner is scopes[-1].keys is not outer
        scopes[-1].keys = full  # it knows so many that it makes no other attempt
        assert keys() is outer
        scopes.append(CallScope("7"))
        scopes[-1]._begin()
        assert keys() is None
    finally:
        for scope in reversed(scopes):
            scope.leave()


@pytest.mark.parametrize("is_retried", [False, True])
def test_an_inbound_request_is_in_charge_while_it_is_handled(is_retried: bool) -> None:
    """If its caller retries. Its attempts are counted by the caller, and its keys are not ours."""
    scope = InboundScope(3, is_retried)
    try:
        assert current_scope() is scope
        assert (scope.in_charge(), scope.earlier_attempts()) == (scope if is_retried else None, 2)
        assert scope.operation_keys(lambda: "a key", nullcontext()) is None
    finally:
        scope.leave()
    assert (scope.in_charge(), scope.earlier_attempts()) == (None, 0)
