"""`routes`: settings of the calls of a route."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConfigurationError,
    FallbackPolicy,
    HttpClientConfig,
    HttpServiceClient,
    RetryPolicy,
    Timeout,
    by_route,
)
from http_service_client.client.routes import RouteOptions
from http_service_client.core.machines.hedging import Hedging
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

BASE = f"{ORIGIN}/v1"


def harness_of(front_end: FrontEnd, routes: dict[str, Any], *script: Any, **settings: Any) -> Harness:
    return Harness(front_end, *(script or (200,)), routes=routes, base_url=BASE, **settings)


def total(harness: Harness, method: str, url: str, **options: Any) -> float | None:
    harness.request(method, url, **options)
    return harness.transport.timeouts[-1].total


def test_a_call_has_the_settings_of_its_route(front_end: FrontEnd) -> None:
    """By method and path template, for `path_params` and for plain paths."""
    harness = harness_of(front_end, {"GET /orders/{id}": {"timeout": 7}, "* /orders/{id}": {"timeout": 8}})
    assert total(harness, "GET", "/orders/{order}", path_params={"order": "a/b"}) == 7
    assert total(harness, "GET", "orders/7?page=2") == 7
    assert total(harness, "GET", f"{BASE}/orders/7") == 7
    assert total(harness, "PUT", "/orders/7") == 8
    assert total(harness, "GET", "/orders") == 30
    assert total(harness, "GET", f"{ORIGIN}/orders/7") == 30


def test_call_comes_before_view_before_route_before_client(front_end: FrontEnd) -> None:
    """The nearer to the call, the stronger."""
    harness = harness_of(front_end, {"GET /a": {"timeout": 7, "key": "route", "name": "of route"}})
    view = harness.client.with_options(timeout=6)
    front_end.run(front_end.calling(view, "GET", "/a"))
    assert harness.transport.timeouts[-1].total == 6
    assert harness.events[-1].key == f"{ORIGIN} (route)"
    assert total(harness, "GET", "/a", timeout=5, key="call", name="of call") == 5
    assert (harness.events[-1].key, harness.events[-1].call_name) == (f"{ORIGIN} (call)", "of call")
    assert total(harness, "GET", "/a", timeout=Timeout(total=4)) == 4


@each_row(
    ("options", "attempts"),
    [
        ({}, 1),
        ({"idempotent": True}, 3),
        ({"idempotent": True, "retry_policy": {"max_attempts": 2}}, 2),
        ({"idempotent": True, "retry_policy": RetryPolicy(max_attempts=4)}, 4),
        ({"idempotent": True, "retry_policy": False}, 1),
        ({"idempotent": True, "retry_policy": None}, 1),
    ],
)
def test_a_route_says_what_may_be_repeated(
    front_end: FrontEnd, options: dict[str, Any], attempts: int
) -> None:
    """`idempotent` vouches for all its calls; a call may say otherwise."""
    harness = harness_of(front_end, {"POST /a": options or {"timeout": 30}}, 500)
    assert harness.request("POST", "/a").attempts == attempts
    assert harness.request("POST", "/a", idempotent=False).attempts == 1
    assert harness.request("POST", "/b").attempts == 1


def test_a_kept_request_says_itself_what_may_be_repeated(front_end: FrontEnd) -> None:
    """What its first caller vouched for stays; the route sets the rest."""
    routes = {"POST /a": {"timeout": 7}, "POST /b": {"idempotent": False}}
    harness = harness_of(front_end, routes, 500, enable_retry_budget=False)
    for path in ("/a", "/b"):
        kept = harness.request("POST", path, idempotent=True).request
        assert kept is not None
        assert front_end.send(harness.client, kept).attempts == 3
    assert harness.transport.timeouts[0].total == 7


def test_a_route_that_is_not_idempotent_gets_no_automatic_key(front_end: FrontEnd) -> None:
    """As a call that says so itself."""
    harness = harness_of(front_end, {"POST /a": {"idempotent": False}}, auto_idempotency_key=True)
    harness.request("POST", "/a")
    harness.request("POST", "/b")
    assert ["Idempotency-Key" in request.headers for request in harness.transport.sent] == [False, True]


def test_a_route_may_have_a_circuit_of_its_own(front_end: FrontEnd) -> None:
    """It is named after the route, and refuses no other call."""
    harness = harness_of(
        front_end,
        {"GET /reports/{id}": {"circuit_breaker": {"failure_threshold": 1}, "retry_policy": False}},
        500,
    )
    harness.request("GET", "/reports/1")
    error = harness.error(CircuitOpenError, url="/reports/2")
    assert error.key == "GET /reports/{id}"
    assert harness.request("GET", "/orders", retry_policy=False).status_code == 500
    assert harness.client.get_circuit_breaker_states() == {ORIGIN: "closed", "GET /reports/{id}": "open"}


def test_two_clients_of_one_configuration_have_circuits_of_their_own(front_end: FrontEnd) -> None:
    """A policy in a configuration lends its settings."""
    policy = CircuitBreakerPolicy(failure_threshold=1)
    one, other = (
        harness_of(front_end, {"GET /a": {"circuit_breaker": policy, "retry_policy": False}}, 500)
        for _ in "ab"
    )
    one.request("GET", "/a")
    one.error(CircuitOpenError, url="/a")
    assert other.request("GET", "/a").status_code == 500
    assert policy.state == "closed"


def test_a_route_may_have_a_fallback(front_end: FrontEnd) -> None:
    """For its safe requests; that of a call or a view comes first."""
    harness = harness_of(
        front_end, {"* /a": {"fallback": {"value": {"from": "route"}}}, "GET /b": {"fallback": False}}, 500,
        fallback={"value": {"from": "client"}},
    )  # fmt: skip
    assert harness.request("GET", "/a").json() == {"from": "route"}
    assert harness.request("POST", "/a").status_code == 500
    assert harness.request("GET", "/b").status_code == 500
    assert harness.request("GET", "/c").json() == {"from": "client"}
    assert harness.request("GET", "/a", fallback=None).status_code == 500
    view = harness.client.with_options(fallback=FallbackPolicy(value={"from": "view"}))
    assert front_end.run(front_end.calling(view, "GET", "/a")).json() == {"from": "view"}


@pytest.mark.parametrize("chosen", [False, None])
def test_a_view_without_a_fallback_has_none_by_a_route(front_end: FrontEnd, chosen: bool | None) -> None:
    """Whether or not the client has one: the view comes before the route."""
    harness = harness_of(front_end, {"GET /a": {"fallback": {"value": {"from": "route"}}}}, 500)
    view = harness.client.with_options(fallback=chosen)
    assert front_end.run(front_end.calling(view, "GET", "/a")).status_code == 500
    assert front_end.run(front_end.calling(view.with_options(timeout=5), "GET", "/a")).status_code == 500
    assert harness.request("GET", "/a").json() == {"from": "route"}


def test_a_fallback_that_its_route_could_never_use_is_an_error() -> None:
    """A setting that is accepted does something."""
    with pytest.raises(
        ConfigurationError, match=r"routes\['POST /a'\]: fallback would hide that a POST failed"
    ):
        HttpClientConfig(routes={"POST /a": {"fallback": {"value": 1}}})
    HttpClientConfig(routes={"POST /a": {"fallback": {"value": 1, "unsafe_methods": True}}})


@pytest.mark.parametrize("place", range(3))
def test_the_fallback_of_each_route_is_checked_by_its_own_method(place: int) -> None:
    """Wherever it is listed."""
    routes: list[tuple[str, Any]] = [
        ("GET /a", {"fallback": {"value": 1}}),
        ("* /b", {"fallback": {"value": 1}}),
        ("POST /c", {"timeout": 7}),
    ]
    HttpClientConfig(routes=dict(routes))
    routes.insert(place, ("POST /d", {"fallback": {"value": 1}}))
    with pytest.raises(ConfigurationError, match=r"^routes\['POST /d'\]: fallback would hide"):
        HttpClientConfig(routes=dict(routes))


def test_a_route_may_have_hedges(front_end: FrontEnd) -> None:
    """Its own settings, switched off, or those of the client."""
    harness = harness_of(
        front_end,
        {"GET /a": {"hedging": {"delay": 0.5}}, "GET /b": {"hedging": False}},
        hedging={"delay": 2.0},
    )
    build = harness.client._call_builder.build
    own = build("GET", "/a").options.hedging
    assert isinstance(own, Hedging)
    assert own.settings.delay == 0.5
    assert build("GET", "/a").options.hedging is own
    assert build("GET", "/b").options.hedging is False
    assert build("GET", "/c").options.hedging == build("GET", f"{ORIGIN}/a").options.hedging
    assert build("GET", "/a", hedging=False).options.hedging is False


def test_reconfigure_keeps_the_circuit_of_a_route(front_end: FrontEnd) -> None:
    """Under its new settings, in views too; a route that is gone takes its settings with it."""
    harness = harness_of(
        front_end, {"GET /a": {"circuit_breaker": {"failure_threshold": 1}, "retry_policy": False}}, 500
    )
    view = harness.client.with_options(name="view")
    harness.request("GET", "/a")
    config = harness.client.config
    settings = {"failure_threshold": 9, "recovery_timeout": 2.0}
    changed = {"GET /a": {"circuit_breaker": settings, "retry_policy": False}}
    harness.client.reconfigure(replace(config, routes=changed))
    harness.error(CircuitOpenError, url="/a")
    with pytest.raises(CircuitOpenError):
        front_end.run(front_end.calling(view, "GET", "/a"))
    harness.clock.now += 3.0
    assert harness.request("GET", "/a").status_code == 500
    harness.client.reconfigure(replace(config, routes={}))
    assert harness.request("GET", "/a", retry_policy=False).status_code == 500


def test_reconfigure_keeps_the_hedges_of_a_route(front_end: FrontEnd) -> None:
    """What is known of its latencies, under its new settings, in views too. They are measured by the client's clock."""
    harness = harness_of(front_end, {"GET /a": {"hedging": {"quantile": 0.9}}})
    view = harness.client.with_options(name="view")

    def hedging(client: HttpServiceClient) -> Any:
        return client._call_builder.build("GET", "/a").options.hedging

    before = hedging(harness.client)
    assert before._clock == harness.clock.monotonic
    changed = {"GET /a": {"hedging": {"quantile": 0.99}}, "GET /b": {"hedging": {"delay": 1}}}
    harness.client.reconfigure(replace(harness.client.config, routes=changed))
    assert hedging(harness.client) is hedging(view) is before
    assert before.settings.quantile == 0.99


