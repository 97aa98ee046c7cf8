"""The health endpoints, for ASGI and WSGI alike: what they respond, when with 503, and what they never do."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, HttpResponse, HttpServiceClient
from http_service_client.integrations import asgi, wsgi
from http_service_client.integrations import health as module
from http_service_client.testing import ScriptedTransport, VirtualClock

ORIGIN = "https://stock.internal"
OTHER = "https://mail.internal"


class Answer(NamedTuple):
    """headers: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


def from_asgi(endpoint: Any, method: str = "GET", path: str = "/health", mounted_at: str = "") -> Answer:
    """As a server asks. `path` is the rest of the path after that of the mount."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "http", "method": method, "path": mounted_at + path, "root_path": mounted_at}
    asyncio.run(endpoint(scope, None, send))
    start, body = messages
    assert (start["type"], body["type"]) == ("http.response.start", "http.response.body")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, body["body"])


def from_wsgi(endpoint: Any, method: str = "GET", path: str = "/health", mounted_at: str = "") -> Answer:
    """As a server asks."""
    started: list[Any] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": mounted_at}
    body = b"".join(endpoint(environ, lambda *values: started.append(values)))
    ((status, headers),) = started
    return Answer(int(status.split()[0]), {name.lower(): value for name, value in headers}, body)


class Kind(NamedTuple):
    """A kind of application: its endpoint, and how a server asks it."""

    endpoint: Any
    ask: Callable[..., Answer]


KINDS = {
    "ASGI": Kind(asgi.HealthEndpoint, from_asgi),
    "WSGI": Kind(wsgi.HealthEndpoint, from_wsgi),
}
BOTH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


class Service:
    """A client in virtual time, and the services that it calls."""

    def __init__(self, *script: int, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.network = ScriptedTransport(
            [HttpResponse(status) for status in script or (200,)], clock=self.clock
        )
        circuit = {"failure_threshold": 1, "recovery_timeout": 30.0}
        config = HttpClientConfig(
            **{"enable_retry_policy": False, "circuit_breaker_config": circuit, **settings}
        )
        self.client = HttpServiceClient(config, transport=self.network, clock=self.clock)

    def call(self, url: str = ORIGIN, **options: Any) -> None:
        try:
            self.client.get(url, **options)
        except Exception:
            pass  # refused


@BOTH
def test_it_responds_with_the_summary_in_json(kind: Kind) -> None:
    """Nothing keeps it, and asking makes no call."""
    service = Service()
    service.call()
    answer = kind.ask(kind.endpoint(service.client))
    assert answer.status == 200
    assert answer.headers == {
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
        "cache-control": "no-store",
    }
    assert answer.data["status"] == "ok"
    found = answer.data["clients"]["client"]
    assert (found["status"], found["problems"], found["origins_left_out"]) == ("ok", {}, 0)
    summary = json.loads(json.dumps(service.client.get_health_summary()))
    assert summary.items() <= found.items()
    assert len(service.network.sent) == 1


@BOTH
def test_an_open_circuit_is_no_reason_to_get_no_requests(kind: Kind) -> None:
    """It is open in all copies of a service at once: an outage behind would end them all."""
    service = Service(500)
    service.call()
    answer = kind.ask(kind.endpoint(service.client))
    assert (answer.status, answer.data["status"]) == (200, "degraded")
    (problems,) = answer.data["clients"]["client"]["problems"].values()
    assert problems[0].startswith("the service is taken to be down")


@BOTH
def test_a_required_origin_makes_the_service_unready_until_a_trial_is_due(kind: Kind) -> None:
    """Without a request, no trial would be made, and the circuit would never close."""
    service = Service(200, 500, 200)
    endpoint = kind.endpoint(service.client, requires=[f"{ORIGIN}:443/items"])
    statuses = [kind.ask(endpoint).status]
    for _ in range(2):
        service.call()
        statuses.append(kind.ask(endpoint).status)
    unready = kind.ask(endpoint).data
    service.clock.advance(30.0)
    statuses.append(kind.ask(endpoint).status)
    service.call()
    statuses.append(kind.ask(endpoint).status)
    assert statuses == [200, 200, 503, 200, 200]
    assert (unready["status"], unready["clients"]["client"]["status"]) == ("unavailable", "degraded")


@BOTH
def test_another_origin_is_not_required(kind: Kind) -> None:
    """Only those that are named."""
    service = Service(500)
    service.call(OTHER)
    assert kind.ask(kind.endpoint(service.client, requires=[ORIGIN])).status == 200


@BOTH
def test_the_rule_can_be_ones_own(kind: Kind) -> None:
    """It sees the summaries by the names of the clients."""
    stock, mail = Service(), Service(500)
    mail.call()
    seen: list[Any] = []

    def is_ready(summaries: Any) -> bool:
        seen.append({name: summary["total_errors"] for name, summary in summaries.items()})
        return not summaries["mail"].problems()

    endpoint = kind.endpoint({"stock": stock.client, "mail": mail.client}, is_ready=is_ready)
    answer = kind.ask(endpoint)
    assert (answer.status, answer.data["status"]) == (503, "unavailable")
    assert {name: found["status"] for name, found in answer.data["clients"].items()} == {
        "stock": "ok",
        "mail": "degraded",
    }
    assert seen == [{"stock": 0, "mail": 1}]


@BOTH
@pytest.mark.parametrize("result", [ZeroDivisionError(), None, 503])
def test_a_rule_that_fails_does_not_end_the_service(
    kind: Kind, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It would fail in every copy at once. It is logged, and the response says that nothing is known."""

    def is_ready(summaries: Any) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    answer = kind.ask(kind.endpoint(Service().client, is_ready=is_ready))
    assert (answer.status, answer.data["status"]) == (200, "unknown")
    assert "is_ready failed" in caplog.text


