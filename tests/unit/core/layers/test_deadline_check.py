"""An attempt that could hardly end before the deadline is not begun."""

from __future__ import annotations

import asyncio
import pickle
import re
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CallRefusedError,
    ConfigurationError,
    ConnectionLostError,
    ConnectTimeoutError,
    ConstantBackoff,
    DeadlineCheckPolicy,
    DeadlineExceededError,
    DeadlineTooShortError,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
    PoolTimeoutError,
    RetryPolicy,
    SentState,
    deadline,
)
from http_service_client.core.call import Attempt
from http_service_client.core.layers.deadline_check import DeadlineCheckLayer, LatencyLayer, record_refusal
from http_service_client.events import DeadlineRefused, RetryStopped, StopReason
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import Late, ScriptedTransport, VirtualClock, late
from kit.fakes import READ_TIMEOUT, RESET, FakeClock, failure, short
from kit.front_ends import FrontEnd
from kit.rows import each_row

URL = "https://api.example.com/items"
SETTINGS: dict[str, Any] = {
    "deadline_check": DeadlineCheckPolicy(min_samples=20, probe_interval=5.0),
    "retry_policy_config": RetryPolicy(3, backoff_strategy=ConstantBackoff(1.0, jitter="none")),
}


class Bench:
    """A client of a service that takes `latency` seconds, in virtual time."""

    def __init__(self, front_end: FrontEnd, **settings: Any) -> None:
        self.front_end = front_end
        self.clock = VirtualClock()
        self.latency = 1.8
        self.outcomes: list[Any] = []
        self.events: list[Any] = []
        self.transport = ScriptedTransport(self._serve, clock=self.clock)
        self.client = front_end.client(
            config=HttpClientConfig(**{**SETTINGS, **settings}),
            transport=self.transport,
            clock=self.clock,
            on_event=self.events.append,
            random=lambda: 0.5,
        )

    def _serve(self, request: HttpRequest) -> Late:
        return late(self.latency, self.outcomes.pop(0) if self.outcomes else HttpResponse(200))

    def request(self, **options: Any) -> HttpResponse:
        return self.front_end.request(self.client, "GET", URL, **options)

    def error(self, kind: type[Exception] = DeadlineTooShortError, **options: Any) -> Any:
        with pytest.raises(kind) as raised:
            self.request(**options)
        return raised.value

    def learn(self, calls: int = 20) -> None:
        """Calls without a deadline."""
        for _ in range(calls):
            self.request()
        self.events.clear()

    def use_probe(self) -> None:
        """The first attempt that has too little time is begun all the same."""
        self.error(DeadlineExceededError, total_timeout=0.9)
        self.events.clear()

    @property
    def sends(self) -> int:
        return len(self.transport.sent)


@pytest.fixture
def bench(front_end: FrontEnd) -> Bench:
    """A client that knows that its service takes 1.8 s, and whose probe has been made."""
    made = Bench(front_end)
    made.learn()
    made.use_probe()
    return made


def test_an_attempt_that_could_hardly_end_in_time_is_not_begun(bench: Bench) -> None:
    """The error comes at once and says why; nothing was sent."""
    sends, began = bench.sends, bench.clock.monotonic()
    error = bench.error(total_timeout=0.9)
    assert (bench.sends, bench.clock.monotonic()) == (sends, began)
    assert str(error).startswith("p50 of https://api.example.com is 1.")
    assert "s, 0.9 s left of the deadline" in str(error)
    assert error.sent_state.value == "never_sent"
    assert error.deadline_left == pytest.approx(0.9)
    assert error.median == pytest.approx(1.8, rel=0.1)
    assert error.key == "https://api.example.com"
    assert isinstance(error, (CallRefusedError, TimeoutError))
    assert (
        "not begun, since it could hardly end in time: p50 of https://api.example.com is" in error.explain()
    )
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied), copied.median) == (DeadlineTooShortError, str(error), error.median)


