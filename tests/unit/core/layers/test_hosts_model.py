"""What holds for calls to alternate hosts whatever the hosts do: a model with three hosts in virtual time."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from http_service_client import (
    CallRefusedError,
    ConstantBackoff,
    HttpClientConfig,
    HttpClientError,
    HttpResponse,
    HttpServiceClient,
    RetryPolicy,
)
from http_service_client.events import AttemptFinished, CallFinished, CircuitRefused, HostChanged
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import ScriptedTransport, VirtualClock

HOSTS = [f"https://{name}.test" for name in "abc"]
NEVER_SENT, LOST, BUSY, BROKEN, OK = "refused", "lost", "busy", "broken", "ok"
OUTCOMES: dict[str, Any] = {
    NEVER_SENT: ConnectionRefusedError(),
    LOST: ConnectionResetError(),
    BUSY: HttpResponse(503, headers={"Retry-After": "20"}),
    BROKEN: HttpResponse(500),
    OK: HttpResponse(200),
}
MOST = 3

# Seconds before a call, its method, and what each host does meanwhile.
CALLS = st.tuples(
    st.sampled_from([0.0, 0.0, 0.5, 3.0, 30.0]),
    st.sampled_from(["GET", "POST"]),
    st.tuples(*[st.sampled_from([*OUTCOMES, OK]) for _ in HOSTS]),
)


class World:
    """The client, and what each host does now."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.does = [OK] * len(HOSTS)
        self.events: list[Any] = []
        self.transport = ScriptedTransport(self._serve, clock=self.clock)
        config = HttpClientConfig(
            base_url=HOSTS[0],
            alternate_urls=HOSTS[1:],
            retry_policy_config=RetryPolicy(MOST, ConstantBackoff(1.0, jitter="none")),
            circuit_breaker_config={"failure_threshold": 2, "recovery_timeout": 5.0},
            enable_retry_budget=False,
        )
        self.client = HttpServiceClient(
            config,
            transport=self.transport,
            clock=self.clock,
            on_event=self.events.append,
            random=lambda: 0.5,
        )

    def _serve(self, request: HttpRequest) -> Any:
        return OUTCOMES[self.does[self.host_of(request.url)]]

    def host_of(self, url: str) -> int:
        return HOSTS.index(url[: len(HOSTS[0])])

    def call(self, method: str) -> tuple[Any, list[int]]:
        """The response or the error, and the hosts that were asked."""
        before = len(self.transport.sent)
        try:
            result: Any = self.client.request(method, "items", timeout=4.0)
        except HttpClientError as error:
            result = error
        return result, [self.host_of(sent.request.url) for sent in self.transport.sent[before:]]


@settings(max_examples=60, deadline=None)
@given(st.lists(CALLS, min_size=1, max_size=12))
def test_the_laws_of_failing_over(calls: list[tuple[float, str, tuple[str, ...]]]) -> None:
    """For each call, whatever came before it."""
    world = World()
    for wait, method, does in calls:
        world.clock.elapse(wait)
        world.does = list(does)
        world.events.clear()
        began = world.clock.monotonic()
        result, asked = world.call(method)
        outcomes = [does[host] for host in asked]

        assert len(asked) <= MOST, "never more attempts than the policy allows"
        if method == "POST":
            assert not {LOST, BROKEN} & set(outcomes[:-1]), "what may have been processed is not repeated"
        assert OK not in outcomes[:-1], "after a success nothing is sent"
        assert len(set(asked[: len(HOSTS)])) == len(asked[: len(HOSTS)]) or _had_no_other(world, asked)
        if OK in outcomes:
            assert result.status_code == 200
        if not asked:
            assert isinstance(result, CallRefusedError), "nothing is sent only if every host refuses"
        if OK in does and (method == "GET" or not {LOST, BROKEN} & set(outcomes)):
            free = [host for host in range(len(HOSTS)) if does[host] == OK and not _is_refusing(world, host)]
            assert not free or OK in outcomes, "a host that works and takes requests is reached"
        moves = [event for event in world.events if isinstance(event, HostChanged)]
        ends = [event for event in world.events if isinstance(event, AttemptFinished)]
        assert [event.key for event in ends] == [HOSTS[host] for host in asked], (
            "the timeline has the host of each"
        )
        assert all(move.key != move.before for move in moves)
        assert isinstance(world.events[-1], CallFinished)
        if len(asked) <= len(set(asked)) and asked:
            is_refused = any(_is_refusing(world, host) for host in range(len(HOSTS)) if host not in asked)
            assert world.clock.monotonic() == began or _waited_for_gate(world) or is_refused, (
                "no backoff before an untried host that takes requests"
            )
    limits = world.client._backends._limits()
    assert [limit.in_use for limit in limits] == [0] * len(limits)


def _is_refusing(world: World, host: int) -> bool:
    """Whether a host refused the call, or does so now."""
    if any(isinstance(event, CircuitRefused) and event.key == HOSTS[host] for event in world.events):
        return True
    state = world.client._call_builder.origins.get(HOSTS[host])
    gate_left = 0.0 if state.gate is None else state.gate.left
    return bool(gate_left) or (state.breaker is not None and state.breaker.state.value != "closed")


def _had_no_other(world: World, asked: list[int]) -> bool:
    """A host was asked twice among the first attempts: then some other host did not take requests."""
    return any(_is_refusing(world, host) for host in range(len(HOSTS)) if asked.count(host) == 0)


def _waited_for_gate(world: World) -> bool:
    return any(type(event).__name__ == "ThrottleWaited" for event in world.events)
