"""The bulkhead of a client: for each origin and key, around each attempt, by both front ends."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    BulkheadFullError,
    BulkheadPolicy,
    ClientClosedError,
    ConfigurationError,
    DeadlineExceededError,
    HttpClientConfig,
    HttpContext,
    HttpRequest,
    HttpServiceClient,
    SentState,
    priority,
)
from http_service_client.core.layers.bulkhead import BulkheadLayer, admit, leave
from http_service_client.core.machines.limits.bulkhead import Bulkhead, BulkheadPermit
from http_service_client.events import LimitRefused, LimitWaited, RetryStopped, StopReason
from http_service_client.policies import BulkheadSettings
from kit.fakes import REFUSED, URL, FakeClock, Harness
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd, run_task
from kit.streaming import StreamingTransport

ORIGIN = "https://api.example.com"


def harness_of(front_end: FrontEnd, *script: Any, **settings: Any) -> Harness:
    given = {"max_concurrent": 1, "max_waiting": 0, **settings.pop("bulkhead", {})}
    return Harness(front_end, *script, bulkhead=BulkheadPolicy(**given), **settings)


def taken(harness: Harness) -> BulkheadPermit:
    """A permit that another call holds."""
    permit: BulkheadPermit = harness.state.bulkhead.permit()
    assert permit.try_acquire()
    return permit


def limits(harness: Harness) -> list[Any]:
    return [event for event in harness.events if isinstance(event, (LimitRefused, LimitWaited))]


@contextmanager
def once_a_call_waits(harness: Harness, action: Callable[[], object]) -> Iterator[None]:
    """The action happens on another thread while a call of the block waits for a permit."""
    with once_a_call_waits_for(harness.state.bulkhead, action):
        yield


@contextmanager
def once_a_call_waits_for(bulkhead: Bulkhead, action: Callable[[], object]) -> Iterator[None]:
    def act() -> None:
        while not bulkhead.waiting:
            threading.Event().wait(0.001)
        action()

    other = threading.Thread(target=act)
    other.start()
    yield
    other.join(20)


@pytest.mark.parametrize("outcome", [200, 404, 503, REFUSED, RuntimeError("a bug")], ids=repr)
def test_whatever_ends_an_attempt_releases_its_permit(front_end: FrontEnd, outcome: Any) -> None:
    """And a call that found one free says nothing of it."""
    harness = harness_of(front_end, outcome, enable_retry_policy=False)
    for _ in range(3):
        try:
            harness.request()
        except Exception:
            pass
    assert harness.sends == 3
    assert harness.state.bulkhead.is_idle
    assert limits(harness) == []


def test_ctrl_c_after_an_attempt_costs_no_permit(
    front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is released before the interruption goes on."""

    def interrupted(permit: BulkheadPermit, token: Any) -> None:
        leave(permit, token)
        raise KeyboardInterrupt

    harness = harness_of(front_end)
    monkeypatch.setattr("http_service_client.core.layers.bulkhead.leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        harness.request()
    assert harness.state.bulkhead.is_idle


def test_a_call_that_finds_the_queue_full_is_refused_at_once(front_end: FrontEnd) -> None:
    """Nothing is sent, the error says why, and so do the timeline and what would have helped."""
    harness = harness_of(front_end)
    taken(harness)
    error = harness.error(BulkheadFullError)
    assert (harness.sends, error.sent_state, error.key, error.reason) == (
        0,
        SentState.NEVER_SENT,
        ORIGIN,
        "full",
    )
    assert error.retry_after is None
    assert "the bulkhead for https://api.example.com refused a call of normal priority" in str(error)
    assert "(1 of 1 permits in use, 0 waiting)" in str(error)
    (event,) = limits(harness)
    assert (event.limit, event.key) == ("bulkhead", ORIGIN)
    assert (
        "refused by the bulkhead of https://api.example.com (normal priority: there is no room in the queue)"
        in str(event)
    )
    assert (
        "would have been sent with room for 1 in the queue of the bulkhead (max_waiting), or with max_concurrent=2 of the bulkhead"
        in error.explain(why=True)
    )
    assert pickle.loads(pickle.dumps(error)).reason == "full"


def test_a_refusal_ends_the_retries_with_the_last_real_outcome(front_end: FrontEnd) -> None:
    """The 503 is what happened to the request that was sent. The circuit has no evidence of the refusal."""
    harness = harness_of(front_end, 503)
    harness.clock.sleep = lambda seconds: _and_take(harness, seconds)  # type: ignore[method-assign]
    response = harness.request()
    assert (response.status_code, response.attempts, harness.sends) == (503, 1, 1)
    (stopped,) = [event for event in harness.events if isinstance(event, RetryStopped)]
    assert stopped.reason is StopReason.REFUSED
    assert harness.state.breaker.snapshot().consecutive_failures == 1


def _and_take(harness: Harness, seconds: float) -> None:
    """While the call waits for its next attempt, another call takes the permit."""
    FakeClock.sleep(harness.clock, seconds)
    taken(harness)


def test_a_call_waits_for_a_permit(front_end: FrontEnd) -> None:
    """And says how long. The wait is no part of the attempt's time."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    permit = taken(harness)
    with once_a_call_waits(harness, permit.release):
        assert harness.request().status_code == 200
    (waited,) = limits(harness)
    assert (type(waited), waited.limit) == (LimitWaited, "bulkhead")
    assert harness.state.bulkhead.is_idle


def test_a_wait_ends_after_max_wait(front_end: FrontEnd) -> None:
    """Its place in the queue is free again."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 0.01})
    taken(harness)
    for _ in range(2):
        error = harness.error(BulkheadFullError)
        assert error.reason == "max_wait"
        assert "there was no permit within max_wait=0.01 s (1 of 1 permits in use, 0 waiting)" in str(error)
    assert harness.state.bulkhead.waiting == 0


def test_the_deadline_ends_a_wait(front_end: FrontEnd) -> None:
    """As it ends any other."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": None})
    taken(harness)
    error = harness.error(DeadlineExceededError, total_timeout=0.01)
    assert "waited for a permit of the bulkhead for https://api.example.com" in str(error)
    assert (error.sent_state, harness.sends) == (SentState.NEVER_SENT, 0)
    assert harness.state.bulkhead.waiting == 0


@pytest.mark.parametrize(
    ("max_wait", "total_timeout", "passed", "wait", "error"),
    [
        (None, None, 0.0, None, None),
        (5.0, None, 0.0, 5.0, BulkheadFullError),
        (None, 3.0, 0.0, 3.0, DeadlineExceededError),
        (5.0, 3.0, 0.0, 3.0, DeadlineExceededError),
        (3.0, 3.0, 0.0, 3.0, DeadlineExceededError),
        (3.0, 5.0, 0.0, 3.0, BulkheadFullError),
        (3.0, 5.0, 3.0, 2.0, DeadlineExceededError),
        (3.0, 5.0, 5.0, 0.0, DeadlineExceededError),
        (3.0, 5.0, 6.0, 0.0, DeadlineExceededError),
    ],
)
def test_the_nearer_limit_ends_a_wait(
    front_end: FrontEnd,
    max_wait: float | None,
    total_timeout: float | None,
    passed: float,
    wait: float | None,
    error: Any,
) -> None:
    """That of the queue, or the deadline, and the error says which. Meanwhile the call counts as queued."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": max_wait})
    taken(harness)
    call = harness.client._call_builder.build("GET", URL, total_timeout=total_timeout)
    harness.clock.now += passed
    permit = harness.state.bulkhead.permit()
    plan = admit(permit, call)
    acquire: Any = next(plan)
    assert (acquire.timeout, call.is_queued) == (wait, True)
    harness.clock.now += 1.5
    with pytest.raises(StopIteration) as ended:
        plan.send(error is None)
    assert [event.waited for event in call.events if isinstance(event, LimitWaited)] == [1.5] * (
        error is None
    )
    assert getattr(ended.value.value, "error_type", None) is error
    assert call.is_queued is (error is not None)  # what ends it later finds that it got no further
    permit.release()


