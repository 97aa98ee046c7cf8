"""Redirects on the wire: no credential is sent to another origin.

A table: every credential header, however it was set, against every kind of target that a redirect may have.
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

# Written out here instead of imported: a header that is removed there must fail here.
CREDENTIALS = [
    "Authorization", "Proxy-Authorization", "Cookie", "X-API-Key", "X-ApiKey", "API-Key", "ApiKey",
    "X-Auth-Token", "X-Auth-Key", "X-Access-Token", "X-CSRF-Token", "X-XSRF-Token", "X-Amz-Security-Token",
    "X-Goog-API-Key", "X-Goog-IAM-Authorization-Token", "X-Vault-Token", "Private-Token",
    "Ocp-Apim-Subscription-Key", "X-Shopify-Access-Token", "DD-API-KEY", "CF-Access-Client-Secret", "DPoP",
    "X-Partner-Code",
]  # fmt: skip
PLAIN = ["X-Request-ID", "Accept-Language", "Idempotency-Key"]
HEADERS = {name: f"value of {name}" for name in [*CREDENTIALS, *PLAIN]}

# Targets of a redirect from http://api.test, and whether they are of the same origin.
TARGETS = {
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
    """All these names resolve to this machine."""
    real = socket.getaddrinfo

    def fake(host: str, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host in NAMES else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fake)


class Network:
    """Three servers: the first one, one on another port of the same host, and one with TLS."""

    def __init__(self, here: LoopbackServer, other: LoopbackServer, secure: LoopbackServer) -> None:
        self.here, self.other, self.secure = here, other, secure

    def location(self, template: str) -> str:
        return template.format(port=self.here.port, other=self.other.port, secure=self.secure.port)

    @property
    def start(self) -> str:
        return f"http://api.test:{self.here.port}/start"

    @property
    def arrived(self) -> list[Received]:
        """The requests that arrived at the target of the redirect."""
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
        sensitive_headers=["X-Partner-*"],
        trust_env_proxy_settings=False,
    )


@pytest.mark.parametrize(("status", "method"), [(302, "GET"), (303, "POST"), (307, "POST"), (308, "PUT")])
@pytest.mark.parametrize("target", TARGETS)
def test_credentials_stay_with_their_origin(
    front_end: FrontEnd, network: Network, client: HttpServiceClient, target: str, status: int, method: str
) -> None:
    """To the same origin all of them are sent, to any other none. Other headers are always sent."""
    template, is_same = TARGETS[target]
    network.here.script("/start", respond(status, headers={"Location": network.location(template)}))
    response = front_end.request(
        client, method, network.start, headers=HEADERS, data=b"x" if method != "GET" else None
    )
    assert (response.text, len(response.history)) == ("landed", 1)
    (arrived,) = network.arrived
    seen = {name: value for name in HEADERS if (value := arrived.header(name)) is not None}
    assert seen == (HEADERS if is_same else {name: HEADERS[name] for name in PLAIN})
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
@pytest.mark.parametrize("target", ["same origin, a path", "other port", "other host", "other scheme"])
def test_credentials_stay_however_they_were_set(
    front_end: FrontEnd, network: Network, certificates: Certificates, tmp_path: Path, target: str,
    config: dict[str, Any], call: dict[str, Any], header: str,
) -> None:  # fmt: skip
    """By the call, by the configuration, by a file, or by an interceptor."""
    if "netrc" in config:
        logins = tmp_path / "netrc"
        logins.write_text(config["netrc"])
        config = {"netrc": str(logins)}
    template, is_same = TARGETS[target]
    network.here.script("/start", respond(302, headers={"Location": network.location(template)}))
    client = front_end.client(connection_pool=certificates.pool(), trust_env_proxy_settings=False, **config)
    front_end.request(client, "GET", network.start, **call)
    (started,) = network.here.received("/start")
    (arrived,) = network.arrived
    assert started.header(header) is not None
    assert arrived.header(header) == (started.header(header) if is_same else None)


def test_no_repr_shows_a_sensitive_header(
    front_end: FrontEnd, network: Network, client: HttpServiceClient
) -> None:
    """Neither of the request nor of the response, over real connections; the first response of a connection or not."""
    network.here.script("/there", respond(200, headers={"X-Partner-Quota": "hush", "X-Plain": "shown"}))
    url = network.start.replace("/start", "/there")
    for _ in range(2):
        response = front_end.request(client, "GET", url, headers={"X-Partner-Code": "hush"})
        assert response.request is not None
        assert response.headers["X-Partner-Quota"] == "hush"
        assert "hush" not in f"{response.headers} {response.request.headers}"
        assert "'X-Plain': 'shown'" in repr(response.headers)
    with front_end.stream(client, "GET", url) as streamed:
        assert "hush" not in repr(streamed.headers)


def test_dropped_credentials_do_not_return_with_the_origin(
    front_end: FrontEnd, network: Network, client: HttpServiceClient
) -> None:
    """A redirect to another host and back: that host chose the URL, and must not choose where secrets are sent."""
    network.here.script(
        "/start", respond(302, headers={"Location": f"http://other.test:{network.here.port}/away"})
    )
    network.here.script(
        "/away", respond(302, headers={"Location": f"http://api.test:{network.here.port}/there"})
    )
    front_end.request(client, "GET", network.start, headers=HEADERS)
    (arrived,) = network.arrived
    assert arrived.header("Host") == f"api.test:{network.here.port}"
    assert [name for name in CREDENTIALS if arrived.header(name) is not None] == []


@pytest.mark.parametrize("target", ["same origin, a path", "other host"])
def test_an_explicit_host_header_stays_with_its_origin(
    front_end: FrontEnd, network: Network, client: HttpServiceClient, target: str
) -> None:
    """It names a virtual host of the first server only."""
    template, is_same = TARGETS[target]
    network.here.script("/start", respond(302, headers={"Location": network.location(template)}))
    front_end.request(client, "GET", network.start, headers={"Host": "virtual.test"})
    (arrived,) = network.arrived
    assert arrived.header("Host") == ("virtual.test" if is_same else f"other.test:{network.here.port}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_from_https_to_http_is_refused(
    front_end: FrontEnd, network: Network, client: HttpServiceClient, status: int
) -> None:
    """With or without credentials. The error has the redirect, and nothing was sent unencrypted."""
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
    """The URL of the first host. Each host redirects to the next, and the last to the first."""
    urls = [f"http://{name}:{server.port}/{index}" for index, name in enumerate(names)]
    for index in range(len(names)):
        server.script(f"/{index}", respond(302, headers={"Location": urls[(index + 1) % len(names)]}))
    yield urls[0]


@pytest.mark.parametrize("hosts", [["api.test"], ["api.test", "other.test"], ["api.test"] * 3])
@pytest.mark.parametrize("limit", [1, 4, 10])
def test_a_redirect_loop_ends_at_the_limit(
    front_end: FrontEnd, server: LoopbackServer, hosts: list[str], limit: int
) -> None:
    """At most n redirects are followed: n + 1 requests, one attempt, and an error that names the setting."""
    client = front_end.client(allowed_redirect_count=limit, trust_env_proxy_settings=False)
    with cycle(*hosts, server=server) as url:
        caught = failing(front_end, client, "GET", url)
    assert (caught.type, caught.sent) == ("TooManyRedirectsError", "answered")
    assert "allowed_redirect_count" in caught.message
    assert len(server.requests) == limit + 1


@pytest.mark.parametrize("options", [{"allow_redirects": False}, {}], ids=["the call", "the client"])
def test_following_redirects_can_be_switched_off(
    front_end: FrontEnd, server: LoopbackServer, options: dict[str, Any]
) -> None:
    """The redirect itself is the response, whatever its target."""
    server.script("/", respond(302, headers={"Location": "ftp://user:password@h/"}))
    client = front_end.client(allowed_redirect_count=10 if options else 0)
    assert front_end.request(client, "GET", server.url + "/", **options).status_code == 302
