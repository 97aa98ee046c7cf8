"""A client's limits and the calls that fetch its tokens, which go to the same origin as the calls that need them."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import HttpResponse
from http_service_client.auth import OAuth2ClientCredentials
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd

LIMITS = [
    {"bulkhead": {"max_concurrent": 1, "max_waiting": 0}},
    {"bulkhead": {"max_concurrent": 1, "max_waiting": 9, "max_wait": 0.2}},
    {"adaptive_limit": {"initial_limit": 1, "min_limit": 1, "max_limit": 1, "max_wait": 0.2}},
]


def token(text: str) -> HttpResponse:
    return HttpResponse(200, json={"access_token": text, "token_type": "Bearer", "expires_in": 3600})


@pytest.mark.parametrize("limits", LIMITS, ids=repr)
def test_a_call_that_holds_the_last_permit_may_fetch_a_token(
    front_end: FrontEnd, limits: dict[str, Any]
) -> None:
    """After a 401, the calls that wait for a new token hold the permits: its fetch must not wait for them."""
    auth = OAuth2ClientCredentials(token_url=f"{ORIGIN}/token", client_id="id", client_secret="secret")
    harness = Harness(front_end, token("t1"), 401, token("t2"), 200, auth=auth, **limits)
    assert harness.request().status_code == 200
    sent = [(request.method, request.headers.get("Authorization")) for request in harness.transport.sent]
    assert [method for method, _ in sent] == ["POST", "GET", "POST", "GET"]
    assert [value for method, value in sent if method == "GET"] == ["Bearer t1", "Bearer t2"]
