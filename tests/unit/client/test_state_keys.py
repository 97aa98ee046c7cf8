"""`state_key`: the state of a call, chosen by a function of its request."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from http_service_client import (
    CircuitOpenError,
    ConfigurationError,
    HttpClientConfig,
    HttpRequest,
    by_header,
    by_route,
)
from http_service_client.core.origins import parse_key
from kit.fakes import ORIGIN, URL, Harness
from kit.front_ends import FrontEnd
from kit.rows import each_row

ONCE: dict[str, Any] = {"retry_policy": False}


def last_key(harness: Harness) -> str:
    key: str = harness.events[-1].key
    return key


def test_each_value_of_a_header_has_a_state_of_its_own(front_end: FrontEnd) -> None:
    """The failures of one tenant refuse no call of another one."""
    harness = Harness(
        front_end, 500, state_key=by_header("X-Tenant"), circuit_breaker_config={"failure_threshold": 1}
    )
    harness.request(headers={"x-tenant": "bad"}, **ONCE)
    error = harness.error(CircuitOpenError, headers={"X-Tenant": "bad"})
    assert error.key == f"{ORIGIN} (bad)"
    assert harness.request(headers={"X-Tenant": "good"}, **ONCE).status_code == 500
    harness.transport.script[:] = [200]
    for headers in (None, {"X-Tenant": ""}):
        harness.request(headers=headers)
        assert last_key(harness) == ORIGIN


def test_each_route_has_a_state_of_its_own(front_end: FrontEnd) -> None:
    """Calls with the same method and template share it; those without a template use the origin's."""
    harness = Harness(front_end, 200, state_key=by_route)
    for number in range(2):
        harness.request("GET", f"{ORIGIN}/orders/{{id}}", path_params={"id": number})
    harness.request("PUT", f"{ORIGIN}/orders/{{id}}", path_params={"id": 7})
    harness.request("GET", f"{ORIGIN}/orders/7")
    assert [name for name, _ in harness.client._call_builder.origins.items()] == [
        f"{ORIGIN} (GET /orders/{{id}})",
        f"{ORIGIN} (PUT /orders/{{id}})",
        ORIGIN,
    ]


def test_a_long_template_is_still_a_key() -> None:
    """It is cut, and two that differ in their ends only remain two. Each always has the same name, for dashboards."""
    keys = []
    for template in ("/" + "long/" * 40 + "a", "/" + "long/" * 40 + "b", "/" + "x" * 95, "/" + "x" * 96):
        request = HttpRequest("GET", URL)
        request.url_template = template
        keys.append(parse_key(by_route(request)))
    start = "GET /" + "long/" * 16 + "lo…"
    assert keys[:2] == [f"{start}b5c84dd2bfb0", f"{start}729963ea3291"]
    assert keys[2] == "GET /" + "x" * 95  # the longest that is not cut
    assert keys[3] == "GET /" + "x" * 82 + "…dd71bfec1167"


def test_the_call_and_the_view_come_first(front_end: FrontEnd) -> None:
    """`key=` of a call, then that of a view; the function is not called then."""
    asked: list[str] = []
    harness = Harness(front_end, 200, state_key=lambda request: asked.append(request.method) or "found")
    harness.request(key="own")
    assert last_key(harness) == f"{ORIGIN} (own)"
    view = harness.client.with_options(key="view")
    front_end.run(front_end.calling(view, "GET", URL))
    assert last_key(harness) == f"{ORIGIN} (view)"
    assert not asked
    plain_view = harness.client.with_options(timeout=3)
    front_end.run(front_end.calling(plain_view, "POST", URL))
    assert (asked, last_key(harness)) == (["POST"], f"{ORIGIN} (found)")


def test_the_function_sees_the_request_as_the_call_made_it(front_end: FrontEnd) -> None:
    """With the defaults of the client, its body and its template."""
    seen: list[Any] = []

    def model(request: HttpRequest) -> str:
        seen.append((request.method, request.url, request.headers["X-App"], request.json))
        return str(request.json["model"])

    harness = Harness(front_end, 200, state_key=model, default_headers={"X-App": "shop"})
    harness.request("POST", json={"model": "large"})
    assert seen == [("POST", URL, "shop", {"model": "large"})]
    assert last_key(harness) == f"{ORIGIN} (large)"
    assert harness.transport.bodies == [b'{"model":"large"}']


