"""Tokens over real sockets: requested, used, renewed, and fetched again in a forked child."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpClientConfig, HttpServiceClient, RetryPolicy, TokenError
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.testing import LoopbackServer, respond
from kit.forks import in_a_child, needs_fork
from kit.front_ends import FrontEnd


def granted(token: str, lifetime: int = 3600) -> Any:
    return respond(200, json={"access_token": token, "token_type": "Bearer", "expires_in": lifetime})


def login(server: LoopbackServer) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(token_url=f"{server.url}/token", client_id="shop", client_secret="s3cret")


def sent(server: LoopbackServer) -> list[tuple[str, str | None]]:
    return [
        (request.target, {name.lower(): value for name, value in request.headers}.get("authorization"))
        for request in server.requests
    ]


BASIC = "Basic c2hvcDpzM2NyZXQ="


def test_a_token_is_requested_used_and_renewed(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A POST is sent once more after a 401."""
    server.script("/token", granted("one"), granted("two"))
    server.script("/orders", respond(201), respond(401), respond(201))
    client = front_end.client(auth=login(server))
    statuses = [
        front_end.request(client, "POST", f"{server.url}/orders", json={"n": n}).status_code for n in (1, 2)
    ]
    assert statuses == [201, 201]
    assert sent(server) == [
        ("/token", BASIC),
        ("/orders", "Bearer one"),
        ("/orders", "Bearer one"),
        ("/token", BASIC),
        ("/orders", "Bearer two"),
    ]
    assert server.requests[0].body == b"grant_type=client_credentials"


def test_a_token_service_that_is_down_fails_the_call(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The service itself gets nothing."""
    server.script("/token", respond(503, body="down"))
    client = front_end.client(auth=login(server), retry_policy_config=RetryPolicy(max_attempts=1))
    with pytest.raises(TokenError, match="answered 503"):
        front_end.request(client, "POST", f"{server.url}/orders", json={})
    assert [target for target, _ in sent(server)] == ["/token"]


@needs_fork
def test_a_forked_child_uses_the_token_and_fetches_its_next_one(server: LoopbackServer) -> None:
    """The token is valid there, and so is the cache."""
    server.script("/token", granted("one"), granted("two"))
    server.script("/orders", respond(200), respond(200), respond(401), respond(200))
    with HttpServiceClient(HttpClientConfig(auth=login(server))) as client:
        assert client.get(f"{server.url}/orders").status_code == 200

        def work() -> None:
            for _ in range(2):
                assert client.get(f"{server.url}/orders", total_timeout=10).status_code == 200

        assert in_a_child(work) == 0
    assert [token for _, token in sent(server)] == [BASIC, *["Bearer one"] * 3, BASIC, "Bearer two"]
