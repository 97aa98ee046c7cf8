"""`with_options`: a client that shares connections, circuits, metrics and limits, with other defaults for its calls."""

from __future__ import annotations

import asyncio
import base64
import gc
import weakref
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    Cache,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ClientClosedError,
    ConfigurationError,
    CookieJar,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    StateChange,
    Timeout,
)
from http_service_client.testing import LoopbackServer, respond
from kit.fakes import ORIGIN, SLOW, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

BASIC = "Basic " + base64.b64encode(b"ann:pw").decode()


def call(
    harness: Harness, view: HttpServiceClient, method: str = "GET", url: str = f"{ORIGIN}/", **options: Any
) -> Any:
    return harness.front_end.run(harness.front_end.calling(view, method, url, **options))


def test_a_view_is_a_client_that_shares_all_that_is_live(front_end: FrontEnd) -> None:
    """Circuits, metrics, listeners and limits are those of the client."""
    harness = Harness(
        front_end, 500, enable_retry_policy=False, circuit_breaker_config={"failure_threshold": 5}
    )
    view = harness.client.with_options(timeout=1.0)
    assert type(view) is HttpServiceClient
    for _ in range(5):
        call(harness, view)
    harness.error(CircuitOpenError)
    assert (
        view.get_circuit_breaker_states() == harness.client.get_circuit_breaker_states() == {ORIGIN: "open"}
    )
    assert view.metrics is harness.client.metrics
    assert view.config is harness.client.config
    assert harness.client.metrics.total("http_requests_total") == 6
    assert sum(isinstance(event, StateChange) for event in harness.events) == 1


def test_the_options_of_a_view_are_the_defaults_of_its_calls(front_end: FrontEnd) -> None:
    """A call's own keywords come first, and the client's calls have none of them."""
    harness = Harness(front_end, 503)
    view = harness.client.with_options(timeout=7.0, retry_policy=False, key="a", total_timeout=20.0)
    assert call(harness, view).attempts == 1
    assert [timeout.total for timeout in harness.transport.timeouts] == [7.0]
    assert call(harness, view, timeout=Timeout(total=3.0), retry_policy=RetryPolicy(2), key="b").attempts == 2
    assert harness.transport.timeouts[-1].total == 3.0
    assert call(harness, view, retry_policy=True).attempts == 3
    assert harness.request().attempts == 3
    assert harness.transport.timeouts[-1].total == 30.0
    assert set(harness.client.get_circuit_breaker_states()) == {f"{ORIGIN} (a)", f"{ORIGIN} (b)", ORIGIN}


def test_the_total_timeout_of_a_view_bounds_its_calls(front_end: FrontEnd) -> None:
    """Waits between the attempts included."""
    harness = Harness(front_end, 503)
    view = harness.client.with_options(total_timeout=0.2)
    assert call(harness, view).attempts == 1
    assert "deadline" in call(harness, view).timeline.explain()


def test_a_view_without_budget_redirects_or_decoding(front_end: FrontEnd) -> None:
    """Every switch of a call can be that of a view."""
    harness = Harness(front_end, (302, {"Location": "/x"}))
    view = harness.client.with_options(allow_redirects=False, decompress=False, retry_budget=False)
    assert call(harness, view).status_code == 302
    assert harness.transport.sent[0].decompress is False
    harness.events.clear()
    call(harness, view.with_options(name="list orders"))
    assert {event.call_name for event in harness.events} == {"list orders"}


def test_headers_of_views_merge_as_those_of_a_call_do(front_end: FrontEnd) -> None:
    """Names in any case replace those of the client, and None leaves one out."""
    harness = Harness(front_end, 200, default_headers={"X-Team": "blue", "X-Region": "eu"})
    view = harness.client.with_options(default_headers={"x-team": "red", "X-Region": None, "X-New": "1"})
    nested = view.with_options(default_headers={"X-New": "2"})
    for each in (harness.client, view, nested):
        call(harness, each)
    call(harness, nested, headers={"X-Team": "green"})
    sent = [
        [request.headers.get(name) for name in ("X-Team", "X-Region", "X-New")]
        for request in harness.transport.sent
    ]
    assert sent == [["blue", "eu", None], ["red", None, "1"], ["red", None, "2"], ["green", None, "2"]]


