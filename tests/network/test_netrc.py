"""netrc, opted in: its logins go to the host that they are for, and give way to every other Authorization."""

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
    """The Authorization of each request that the server got."""
    return [request.header("Authorization") for request in server.requests]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, SECRET),
        ("machine other.test login joe password hush", None),
        ("default login joe password hush", SECRET),
        ("machine 127.0.0.1\ndefault login joe password hush", None),
    ],
    ids=["its host", "another host", "default", "said to have none"],
)
def test_a_login_is_for_its_host(
    front_end: FrontEnd, server: LoopbackServer, client_with: Any, text: str, expected: str | None
) -> None:
    """By the name in the URL; the default for every other."""
    server.script("/", respond(204))
    front_end.request(client_with(text), "GET", server.url + "/")
    assert seen(server) == [expected]


class Signed:
    """An interceptor that brings its own."""

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
def test_any_other_authorization_wins(
    front_end: FrontEnd, server: LoopbackServer, client_with: Any, settings: Any, call: Any, expected: str
) -> None:
    """A file that lies about must not override what the program says."""
    server.script("/", respond(204))
    front_end.request(client_with(**settings), "GET", server.url + "/", **call)
    assert seen(server) == [expected]


def test_a_redirect_takes_no_login_elsewhere(
    front_end: FrontEnd, server: LoopbackServer, client_with: Any
) -> None:
    """Neither the first host's, nor that of the host it leads to, nor the default: who redirects us is not us."""
    with LoopbackServer() as other:
        elsewhere = f"http://localhost:{other.port}/"
        server.script("/", respond(302, headers={"Location": "/same"}))
        server.script("/same", respond(302, headers={"Location": elsewhere}))
        other.script("/", respond(204))
        client = client_with(f"{TEXT} machine localhost login me password too\ndefault login d password e")
        front_end.request(client, "GET", server.url + "/")
        assert (seen(server), seen(other)) == ([SECRET, SECRET], [None])


def test_every_attempt_has_it(front_end: FrontEnd, server: LoopbackServer, client_with: Any) -> None:
    """An attempt starts anew from what the caller gave."""
    server.script("/", respond(503), respond(204))
    client = client_with(retry_policy_config={"initial_delay": 0.0})
    front_end.request(client, "GET", server.url + "/")
    assert seen(server) == [SECRET, SECRET]


@pytest.mark.parametrize("how", ["NETRC", ".netrc", "_netrc"])
def test_true_is_the_users_own(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The file that the environment names, or the one in the home folder."""
    path = tmp_path / ("elsewhere" if how == "NETRC" else how)
    path.write_text(TEXT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("NETRC", str(path) if how == "NETRC" else "")
    server.script("/", respond(204))
    front_end.request(front_end.client(netrc=True), "GET", server.url + "/")
    assert seen(server) == [SECRET]


def test_a_user_may_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """True asks for logins where there are some."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    HttpServiceClient(HttpClientConfig(netrc=True)).close()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        (b"machine h login joe hush", "line 1: expected machine"),
        (b"machine h password \xff", "it is not UTF-8"),
    ],
    ids=["missing", "malformed", "not text"],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None, says: str) -> None:
    """When the client is made, by path, and without a word of what is in it."""
    path = tmp_path / "logins"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        HttpServiceClient(HttpClientConfig(netrc=str(path)))
    assert str(path) in str(caught.value)
    assert "hush" not in str(caught.value)