def test_a_permit_that_became_free_in_between_is_no_wait(front_end: FrontEnd) -> None:
    """Nothing is recorded of it."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1})
    call = harness.client._call_builder.build("GET", URL)
    permit = harness.state.bulkhead.permit()
    with pytest.raises(StopIteration) as ended:
        next(admit(permit, call))
    assert (ended.value.value, permit.is_granted, limits(harness)) == (None, True, [])


def test_a_displaced_call_says_so_whatever_its_deadline(front_end: FrontEnd) -> None:
    """Its wait would have ended by the deadline, and ended before."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 2, "max_wait": None})
    taken(harness)
    assert harness.state.bulkhead.permit().wait_later() is None  # the first in the queue is spared
    call = harness.client._call_builder.build("GET", URL, total_timeout=3.0)
    permit = harness.state.bulkhead.permit()
    plan = admit(permit, call)
    next(plan)
    assert harness.state.bulkhead.permit().wait_later(priority("high").level) is None
    with pytest.raises(StopIteration) as ended:
        plan.send(False)
    failure = ended.value.value
    assert (failure.error_type, failure.details["reason"]) == (BulkheadFullError, "displaced")


def test_a_waiter_is_displaced_by_a_more_important_call(front_end: FrontEnd) -> None:
    """The other one hears of it at once, on its own thread or loop."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 2, "max_wait": 20.0})
    taken(harness)
    bulkhead = harness.state.bulkhead
    spared = bulkhead.permit()
    assert spared.wait_later(priority("low").level) is None

    def displace() -> None:
        while bulkhead.waiting < 2:
            threading.Event().wait(0.001)
        assert bulkhead.permit().wait_later(priority("high").level) is None

    other = threading.Thread(target=displace)
    other.start()
    with priority("low"):
        error = harness.error(BulkheadFullError)
    other.join()
    assert (error.reason, spared.was_displaced) == ("displaced", False)


def test_a_streamed_response_keeps_its_permit_until_its_body_is_closed(front_end: FrontEnd) -> None:
    """As long as it is read, it occupies a connection and a worker."""
    config = HttpClientConfig(bulkhead={"max_concurrent": 1, "max_waiting": 0})
    client = front_end.client(config=config, transport=StreamingTransport(b"one", b"two"))
    with front_end.stream(client, "GET", URL) as response:
        assert response.read() == b"onetwo"
        assert state_of(client).bulkhead.is_idle
    with front_end.stream(client, "GET", URL):
        assert state_of(client).bulkhead.in_use == 1
        with pytest.raises(BulkheadFullError):
            front_end.request(client, "GET", URL)
    assert state_of(client).bulkhead.is_idle


def state_of(client: HttpServiceClient) -> Any:
    return client._call_builder.origins.get(ORIGIN)


def test_a_stream_that_is_lost_releases_its_permit() -> None:
    """When it is freed."""
    config = HttpClientConfig(bulkhead={"max_concurrent": 1})
    with HttpServiceClient(config, transport=StreamingTransport(b"one")) as client:
        stream = client.stream("GET", URL)
        stream.__enter__()
        assert state_of(client).bulkhead.in_use == 1
        streams = [stream]
        del stream
        with pytest.warns(ResourceWarning):
            streams.clear()
        assert state_of(client).bulkhead.is_idle


def test_a_download_releases_its_permit(front_end: FrontEnd, tmp_path: Path) -> None:
    """Its body was read within the attempt."""
    config = HttpClientConfig(bulkhead={"max_concurrent": 1})
    client = front_end.client(config=config, transport=StreamingTransport(b"one"))
    front_end.download(client, URL, tmp_path / "file")
    assert state_of(client).bulkhead.is_idle


def test_what_an_interceptor_calls_goes_on_with_the_permit_of_its_call(front_end: FrontEnd) -> None:
    """It would wait for the call that waits for it."""

    class Asking:
        client: HttpServiceClient

        def intercept_request(self, request: HttpRequest, context: HttpContext) -> Any:
            if request.url != URL:
                return request
            if front_end.name == "asyncio":
                return self.ask(request)
            for path in ("/inner", "/again"):
                assert self.client.get(URL + path).status_code == 200
            return request

        async def ask(self, request: HttpRequest) -> HttpRequest:
            for path in ("/inner", "/again"):
                assert (await self.client.get_async(URL + path)).status_code == 200
            return request

    asking = Asking()
    harness = harness_of(front_end, request_interceptors=[asking])
    asking.client = harness.client
    assert harness.request().status_code == 200
    assert harness.sends == 3
    assert harness.state.bulkhead.is_idle


def test_each_origin_and_key_has_a_bulkhead(front_end: FrontEnd) -> None:
    """A tenant does not wait for another."""
    harness = harness_of(front_end)
    taken(harness)
    assert harness.request(key="tenant-a").status_code == 200
    assert harness.request(url="https://other.example.com/").status_code == 200
    harness.error(BulkheadFullError)


def test_partitions_by_the_name_of_a_call(front_end: FrontEnd) -> None:
    """Each has its share of the queue; a name without a partition, and a call without a name, are of the rest."""
    harness = harness_of(
        front_end, bulkhead={"max_waiting": 1, "max_wait": 0.01, "partitions": {"pay": 0.5, "sync": 0.5}}
    )
    taken(harness)
    waiting = harness.state.bulkhead.permit("sync")
    assert waiting.wait_later() is None
    error = harness.error(BulkheadFullError, name="sync")
    assert (error.reason, "partition 'sync'" in str(error)) == ("full", True)
    assert harness.error(BulkheadFullError, name="pay").reason == "max_wait"
    for options in ({"name": "unknown"}, {}):
        error = harness.error(BulkheadFullError, **options)
        assert (error.reason, "partition" in str(error)) == ("max_wait", False)


def _by_method(context: HttpContext) -> str:
    return {"GET": "read", "POST": "write"}[context.request.method]


def test_partitions_by_a_function(front_end: FrontEnd) -> None:
    """It sees the call's context. One that fails is an error of the call; nothing is sent, and no permit is lost."""
    harness = harness_of(front_end, bulkhead={"partitions": {"read": 0.5}, "partition_by": _by_method})
    assert harness.request().status_code == 200
    assert harness.request("POST").status_code == 200
    error = harness.error(ConfigurationError, "PUT")
    assert "partition_by raised KeyError: 'PUT'; nothing was sent" in str(error)
    assert harness.sends == 2
    wrong: Any = lambda context: 5  # noqa: E731
    harness = harness_of(front_end, bulkhead={"partitions": {"read": 0.5}, "partition_by": wrong})
    assert "must return the name of a partition or None, not 5" in str(harness.error(ConfigurationError))
    assert harness.state.bulkhead.is_idle


