"""What each request of a hedged call has of its own, and what it shares; and who has a say in hedging."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    HedgingPolicy,
    HttpClientConfig,
    HttpResponse,
    HttpServiceClient,
)
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.drivers import blocking
from http_service_client.http.messages import HttpRequest
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.front_ends import AsyncioFrontEnd, FrontEnd
from kit.hedged_calls import OK, URL, WORLDS, Get, play
from kit.threads import refuse_threads

SLOW, QUICK = (9.0, OK), (0.5, OK)
ALIVE: list[Any] = []


@pytest.fixture
def in_asyncio() -> Iterator[AsyncioFrontEnd]:
    """Where hedges run in the virtual time of a test."""
    with AsyncioFrontEnd() as front_end:
        yield front_end


def client_of(*script: Any, **settings: Any) -> HttpServiceClient:
    clock = VirtualClock()
    outcomes = [late(*each) if isinstance(each, tuple) else each for each in script]
    parts = {name: settings.pop(name) for name in ("on_exchange",) if name in settings}
    return HttpServiceClient(
        HttpClientConfig(**{"hedging": {"delay": 1.0}, **settings}),
        transport=ScriptedTransport(outcomes, clock=clock),
        clock=clock,
        **parts,
    )


class Noting:
    """An interceptor that marks each request, and notes what it sees of the call."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def intercept_request(self, request: Any, context: Any) -> Any:
        request.headers["X-Arm"] = str(len(self.seen))
        self.seen.append(
            (context.correlation_id, context.attempt, context.call_id, getattr(context, "mark", None))
        )
        context.mark = len(self.seen)
        return request

    def intercept_response(self, response: Any, context: Any) -> Any:
        response.headers["X-Mark"] = f"{context.mark}, {context.request.headers['X-Arm']}"
        return response


