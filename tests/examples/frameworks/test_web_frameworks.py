"""The examples of web frameworks: each request within its caller's time, each failure behind as a response."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from examples.frameworks.conftest import Load
from http_service_client import HttpServiceClient, Propagation
from http_service_client.testing import LoopbackServer, respond
from kit.gunicorn import gunicorn

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT, ATTEMPT, ABOVE = Propagation().names


class Answer(NamedTuple):
    """status, headers (names in lower case), and the body from JSON, or None."""

    status: int
    headers: Mapping[str, str]
    data: Any


class Served:
    """An application that is served: called with a path and headers, it makes a request. client: its own."""

    def __init__(self, module: Any, get: Callable[..., Answer]) -> None:
        self._module = module
        self._get = get

    def __call__(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return self._get(path, headers)

    @property
    def client(self) -> HttpServiceClient:
        if not hasattr(self._module, "stock"):
            return self._module.app.state.stock  # type: ignore[no-any-return]
        stock = self._module.stock
        return stock if isinstance(stock, HttpServiceClient) else stock()


def _asgi(app: Any, stack: ExitStack, has_lifespan: bool = True) -> Callable[..., Answer]:
    """Requests to an ASGI application, its lifespan around them."""
    testclient = pytest.importorskip("starlette.testclient", exc_type=ImportError)
    client = testclient.TestClient(app, raise_server_exceptions=False)
    if has_lifespan:
        stack.enter_context(client)

    def get(path: str, headers: Mapping[str, str] | None = None) -> Answer:
        response = client.get(path, headers=headers)
        return Answer(
            response.status_code, response.headers, response.json() if response.content[:1] == b"{" else None
        )

    return get


def _wsgi(app: Any, stack: ExitStack) -> Callable[..., Answer]:
    """Requests to a WSGI application."""
    test = pytest.importorskip("werkzeug.test")

    def get(path: str, headers: Mapping[str, str] | None = None) -> Answer:
        response = test.Client(app).get(path, headers=headers)
        body = response.get_data()
        response.close()
        fields = {name.lower(): value for name, value in response.headers}
        return Answer(response.status_code, fields, json.loads(body) if body[:1] == b"{" else None)

    return get


APPLICATIONS: dict[str, tuple[str, list[str], str, Any]] = {
    "FastAPI": ("fastapi_orders", ["fastapi"], "app", _asgi),
    "Litestar": ("litestar_orders", ["litestar"], "app", _asgi),
    "Django, ASGI": ("django_orders", ["django"], "asgi_application", partial(_asgi, has_lifespan=False)),
    "Django, WSGI": ("django_orders", ["django"], "wsgi_application", _wsgi),
    "Flask": ("flask_orders", ["flask"], "app", _wsgi),
}


@pytest.fixture(params=APPLICATIONS)
def get(request: pytest.FixtureRequest, load: Load) -> Iterator[Served]:
    """The example of each framework."""
    name, packages, attribute, serve = APPLICATIONS[request.param]
    module = load(name, *packages)
    with ExitStack() as stack:
        served = Served(module, serve(getattr(module, attribute), stack))
        yield served
        served.client.close()


def check_the_time_of_the_caller(get: Served, stock: LoopbackServer, path: str) -> None:
    """What reaches the service behind is no more than what came in."""
    stock.script("/items/7", respond(json={"items": 3}))
    answer = get(path, {TIMEOUT: "2500", ATTEMPT: "2", ABOVE: "true"})
    assert (answer.status, answer.data) == (200, {"items": 3})
    (request,) = stock.requests
    assert 0 < int(request.header(TIMEOUT) or 0) <= 2500
    assert (request.header(ATTEMPT), request.header(ABOVE)) == ("2", "true")


def test_a_request_is_handled_within_the_time_of_its_caller(get: Served, stock: LoopbackServer) -> None:
    """And the service behind learns which attempt it is, and that the caller retries."""
    check_the_time_of_the_caller(get, stock, "/orders/7")


@pytest.mark.parametrize("get", [name for name in APPLICATIONS if name != "Flask"], indirect=True)
def test_a_plain_handler_has_the_time_of_its_caller_too(get: Served, stock: LoopbackServer) -> None:
    """On the threads of each framework that has async handlers beside it."""
    check_the_time_of_the_caller(get, stock, "/reports/7")


def test_without_the_headers_the_limits_of_the_service_hold(get: Served, stock: LoopbackServer) -> None:
    """An attempt's 5 s, in each of these examples."""
    stock.script("/items/7", respond(json={}))
    assert get("/orders/7").status == 200
    assert 4000 < int(stock.requests[0].header(TIMEOUT) or 0) <= 5000


def test_a_pause_that_the_service_behind_asks_for_reaches_the_caller(
    get: Served, stock: LoopbackServer
) -> None:
    """503 with Retry-After, in problem details, without a retry here, since the wait is longer than an attempt."""
    stock.script("/items/7", respond(503, headers={"Retry-After": "17"}))
    for _ in range(2):  # the second one is refused by the throttle gate: nothing is sent
        answer = get("/orders/7")
        assert answer.status == 503
        assert 15 <= int(answer.headers["retry-after"]) <= 17
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.data["status"] == 503
    assert len(stock.requests) == 1


