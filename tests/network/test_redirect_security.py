"""Redirects on the wire: no credential follows to another origin, in either world.

The table of issue B: every credential header, however it was given, against every kind of place that a
redirect may lead to.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.testing.server import LoopbackServer, Received, respond
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing

# Written out here, and not taken from the package: a header that is lost there must be missed here.
CREDENTIALS = [
    "Authorization", "Proxy-Authorization", "Cookie", "X-API-Key", "X-ApiKey", "API-Key", "ApiKey",
    "X-Auth-Token", "X-Auth-Key", "X-Access-Token", "X-CSRF-Token", "X-XSRF-Token", "X-Amz-Security-Token",
    "X-Goog-API-Key", "X-Goog-IAM-Authorization-Token", "X-Vault-Token", "Private-Token",
    "Ocp-Apim-Subscription-Key", "X-Partner-Secret",
]  # fmt: skip
PLAIN = ["X-Request-ID", "Accept-Language", "Idempotency-Key"]
MEANT = {name: f"value of {name}" for name in [*CREDENTIALS, *PLAIN]}

# What a redirect leads to, from http://api.test, and whether that is the same origin.
PLACES = {
    "same origin, a path": ("/there", True),
    "same origin, in full": ("http://api.test:{port}/there", True),
    "same origin, in capitals": ("HTTP://API.TEST:{port}/there", True),
    "other port": ("http://api.test:{other}/there", False),
    "other host": ("http://other.test:{port}/there", False),
    "host below": ("http://evil.api.test:{port}/there", False),
    "host above": ("http://test:{port}/there", False),
    "host with the same end": ("http://evilapi.test:{port}/there", False),
    "the same host by its address": ("http://127.0.0.1:{port}/there", False),
    "with a final dot": ("http://api.test.:{port}/there", False),
    "other scheme": ("https://localhost:{secure}/there", False),
}
NAMES = {"api.test", "api.test.", "other.test", "evil.api.test", "test", "evilapi.test"}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """All these names are this machine."""
    real = socket.getaddrinfo

    def fake(host: str, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host in NAMES else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fake)


class Network:
    """Three servers: the one that is asked, the same host at another port, and one that speaks TLS."""

    def __init__(self, here: LoopbackServer, other: LoopbackServer, secure: LoopbackServer) -> None:
        self.here, self.other, self.secure = here, other, secure

    def location(self, template: str) -> str:
        return template.format(port=self.here.port, other=self.other.port, secure=self.secure.port)

    @property
    def start(self) -> str:
        return f"http://api.test:{self.here.port}/start"

    @property
    def arrived(self) -> list[Received]:
        """The requests that came where the redirect led to."""
        return [each for server in (self.here, self.other, self.secure) for each in server.received("/there")]


@pytest.fixture
def network(server: LoopbackServer, tls_server: LoopbackServer) -> Iterator[Network]:
    with LoopbackServer() as other:
        for each in (server, other, tls_server):
            each.script("/there", respond(200, body="landed"))
        yield Network(server, other, tls_server)


@pytest.fixture
def client(front_end: FrontEnd, certificates: Certificates) -> HttpServiceClient:
    """A client that trusts our certificates and knows one more sensitive header."""
    return front_end.client(
        connection_pool=certificates.pool(),
        sensitive_headers=["X-Partner-Secret"],
        trust_env_proxy_settings=False,
    )


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (303, "POST"), (307, "POST"), (308, "PUT")])
@pytest.mark.parametrize("place", PLACES)
def test_credentials_stay_with_their_origin(
    front_end: FrontEnd, network: Network, client: HttpServiceClient, place: str, status: int, method: str
) -> None:
    """To the same origin all of them go along, to any other none; what is no credential always does."""
    template, is_same = PLACES[place]
    network.here.script("/start", respond(status, headers={"Location": network.location(template)}))
    response = front_end.request(
        client, method, network.start, headers=MEANT, data=b"x" if method != "GET" else None
    )
    assert (response.text, len(response.history)) == ("landed", 1)
    (arrived,) = network.arrived
    seen = {name: value for name in MEANT if (value := arrived.header(name)) is not None}
    assert seen == (MEANT if is_same else {name: MEANT[name] for name in PLAIN})
    assert arrived.header("Host") != "virtual.test"


@pytest.mark.parametrize(
    ("config", "call", "header"),
    [
        ({}, {"auth": ("joe", "hush")}, "Authorization"),
        ({}, {"auth": "token"}, "Authorization"),
        ({}, {"cookies": {"session": "secret"}}, "Cookie"),
        ({"default_headers": {"Authorization": "Own x"}}, {}, "Authorization"),
        ({"netrc": "default login joe password hush"}, {}, "Authorization"),
        ({"request_interceptors": [type("Signing", (), {"intercept_request": lambda self, request, context: (request.headers.add("X-API-Key", "k"), request)[1]})]}, {}, "X-API-Key"),
    ],
    ids=["basic", "bearer", "cookies", "default header", "netrc", "interceptor"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["same origin, a path", "other port", "other host", "other scheme"])
def test_however_they_were_given(
    front_end: FrontEnd, network: Network, certificates: Certificates, tmp_path: Path, place: str,
    config: dict[str, Any], call: dict[str, Any], header: str,
) -> None:  # fmt: skip
    """By the call, by the configuration, by a file, by an interceptor: a credential is one."""
    if "netrc" in config:
        logins = tmp_path / "netrc"
        logins.write_text(config["netrc"])
        config = {"netrc": str(logins)}
    template, is_same = PLACES[place]
    network.here.script("/start", respond(302, headers={"Location": network.location(template)}))
    client = front_end.client(connection_pool=certificates.pool(), trust_env_proxy_settings=False, **config)
    front_end.request(client, "GET", network.start, **call)
    (started,) = network.here.received("/start")
    (arrived,) = network.arrived
    assert started.header(header) is not None
    assert arrived.header(header) == (started.header(header) if is_same else None)


def test_what_was_left_behind_does_not_come_back(
    front_end: FrontEnd, network: Network, client: HttpServiceClient
) -> None:
    """Away and home again: the other host chose the way, and must not choose where our secrets go."""
    network.here.script(
        "/start", respond(302, headers={"Location": f"http://other.test:{network.here.port}/away"})
    )
    network.here.script(
        "/away", respond(302, headers={"Location": f"http://api.test:{network.here.port}/there"})
    )
    front_end.request(client, "GET", network.start, headers=MEANT)
    (arrived,) = network.arrived
    assert arrived.header("Host") == f"api.test:{network.here.port}"
    assert [name for name in CREDENTIALS if arrived.header(name) is not None] == []


@pytest.mark.parametrize("place", ["same origin, a path", "other host"])
def test_a_host_of_ones_own_stays_too(
    front_end: FrontEnd, network: Network, client: HttpServiceClient, place: str
) -> None:
    """A Host header set by hand named a virtual host of the first server, and of no other."""
    template, is_same = PLACES[place]
    network.here.script("/start", respond(302, headers={"Location": network.location(template)}))
    front_end.request(client, "GET", network.start, headers={"Host": "virtual.test"})
    (arrived,) = network.arrived
    assert arrived.header("Host") == ("virtual.test" if is_same else f"other.test:{network.here.port}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_https_does_not_lead_to_http(
    front_end: FrontEnd, network: Network, client: HttpServiceClient, status: int
) -> None:
    """Refused, with or without credentials; the error has the redirect, and nothing went out in the clear."""
    network.secure.script(
        "/start", respond(status, headers={"Location": network.location("http://api.test:{port}/there")})
    )
    caught = failing(
        front_end, client, "GET", network.secure.url.replace("127.0.0.1", "localhost") + "/start"
    )
    assert (caught.type, caught.sent) == ("UnsafeRedirectError", "answered")
    assert "leaves https for http" in caught.message
    assert caught.error.response is not None
    assert caught.error.response.status_code == status
    assert network.here.connection_count == 0


@contextmanager
def cycle(*names: str, server: LoopbackServer) -> Iterator[str]:
    """The URL of the first of some hosts, each of which redirects to the next, and the last to the first."""
    urls = [f"http://{name}:{server.port}/{index}" for index, name in enumerate(names)]
    for index in range(len(names)):
        server.script(f"/{index}", respond(302, headers={"Location": urls[(index + 1) % len(names)]}))
    yield urls[0]


@pytest.mark.parametrize("hosts", [["api.test"], ["api.test", "other.test"], ["api.test"] * 3])
@pytest.mark.parametrize("limit", [1, 4, 10])
def test_a_circle_ends_at_the_limit(
    front_end: FrontEnd, server: LoopbackServer, hosts: list[str], limit: int
) -> None:
    """At most n follows: n + 1 requests, one attempt, and an error that names the setting."""
    client = front_end.client(allowed_redirect_count=limit, trust_env_proxy_settings=False)
    with cycle(*hosts, server=server) as url:
        caught = failing(front_end, client, "GET", url)
    assert (caught.type, caught.sent) == ("TooManyRedirectsError", "answered")
    assert "allowed_redirect_count" in caught.message
    assert len(server.requests) == limit + 1


@pytest.mark.parametrize("options", [{"allow_redirects": False}, {}], ids=["the call", "the client"])
def test_no_redirect_is_followed_when_none_is_wanted(
    front_end: FrontEnd, server: LoopbackServer, options: dict[str, Any]
) -> None:
    """The redirect itself is the response, wherever it leads."""
    server.script("/", respond(302, headers={"Location": "ftp://user:password@h/"}))
    client = front_end.client(allowed_redirect_count=10 if options else 0)
    assert front_end.request(client, "GET", server.url + "/", **options).status_code == 302