def reconfigure(harness: Harness, bulkhead: Any) -> None:
    harness.client.reconfigure(replace(harness.client.config, bulkhead=bulkhead))


def test_a_client_is_reconfigured_while_calls_are_in_progress(front_end: FrontEnd) -> None:
    """Permits stay held. Switched off, it refuses nobody."""
    harness = harness_of(front_end)
    permit = taken(harness)
    reconfigure(harness, {"max_concurrent": 2})
    assert (harness.state.bulkhead.in_use, harness.state.bulkhead.settings.max_concurrent) == (1, 2)
    assert harness.request().status_code == 200
    reconfigure(harness, {"max_concurrent": 1, "max_waiting": 0})
    harness.error(BulkheadFullError)
    reconfigure(harness, None)
    assert harness.state.bulkhead is None
    assert harness.request().status_code == 200
    permit.release()
    reconfigure(harness, BulkheadSettings(max_concurrent=5))
    assert harness.state.bulkhead.settings.max_concurrent == 5
    assert harness.request().status_code == 200


def test_a_waiting_call_is_granted_when_the_client_gets_more_permits(front_end: FrontEnd) -> None:
    """Mid-wait."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    taken(harness)
    with once_a_call_waits(harness, lambda: reconfigure(harness, {"max_concurrent": 2})):
        assert harness.request().status_code == 200


def test_a_waiting_call_goes_on_when_the_bulkhead_is_switched_off(front_end: FrontEnd) -> None:
    """Mid-wait: it is not refused by a limit that is no more."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    permit = taken(harness)
    with once_a_call_waits_for(permit.bulkhead, lambda: reconfigure(harness, None)):
        assert harness.request().status_code == 200
    assert permit.is_held