@pytest.mark.parametrize(("known", "median"), [(1.5, 1.5), (None, 0.0)])
def test_a_refusal_names_the_median(known: float | None, median: float) -> None:
    """0 if it has been forgotten meanwhile, on another thread."""
    recorded: list[Any] = []
    check: Any = SimpleNamespace(latencies=SimpleNamespace(quantile={0.5: known}.__getitem__))
    subject: Any = SimpleNamespace(
        attempt=2, elapsed=lambda: 0.25, record=recorded.append, call_id="id", call_name="name"
    )
    assert record_refusal(subject, check, "key", 3.0, 1.0) == median
    assert recorded == [DeadlineRefused(0.25, 2, "key", 1.0, median, 3.0, "id", "name")]


def test_a_saved_attempt_is_counted(bench: Bench) -> None:
    """In a metric of its own, and among the refusals."""
    bench.error(total_timeout=0.9)
    (refused,) = [event for event in bench.events if isinstance(event, DeadlineRefused)]
    assert (refused.attempt, refused.deadline_left) == (1, pytest.approx(0.9))
    assert bench.client.metrics.total("http_deadline_refusals_total") == 1


def test_an_attempt_that_has_time_is_begun(bench: Bench) -> None:
    """With two seconds left, in a block with a deadline too; and without a deadline."""
    assert bench.request(total_timeout=2.0).status_code == 200
    with deadline(2.0):
        assert bench.request().status_code == 200
    assert bench.request().status_code == 200


def test_an_ambient_deadline_is_one(bench: Bench) -> None:
    """Whoever set it."""
    with deadline(0.5):
        bench.error()


def test_little_evidence_refuses_nothing(front_end: FrontEnd) -> None:
    """After 19 calls, one with too little time is made, and another."""
    bench = Bench(front_end)
    bench.learn(17)
    for _ in range(3):
        bench.error(DeadlineExceededError, total_timeout=0.9)
    assert bench.sends == 20
    assert not [event for event in bench.events if isinstance(event, DeadlineRefused)]


def test_attempts_that_the_deadline_cut_are_evidence(front_end: FrontEnd) -> None:
    """A service of which nobody ever saw a response within 0.9 s; three seconds may be enough."""
    bench = Bench(front_end)
    bench.latency = 2.5
    for _ in range(21):
        bench.error(DeadlineExceededError, total_timeout=0.9)
    assert bench.sends == 21
    bench.error(total_timeout=0.9)
    assert bench.request(total_timeout=3.0).status_code == 200


def test_attempts_that_timed_out_are_evidence(front_end: FrontEnd) -> None:
    """Their own timeout ended them; quick failures and error responses say nothing."""
    bench = Bench(front_end, base_timeout=1.0, enable_circuit_breaker=False, enable_retry_budget=False)
    for _ in range(20):
        bench.error(Exception, retry_policy=False)
    bench.latency = 0.01
    for _ in range(20):
        bench.outcomes = [ConnectionResetError(), HttpResponse(503)]
        bench.request(idempotent=True, retry_policy=RetryPolicy(2, backoff_strategy=ConstantBackoff(0.01)))
    bench.latency = 2.5
    bench.error(Exception, total_timeout=0.9)
    bench.error(total_timeout=0.9)


@pytest.mark.parametrize(
    ("headers", "backoff", "within", "left"),
    [
        ({}, 0.5, 2.25, 1.5),
        ({"Retry-After": "1"}, 0.5, 2.25, 1.0),
        ({}, 0.75, 2.25, 1.25),
        ({}, 0.0, 1.25, 1.0),
    ],
)
def test_a_retry_that_could_hardly_end_in_time_says_what_its_wait_would_have_left(
    front_end: FrontEnd, headers: dict[str, str], backoff: float, within: float, left: float
) -> None:
    """The backoff, or what the service asked for, if that is longer."""
    bench = Bench(front_end, enable_throttle_gate=False)
    bench.learn(60)
    bench.latency = 0.25
    bench.outcomes = [HttpResponse(503, headers=headers)]
    policy = RetryPolicy(2, backoff_strategy=ConstantBackoff(backoff, jitter="none"))
    assert bench.request(total_timeout=within, retry_policy=policy).status_code == 503
    (refused,) = [event for event in bench.events if isinstance(event, DeadlineRefused)]
    assert (refused.attempt, refused.deadline_left) == (2, pytest.approx(left))