class Stamp:
    """An auth flow."""

    def auth_flow(self, request: Any) -> Any:
        request.headers["X-Stamp"] = "1"
        yield request


@each_row(
    ("of_client", "options", "authorization", "stamp"),
    [
        ({}, {"auth": "token"}, "Bearer token", None),
        ({"auth": "token"}, {}, "Bearer token", None),
        ({"auth": "token"}, {"auth": ("ann", "pw")}, BASIC, None),
        ({"auth": "token"}, {"auth": None}, None, None),
        ({"auth": "token"}, {"auth": False}, None, None),
        ({"auth": "token"}, {"auth": Stamp()}, None, "1"),
        ({"auth": Stamp()}, {"auth": "token"}, "Bearer token", None),
        ({"auth": Stamp()}, {"timeout": 1.0}, None, "1"),
        ({"auth": Stamp()}, {"default_headers": {"Authorization": "Own x"}}, "Own x", None),
        ({"auth": "token"}, {"default_headers": {"authorization": None}}, None, None),
        ({"auth": "token"}, {"default_headers": {"X-A": "1"}}, "Bearer token", None),
        ({"default_headers": {"Authorization": "Own x"}}, {"auth": "token"}, "Bearer token", None),
    ],
)
def test_a_view_has_its_own_credentials(
    front_end: FrontEnd, of_client: Any, options: Any, authorization: str | None, stamp: str | None
) -> None:
    """They replace those of the client, whichever way each is set."""
    harness = Harness(front_end, 200, **of_client)
    call(harness, harness.client.with_options(**options))
    headers = harness.transport.sent[0].headers
    assert (headers.get("Authorization"), headers.get("X-Stamp")) == (authorization, stamp)


def test_a_view_may_have_a_base_url(front_end: FrontEnd) -> None:
    """In place of the client's."""
    harness = Harness(front_end, 200)
    view = harness.client.with_options(base_url="https://other.example.com/v2")
    call(harness, view, url="/orders")
    assert harness.transport.sent[0].url == "https://other.example.com/v2/orders"
    assert repr(view) == "<HttpServiceClient https://other.example.com/v2 view>"
    assert "base_url" in str(harness.error(Exception, url="/orders"))


def test_a_view_with_a_base_url_leaves_the_client_s_alternates(front_end: FrontEnd) -> None:
    """They are copies of what is at the client's."""
    harness = Harness(
        front_end, 503, base_url="https://a.example.com", alternate_urls=["https://b.example.com"]
    )
    view = harness.client.with_options(base_url="https://other.example.com")
    call(harness, view, url="/orders")
    assert {request.url for request in harness.transport.sent} == {"https://other.example.com/orders"}
    call(harness, harness.client, url="/orders")
    assert "https://b.example.com/orders" in {request.url for request in harness.transport.sent}


def test_a_view_with_other_cookies_has_the_cache_of_its_client(front_end: FrontEnd) -> None:
    """What is not named stays as it is."""
    harness = Harness(front_end, (200, {"Cache-Control": "max-age=60"}))
    client = HttpServiceClient(transport=harness.transport, clock=harness.clock, cache=Cache())
    view = client.with_options(cookies=True)
    for _ in range(2):
        assert call(harness, view).status_code == 200
    assert len(harness.transport.sent) == 1


def test_a_view_may_have_a_circuit_of_its_own(front_end: FrontEnd) -> None:
    """It is listed by the client, and each change is reported once, however many views use it."""
    harness = Harness(front_end, 500)
    own = CircuitBreakerPolicy(2, name="own")
    for _ in range(2):
        call(harness, harness.client.with_options(circuit_breaker=own, retry_policy=False))
    assert harness.client.get_circuit_breaker_states() == {ORIGIN: "closed", "own": "open"}
    assert [event.key for event in harness.events if isinstance(event, StateChange)] == ["own"]
    without = harness.client.with_options(circuit_breaker=False, retry_policy=False)
    for _ in range(6):
        assert call(harness, without).status_code == 500