@BOTH
def test_an_error_inside_does_not_end_the_service(
    kind: Kind, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of the endpoint is its own."""
    client = Service().client
    monkeypatch.setattr(type(client), "get_health_summary", lambda self, window: 1 / 0)
    answer = kind.ask(kind.endpoint(client))
    assert (answer.status, answer.data) == (200, {"status": "unknown"})
    assert "the health endpoint failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


@BOTH
def test_a_closed_client_makes_the_service_unready(kind: Kind) -> None:
    """It shuts down."""
    service = Service()
    service.client.close()
    answer = kind.ask(kind.endpoint(service.client))
    assert (answer.status, answer.data["status"]) == (503, "unavailable")
    assert answer.data["clients"]["client"]["status"] == "closed"


@BOTH
def test_a_client_may_be_made_when_the_application_starts(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """Until then the service is not ready, which is no error."""
    state: dict[str, HttpServiceClient] = {}
    endpoint = kind.endpoint(lambda: state["stock"])
    with caplog.at_level(logging.INFO):
        answer = kind.ask(endpoint)
    assert (answer.status, answer.data["clients"]) == (503, {"client": {"status": "missing"}})
    assert caplog.records == []
    state["stock"] = Service().client
    assert kind.ask(endpoint).status == 200
    assert kind.ask(kind.endpoint(lambda: None)).status == 503


@BOTH
def test_head_has_the_same_headers_and_no_body(kind: Kind) -> None:
    """Also of a 404."""
    endpoint = kind.endpoint(Service().client, path="/health")
    for path in ("/health", "/other"):
        get, head = kind.ask(endpoint, "GET", path), kind.ask(endpoint, "HEAD", path)
        assert (head.status, head.headers.keys(), head.body) == (get.status, get.headers.keys(), b"")
        assert int(head.headers["content-length"]) > 0


@BOTH
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_other_methods_are_not_allowed(kind: Kind, method: str) -> None:
    """And are told which are."""
    answer = kind.ask(kind.endpoint(Service().client), method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body == b"only GET and HEAD are possible here\n"


@BOTH
def test_it_may_have_a_path(kind: Kind) -> None:
    """Wherever it is mounted; without one, the path is the router's business."""
    endpoint = kind.endpoint(Service().client, path="/health")
    assert [kind.ask(endpoint, path=path).status for path in ("/health", "/health/", "/", "/health/x")] == [
        *(200, 200, 404, 404)
    ]
    assert kind.ask(endpoint, "POST", "/other").status == 404
    assert kind.ask(endpoint, path="", mounted_at="/health").status == 200
    assert kind.ask(endpoint, path="/health", mounted_at="/behind/a/proxy").status == 200
    assert kind.ask(kind.endpoint(Service().client), path="/anything").status == 200


@BOTH
def test_keys_are_shown_on_request_only(kind: Kind) -> None:
    """They may be users or tenants."""
    service = Service(200, 500)
    service.call(key="alice", headers={"Authorization": "Bearer hunter2"})
    service.call(f"{ORIGIN}/orders?token=hunter2", key="bob")
    answer = kind.ask(kind.endpoint(service.client))
    for word in (b"alice", b"bob", b"hunter2", b"orders"):
        assert word not in answer.body
    found = answer.data["clients"]["client"]["origins"][ORIGIN]
    assert (found["circuit"]["state"], found["keys"], found["keys_in_trouble"]) == ("open", 2, 1)
    shown = kind.ask(kind.endpoint(service.client, show_keys=True)).data
    assert f"{ORIGIN} (alice)" in shown["clients"]["client"]["origins"]


@BOTH
def test_strangers_may_get_the_status_alone(kind: Kind) -> None:
    """The summaries name the services behind."""
    service = Service(500)
    service.call()
    answer = kind.ask(kind.endpoint(service.client, details=False, requires=[ORIGIN]))
    assert (answer.status, answer.data) == (503, {"status": "unavailable"})


@BOTH
@pytest.mark.parametrize("show_keys", [False, True])
def test_the_size_is_bounded(kind: Kind, show_keys: bool) -> None:
    """The origins that need attention are shown first, and the number of the others."""
    service = Service(*[200] * 60, 500)
    for number in range(60):
        service.call(f"https://host-{number}.internal", key=f"tenant-{number}")
    service.call("https://down.internal", key="tenant")
    answer = kind.ask(kind.endpoint(service.client, max_origins=5, show_keys=show_keys))
    found = answer.data["clients"]["client"]
    assert len(answer.body) < 8_000
    assert found["origins_left_out"] == 56
    assert list(found["problems"]) == ["https://down.internal"]
    for part in ("amplification", "errors", "origins", "circuit_breaker_states"):
        assert len(found[part]) <= 5
    assert "https://down.internal" in found["window"]["origins"]
    assert len(found["window"]["origins"]) == 5


@BOTH
def test_a_report_that_takes_long_is_used_again_for_a_while(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of 20,000 origins takes a good part of a second: many probes must not use up the process."""
    service = Service()
    endpoint = kind.endpoint(service.client)
    instants = iter([100.0, 100.2, 104.1, 104.3, 104.5, 109.4, 109.45, 109.5, 109.55])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(instants)))
    counts = []
    for _ in range(5):
        service.call()
        counts.append(kind.ask(endpoint).data["clients"]["client"]["total_requests"])
    # Made in 0.2 s, kept for 4 s; made in 0.2 s again, kept for 4 s; made in 0.05 s, twice.
    assert counts == [1, 1, 3, 4, 5]


@BOTH
@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        (None, {}, "clients must be an HttpServiceClient"),
        (HttpServiceClient, {}, "clients must be an HttpServiceClient"),
        ({}, {}, "clients must have one client at least"),
        ({1: lambda: None}, {}, "the names of clients must be text"),
        (asyncio.sleep, {}, "must be a plain function"),
        (len, {"requires": ORIGIN}, "requires must be a list of origins"),
        (len, {"requires": 5}, "requires must be a list of origins"),
        (len, {"requires": ["stock"]}, "requires must have origins"),
        (len, {"requires": [None]}, "requires must have origins"),
        (len, {"is_ready": 503}, "is_ready must be a function"),
        (len, {"is_ready": len, "requires": [ORIGIN]}, "requires and is_ready are two rules"),
        (len, {"window": 0}, "window must be .*, not 0$"),
        (len, {"window": None}, "window must be a positive"),
        (len, {"window": 601}, "window must be"),
        (len, {"details": 1}, "details must be True or False"),
        (len, {"show_keys": None}, "show_keys must be True or False"),
        (len, {"max_origins": 0}, "max_origins must be a whole number"),
        (len, {"path": "health"}, "path must begin with a slash"),
        (len, {"path": 5}, "path must begin with a slash"),
    ],
)
def test_wrong_settings_are_errors(kind: Kind, given: Any, settings: dict[str, Any], message: str) -> None:
    """When the endpoint is made."""
    with pytest.raises(ConfigurationError, match=message):
        kind.endpoint(given, **settings)


@BOTH
def test_a_misspelt_setting_is_an_error_with_a_remedy(kind: Kind) -> None:
    """As everywhere."""
    with pytest.raises(TypeError, match="it is called requires"):
        kind.endpoint(len, required=[ORIGIN])


def test_it_can_be_the_whole_application_of_an_asgi_server() -> None:
    """Which has a lifespan, and rejects WebSockets."""
    endpoint = asgi.HealthEndpoint(Service().client)
    sent: list[str] = []
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(incoming)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(endpoint({"type": "lifespan"}, receive, send))
    asyncio.run(endpoint({"type": "websocket"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