def test_quick_failures_are_no_evidence(front_end: FrontEnd) -> None:
    """Twenty attempts are few if most of them say nothing about how long the service takes."""
    bench = Bench(front_end, enable_circuit_breaker=False)
    bench.learn(10)
    bench.outcomes = [late(0.01, ConnectionResetError()) for _ in range(20)]
    for _ in range(20):
        bench.error(ConnectionLostError, retry_policy=False)
    for _ in range(3):
        bench.error(DeadlineExceededError, total_timeout=0.9)


@each_row(
    ("outcome", "is_queued", "learned"),
    [
        (HttpResponse(200), False, (0.5, False)),
        (HttpResponse(404), False, (0.5, False)),
        (HttpResponse(503), False, None),
        (READ_TIMEOUT, False, (0.5, True)),
        (READ_TIMEOUT, True, None),
        (failure(ConnectTimeoutError, SentState.NEVER_SENT), False, (0.5, True)),
        (failure(PoolTimeoutError, SentState.NEVER_SENT), False, None),
        (RESET, False, None),
        (KeyboardInterrupt(), False, (0.5, True)),
        (KeyboardInterrupt(), True, None),
    ],
    ids=short,
)
def test_what_an_attempt_shows_of_the_service(
    outcome: Any, is_queued: bool, learned: tuple[float, bool] | None
) -> None:
    """How long it took, or that it takes longer; the waits for limits of our own are none of it."""
    recorded: list[tuple[float, bool]] = []
    clock, attempt = FakeClock(), Attempt()
    sketch = SimpleNamespace(record=lambda seconds, is_cut=False: recorded.append((seconds, is_cut)))
    check = SimpleNamespace(latencies=sketch)
    call: Any = SimpleNamespace(
        current=attempt, clock=clock.monotonic, origin_state=SimpleNamespace(deadline_check=check)
    )

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        clock.now += 2.0
        attempt.postpone(1.5, None)
        attempt.is_queued = is_queued
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with suppress(StopIteration, KeyboardInterrupt):
        next(LatencyLayer()(proceed, HttpRequest("GET", URL), call))
    assert recorded == ([] if learned is None else [learned])


def test_without_a_check_nothing_is_recorded() -> None:
    """The layer only passes on."""
    call: Any = SimpleNamespace(origin_state=SimpleNamespace(deadline_check=None))
    given = HttpRequest("GET", URL), call
    assert LatencyLayer()(lambda *passed: passed, *given) == given  # type: ignore[comparison-overlap, arg-type, return-value]


def test_no_lock_out(bench: Bench) -> None:
    """The service becomes fast: one probe in five seconds finds out, and all calls are made again."""
    bench.learn(300)
    bench.use_probe()
    bench.latency = 0.01
    bench.error(total_timeout=0.9)
    bench.clock.elapse(5.0)
    assert bench.request(total_timeout=0.9).status_code == 200
    for _ in range(30):
        assert bench.request(total_timeout=0.9).status_code == 200