def test_a_caller_that_retries_is_left_to_it(get: Served, stock: LoopbackServer) -> None:
    """One attempt here, and no word against its retries."""
    stock.script("/items/7", respond(500))
    answer = get("/orders/7", {ABOVE: "true"})
    assert (answer.status, "x-should-retry" in answer.headers, len(stock.requests)) == (502, False, 1)


def test_time_that_ran_out_is_a_504(get: Served, stock: LoopbackServer) -> None:
    """After as long as the caller allowed, and at once when it is spent on arrival."""
    stock.script("/items/7", respond(delay=30.0))
    assert get("/orders/7", {TIMEOUT: "400"}).status == 504
    assert get("/orders/7", {TIMEOUT: "0"}).status == 504
    assert len(stock.requests) == 1


def test_a_bug_is_a_500(get: Served) -> None:
    """A client that was closed too early is no failure of the service behind, so the framework reports it."""
    get.client.close()
    assert get("/orders/7").status == 500


def test_health_is_a_page_of_the_application(get: Served, stock: LoopbackServer) -> None:
    """Which makes no call. A service behind that is down degrades it, and only a closed client makes it a 503."""
    stock.script("/items/7", respond(500))
    before = get("/health/clients")
    assert (before.status, before.data["status"]) == (200, "ok")
    assert (before.headers["content-type"], before.headers["cache-control"]) == (
        "application/json",
        "no-store",
    )
    assert get("/orders/7").status == 502
    after = get("/health/clients")
    assert (after.status, after.data["status"]) == (200, "degraded")
    (problems,) = after.data["clients"]["client"]["problems"].values()
    assert "1 call failed; the errors are 500 (1)" in problems[0]
    sent = len(stock.requests)
    get.client.close()
    assert (get("/health/clients").status, len(stock.requests)) == (503, sent)


def test_the_body_of_a_flask_response_is_made_within_the_time_of_its_caller(
    load: Load, stock: LoopbackServer
) -> None:
    """Each of its pieces asks the service behind, after the view has returned."""
    module = load("flask_orders", "flask")
    stock.script("*", respond(json={}))
    response = module.app.test_client().get("/lists/1", headers={TIMEOUT: "2500"})
    assert response.get_data() == b"{}\n{}\n"
    response.close()
    assert all(int(request.header(TIMEOUT) or 0) <= 2500 for request in stock.requests)
    module.stock.close()


def test_a_middleware_that_runs_the_handler_in_another_task_changes_nothing(
    load: Load, stock: LoopbackServer
) -> None:
    """As `@app.middleware("http")` of Starlette does; the next request has none of the limits."""
    module = load("fastapi_orders", "fastapi")

    @module.app.middleware("http")
    async def pass_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    stock.script("*", respond(json={}))
    with ExitStack() as stack:
        get = _asgi(module.app, stack)
        assert get("/orders/7", {TIMEOUT: "1500", ABOVE: "true"}).status == 200
        assert get("/orders/7").status == 200
    limited, free = (int(request.header(TIMEOUT) or 0) for request in stock.requests)
    assert limited <= 1500 < free


def test_fastapi_closes_its_client_with_the_application(load: Load, stock: LoopbackServer) -> None:
    """The lifespan does, and no connection stays open."""
    module = load("fastapi_orders", "fastapi")
    stock.script("*", respond(json={}))
    with ExitStack() as stack:
        assert _asgi(module.app, stack)("/orders/7").status == 200
    with pytest.raises(Exception, match="was closed"):
        module.app.state.stock.get("/items/7")


def test_fastapi_tests_may_replace_the_client(load: Load) -> None:
    """By its dependency, as the example says."""
    from http_service_client import HttpResponse
    from http_service_client.testing import ScriptedTransport

    module = load("fastapi_orders", "fastapi")
    network = ScriptedTransport([HttpResponse(200, content=b'{"items": 9}')])
    fake = HttpServiceClient(base_url="https://stock.test", transport=network)
    module.app.dependency_overrides[module.stock_client] = lambda: fake
    with ExitStack() as stack:
        assert _asgi(module.app, stack)("/orders/7").data == {"items": 9}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--worker-class=sync"], id="sync"),
        pytest.param(["--worker-class=gthread", "--threads=4"], id="gthread"),
        pytest.param(["--worker-class=gevent", "--preload"], id="gevent, preload"),
    ],
)
def test_flask_under_gunicorn(load: Load, stock: LoopbackServer, tmp_path: Path, options: list[str]) -> None:
    """In each kind of worker, one request after the other has its own time, and the next one none of it."""
    for package in ("flask", "gunicorn", "gevent"):
        pytest.importorskip(package)
    stock.script("*", respond(json={}))
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with (
        gunicorn(
            "flask_orders:app",
            *options,
            folder=ROOT / "examples" / "frameworks",
            environment={**environment, "STOCK_URL": stock.url},
        ) as address,
        HttpServiceClient(base_url=address) as caller,
    ):
        for given in ("1500", None):
            headers = {} if given is None else {TIMEOUT: given}
            assert caller.get("/orders/7", headers=headers, timeout=20).status_code == 200
    limited, free = (int(request.header(TIMEOUT) or 0) for request in stock.requests)
    assert limited <= 1500 < free <= 5000