def test_a_wrong_configuration_changes_no_circuit(front_end: FrontEnd) -> None:
    """Reconfiguring with settings that a view cannot have leaves all as it was."""
    harness = harness_of(front_end, {"GET /a": {"circuit_breaker": {"failure_threshold": 5}}})
    with pytest.raises(ConfigurationError):
        harness.client.reconfigure(replace(harness.client.config, routes={"GET /a": {"timeout": -1}}))
    assert harness.client.config.routes["GET /a"]["circuit_breaker"].failure_threshold == 5


def test_a_plain_path_has_the_template_of_its_route(front_end: FrontEnd) -> None:
    """So metrics have a label of low cardinality, and `by_route` finds a state; a call's own template stays."""
    harness = harness_of(
        front_end, {"GET /orders/{id}": {"timeout": 7}, "POST *": {"timeout": 8}}, state_key=by_route
    )
    harness.request("GET", "/orders/7")
    assert harness.events[-1].url_template == "/orders/{id}"
    assert harness.events[-1].key == f"{ORIGIN} (GET /orders/{{id}})"
    harness.request("GET", "/orders/{number}", path_params={"number": 7})
    assert harness.events[-1].url_template == "/orders/{number}"
    harness.request("POST", "/orders/7")
    assert harness.events[-1].url_template is None