def test_a_closed_client_ends_the_waits(front_end: FrontEnd) -> None:
    """With the error of any call to a closed client."""
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    taken(harness)
    with once_a_call_waits(harness, harness.client.close):
        harness.error(ClientClosedError)
    assert harness.sends == 0


def test_a_cancelled_wait_leaves_the_queue(front_end: FrontEnd) -> None:
    """A task that is cancelled, before or after its turn has come."""
    if front_end.name != "asyncio":
        pytest.skip("threads are not cancelled")
    harness = harness_of(front_end, bulkhead={"max_waiting": 1, "max_wait": 20.0})
    permit = taken(harness)

    async def main(is_granted: bool) -> None:
        task = asyncio.ensure_future(harness.calling()())
        while not harness.state.bulkhead.waiting:
            await asyncio.sleep(0)
        if is_granted:
            permit.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_task(main(False))
    assert (harness.state.bulkhead.in_use, harness.state.bulkhead.waiting) == (1, 0)
    run_task(main(True))
    assert harness.state.bulkhead.is_idle
    assert harness.sends == 0


@needs_fork
def test_a_forked_child_starts_with_all_permits(front_end: FrontEnd) -> None:
    """Their holders are threads of the parent."""
    harness = harness_of(front_end)
    taken(harness)

    def work() -> None:
        assert harness.state.bulkhead.is_idle
        assert harness.request().status_code == 200

    assert in_a_child(work) == 0
    assert harness.state.bulkhead.in_use == 1


