"""The egress policy on real sockets: what a name resolves to is judged, and only what passed is connected to."""

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

# The one address of these tests that may be reached. To list it does not open the rest of 127.0.0.0/8.
POLICY = EgressPolicy(["*", "127.0.0.1"])


class Names:
    """A name server under control. asked: the names that were looked up, addresses aside."""

    def __init__(self, answers: dict[str, list[list[str]]], real: Callable[..., Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self._real = real

    def getaddrinfo(self, host: str, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        """In place of `socket.getaddrinfo`: the next answer for the name, the last one again and again."""
        if host not in self.answers:
            return list(self._real(host, port, *arguments, **options))
        self.asked.append(host)
        answers = self.answers[host]
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in found for entry in self._real(address, port, type=socket.SOCK_STREAM)]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """The names of these tests."""
    names = Names({}, socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


def client_of(front_end: FrontEnd, policy: EgressPolicy = POLICY, **settings: Any) -> HttpServiceClient:
    return front_end.client(egress_policy=policy, trust_env_proxy_settings=False, **settings)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.7", "192.168.1.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused(
    front_end: FrontEnd, server: LoopbackServer, names: Names, address: str
) -> None:
    """Nothing is sent, nothing is retried, and the circuit learns nothing."""
    server.script("*", respond(200))
    names.answers["evil.test"] = [[address]]
    everything = RetryPolicy(retry_conditions=[RetryCondition.on_exceptions([Exception])])
    client = client_of(front_end, EgressPolicy(), retry_policy_config=everything)
    with pytest.raises(EgressRefusedError) as caught:
        front_end.request(client, "POST", f"http://evil.test:{server.port}/", data=b"x")
    error = caught.value
    assert (error.host, error.sent_state.value, error.__cause__) == ("evil.test", "never_sent", None)
    assert error.address == address.removeprefix("::ffff:")
    assert (server.connection_count, names.asked) == (0, ["evil.test"])
    circuit = client.get_circuit_breaker(f"http://evil.test:{server.port}")
    assert circuit is not None
    assert circuit.snapshot().failures == 0


def test_only_addresses_that_passed_are_connected_to(
    front_end: FrontEnd, server: LoopbackServer, names: Names
) -> None:
    """A refused address in front of an allowed one is passed over, though somebody listens there."""
    server.script("/", respond(200, body="public"))
    names.answers["mixed.test"] = [["127.0.0.2", "127.0.0.1"]]
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


def test_a_name_cannot_change_its_answer_in_between(
    front_end: FrontEnd, server: LoopbackServer, names: Names
) -> None:
    """DNS rebinding: each connection goes to the addresses that were judged, of one look-up."""
    server.script("/", respond(200, close=True))
    names.answers["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    client, url = client_of(front_end), f"http://rebinding.test:{server.port}/"
    assert front_end.request(client, "GET", url).status_code == 200
    assert names.asked == ["rebinding.test"]
    caught = failing(front_end, client, "GET", url)
    assert (caught.type, caught.sent) == ("EgressRefusedError", "never_sent")
    assert names.asked == ["rebinding.test"] * 2


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
def test_a_redirect_does_not_lead_inside(
    front_end: FrontEnd, server: LoopbackServer, names: Names, location: str, error_type: str
) -> None:
    """Every hop is judged, by its URL and by what its name resolves to."""
    server.script("/", respond(302, headers={"Location": "/second"}))
    server.script("/second", respond(307, headers={"Location": location}))
    names.answers |= {"outside.test": [["127.0.0.1"]], "inside.test": [["10.0.0.1"]]}
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
def test_no_spelling_of_an_inner_place_is_asked_for(
    front_end: FrontEnd, server: LoopbackServer, names: Names, host: str
) -> None:
    """An InvalidRequestError, before anything is looked up or sent."""
    with pytest.raises(InvalidRequestError) as caught:
        front_end.request(client_of(front_end), "GET", f"http://{host}:{server.port}/")
    assert caught.value.sent_state.value == "never_sent"
    assert (server.connection_count, names.asked) == (0, [])


def test_hosts_that_are_not_listed_are_not_looked_up(
    front_end: FrontEnd, server: LoopbackServer, names: Names
) -> None:
    """An allow-list holds for the first hop and all others."""
    names.answers |= {"api.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}
    server.script("/", respond(302, headers={"Location": f"http://other.test:{server.port}/"}))
    client = client_of(front_end, EgressPolicy(["api.test", "127.0.0.1"]))
    first = failing(front_end, client, "GET", f"http://other.test:{server.port}/")
    hop = failing(front_end, client, "GET", f"http://api.test:{server.port}/")
    assert (first.type, hop.type) == ("EgressRefusedError", "EgressRefusedError")
    assert "not in allowed_hosts" in hop.message
    assert names.asked == ["api.test"]


def test_what_an_interceptor_turned_to_is_judged(front_end: FrontEnd, server: LoopbackServer) -> None:
    """The URL that counts is the final one."""

    class Detour:
        def intercept_request(self, request: Any, context: Any) -> Any:
            request.url = f"http://127.0.0.2:{server.port}/"
            return request

    client = client_of(front_end, request_interceptors=[Detour])
    assert failing(front_end, client, "GET", server.url + "/").type == "EgressRefusedError"
    assert server.connection_count == 0


def test_behind_a_proxy_the_url_is_judged(
    front_end: FrontEnd, server: LoopbackServer, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy may stand inside; what a name resolves to is then the proxy's to know."""
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
