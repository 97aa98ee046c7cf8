"""netrc, when enabled: a login goes to its own host only, and any other Authorization takes precedence."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig, HttpServiceClient
from http_service_client.testing.server import LoopbackServer, respond
from kit.front_ends import FrontEnd

SECRET = "Basic " + base64.b64encode(b"joe:hush").decode()
TEXT = "machine 127.0.0.1 login joe password hush\n"


@pytest.fixture
def client_with(front_end: FrontEnd, tmp_path: Path) -> Callable[..., HttpServiceClient]:
    """Makes a client that reads a netrc file with this text."""

    def make(text: str = TEXT, **settings: Any) -> HttpServiceClient:
        path = tmp_path / "logins"
        path.write_text(text, encoding="utf-8")
        return front_end.client(netrc=path, **settings)

    return make


def seen(server: LoopbackServer) -> list[str | None]:
    """The Authorization of each request that the server received."""
    return [request.header("Authorization") for request in server.requests]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, SECRET),
        ("machine other.test login joe password hush", None),
        ("default login joe password hush", SECRET),
        ("machine 127.0.0.1\ndefault login joe password hush", None),
    ],
    ids=["its host", "another host", "default", "a host without a login"],
)
def test_a_login_is_for_its_host(
    front_end: FrontEnd, server: LoopbackServer, client_with: Any, text: str, expected: str | None
) -> None:
    """The host is the name in the URL; `default` applies to every other."""
    server.script("/", respond(204))
    front_end.request(client_with(text), "GET", server.url + "/")
    assert seen(server) == [expected]


class Signed:
    """An interceptor that sets its own Authorization."""

    def intercept_request(self, request: Any, context: Any) -> Any:
        request.headers["authorization"] = "Signature x"
        return request


@pytest.mark.parametrize(
    ("settings", "call", "expected"),
    [
        ({}, {"auth": "token"}, "Bearer token"),
        ({}, {"headers": {"authorization": "Own y"}}, "Own y"),
        ({"default_headers": {"Authorization": "Own z"}}, {}, "Own z"),
        ({"request_interceptors": [Signed]}, {}, "Signature x"),
    ],
    ids=["auth", "header", "default header", "interceptor"],
)
def test_any_other_authorization_takes_precedence(
    front_end: FrontEnd, server: LoopbackServer, client_with: Any, settings: Any, call: Any, expected: str
) -> None:
    """A file that happens to exist must not override the program."""
    server.script("/", respond(204))
    front_end.request(client_with(**settings), "GET", server.url + "/", **call)
    assert seen(server) == [expected]


def test_a_redirect_takes_no_login_to_another_host(
    front_end: FrontEnd, server: LoopbackServer, client_with: Any
) -> None:
    """Neither that of the first host, nor that of the new host, nor the default: a server chose where to go."""
    with LoopbackServer() as other:
        elsewhere = f"http://localhost:{other.port}/"
        server.script("/", respond(302, headers={"Location": "/same"}))
        server.script("/same", respond(302, headers={"Location": elsewhere}))
        other.script("/", respond(204))
        client = client_with(f"{TEXT} machine localhost login me password too\ndefault login d password e")
        front_end.request(client, "GET", server.url + "/")
        assert (seen(server), seen(other)) == ([SECRET, SECRET], [None])


def test_every_attempt_has_the_login(front_end: FrontEnd, server: LoopbackServer, client_with: Any) -> None:
    """Each attempt starts from the request as the caller gave it."""
    server.script("/", respond(503), respond(204))
    client = client_with(retry_policy_config={"initial_delay": 0.0})
    front_end.request(client, "GET", server.url + "/")
    assert seen(server) == [SECRET, SECRET]


@pytest.mark.parametrize("how", ["NETRC", ".netrc", "_netrc"])
def test_true_reads_the_file_of_the_user(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The file that NETRC names, or the one in the home folder."""
    path = tmp_path / ("elsewhere" if how == "NETRC" else how)
    path.write_text(TEXT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("NETRC", str(path) if how == "NETRC" else "")
    server.script("/", respond(204))
    front_end.request(front_end.client(netrc=True), "GET", server.url + "/")
    assert seen(server) == [SECRET]


def test_true_does_not_require_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user may have no netrc file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    HttpServiceClient(HttpClientConfig(netrc=True)).close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"machine h login joe hush", "line 1: expected machine"),
        (b"machine h password \xff", "it is not UTF-8"),
    ],
    ids=["missing", "malformed", "not text"],
)
def test_an_unusable_file_is_a_configuration_error(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    """It is raised when the client is made, and names the path but nothing of the content."""
    path = tmp_path / "logins"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        HttpServiceClient(HttpClientConfig(netrc=str(path)))
    assert str(path) in str(caught.value)
    assert "hush" not in str(caught.value)