def test_a_view_with_another_base_url_matches_below_it(front_end: FrontEnd) -> None:
    """A route's path is relative to the base URL of the call."""
    harness = harness_of(front_end, {"GET /a": {"timeout": 7}})
    view = harness.client.with_options(base_url=f"{ORIGIN}/v2")
    front_end.run(front_end.calling(view, "GET", "/a"))
    assert harness.transport.timeouts[-1].total == 7
    front_end.run(front_end.calling(view, "GET", f"{BASE}/a"))
    assert harness.transport.timeouts[-1].total == 30


@each_row(
    ("routes", "words"),
    [
        (5, "routes must be a mapping"),
        ({"GET /a": 5}, r"routes\['GET /a'\] must be a mapping of settings, not 5"),
        ({"GET /a": {}}, r"routes\['GET /a'\]: it sets nothing"),
        ({"GET /a": {"timeot": 5}}, r"routes\['GET /a'\]: unknown key 'timeot'; did you mean 'timeout'"),
        ({"GET /a": {"timeout": 0}}, r"routes\['GET /a'\]: timeout must be a positive"),
        ({"GET /a": {"idempotent": 1}}, "idempotent must be True or False"),
        ({"GET /a": {"retry_policy": {"max_attempts": 0}}}, "max_attempts"),
        (
            {"GET /a": {"retry_policy": 5}},
            "retry_policy must be a RetryPolicy, a mapping of its arguments or None, not 5",
        ),
        (
            {"GET /a": {"circuit_breaker": {"threshold": 5}}},
            "circuit_breaker has the unknown key 'threshold'",
        ),
        ({"GET /a": {"key": ""}}, "key must be printable"),
        ({"a": {"timeout": 5}}, "routes has 'a', which is no route"),
        (
            {"GET /a": {"timeout": 5}, "get /a": {"timeout": 6}},
            r"^routes has .* which the same requests may match",
        ),
        (
            {"GET /{a}": {"timeout": 5}, "GET /{b}": {"timeout": 6}},
            r"^routes has .* which the same requests may match",
        ),
    ],
)
def test_a_wrong_route_is_an_error(routes: Any, words: str) -> None:
    """It names the route, the setting and the remedy."""
    with pytest.raises(ConfigurationError, match=words):
        HttpClientConfig(routes=routes)


