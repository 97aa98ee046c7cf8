"""Everything that requests and aiohttp would do on their own is switched off."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import Certificates


def test_cookies_are_not_stored(front_end: FrontEnd, server: LoopbackServer) -> None:
    """A shared client must not mix the sessions of its users."""
    server.script("/", respond(200, headers={"Set-Cookie": "session=secret; Path=/"}))
    client = front_end.client()
    for _ in range(3):
        assert front_end.request(client, "GET", server.url + "/").cookies == {"session": "secret"}
    front_end.request(client, "GET", server.url + "/", cookies={"mine": "1"})
    assert [request.header("Cookie") for request in server.requests] == [None, None, None, "mine=1"]


def test_netrc_is_not_read(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where there is no Authorization, nor in place of one that is given."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    server.script("/", respond(204))
    client = front_end.client()
    front_end.request(client, "GET", server.url + "/")
    front_end.request(client, "GET", server.url + "/", auth="token")
    assert [request.header("Authorization") for request in server.requests] == [None, "Bearer token"]


def test_ca_bundles_of_the_environment_are_not_used(
    front_end: FrontEnd,
    tls_server: LoopbackServer,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are features of requests: aiohttp ignores them."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(empty))
    tls_server.script("/", respond(204))
    client = front_end.client(connection_pool=certificates.pool())
    assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.ca_file)
    with pytest.raises(ConnectionError):
        front_end.request(front_end.client(), "GET", tls_server.url + "/", retry_policy=None)


def test_the_libraries_follow_no_redirect(front_end: FrontEnd, server: LoopbackServer) -> None:
    """With allow_redirects=False the redirect itself is returned, with its body."""
    server.script("/", respond(302, headers={"Location": "/there"}, body="moved"))
    server.script("/there", respond(200, body="here"))
    client = front_end.client()
    response = front_end.request(client, "GET", server.url + "/", allow_redirects=False)
    assert (response.status_code, response.text) == (302, "moved")
    followed = front_end.request(client, "GET", server.url + "/")
    assert (followed.text, [hop.status_code for hop in followed.history]) == ("here", [302])
    assert [request.path for request in server.requests] == ["/", "/", "/there"]


def test_the_libraries_emit_no_warning(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Neither library warns about the way it is used."""
    server.script("/", respond(200, json={}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = front_end.client()
        for method in ("GET", "POST", "DELETE"):
            front_end.request(client, method, server.url + "/")