async def awaited(request: HttpRequest) -> str:
    return "key"


@each_row("result", [7, "", "two\nlines", "k" * 101, b"key"], ids=repr)
def test_a_wrong_result_is_an_error_and_nothing_is_sent(front_end: FrontEnd, result: Any) -> None:
    """The message names the setting, and what a key is."""
    harness = Harness(front_end, 200, state_key=lambda request: result)
    error = harness.error(ConfigurationError)
    assert str(error).startswith("state_key returned a wrong key, so nothing was sent: key must be")
    assert harness.sends == 0


def test_an_error_of_the_function_is_an_error_of_the_call(front_end: FrontEnd) -> None:
    """It names the setting, and is caused by the function's own error."""
    harness = Harness(front_end, 200, state_key=lambda request: request.json["model"])
    error = harness.error(ConfigurationError)
    assert str(error).startswith("state_key raised TypeError: ")
    assert isinstance(error.__cause__, TypeError)
    assert harness.sends == 0


@each_row(
    ("given", "words"),
    [
        (7, "state_key must be a function"),
        ("by_cookie:X-Tenant", "state_key must be a function, 'by_route' or 'by_header:X-Tenant'"),
        ("by_tenant", "'by_route' or 'by_header:X-Tenant'"),
        ("by_header:", "'by_route' or 'by_header:X-Tenant'"),
        (awaited, "plain function"),
        (by_header, "without a header"),
        (by_header("Authorization"), "holds a secret"),
        ("by_header:X-Api-Key", "holds a secret"),
    ],
)
def test_a_wrong_setting_says_what_to_write(given: Any, words: str) -> None:
    """When the configuration is made, and not in a call."""
    with pytest.raises(ConfigurationError, match=words):
        HttpClientConfig(state_key=given)


@pytest.mark.parametrize("name", ["", "X Tenant", 7])
def test_by_header_takes_a_header_s_name(name: Any) -> None:
    """Nothing else could ever be sent."""
    with pytest.raises(ConfigurationError, match="by_header takes the name of a header"):
        by_header(name)


def test_a_public_header_may_be_a_key() -> None:
    """The user says that it holds no secret."""
    config = HttpClientConfig(state_key="by_header:X-Api-Key", public_headers=["X-Api-Key"])
    assert config.state_key == by_header("X-Api-Key")


def test_it_can_be_written_in_a_file(tmp_path: Path) -> None:
    """By name; and such a configuration compares, copies and pickles."""
    path = tmp_path / "clients.toml"
    path.write_text(
        '[clients.shop]\nstate_key = "by_header:X-Tenant"\n[clients.lab]\nstate_key = "by_route"\n'
    )
    shop = HttpClientConfig.from_file(path, "shop")
    assert shop == HttpClientConfig(state_key=by_header("X-Tenant"))
    assert HttpClientConfig.from_file(path, "lab").state_key is by_route
    assert HttpClientConfig.from_env("APP_", {"APP_STATE_KEY": "by_route"}).state_key is by_route
    assert pickle.loads(pickle.dumps(shop)) == copy.deepcopy(shop) == shop


def test_reconfigure_follows(front_end: FrontEnd) -> None:
    """Calls after it use the new function; the states stay."""
    harness = Harness(front_end, 200, state_key=by_header("X-Tenant"))
    harness.request(headers={"X-Tenant": "acme"})
    before = harness.client._call_builder.origins.get(f"{ORIGIN} (acme)")
    harness.client.reconfigure(replace(harness.client.config, state_key=None))
    harness.request(headers={"X-Tenant": "acme"})
    assert last_key(harness) == ORIGIN
    assert harness.client._call_builder.origins.get(f"{ORIGIN} (acme)") is before