WRONG = {
    "timeout": [0, "soon"],
    "total_timeout": [0, "soon"],
    "retry_policy": [5],
    "circuit_breaker": [5],
    "retry_budget": [5, "no"],
    "fallback": [5],
    "hedging": [5],
    "idempotent": [5, "no"],
    "key": [5, ""],
    "name": [5, ""],
    "decompress": [None, 5],
    "error_type": ["Nobody"],
}


def test_the_table_of_wrong_options_has_every_option() -> None:
    """A new one would be untested otherwise."""
    assert WRONG.keys() == {item.name for item in fields(RouteOptions)}


@each_row(("option", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_the_error_of_a_wrong_option_names_route_and_option(option: str, value: Any) -> None:
    """When the configuration is made."""
    first = "response_type" if option == "error_type" else option
    with pytest.raises(ConfigurationError, match=rf"^routes\['GET /a'\]: {first}(?!\w)"):
        HttpClientConfig(routes={"GET /a": {option: value}})


@each_row("option", sorted(WRONG.keys() - {"decompress", "timeout", "total_timeout"}))
def test_an_option_that_is_none_is_that_of_no_route_or_none_at_all(option: str) -> None:
    """As it is for a call."""
    HttpClientConfig(routes={"GET /a": {option: None, "timeout": None, "total_timeout": None}})


REMEDIES = {
    "it is part of retry_policy": "max_attempts max_retries retries retry_policy_config",
    "it is part of circuit_breaker": "failure_threshold recovery_timeout circuit_breaker_config",
    "it is of a single request: pass it with each call": (
        "params path_params headers json data files cookies auth progress response_type"
    ),
    "set it in HttpClientConfig; a ChaosPolicy has routes of its own": "chaos",
    "it is called timeout": "base_timeout",
    "pass it with each call": "allow_redirects",
    "did you mean 'timeout'?": "timeot",
    "known keys: timeout, total_timeout, retry_policy, circuit_breaker, retry_budget, fallback, hedging, "
    "idempotent, key, name, decompress, error_type": "xyzzy",
}


@each_row(("key", "remedy"), [(key, remedy) for remedy, keys in REMEDIES.items() for key in keys.split()])
def test_the_error_of_a_key_that_a_route_does_not_have_has_a_remedy(key: str, remedy: str) -> None:
    """For the settings of a client, the keywords of a single request, and slips."""
    with pytest.raises(ConfigurationError) as raised:
        HttpClientConfig(routes={"GET /a": {key: 5}})
    assert str(raised.value) == f"routes['GET /a']: unknown key {key!r}; {remedy}"


FILE = """
[clients.shop]
base_url = "https://api.example.com/v1"
[clients.shop.routes."POST /charges"]
timeout = "2500ms"
idempotent = false
retry_policy = {max_attempts = 2}
[clients.shop.routes."GET *"]
circuit_breaker = {failure_threshold = 3}
[clients.wrong.routes."GET /a"]
timeout = -1
retry = 5
retry_policy = {max_attempts = "many"}
"""


def test_routes_can_be_written_in_a_file(tmp_path: Path) -> None:
    """Texts are read as in other settings; such a configuration compares, copies and pickles."""
    path = tmp_path / "clients.toml"
    path.write_text(FILE)
    config = HttpClientConfig.from_file(path, "shop")
    assert config.routes["POST /charges"] == {
        "timeout": 2.5,
        "idempotent": False,
        "retry_policy": RetryPolicy(max_attempts=2),
    }
    assert config.routes["GET *"]["circuit_breaker"].failure_threshold == 3
    for twin in (
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        HttpClientConfig.from_file(path, "shop"),
    ):
        assert (twin, hash(twin)) == (config, hash(config))


def test_all_faults_of_routes_in_a_file_are_found(tmp_path: Path) -> None:
    """Each with its table and key."""
    path = tmp_path / "clients.toml"
    path.write_text(FILE)
    with pytest.raises(ConfigurationError) as error:
        HttpClientConfig.from_file(path, "wrong")
    for words in (
        "GET /a.timeout must be",
        "GET /a.retry: there is no such setting",
        "GET /a.retry_policy.max_attempts",
    ):
        assert words in str(error.value)


def test_a_route_may_have_the_timeouts_of_a_call(front_end: FrontEnd) -> None:
    """Seconds, or a `Timeout` with several of them."""
    routes = {"GET /a": {"timeout": Timeout(total=7.0, connect=1.0)}, "GET /b": {"timeout": 8.0}}
    harness = harness_of(front_end, routes)
    assert [total(harness, "GET", path) for path in ("a", "b")] == [7.0, 8.0]
    with pytest.raises(ConfigurationError, match="timeout must be"):
        HttpClientConfig(routes={"GET /a": {"timeout": "soon"}})
