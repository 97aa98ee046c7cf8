"""The call that fetches a token: under its own origin, with nothing of the call that needs it but its key."""

from __future__ import annotations

from typing import Any

import pytest

from http_service_client import __version__
from http_service_client.auth import OAuth2ClientCredentials
from http_service_client.http.urls import origin_of
from kit.fakes import ORIGIN
from kit.front_ends import FrontEnd
from kit.telemetry import Notes
from kit.token_services import TOKEN_URL, Service, harness, login

AUTH = origin_of(TOKEN_URL)


@pytest.mark.parametrize(
    ("call", "keys"), [({}, [ORIGIN, AUTH]), ({"key": "a"}, [f"{ORIGIN} (a)", f"{AUTH} (a)"])]
)
def test_a_token_is_fetched_under_the_origin_of_its_service(
    front_end: FrontEnd, call: dict[str, Any], keys: list[str]
) -> None:
    """With its circuit and budget; and for a tenant, under the tenant's."""
    client = harness(front_end, Service())
    client.request(**call)
    assert sorted(client.client.get_circuit_breaker_states()) == sorted(keys)


def test_the_url_of_a_token_service_may_be_written_in_other_ways(front_end: FrontEnd) -> None:
    """It is the same service."""
    url = TOKEN_URL.replace(AUTH, f"{AUTH.upper()}:443").replace("HTTPS", "https")
    service = Service()
    flow = OAuth2ClientCredentials(token_url=url, client_id="shop", client_secret="s3cret-value")
    client = harness(front_end, service, auth=flow)
    assert client.request().status_code == 200
    assert [request.url for request in service.fetches] == [TOKEN_URL]
    assert AUTH in client.client.get_circuit_breaker_states()


def test_a_token_call_says_who_asks_and_nothing_of_the_other_call(front_end: FrontEnd) -> None:
    """The headers of the client are for its service."""
    service = Service()
    client = harness(front_end, service, default_headers={"X-Tenant": "a"})
    client.request(headers={"X-Order": "7"})
    (fetch,) = service.fetches
    assert fetch.headers["User-Agent"] == f"http-service-client/{__version__}"
    assert not {"X-Tenant", "X-Order"} & set(fetch.headers)


def test_what_a_client_hides_is_hidden_in_a_token_call(front_end: FrontEnd) -> None:
    """Wherever the request is shown."""
    service = Service()
    client = harness(front_end, service, sensitive_headers=["Accept"])
    client.request()
    (fetch,) = service.fetches
    assert fetch.headers["Accept"] == "application/json"
    assert "application/json" not in repr(fetch.headers)


def test_telemetry_sees_for_which_call_a_token_is_fetched(front_end: FrontEnd) -> None:
    """Its span is within that of the call."""
    notes = Notes()
    harness(front_end, Service(), telemetry=notes, auth=login()).request(name="charge card")
    begun = [line for line in notes.lines if line.startswith("begin")]
    assert begun == ["begin charge card", "begin token request for charge card"]