def test_a_view_may_have_a_jar_of_its_own(front_end: FrontEnd) -> None:
    """A user's session on the client's connections. The client keeps its own jar, or none."""
    harness = Harness(front_end, (200, {"Set-Cookie": "session=1"}))
    jar = CookieJar()
    view, other = harness.client.with_options(cookies=jar), harness.client.with_options(cookies=True)
    assert view.cookies is jar
    for each in (view, view.with_options(timeout=1.0), other, harness.client):
        call(harness, each)
    assert [request.headers.get("Cookie") for request in harness.transport.sent] == [
        None,
        "session=1",
        None,
        None,
    ]
    assert harness.client.cookies is None
    assert view.with_options(cookies=False).cookies is None


def test_an_interceptor_of_a_view_with_a_jar_is_the_client_s() -> None:
    """One object of each class, however many views there are."""
    made: list[Any] = []

    class Counting:
        def __init__(self) -> None:
            made.append(self)

        def intercept_request(self, request: Any, context: Any) -> Any:
            return request

    with HttpServiceClient(HttpClientConfig(request_interceptors=[Counting])) as client:
        client.with_options(cookies=True)
        assert len(made) == 1


def test_closing_a_view_ends_the_view_only(front_end: FrontEnd) -> None:
    """By a block, or by `close`. The client, and other views, go on."""
    harness = Harness(front_end, 200)
    view = harness.client.with_options(timeout=1.0)
    nested = view.with_options(key="a")
    with view as entered:
        assert entered is view
    with pytest.raises(ClientClosedError, match=r"this view .* was closed; make a new one by with_options"):
        call(harness, view)
    assert repr(view) == "<HttpServiceClient view closed>"
    assert call(harness, nested).status_code == 200
    assert harness.request().status_code == 200
    asyncio.run(nested.close_async())
    with pytest.raises(ClientClosedError, match="view"):
        call(harness, nested)


def test_closing_the_client_closes_its_views(front_end: FrontEnd) -> None:
    """A view lives on the client's connections."""
    harness = Harness(front_end, 200)
    view = harness.client.with_options(timeout=1.0)
    front_end.close(harness.client)
    with pytest.raises(ClientClosedError, match="this HttpServiceClient was closed"):
        call(harness, view)
    assert "closed" in repr(view)


@pytest.mark.parametrize("how", [{"grace": 1.0}, {"abort": True}])
def test_a_view_cannot_abort_the_calls_of_the_client(how: Any) -> None:
    """It does not know which of them are its own."""
    with HttpServiceClient() as client:
        view = client.with_options(timeout=1.0)
        with pytest.raises(ConfigurationError, match="pass grace and abort to close"):
            view.close(**how)


def test_a_view_is_freed_when_it_is_dropped() -> None:
    """A server may make one for each request."""
    with HttpServiceClient() as client:
        view = client.with_options(timeout=1.0, default_headers={"X-A": "1"}, cookies=True)
        dropped = weakref.ref(view)
        gc.disable()
        try:
            del view
            assert dropped() is None
        finally:
            gc.enable()


@each_row(
    ("option", "remedy"),
    [
        ("timout", "did you mean 'timeout'?"),
        ("headers", "it is called default_headers"),
        ("base_timeout", "it is called timeout"),
        ("tenant", "it is called key"),
        ("json", "pass it with each call"),
        ("max_response_size", "set it in HttpClientConfig"),
        ("max_attempts", "pass retry_policy=RetryPolicy(max_attempts=…)"),
        ("ssl_verify", "set it in ConnectionPoolConfig, of a client of its own"),
        ("verify", "set ssl_verify in ConnectionPoolConfig, of a client of its own"),
        ("cert", "set ssl_cert_file in ConnectionPoolConfig, of a client of its own"),
        ("max_connections", "set it in HttpClientConfig"),
        ("interceptors", "set request_interceptors or response_interceptors in HttpClientConfig"),
        ("xyzzy", "see its docstring"),
    ],
)
def test_an_unknown_option_has_a_remedy(option: str, remedy: str) -> None:
    """For a misspelt name, another library's, and one of another place."""
    with HttpServiceClient() as client, pytest.raises(TypeError) as raised:
        client.with_options(**{option: 1})  # type: ignore[misc]
    assert str(raised.value) == f"with_options takes no option {option!r}; {remedy}"