@pytest.mark.parametrize("world", WORLDS)
def test_interceptors_see_each_request_of_one_attempt(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one correlation id, and attributes and a request of its own; the call ends with those of the winner."""
    noting = Noting()
    played = play(
        world,
        monkeypatch,
        [SLOW, QUICK],
        request_interceptors=[noting],
        response_interceptors=[noting],
    )
    (response,) = played.outcomes
    assert len(noting.seen) == 2
    assert noting.seen[0] == noting.seen[1]
    assert noting.seen[0][1] == 1
    assert response.headers["X-Mark"] == "2, 1"
    assert response.request.headers["X-Arm"] == "1"


@pytest.mark.parametrize("world", WORLDS)
def test_an_interceptors_error_ends_the_call(world: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first request, that is; of a hedge, the first request goes on."""

    class Raising:
        def __init__(self, at: int) -> None:
            self.at, self.count = at, 0

        def intercept_response(self, response: Any, context: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                raise LookupError
            return response

    first = play(world, monkeypatch, [(2.0, OK), SLOW], response_interceptors=[Raising(1)])
    assert first.results == ["LookupError@2"]
    hedge = play(world, monkeypatch, [(3.0, OK), QUICK], response_interceptors=[Raising(1)])
    assert hedge.results == ["200@3"]
    assert hedge.story == "sent1@1 failed1@1.5 won0@3"


@pytest.mark.parametrize("world", WORLDS)
def test_an_interceptor_that_makes_the_request_unsafe_prevents_a_hedge(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is when it is sent counts."""

    class ToPost:
        def intercept_request(self, request: HttpRequest, context: Any) -> HttpRequest:
            request.method = "POST"
            return request

    played = play(world, monkeypatch, [(3.0, OK)], request_interceptors=[ToPost])
    assert (played.results, played.story) == (["200@3"], "denied@1")


def test_a_call_inside_an_arm_needs_no_permit_while_the_other_arm_has_ended(
    in_asyncio: AsyncioFrontEnd,
) -> None:
    """Each arm has its own permit of the circuit, and a scope that says so to the calls of its interceptors."""
    breaker = CircuitBreakerPolicy(failure_threshold=1, recovery_timeout=60.0)
    inner: list[Any] = []
    client: HttpServiceClient

    class Calling:
        async def intercept_response(self, response: HttpResponse, context: Any) -> HttpResponse:
            if response.content == b"hedge":
                breaker.isolate()  # nothing gets a new permit
                result = await client.get_async(
                    f"{URL}inner", circuit_breaker=breaker, hedging=False, retry_policy=False
                )
                inner.append(result.status_code)
            return response

    client = client_of(
        (1.2, HttpResponse(503)),
        (0.5, HttpResponse(200, content=b"hedge")),
        OK,
        response_interceptors=[Calling()],
    )
    response = in_asyncio.request(client, "GET", URL, circuit_breaker=breaker)
    assert response.content == b"hedge"
    assert inner == [200]


def test_an_observer_sees_the_loser_as_abandoned(in_asyncio: AsyncioFrontEnd) -> None:
    """One exchange with a response, one without an outcome."""
    seen: list[Any] = []
    client = client_of(
        SLOW, QUICK, on_exchange=lambda request, outcome, context: seen.append(outcome.sent_state.value)
    )
    in_asyncio.request(client, "GET", URL)
    assert sorted(seen) == ["abandoned", "answered"]


def test_a_stream_is_not_hedged(in_asyncio: AsyncioFrontEnd) -> None:
    """By the client's setting it is one request; a policy of its own is refused with the remedy."""
    client = client_of((5.0, OK), OK)
    with in_asyncio.stream(client, "GET", URL) as response:
        assert response.status_code == 200
    assert len(client._call_builder.backends._given.sent) == 1
    refused = pytest.raises(ConfigurationError, match="hedging needs a response that is read whole")
    with refused, client.stream("GET", URL, hedging=HedgingPolicy(delay=1.0)):
        raise AssertionError("it must not be sent")


def test_a_body_that_is_no_memory_is_not_hedged(in_asyncio: AsyncioFrontEnd) -> None:
    """Two requests cannot read from one iterable at the same time, nor report to one progress."""

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"b"])

    client = client_of((5.0, OK), (5.0, OK), OK)
    in_asyncio.request(client, "PUT", URL, data=Chunks())
    in_asyncio.request(client, "PUT", URL, data=b"ab", progress=lambda sent, total: None)
    in_asyncio.request(client, "PUT", URL, data=b"ab")
    assert len(client._call_builder.backends._given.sent) == 3


def test_views_and_calls_have_a_say(in_asyncio: AsyncioFrontEnd) -> None:
    """The call's keyword comes first, then the view's, then the client's."""
    client = client_of(*[SLOW, QUICK] * 9)

    def hedged(of: HttpServiceClient, **options: Any) -> bool:
        names = [event.name for event in in_asyncio.request(of, "GET", URL, **options).timeline]
        return "hedge_started" in names

    assert hedged(client)
    view = client.with_options(hedging=False)
    assert not hedged(view)
    assert client._call_builder.backends._given.sent  # the same script goes on
    assert hedged(view, hedging=HedgingPolicy(delay=0.2))
    for wrong in (5, "yes", {"delay": 1}):
        with pytest.raises(ConfigurationError, match="hedging must be a HedgingPolicy, True, False or None"):
            client.with_options(hedging=wrong)
        with pytest.raises(ConfigurationError, match="hedging must be a HedgingPolicy, True, False or None"):
            in_asyncio.request(client, "GET", URL, hedging=wrong)


def test_a_client_takes_other_settings_while_it_runs(front_end: FrontEnd) -> None:
    """Counts stay; switched off, nothing is kept."""
    client = client_of(OK)
    front_end.request(client, "GET", URL)
    origins = client._call_builder.origins
    client.reconfigure(HttpClientConfig(hedging=HedgingPolicy(delay=5.0)))
    front_end.request(client, "GET", URL)
    state = origins.get(URL.rstrip("/"))
    assert state.hedging is not None
    assert state.hedging.snapshot()[:2] == (5.0, 2)
    client.reconfigure(HttpClientConfig())
    assert state.hedging is None
    assert front_end.request(client, "GET", URL).status_code == 200


def test_settings_come_from_a_mapping_of_text() -> None:
    """As from a file or from variables: durations have units."""
    config = HttpClientConfig.from_mapping({"hedging": {"delay": "250ms", "max_hedges": "2"}})
    assert config.hedging == HttpClientConfig(hedging={"delay": 0.25, "max_hedges": 2}).hedging
    with pytest.raises(ConfigurationError, match="did you mean 'delay'"):
        HttpClientConfig.from_mapping({"hedging": {"dely": 1}})


def test_tenants_have_latencies_and_hedges_of_their_own(in_asyncio: AsyncioFrontEnd) -> None:
    """As they have a circuit and a budget of their own."""
    client = client_of(SLOW, QUICK, OK)
    in_asyncio.request(client, "GET", URL, key="a")
    in_asyncio.request(client, "GET", URL, key="b")
    origins = client._call_builder.origins
    hedges = [origins.get(f"https://api.example.com ({key})").hedging.snapshot().hedges for key in "ab"]  # type: ignore[union-attr]
    assert hedges == [1, 0]


def test_calls_without_hedging_have_no_layer_of_it() -> None:
    """A strategy that is off costs nothing: the layers are the same as ever."""
    off = HttpServiceClient(HttpClientConfig())._call_builder
    on = HttpServiceClient(HttpClientConfig(hedging={"delay": 1.0}))._call_builder

    def layers(handler: Any) -> list[str]:
        found = []
        while hasattr(handler, "__func__"):
            found.append(type(handler.__func__.__self__).__name__)
            handler = handler.__self__
        return found

    plain, hedged = layers(off.pipelines.call), layers(on.pipelines.call)
    assert "HedgingLayer" not in plain
    assert [name for name in hedged if name != "HedgingLayer"] == plain
    assert hedged.index("HedgingLayer") == hedged.index("RetryLayer") + 1
    call = on.build("GET", URL, hedging=False)
    assert layers(on.pipelines.of(call)) == plain
    call = off.build("GET", URL, hedging=HedgingPolicy(delay=1.0))
    assert layers(off.pipelines.of(call)) == hedged


@pytest.mark.parametrize("world", WORLDS)
def test_a_trial_of_the_circuit_is_hedged_within_its_permits(
    world: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hedge of the only trial is refused, and the trial closes the circuit when it ends."""
    played = play(
        world,
        monkeypatch,
        [(0.1, HttpResponse(500)), (3.0, OK), OK],
        Get(),
        Get(at=5.0),
        Get(at=9.0),
        enable_retry_policy=False,
        circuit_breaker_config={"failure_threshold": 1, "recovery_timeout": 2.0},
    )
    assert played.results == ["500@0.1", "200@8", "200@9"]
    assert len(played.transport.sent) == 3


def test_a_hedge_goes_to_another_host(in_asyncio: AsyncioFrontEnd) -> None:
    """With its circuit and its limits; the call ends with the winner's."""
    clock = VirtualClock()
    script = {"https://a.test/orders": late(9.0, OK), "https://b.test/orders": late(0.5, OK)}
    client = HttpServiceClient(
        HttpClientConfig(
            base_url="https://a.test", alternate_urls=["https://b.test"], hedging={"delay": 1.0}
        ),
        transport=ScriptedTransport(script, clock=clock),
        clock=clock,
    )
    response = in_asyncio.request(client, "GET", "/orders")
    assert response.url == "https://b.test/orders"
    by_name = {event.name: event for event in response.timeline}
    assert by_name["attempt_finished"].key == "https://b.test"
    origins = dict(client._call_builder.origins.items())
    counts = {key: origins[key].breaker.snapshot() for key in ("https://a.test", "https://b.test")}  # type: ignore[union-attr]
    assert [(each.successes, each.abandoned) for each in counts.values()] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("script", [[(0.5, OK)], [SLOW, QUICK], [(1.5, HttpResponse(503)), (9.0, OK)]])
def test_no_reference_cycle_is_left(
    script: list[Any], in_asyncio: AsyncioFrontEnd, no_reference_cycles: None
) -> None:
    """Neither by a call that was not hedged nor by one that was."""
    client = client_of(*script, enable_retry_policy=False)
    ALIVE.append(client)  # its parts refer to each other
    in_asyncio.request(client, "GET", URL)


def test_without_a_free_thread_a_call_is_made_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the calling thread, without a hedge: so many calls at once are no reason to fail."""
    transport = ScriptedTransport([late(0.05, OK)])
    client = HttpServiceClient(HttpClientConfig(hedging={"delay": 0.01}), transport=transport)
    monkeypatch.setattr(blocking, "_BRANCHES", SimpleNamespace(is_full=True))
    response = client.get(URL)
    assert response.status_code == 200
    assert [event.name for event in response.timeline] == ["attempt_finished", "call_finished"]
    assert len(transport.sent) == 1


def test_where_no_thread_can_start_a_call_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter ends, say."""
    client = HttpServiceClient(
        HttpClientConfig(hedging={"delay": 0.01}), transport=ScriptedTransport([late(0.05, OK)])
    )
    client.get(URL)
    refuse_threads(monkeypatch)
    assert client.get(URL).status_code == 200


def test_a_token_is_not_fetched_twice(in_asyncio: AsyncioFrontEnd) -> None:
    """However long its service takes: hedges are for the calls themselves."""
    token = HttpResponse(200, content=b'{"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}')
    clock = VirtualClock()
    transport = ScriptedTransport([late(9.0, token), *[HttpResponse(200)] * 3], clock=clock)
    auth = OAuth2ClientCredentials(
        token_url="https://id.example.com/token", client_id="me", client_secret="secret"
    )
    config = HttpClientConfig(hedging={"delay": 1.0}, auth=auth)
    client = HttpServiceClient(config, transport=transport, clock=clock)
    assert in_asyncio.request(client, "GET", URL, idempotent=True).status_code == 200
    assert [request.method for request in transport.requests] == ["POST", "GET"]