@pytest.mark.parametrize(
    ("outcome", "answered_by", "successes"),
    [
        (HttpResponse(200), None, 1),
        (HttpResponse(404), None, 1),
        (HttpResponse(503), None, 0),
        (HttpResponse(200), "Mock", 0),
        (RESET, None, 0),
    ],
    ids=short,
)
def test_a_probe_succeeds_if_the_service_responds(
    outcome: Any, answered_by: str | None, successes: int
) -> None:
    """An error page and the response of an interceptor say nothing about its latency."""
    recorded: list[int] = []
    check = SimpleNamespace(
        time_needed=lambda: 5.0, try_probe=lambda: True, record_success=lambda: recorded.append(1)
    )
    call: Any = SimpleNamespace(
        current=Attempt(),
        deadline_at=1.0,
        clock=lambda: 0.0,
        origin_state=SimpleNamespace(deadline_check=check),
    )

    def proceed(request: HttpRequest, call: Any) -> Any:
        yield from ()
        call.current.answered_by = answered_by
        return outcome

    with pytest.raises(StopIteration) as ended:
        next(DeadlineCheckLayer()(proceed, HttpRequest("GET", URL), call))
    assert (ended.value.value, len(recorded)) == (outcome, successes)


@pytest.mark.parametrize(("left", "needed"), [(5.0, 5.0), (6.0, 5.0)])
def test_an_attempt_with_just_enough_time_knows_what_it_needs(left: float, needed: float) -> None:
    """Its waits for our own limits end when that is all that is left."""
    check = SimpleNamespace(time_needed=lambda: needed)
    call: Any = SimpleNamespace(
        current=Attempt(),
        deadline_at=left,
        clock=lambda: 0.0,
        origin_state=SimpleNamespace(deadline_check=check),
    )
    assert DeadlineCheckLayer()(lambda request, call: "begun", HttpRequest("GET", URL), call) == "begun"  # type: ignore[arg-type,return-value]
    assert call.current.needed == needed


def test_a_probe_that_fails_changes_nothing(bench: Bench) -> None:
    """The next one may be made five seconds later."""
    bench.clock.elapse(5.0)
    bench.outcomes = [HttpResponse(503)]
    bench.latency = 0.01
    bench.request(total_timeout=0.9, retry_policy=False)
    bench.error(total_timeout=0.9)


def test_a_retry_is_not_waited_for_when_it_could_not_end_in_time(bench: Bench) -> None:
    """The caller gets the first outcome at once, and the timeline says why there is no second one."""
    bench.outcomes = [HttpResponse(503)]
    began = bench.clock.monotonic()
    response = bench.request(total_timeout=4.0)
    assert (response.status_code, response.attempts) == (503, 1)
    assert bench.clock.monotonic() == began + 1.8
    refused, stopped = [event for event in bench.events if isinstance(event, (DeadlineRefused, RetryStopped))]
    assert (refused.attempt, refused.deadline_left) == (2, pytest.approx(4.0 - 1.8 - 1.0))
    assert stopped.reason is StopReason.TOO_LITTLE_TIME
    bench.outcomes = [HttpResponse(503)]
    assert bench.request(total_timeout=5.0).attempts == 2


def test_a_retry_that_has_become_too_late_returns_the_last_outcome(bench: Bench) -> None:
    """A slow listener used the time up: the real outcome is reported, not the refusal."""
    listen = bench.events.append

    def slow(event: Any) -> None:
        listen(event)
        if type(event).__name__ == "RetryScheduled":
            bench.clock.elapse(2.0)

    bench.client._call_builder._listener = slow  # type: ignore[assignment]  # in place of the client's own
    bench.outcomes = [HttpResponse(503)]
    response = bench.request(total_timeout=5.0)
    assert (response.status_code, response.attempts) == (503, 1)
    reasons = [event.reason for event in bench.events if isinstance(event, RetryStopped)]
    assert reasons == [StopReason.TOO_LITTLE_TIME]


def test_a_pause_is_not_waited_for_when_the_attempt_after_it_could_not_end_in_time(bench: Bench) -> None:
    """Three seconds of pause and 1.8 of work are too much for 4.5 s, and not for 6 s."""
    bench.latency = 0.0
    bench.outcomes = [HttpResponse(429, headers={"Retry-After": "3"})]
    bench.request(retry_policy=False)
    bench.latency = 1.8
    began = bench.clock.monotonic()
    bench.error(CallRefusedError, total_timeout=4.5)
    assert bench.clock.monotonic() == began
    assert bench.request(total_timeout=6.0).status_code == 200


