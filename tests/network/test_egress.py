"""The egress policy on real sockets: resolved addresses are checked, and only allowed ones are connected to."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from http_service_client import (
    EgressPolicy,
    EgressRefusedError,
    HttpServiceClient,
    InvalidRequestError,
    RetryCondition,
    RetryPolicy,
)
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import failing
from network.proxy_server import running_proxy

# The only address that these tests may reach. Listing it does not allow the rest of 127.0.0.0/8.
POLICY = EgressPolicy(["*", "127.0.0.1"])


class Names:
    """A resolver under control.

    addresses: by name, the result of each lookup; the last one is used repeatedly.
    looked_up: the names that were resolved.
    """

    def __init__(self, addresses: dict[str, list[list[str]]], real: Callable[..., Any]) -> None:
        self.addresses = addresses
        self.looked_up: list[str] = []
        self._real = real

    def getaddrinfo(self, host: str, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        """Replaces `socket.getaddrinfo`."""
        if host not in self.addresses:
            return list(self._real(host, port, *arguments, **options))
        self.looked_up.append(host)
        results = self.addresses[host]
        found = results.pop(0) if len(results) > 1 else results[0]
        return [entry for address in found for entry in self._real(address, port, type=socket.SOCK_STREAM)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The resolver of these tests."""
    names = Names({}, socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


def client_of(front_end: FrontEnd, policy: EgressPolicy = POLICY, **settings: Any) -> HttpServiceClient:
    return front_end.client(egress_policy=policy, trust_env_proxy_settings=False, **settings)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"],
)  # fmt: skip
def test_a_name_that_resolves_to_an_internal_address_is_refused(
    front_end: FrontEnd, server: LoopbackServer, names: Names, address: str
) -> None:
    """Nothing is sent, nothing is retried, and the circuit learns nothing."""
    server.script("*", respond(200))
    names.addresses["evil.test"] = [[address]]
    everything = RetryPolicy(retry_conditions=[RetryCondition.on_exceptions([Exception])])
    client = client_of(front_end, EgressPolicy(), retry_policy_config=everything)
    with pytest.raises(EgressRefusedError) as caught:
        front_end.request(client, "POST", f"http://evil.test:{server.port}/", data=b"x")
    error = caught.value
    assert (error.host, error.sent_state.value, error.__cause__) == ("evil.test", "never_sent", None)
    assert error.address == address.removeprefix("::ffff:")
    assert (server.connection_count, names.looked_up) == (0, ["evil.test"])
    circuit = client.get_circuit_breaker(f"http://evil.test:{server.port}")
    assert circuit is not None
    assert circuit.snapshot().failures == 0


def test_only_allowed_addresses_are_connected_to(
    front_end: FrontEnd, server: LoopbackServer, names: Names
) -> None:
    """A refused address before an allowed one is skipped, although a server listens there."""
    server.script("/", respond(200, body="public"))
    names.addresses["mixed.test"] = [["127.0.0.2", "127.0.0.1"]]
    try:
        inside = socket.create_server(("127.0.0.2", server.port))
    except OSError:
        pytest.skip("127.0.0.2 is not an address of this machine")
    with inside:
        response = front_end.request(client_of(front_end), "GET", f"http://mixed.test:{server.port}/")
        inside.settimeout(0)
        with pytest.raises(BlockingIOError):
            inside.accept()
    assert response.text == "public"


