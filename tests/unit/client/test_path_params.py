"""`path_params=`: values in the path of a call's URL, and the template that names its kind."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from http_service_client import HttpContext, HttpResponse, HttpStatusError, InvalidRequestError
from http_service_client.events import CallFinished
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock
from kit.fakes import Harness
from kit.front_ends import FrontEnd

BASE = "https://api.test/v1"
TEMPLATE = "/orders/{order_id}"
NASTY = "a/../b%2F;x=1?y#z \r\n\\ü\x00+~"


class Service:
    """A client with a base URL, and what it sent, said and counted."""

    def __init__(self, front_end: FrontEnd, *script: Any, **settings: Any) -> None:
        self.events: list[Any] = []
        self.clock = VirtualClock()
        self.transport = ScriptedTransport(list(script) or [HttpResponse(200)], clock=self.clock)
        self.client = front_end.client(
            base_url=BASE, transport=self.transport, clock=self.clock, on_event=self.events.append, **settings
        )

    @property
    def urls(self) -> list[str]:
        return [request.url.removeprefix(BASE) for request in self.transport.requests]

    @property
    def templates(self) -> list[str | None]:
        """Of the calls that ended."""
        return [event.url_template for event in self.events if isinstance(event, CallFinished)]


def test_a_server_reads_exactly_the_value(front_end: FrontEnd) -> None:
    """Over a socket: the value is one segment of the request line, and decodes to what was given."""
    with LoopbackServer() as server:
        client = front_end.client(base_url=server.url)
        front_end.request(client, "GET", "/orders/{order_id}/lines", path_params={"order_id": NASTY})
        target = server.requests[-1].target
    assert target.count("/") == 3
    assert unquote(target.split("/")[2]) == NASTY


def test_the_template_is_in_the_end_and_the_metrics_and_the_context(front_end: FrontEnd) -> None:
    """One series for all orders, with the name of the call beside it."""
    contexts: list[HttpContext] = []
    harness = Harness(front_end, on_exchange=lambda request, outcome, context: contexts.append(context))
    harness.transport.script = [200, 404]
    url = "https://api.test/v1/orders/{order_id}?a={b}"
    for order in ("1", "2"):
        front_end.request(harness.client, "GET", url, path_params={"order_id": order}, name="look")
    template = "/v1/orders/{order_id}"
    ends = [event for event in harness.events if isinstance(event, CallFinished)]
    assert [(end.url_template, end.url) for end in ends] == [
        (template, f"https://api.test/v1/orders/{order}?a=%7Bb%7D") for order in ("1", "2")
    ]
    assert [context.url_template for context in contexts] == [template, template]
    labels = {"url_template": template, "name": "look"}
    metrics = harness.client.metrics
    assert metrics.total("http_requests_total", labels) == 2
    assert metrics.total("http_errors_total", {**labels, "status_code": 404}) == 1
    (durations,) = metrics.snapshot().histograms
    assert dict(durations.labels)["url_template"] == template


def test_without_path_params_braces_are_characters(front_end: FrontEnd) -> None:
    """As they were: escaped, and no template; an empty mapping says that the path is one."""
    service = Service(front_end)
    front_end.request(service.client, "GET", "/{a}")
    front_end.request(service.client, "GET", "/orders", path_params={})
    assert service.urls == ["/%7Ba%7D", "/orders"]
    assert service.templates == [None, "/orders"]


def test_a_value_is_refused_before_anything_is_sent(front_end: FrontEnd) -> None:
    """With the names."""
    service = Service(front_end)
    for values in ({}, {"order_id": ".."}, {"order_id": ""}, {"id": 7}):
        with pytest.raises(InvalidRequestError, match="order_id"):
            front_end.request(service.client, "GET", TEMPLATE, path_params=values)
    assert service.urls == service.events == []


def test_every_kind_of_call_takes_them(front_end: FrontEnd, tmp_path: Path) -> None:
    """Streams, downloads and views too."""
    service = Service(front_end, HttpResponse(200, content=b"x"))
    options: Any = {"path_params": {"order_id": "a/b"}}
    with front_end.stream(service.client, "GET", TEMPLATE, **options):
        pass
    front_end.download(service.client, TEMPLATE, tmp_path / "one", **options)
    front_end.download_parallel(service.client, TEMPLATE, tmp_path / "two", **options)
    front_end.request(service.client.with_options(base_url=f"{BASE}/x"), "GET", TEMPLATE, **options)
    assert service.urls == ["/orders/a%2Fb"] * 3 + ["/x/orders/a%2Fb"]
    assert service.templates == [TEMPLATE] * 4
    with pytest.raises(TypeError, match="pass it with each call"):
        service.client.with_options(**options)


def test_retries_have_the_template_and_redirects_lead_elsewhere(front_end: FrontEnd) -> None:
    """The call keeps its template; the request of a hop has another URL, and so none."""
    seen: list[tuple[str, str | None]] = []
    moved = HttpResponse(302, headers={"Location": "/v1/elsewhere"})
    service = Service(
        front_end,
        *(HttpResponse(503), moved, HttpResponse(200)),
        on_exchange=lambda request, outcome, context: seen.append((request.url, request.url_template)),
    )
    front_end.request(service.client, "GET", TEMPLATE, path_params={"order_id": 7})
    order = f"{BASE}/orders/7"
    assert seen == [(order, TEMPLATE), (order, TEMPLATE), (f"{BASE}/elsewhere", None)]
    assert service.templates == [TEMPLATE]


def test_a_kept_request_keeps_its_template(front_end: FrontEnd) -> None:
    """Also through a pickle: a dead letter counts as the call that it was, unless its URL is changed."""
    service = Service(front_end, HttpResponse(400), HttpResponse(200))
    with pytest.raises(HttpStatusError) as caught:
        front_end.request(
            service.client, "POST", TEMPLATE, path_params={"order_id": 7}, json=1
        ).raise_for_status()
    kept = pickle.loads(pickle.dumps(caught.value.request))
    assert kept.url_template == kept.redacted().url_template == TEMPLATE
    front_end.send(service.client, kept)
    kept.url = f"{BASE}/refunds/7"
    front_end.send(service.client, kept)
    assert service.templates == [TEMPLATE, TEMPLATE, None]
    with pytest.raises(TypeError, match="send takes no keyword 'path_params'; change the request before"):
        front_end.send(service.client, kept, path_params={"order_id": 8})


def test_the_pages_of_a_listing(front_end: FrontEnd) -> None:
    """The template is that of pages at the same path, and not of another path that the server names."""

    def page(url: str) -> HttpResponse:
        return HttpResponse(200, headers={"Link": f'<{url}>; rel="next"'})

    service = Service(front_end, page("?page=2"), page("/v1/archive"), HttpResponse(200))
    list(front_end.paginate(service.client, "/{kind}", path_params={"kind": "orders"}, params={"page": 1}))
    assert service.urls == ["/orders?page=1", "/orders?page=2", "/archive"]
    assert service.templates == ["/{kind}", "/{kind}", None]


def test_a_next_function_may_change_them(front_end: FrontEnd) -> None:
    """Values replace those of the same name and keep the others, as parameters do; a URL brings its own."""
    changes: list[Any] = [
        {"path_params": {"page": 2}},
        {"params": {"size": 20}},
        {"url": "/v1/archive/{page}", "path_params": {"page": "a/b"}},
        None,
    ]
    service = Service(front_end, HttpResponse(200))
    list(
        front_end.paginate(
            service.client,
            "/{kind}/{page}",
            path_params={"kind": "orders", "page": 1},
            params={"size": 10},
            next=lambda response: changes.pop(0),
        )
    )
    assert service.urls == [
        *("/orders/1?size=10", "/orders/2?size=10", "/orders/2?size=20"),
        "/archive/a%2Fb",
    ]
    assert service.templates == [*["/{kind}/{page}"] * 3, "/v1/archive/{page}"]


def test_where_to_look_for_a_result(front_end: FrontEnd) -> None:
    """`poll` fills its URL; a Location of the service leads elsewhere, or to the same path with another query."""
    again = HttpResponse(202, headers={"Location": "/v1/jobs/a%20b?seq=2"})
    moved = HttpResponse(202, headers={"Location": "/v1/results/9"})
    service = Service(front_end, HttpResponse(202), again, moved, HttpResponse(200))
    first = front_end.request(service.client, "POST", "/reports")
    front_end.poll(service.client, first, url="/v1/jobs/{job}", path_params={"job": "a b"})
    assert service.urls[1:] == ["/jobs/a%20b", "/jobs/a%20b?seq=2", "/results/9"]
    assert service.templates[1:] == ["/v1/jobs/{job}", "/v1/jobs/{job}", None]


def test_server_sent_events_fill_each_connection(front_end: FrontEnd) -> None:
    """The first one and a reconnection."""
    stream = HttpResponse(200, headers={"Content-Type": "text/event-stream"}, content=b"data: 1\n\n")
    service = Service(front_end, stream, stream, HttpResponse(204))
    options: Any = {"path_params": {"order_id": "a/b"}}

    def listen() -> None:
        with service.client.events(TEMPLATE, **options) as events:
            assert [event.data for event in events] == ["1", "1"]

    async def listen_async() -> None:
        async with service.client.events_async(TEMPLATE, **options) as events:
            assert [event.data async for event in events] == ["1", "1"]

    front_end.run(listen if front_end.name == "blocking" else listen_async)
    assert service.urls == ["/orders/a%2Fb"] * 3
    assert service.templates == [TEMPLATE] * 3


def test_a_misspelt_keyword_finds_it(front_end: FrontEnd) -> None:
    """As other libraries call it."""
    service = Service(front_end)
    with pytest.raises(TypeError, match="it is called path_params"):
        front_end.request(service.client, "GET", TEMPLATE, path_parameters={"order_id": 7})