@each_row(
    ("option", "wrong"),
    [
        ("timeout", -1),
        ("timeout", (1, 2)),
        ("total_timeout", 0),
        ("allow_redirects", "no"),
        ("retry_policy", 3),
        ("circuit_breaker", {"failure_threshold": 3}),
        ("retry_budget", 0.1),
        ("fallback", 7),
        ("hedging", 7),
        ("key", ""),
        ("name", 7),
        ("decompress", None),
        ("error_type", "Nobody"),
        ("auth", 7),
        ("cache", 7),
        ("base_url", "/v1"),
        ("default_headers", {"X A": "1"}),
        ("default_headers", [("X-A", "1")]),
        ("cookies", {"a": "b"}),
        ("proxy", "proxy:3128"),
        ("proxy", "ftp://proxy"),
    ],
)
def test_a_wrong_option_is_an_error_when_the_view_is_made(option: str, wrong: Any) -> None:
    """Not at its first call."""
    first = "response_type" if option == "error_type" else option
    with HttpServiceClient() as client, pytest.raises(ConfigurationError, match=rf"^{first}(?!\w)"):
        client.with_options(**{option: wrong})  # type: ignore[misc]


def test_credentials_of_a_view_are_set_in_one_way() -> None:
    """As in a configuration."""
    with HttpServiceClient() as client, pytest.raises(ConfigurationError, match="set only one"):
        client.with_options(auth="a", default_headers={"Authorization": "b"})


@each_row(
    ("name", "remedy"),
    [
        ("timeout", r"with_options\(timeout=…\)"),
        ("headers", r"with_options\(default_headers=…\)"),
        ("cookies", r"with_options\(cookies=…\)"),
        ("base_timeout", r"with_options\(timeout=…\)"),
        ("config", r"client\.reconfigure\(config\)"),
        ("max_response_size", r"client\.reconfigure\(config\)"),
    ],
)
def test_assigning_a_setting_to_a_client_says_what_to_write(name: str, remedy: str) -> None:
    """It would do nothing. Other attributes, and those of a subclass, may be assigned."""
    with (
        HttpServiceClient() as client,
        pytest.raises(AttributeError, match=rf"{name} of .* cannot be assigned; .*{remedy}"),
    ):
        setattr(client, name, 5)
    client.label = "mine"  # type: ignore[attr-defined]

    class Mine(HttpServiceClient):
        pass

    mine = Mine()
    mine.timeout = 5  # type: ignore[attr-defined]
    assert mine.with_options(key="a").timeout == 5  # type: ignore[attr-defined]
    assert type(mine.with_options(key="a")) is Mine
    mine.close()


def test_streams_and_downloads_of_a_view_have_its_defaults(front_end: FrontEnd, tmp_path: Any) -> None:
    """Over the client's connections."""
    with LoopbackServer() as server:
        server.script("/", respond(body="x"))
        client = front_end.client(base_url=server.url)
        view = client.with_options(default_headers={"X-Team": "red"}, key="a")
        front_end.request(view, "GET", "/")
        with front_end.stream(view, "GET", "/") as response:
            assert response.status_code == 200
            list(response.iter_bytes())
        front_end.download(view, "/", tmp_path / "file")
        front_end.request(client, "GET", "/")
        front_end.close(client)
        assert [dict(request.headers).get("X-Team") for request in server.requests] == [
            "red",
            "red",
            "red",
            None,
        ]
        assert {request.connection for request in server.requests} == {1}


def test_a_slow_call_of_a_view_ends_by_its_timeout(front_end: FrontEnd) -> None:
    """As a call with the same timeout would."""
    harness = Harness(front_end, SLOW)
    view = harness.client.with_options(timeout=0.5, retry_policy=False)
    with pytest.raises(AttemptTimeoutError):
        call(harness, view)


def test_a_cache_that_the_client_does_not_have_is_an_error() -> None:
    """True is the client's own, as of a policy; without one it would do nothing."""
    client = HttpServiceClient()
    with pytest.raises(ConfigurationError, match=r"which has none; write cache=Cache\(\)"):
        client.with_options(cache=True)
    HttpServiceClient(cache=Cache()).with_options(cache=True)
