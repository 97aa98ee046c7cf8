"""The session of requests through which exchanges go that something has hooked into: it decides nothing by itself."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from http_service_client.transports.over_requests.hooked.adapter import PlainSession


@pytest.fixture
def session() -> Any:
    with PlainSession() as session:
        yield session


def test_a_session_adds_no_header_of_its_own(session: Any) -> None:
    """Whatever a hook prepares with it: the request is final."""
    prepared = session.prepare_request(requests.Request("GET", "https://api.test/", headers={"X-A": "1"}))
    assert dict(prepared.headers) == {"X-A": "1"}


def test_a_session_reads_no_environment(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies are the client's, and so are its authorities."""
    monkeypatch.setenv("https_proxy", "http://proxy.test")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ca.pem")
    settings = session.merge_environment_settings("https://api.test/", {}, None, None, None)
    assert (dict(settings["proxies"]), settings["verify"]) == ({}, True)


def test_a_session_keeps_no_cookie(session: Any) -> None:
    """A client is shared by its users."""
    session.cookies.extract_cookies(None, None)
    assert list(session.cookies) == []


def test_a_session_follows_no_redirect(session: Any) -> None:
    """That is for the client to decide."""
    response = requests.Response()
    response.status_code = 302
    response.headers["Location"] = "https://other.test/"
    assert response.is_redirect
    assert session.get_redirect_target(response) is None
