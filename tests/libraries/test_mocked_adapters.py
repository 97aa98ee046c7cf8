"""Adapters with the mocks that their users have: each attempt is seen by the mock."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import requests
import responses
import vcr
from aioresponses import aioresponses

from http_service_client import HttpServiceClient
from http_service_client.integrations import ResilientAdapter, resilience_middleware
from http_service_client.testing import LoopbackServer, VirtualClock, respond

URL = "https://api.example.com/orders"


def session() -> requests.Session:
    """A session whose adapter waits in virtual time."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, ResilientAdapter(client=HttpServiceClient(clock=VirtualClock())))
    return session


def test_responses() -> None:
    """It replaces `HTTPAdapter.send`, by which the adapter sends."""
    with responses.RequestsMock() as mocked, session() as http:
        mocked.get(URL, status=503)
        mocked.get(URL, body=requests.ConnectionError("lost"))
        mocked.get(URL, json={"id": 1})
        assert http.get(URL).json() == {"id": 1}
        assert len(mocked.calls) == 3


def test_vcr(server: LoopbackServer, tmp_path: Path) -> None:
    """It replaces the connections, which are the recorder's then."""
    server.script("/", respond(503), respond(200, body="recorded"))
    cassette = str(tmp_path / "cassette.yaml")
    for mode in ("once", "none"):
        with vcr.use_cassette(cassette, record_mode=mode), session() as http:
            assert http.get(server.url).text == "recorded"
    assert len(server.requests) == 2


def test_aioresponses_replaces_the_middlewares_too() -> None:
    """It replaces `ClientSession._request`, which calls them: no attempt is made by the adapter."""

    async def status() -> int:
        middleware = resilience_middleware(client=HttpServiceClient(clock=VirtualClock()))
        async with aiohttp.ClientSession(middlewares=[middleware]) as http, http.get(URL) as response:
            return response.status

    with aioresponses() as mocked:
        mocked.get(URL, status=503)
        assert asyncio.run(status()) == 503


def test_digest_authentication_is_a_call_of_its_own(server: LoopbackServer) -> None:
    """requests sends the second request by the adapter of the first one's response."""
    challenge = respond(401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    server.script("/", challenge, respond(503), respond(200))
    with session() as http:
        assert http.get(server.url, auth=requests.auth.HTTPDigestAuth("ann", "pass")).status_code == 200
    assert len(server.requests) == 3