def test_each_key_is_known_apart(bench: Bench) -> None:
    """Another tenant's state is new."""
    bench.error(DeadlineExceededError, total_timeout=0.9, key="b")
    assert not [event for event in bench.events if isinstance(event, DeadlineRefused)]


def test_reconfiguring_keeps_what_is_known(bench: Bench) -> None:
    """The check switched off and on again, with other settings."""
    config = bench.client.config
    bench.client.reconfigure(HttpClientConfig(**{**SETTINGS, "deadline_check": {"min_samples": 1000}}))
    bench.error(DeadlineExceededError, total_timeout=0.9)
    assert not [event for event in bench.events if isinstance(event, DeadlineRefused)]
    bench.client.reconfigure(config)
    bench.error(total_timeout=0.9)
    bench.client.reconfigure(HttpClientConfig())
    with pytest.raises(DeadlineExceededError) as raised:
        bench.request(total_timeout=0.9)
    assert not isinstance(raised.value, DeadlineTooShortError)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_chance": 2}, "deadline_check: min_chance must be"),
        ({"chance": 0.1}, "deadline_check has the unknown key 'chance'"),
        ({"percentile": 0.1}, "it is called min_chance"),
        (True, "write DeadlineCheckPolicy"),
    ],
)
def test_a_wrong_setting_is_named(given: Any, message: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigurationError, match="deadline_check") as raised:
        HttpClientConfig(deadline_check=given)
    assert message in str(raised.value)


def test_settings_are_a_value() -> None:
    """A mapping stands for the settings."""
    policy = DeadlineCheckPolicy(min_chance=0.1)
    config = HttpClientConfig(deadline_check={"min_chance": 0.1})
    assert config.deadline_check == policy.settings
    assert (
        config == HttpClientConfig(deadline_check=policy) == HttpClientConfig(deadline_check=policy.settings)
    )
    assert config == pickle.loads(pickle.dumps(config))
    assert HttpClientConfig().deadline_check is None


def test_a_cancelled_attempt_lasted_as_long_as_it_ran() -> None:
    """Its caller gave up after a second: the service took longer. One that waited for a slot says nothing."""

    async def scenario() -> Any:
        config = HttpClientConfig(**SETTINGS, max_connections=1)
        clock = VirtualClock()
        started = asyncio.Event()

        class Silent:
            async def send_async(self, request: Any, timeout: Any) -> Any:
                started.set()
                await asyncio.sleep(3600)

            async def close_async(self) -> None: ...
            def close(self) -> None: ...

        async with HttpServiceClient(config, transport=Silent(), clock=clock) as client:
            running = asyncio.ensure_future(client.get_async(URL))
            await started.wait()
            queued = asyncio.ensure_future(client.get_async(URL))
            await asyncio.sleep(0)
            clock.elapse(1.0)
            for task in (queued, running):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            return client._call_builder.origins.get("https://api.example.com").deadline_check.latencies

    latencies = asyncio.run(scenario())
    assert latencies.count == 1
    assert latencies.quantile(0.5) == pytest.approx(1.0, rel=0.1)
    assert latencies.time_needed(0.02, 1) == pytest.approx(1.0, rel=0.2)


def test_the_smallest_change_is_a_later_deadline(bench: Bench) -> None:
    """`explain(why=True)` says how much later, and a call with that much more is begun."""
    story = bench.error(total_timeout=0.9).explain(why=True)
    found = re.search(r"would have been sent with ([0-9.]+) s more until the deadline", story)
    assert found is not None
    bench.latency = 1.5
    assert bench.request(total_timeout=0.9 + float(found[1])).status_code == 200
