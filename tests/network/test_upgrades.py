"""Upgrades of the libraries below: whatever they rename, calls work, or are refused with an error that says why.

Each case renames one name in the source of a library and runs a client over it, in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from http_service_client import ConfigurationError, HttpServiceClient, SentState
from http_service_client.testing import LoopbackServer, respond
from http_service_client.transports.over_aiohttp.hooked.compatibility import AIOHTTP
from http_service_client.transports.over_requests.hooked.compatibility import ADAPTER
from http_service_client.transports.over_requests.nested_tls import NESTED_TLS
from kit.front_ends import BlockingFrontEnd
from network.faults import failing
from network.proxy_server import running_proxy

KIT = Path(__file__).parents[1] / "kit" / "upgraded.py"

ORDINARY: dict[str, Any] = {
    "get": ["hello"] * 3,
    "connections": 1,
    "post": True,
    "stream": True,
    "timeout": ["AttemptTimeoutError", "maybe_processed", False],
    "foreign bytes": ["1", "hello"] * 3,
    "lost": ["ConnectionLostError", "maybe_processed", False],
    "sent": 1,
    "retry": "second",
    "egress": ["EgressRefusedError", "never_sent", False],
    "egress allowed": "hello",
    "socks": ["ProxyError", "never_sent", False],  # nothing listens there
    "bypassed": [1, 0],
    "proxied": "http://nowhere.test/",
    "warnings": [],
    "aiohttp": False,  # whether it was imported
}
HOOKED = ORDINARY | {"aiohttp": True}
REFUSED = ["ConfigurationError", "never_sent", True]  # and the message names the version

# Those without an underscore cannot be renamed so simply: they are names of functions and of a compiled parser too.
PRIVATE_TO_AIOHTTP = [
    "_acquired",
    "_cleanup_handle",
    "_closed",
    "_conns",
    "_create_connection",
    "_drop_timeout",
    "_factory",
    "_get",
    "_key",
    "_loop",
    "_middlewares",
    "_parser",
    "_payload",
    "_read_nowait",
    "_read_timeout",
    "_reading_paused",
    "_release",
    "_request",
    "_reschedule_timeout",
    "_resolve_host",
    "_retry_connection",
    "_trace_configs",
    "_update_proxy_auth_header_and_build_proxy_req",
    "_wrap_create_connection",
    "_wrap_existing_connection",
]
PRIVATE_TO_ASYNCIO = ["_closed", "_sock", "_ssl_protocol", "_transport"]
CONNECT = r"(?<=_connector\.)connect,(?<=async def )connect"

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="each case is a forked process")


def outcomes(front_end: str, *cases: str) -> dict[str, Any]:
    """What the scenarios came to, by case."""
    done = subprocess.run(
        [sys.executable, str(KIT), front_end, *cases],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(cases), done.stderr
    return dict(zip(cases, map(json.loads, lines), strict=True))


@needs_fork
@pytest.mark.parametrize("part", range(4))
def test_aiohttp_may_rename_any_private_name(part: int) -> None:
    """Exchanges that something has hooked into go by its public interface."""
    for case, seen in outcomes(
        "aiohttp", *[f"aiohttp:{name}" for name in PRIVATE_TO_AIOHTTP[part::4]]
    ).items():
        assert seen == HOOKED, case


@needs_fork
def test_aiohttp_may_rename_what_exchanges_through_it_use() -> None:
    """Without a notice at the end of an exchange, connections are not kept; unseen ones go nowhere under a policy."""
    forgetful, unseen, _ = cases = "aiohttp:client_proto", f"aiohttp:{CONNECT}", "-"
    seen = outcomes("aiohttp", *cases)
    for case in (forgetful, unseen):
        (warning,) = seen[case].pop("warnings")
        assert f"RuntimeWarning: aiohttp {__import__('aiohttp').__version__} is not as" in warning, case
    once = {name: value for name, value in (HOOKED | {"connections": 3}).items() if name != "warnings"}
    assert seen[forgetful] == once
    assert seen[unseen] == once | {
        "egress": REFUSED,
        "egress allowed": REFUSED,
        "bypassed": [0, 0],
        "socks": REFUSED,
    }
    assert seen["-"] == HOOKED


@needs_fork
def test_other_calls_do_not_notice_a_change_of_aiohttp() -> None:
    """They do not import it."""
    for case, seen in outcomes("asyncio", "aiohttp:client_proto", f"aiohttp:{CONNECT}").items():
        assert seen == ORDINARY, case


@needs_fork
@pytest.mark.parametrize(
    ("front_end", "names"),
    [("asyncio", [*PRIVATE_TO_ASYNCIO, "_app_transport", "_transports"])],
    ids=["asyncio"],
)
def test_asyncio_may_rename_any_private_name(front_end: str, names: list[str]) -> None:
    """All works as before."""
    for case, seen in outcomes(front_end, *[f"asyncio:{name}" for name in names]).items():
        assert seen == ORDINARY, case


@needs_fork
def test_requests_and_urllib3_may_rename_what_they_do_not_document() -> None:
    """Calls work as before, and nothing is said about what they do not use."""
    names = [
        "requests:get_connection_with_tls_context",
        "requests:cert_verify",
        "requests:request_url",
        "requests:build_connection_pool_key_attributes",
        "requests:_cookies",
        "urllib3:ssltransport",
        "urllib3:SSLTransport",
        "urllib3:incoming",
        "urllib3:ConnectionCls",
    ]
    for case, seen in outcomes("blocking", *names).items():
        assert seen == ORDINARY, case


def test_the_installed_libraries_are_as_expected() -> None:
    """In the environments of the oldest and of the newest releases, this tells which seams have gone."""
    assert (AIOHTTP.gone, ADAPTER.gone, NESTED_TLS.gone) == ((), (), ())


def test_requests_connects_nowhere_by_itself(server: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapped `send` of requests that no longer asks our adapter for a pool would pass the egress policy."""

    def send(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        pool = self.poolmanager.connection_from_url(request.url)
        return self.build_response(request, pool.urlopen(request.method, "/"))

    monkeypatch.setattr(HTTPAdapter, "send", send)
    server.script("/", respond(200))
    with HttpServiceClient() as client, pytest.raises(ConfigurationError) as caught:
        client.get(server.url + "/")
    assert f"requests {requests.__version__} would connect past the egress policy" in str(caught.value)
    assert caught.value.sent_state is SentState.NEVER_SENT
    assert not server.requests


def test_a_wrapped_send_of_requests_is_called(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instrumentation that wraps it sees every exchange, which goes through our own pools."""
    real, seen = HTTPAdapter.send, []

    def send(self: Any, request: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(request.url)
        return real(self, request, *arguments, **options)

    monkeypatch.setattr(HTTPAdapter, "send", send)
    server.script("/", respond(200))
    with HttpServiceClient() as client:
        for _ in range(2):
            client.get(server.url + "/")
    assert seen == [server.url + "/"] * 2
    assert server.connection_count == 1


def test_tls_within_tls_is_refused_where_urllib3_cannot_do_it(
    certificates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is not bypassed, and nothing is sent in its place."""
    monkeypatch.setattr(NESTED_TLS, "gone", ("SSLTransport",))
    with running_proxy(certificates.server_context()) as proxy, BlockingFrontEnd() as front_end:
        client = front_end.client(proxy=f"https://{proxy.address}", connection_pool=certificates.pool())
        caught = failing(front_end, client, "GET", "https://127.0.0.1:9/")
    assert (caught.type, caught.sent) == ("ConfigurationError", "never_sent")
    assert "through an https:// proxy with urllib3 " in caught.message
    assert not proxy.heads