def test_without_the_setting_there_is_no_layer() -> None:
    """A strategy that is off costs nothing."""
    with HttpServiceClient() as client:
        assert not _has_layer(client)
        client.reconfigure(HttpClientConfig(bulkhead=BulkheadPolicy(3)))
        assert _has_layer(client)


def _has_layer(client: HttpServiceClient) -> bool:
    handler: Any = client._call_builder.pipelines.call
    while handler is not None:
        function: Callable[..., Any] | None = getattr(handler, "__func__", None)
        if isinstance(getattr(function, "__self__", None), BulkheadLayer):
            return True
        handler = getattr(handler, "__self__", None)
    return False


def test_the_setting_is_a_policy_its_settings_or_a_mapping(tmp_path: Path) -> None:
    """Of which the configuration keeps the settings alone: permits are the client's."""
    settings = BulkheadSettings(max_concurrent=5, max_wait=0.25, partitions={"a": 0.5})
    for given in (
        settings,
        BulkheadPolicy(5, None, 0.25, partitions={"a": 0.5}, name="mine"),
        {"max_concurrent": 5, "max_wait": 0.25, "partitions": {"a": 0.5}},
    ):
        config = HttpClientConfig(bulkhead=given)
        assert config.bulkhead == settings
        assert pickle.loads(pickle.dumps(config)) == config
    file = tmp_path / "settings.json"
    file.write_text(
        '{"bulkhead": {"max_concurrent": "5", "max_wait": "250ms", "partitions": {"a": 0.5}}}',
        encoding="utf-8",
    )
    assert HttpClientConfig.from_file(file).bulkhead == settings
    environ = {"APP_BULKHEAD__MAX_CONCURRENT": "5", "APP_BULKHEAD__PARTITION_BY": "priority"}
    assert HttpClientConfig.from_env("APP_", environ).bulkhead == BulkheadSettings(
        max_concurrent=5, partition_by="priority"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, r"bulkhead must be a BulkheadPolicy.*not 5; write BulkheadPolicy\(max_concurrent=5\)"),
        (True, "bulkhead must be a BulkheadPolicy, a mapping of its arguments or None, not True"),
        ({}, "bulkhead must have max_concurrent"),
        ({"max_concurent": 5}, "unknown key 'max_concurent'; did you mean 'max_concurrent'"),
        ({"max_concurrent": 5, "name": "x"}, "unknown key 'name'"),
        ({"max_concurrent": 0}, "max_concurrent must be"),
    ],
)
def test_a_wrong_setting_is_refused(given: Any, message: str) -> None:
    """When the configuration is made."""
    with pytest.raises(ConfigurationError, match=message):
        HttpClientConfig(bulkhead=given)
