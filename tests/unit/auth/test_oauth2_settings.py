"""The settings of logins by OAuth 2.0: which are refused, and what copies and texts show of them."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpClientConfig
from http_service_client.auth import OAuth2ClientCredentials, OAuth2Grant, OAuth2RefreshToken
from kit.front_ends import FrontEnd
from kit.oauth2 import GOOD, grants, login, run, store_later
from kit.rows import each_row
from kit.token_services import TOKEN_URL


@each_row(
    "settings",
    [
        {"token_url": "/token"},
        {"token_url": None},
        {"client_id": ""},
        {"client_secret": ""},
        {"client_secret": 5},
        {"client_secret": "", "client_auth": print},
        {"client_auth": "basic"},
        {"client_auth": dict},
        {"client_secret": "s3cret", "client_auth": "none"},
        {"client_secret": None, "client_auth": "client_secret_post"},
        {"scope": 5},
        {"scope": ["read", 5]},
        {"scope": "read\n"},
        {"client_id": "shop\r\n"},
        {"client_secret": "s3cret\n"},
        {"client_secret": "s3cret\x7f", "client_auth": "client_secret_post"},
        {"parameters": 5},
        {"timeout": 0},
        {"timeout": None},
        {"refresh_ahead": -1},
        {"refresh_ahead": None},
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any]) -> None:
    """With the name of the setting, and without the secret."""
    with pytest.raises(ConfigurationError, match=rf"^{next(iter(settings))}\b") as caught:
        login(**settings)
    assert "s3cret" not in str(caught.value)


@each_row(("value", "shown"), [("", "''"), (None, "None"), (5, "int"), (b"s3cret", "bytes")])
@each_row("name", ["token_url", "client_id"])
def test_a_setting_that_must_be_text_shows_no_more_than_its_type(name: str, value: Any, shown: str) -> None:
    """It may be a secret that was put there by mistake."""
    with pytest.raises(ConfigurationError) as caught:
        login(**{name: value})
    assert str(caught.value) == f"{name} must be text that is not empty, not {shown}"


@pytest.mark.parametrize(
    "settings", [{"grant_type": None}, {"grant_type": ""}, {"grant_type": 5}, {"may_repeat": "no"}]
)
def test_wrong_settings_of_a_grant_are_refused(settings: dict[str, Any]) -> None:
    """They are its own; the others are those of all grants."""
    with pytest.raises(ConfigurationError, match=f"{next(iter(settings))} must be"):
        OAuth2Grant(**{"token_url": TOKEN_URL, "client_id": "shop", "grant_type": "urn:x", **settings})


@pytest.mark.parametrize("refresh_token", ["", None, 5, b"r1"])
def test_a_refresh_token_is_text(refresh_token: Any) -> None:
    """It is not shown, whatever it is."""
    with pytest.raises(ConfigurationError) as caught:
        OAuth2RefreshToken(token_url=TOKEN_URL, client_id="app", refresh_token=refresh_token)
    assert str(caught.value) == "refresh_token must be text that is not empty"


def test_the_line_break_at_the_end_of_a_file_is_no_part_of_a_refresh_token() -> None:
    """A token service would say only that the grant is invalid."""
    with pytest.raises(ConfigurationError) as caught:
        OAuth2RefreshToken(token_url=TOKEN_URL, client_id="app", refresh_token="r1\n")
    assert str(caught.value) == (
        "refresh_token has a line break, or another control character, in it; strip it, by value.strip() say"
    )


def test_the_line_break_at_the_end_of_a_file_is_no_part_of_a_grant_type() -> None:
    """As for the other texts."""
    with pytest.raises(ConfigurationError, match=r"^grant_type has a line break"):
        OAuth2Grant(token_url=TOKEN_URL, client_id="shop", grant_type="urn:x\n")


@pytest.mark.parametrize("kind", [OAuth2ClientCredentials, OAuth2RefreshToken, OAuth2Grant])
def test_settings_have_names(kind: Any) -> None:
    """Else an id and a secret would be mistaken for each other one day."""
    with pytest.raises(TypeError):
        kind("urn:x", token_url=TOKEN_URL, client_id="shop")


def test_a_list_of_scopes_may_change_later() -> None:
    """The login has a copy of it, and stays as it was made."""
    scopes = ["read", "write"]
    auth = login(scope=scopes)
    scopes.clear()
    assert auth == login(scope=("read", "write"))
    assert hash(auth) == hash(pickle.loads(pickle.dumps(auth)))


@pytest.mark.parametrize("store", [store_later, 5])
def test_a_new_refresh_token_is_stored_by_a_plain_function(store: Any) -> None:
    """Nobody would await an async one: the new token would be lost, and the old one has been revoked."""
    with pytest.raises(ConfigurationError, match="on_new_refresh_token must be a "):
        OAuth2RefreshToken(
            token_url=TOKEN_URL, client_id="app", refresh_token="r1", on_new_refresh_token=store
        )


@each_row(
    ("keyword", "remedy"),
    [
        ("scopes", "it is called scope"),
        ("audience", "set it in parameters"),
        ("resource", "set it in parameters"),
        ("token_uri", "it is called token_url"),
        ("token_endpoint", "it is called token_url"),
        ("token_endpoint_auth_method", "it is called client_auth"),
        ("client_sekret", "did you mean 'client_secret'?"),
    ],
)
@each_row("kind", [OAuth2ClientCredentials, OAuth2RefreshToken, OAuth2Grant])
def test_an_unknown_keyword_has_a_remedy(kind: Any, keyword: str, remedy: str) -> None:
    """For the keywords of other libraries, too."""
    with pytest.raises(TypeError, match=re.escape(f"{kind.__name__} takes no keyword {keyword!r}; {remedy}")):
        kind(token_url=TOKEN_URL, client_id="shop", **{keyword: "x"})


def test_copies_have_the_credentials_and_no_token(front_end: FrontEnd) -> None:
    """A token is not a setting; equal credentials are equal."""
    auth = login(parameters={"audience": "x"})
    harness = run(front_end, auth, grants(GOOD))
    harness.request()
    data = pickle.dumps(auth)
    assert b"t1" not in data
    for twin in (pickle.loads(data), copy.copy(auth), copy.deepcopy(auth)):
        assert twin == auth
        assert twin.cache is not auth.cache
    assert HttpClientConfig(auth=auth) == HttpClientConfig(auth=pickle.loads(data))
    assert auth != login()


def test_reprs_show_no_secret() -> None:
    """Of a configuration neither."""
    refresh = OAuth2RefreshToken(token_url=TOKEN_URL, client_id="app", refresh_token="r3fresh")
    for auth in (login(parameters={"assertion": "s3cret"}), refresh):
        shown = f"{auth!r} {HttpClientConfig(auth=auth)!r}"
        assert "s3cret" not in shown
        assert "r3fresh" not in shown
        assert TOKEN_URL in shown