def test_a_name_cannot_resolve_differently_between_check_and_connection(
    front_end: FrontEnd, server: LoopbackServer, names: Names
) -> None:
    """DNS rebinding: a connection is made to the addresses that were checked, from one lookup."""
    server.script("/", respond(200, close=True))
    names.addresses["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    client, url = client_of(front_end), f"http://rebinding.test:{server.port}/"
    assert front_end.request(client, "GET", url).status_code == 200
    assert names.looked_up == ["rebinding.test"]
    caught = failing(front_end, client, "GET", url)
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert names.looked_up == ["rebinding.test"] * 2


@pytest.mark.parametrize(
    ("location", "error_type"),
    [
        ("http://169.254.169.254/latest/meta-data/", "EgressRefusedError"),
        ("http://[::ffff:169.254.169.254]/latest/", "EgressRefusedError"),
        ("http://metadata.google.internal/computeMetadata/", "EgressRefusedError"),
        ("http://localhost/", "EgressRefusedError"),
        ("http://inside.test/", "EgressRefusedError"),
        ("http://127.1/", "UnsafeRedirectError"),
        ("http://0x7f000001/", "UnsafeRedirectError"),
    ],
)
def test_a_redirect_to_an_internal_address_is_refused(
    front_end: FrontEnd, server: LoopbackServer, names: Names, location: str, error_type: str
) -> None:
    """Every hop is checked, its URL and the addresses of its host."""
    server.script("/", respond(302, headers={"Location": "/second"}))
    server.script("/second", respond(307, headers={"Location": location}))
    names.addresses |= {"outside.test": [["127.0.0.1"]], "inside.test": [["10.0.0.1"]]}
    caught = failing(front_end, client_of(front_end), "GET", f"http://outside.test:{server.port}/")
    assert caught.type == error_type
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.1", "0x7f000001", "2130706433", "017700000001", "①②⑦.0.0.1", "\uff11\uff12\uff17.0.0.1",
        "127.0.0.2", "[::1]", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[64:ff9b::7f00:2]", "localhost",
        "LOCALHOST.", "a.localhost", "metadata.google.internal", "169.254.169.254",
    ],
)  # fmt: skip
def test_no_spelling_of_an_internal_address_is_sent_to(
    front_end: FrontEnd, server: LoopbackServer, names: Names, host: str
) -> None:
    """An InvalidRequestError before anything is resolved or sent."""
    with pytest.raises(InvalidRequestError) as caught:
        front_end.request(client_of(front_end), "GET", f"http://{host}:{server.port}/")
    assert caught.value.sent_state.value == "never_sent"
    assert (server.connection_count, names.looked_up) == (0, [])


def test_hosts_that_are_not_listed_are_not_resolved(
    front_end: FrontEnd, server: LoopbackServer, names: Names
) -> None:
    """An allow-list applies to the first hop and to all others."""
    names.addresses |= {"api.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}
    server.script("/", respond(302, headers={"Location": f"http://other.test:{server.port}/"}))
    client = client_of(front_end, EgressPolicy(["api.test", "127.0.0.1"]))
    first = failing(front_end, client, "GET", f"http://other.test:{server.port}/")
    hop = failing(front_end, client, "GET", f"http://api.test:{server.port}/")
    assert (first.type, hop.type) == ("EgressRefusedError", "EgressRefusedError")
    assert "not in allowed_hosts" in hop.message
    assert names.looked_up == ["api.test"]


def test_a_url_set_by_an_interceptor_is_checked(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The final URL is the one that is checked."""

    class Detour:
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.url = f"http://127.0.0.2:{server.port}/"
            return request

    client = client_of(front_end, request_interceptors=[Detour])
    assert failing(front_end, client, "GET", server.url + "/").type == "EgressRefusedError"
    assert server.connection_count == 0


def test_with_a_proxy_only_the_url_is_checked(
    front_end: FrontEnd, server: LoopbackServer, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy may have an internal address, and it resolves the names itself."""
    server.script("/", respond(200, body="by proxy"))
    for name in ("http_proxy", "all_proxy", "no_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running_proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
        monkeypatch.setenv("NO_PROXY", "")
        client = front_end.client(egress_policy=EgressPolicy(["*", f"127.0.0.1:{server.port}"]))
        assert front_end.request(client, "GET", server.url + "/").text == "by proxy"
        assert failing(front_end, client, "GET", "http://10.0.0.1/").type == "EgressRefusedError"
        assert len(proxy.heads) == 1
