"""Which names hold secrets: by their words, and by settings."""

from __future__ import annotations

import copy
import pickle

import pytest

from http_service_client.http.secret_names import SECRET_NAMES, SecretNames
from http_service_client.http.urls import redact_url
from kit.rows import each_row

# Headers in use, each of a real service or standard.
SECRET = """
Authorization Proxy-Authorization Cookie Cookie2 Set-Cookie Authentication X-Authorization X-Original-Authorization
X-API-Key Api-Key ApiKey X-Octopus-ApiKey X-NuGet-ApiKey X-RapidAPI-Key DD-API-KEY DD-APPLICATION-KEY X-Functions-Key
X-Algolia-API-Key X-Parse-REST-API-Key X-Redmine-API-Key Ocp-Apim-Subscription-Key X-Goog-Api-Key X-Auth-Key
x-amz-server-side-encryption-customer-key X-Amz-Security-Token X-Auth-Token X-Access-Token Private-Token X-Vault-Token
X-Shopify-Access-Token X-Postmark-Server-Token X-Gitlab-Token X-Figma-Token X-API-Token Api-Token Auth-Token X-Token
X-Session-Token Mcp-Session-Id X-Ms-Token-Aad-Access-Token X-Plex-Token Circle-Token X-Consul-Token X-CSRF-Token
X-XSRF-Token X-Rollbar-Access-Token X-Snyk-Token CF-Access-Client-Secret X-Client-Secret X-Hasura-Admin-Secret X-Secret
X-Auth X-Tableau-Auth DPoP X-JWT-Assertion X-Goog-IAP-JWT-Assertion X-Square-Signature Signature X-Hub-Signature-256
X-GitHub-OTP X-Shopify-Hmac-Sha256 X-Honeycomb-Team X-JFrog-Art-Api X_API_KEY
X-WSSE X-Amzn-Oidc-Data X-Access-Code OK-ACCESS-SIGN X-Amz-Mfa X-Routing-Key Macaroons X-Creds PHPSESSID X-CSRF _csrf
appid code_verifier codeVerifier hdnea hdnts pswd sas device_code oauth_verifier wresult X-Verification-Code security_code
recoveryCode backup_code one_time_code oneTimeCode ConnectionString connection_string
"""
PLAIN = """
Accept Accept-Language Content-Type Content-Length ETag User-Agent Date Host Range If-None-Match traceparent Origin
Idempotency-Key X-Idempotency-Key X-Request-ID X-Author X-Error-Code X-Algolia-Application-Id X-Amz-Content-Sha256
WWW-Authenticate Proxy-Authenticate Authentication-Info Access-Control-Allow-Credentials Content-Security-Policy
X-RateLimit-Remaining-Tokens anthropic-ratelimit-tokens-limit anthropic-ratelimit-input-tokens-remaining X-Cache-Key
Surrogate-Key X-Partition-Key Sec-WebSocket-Key Keep-Alive X-Design X-Passenger X-Pinned X-Signal CF-Access-Client-Id
X-App-Id X-Verifier country_code X-Device user_code X-Security X-Connection-Id
"""


@each_row("name", SECRET.split())
def test_the_name_of_a_secret_is_known_by_its_words(name: str) -> None:
    """In any case."""
    assert name in SECRET_NAMES
    assert name.upper() in SECRET_NAMES


@each_row("name", PLAIN.split())
def test_other_names_are_not_secret(name: str) -> None:
    """Words that only look like a secret's included."""
    assert name not in SECRET_NAMES


def test_a_word_that_holds_no_secret_does_not_cover_one_that_does() -> None:
    """Each part of the name counts."""
    assert "X-RateLimit-Remaining-Tokens-Secret" in SECRET_NAMES
    assert "Idempotency-Key-Signature" in SECRET_NAMES
    assert "X-CacheKeySid" in SECRET_NAMES


def test_a_name_that_is_too_long_to_be_judged_is_secret() -> None:
    """More than 1000 characters; and an empty one is not."""
    assert "a" * 1000 not in SECRET_NAMES
    assert "a" * 1001 in SECRET_NAMES
    assert "" not in SECRET_NAMES


def test_settings_add_names() -> None:
    """A star stands for any characters, and for nothing else."""
    names = SecretNames(sensitive=("x-partner-*", "x-shop", "x.y"))
    assert all(name in names for name in ("X-Partner-Id", "x-partner-", "X-Shop", "X.Y", "X-Api-Key"))
    assert all(name not in names for name in ("X-Partner", "X-Shop-Id", "My-X-Shop", "X-Y"))


def test_settings_remove_names() -> None:
    """From the pattern and from the added ones, so that "*" with exceptions is a list of what may go along."""
    names = SecretNames(sensitive=("*",), public=("accept", "x-*-key"))
    assert "X-Api-Key" not in names
    assert "Accept" not in names
    assert "Accept-Language" in names


@pytest.mark.parametrize("name", ["authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie"])
def test_the_standard_credentials_are_secret_whatever_the_settings_say(name: str) -> None:
    """Even where everything is public."""
    assert name.title() in SecretNames(public=("*",))


def test_names_are_a_value() -> None:
    """They compare, copy and pickle."""
    names = SecretNames(sensitive=("x-a",), public=("x-b",))
    assert pickle.loads(pickle.dumps(names)) == copy.copy(names) == names
    assert names != SECRET_NAMES


@pytest.mark.parametrize("name", ["code", "ticket", "Sig", "x_token"])
def test_a_query_has_further_secrets(name: str) -> None:
    """A code or a ticket in a URL buys a token or a session; a header of such a name is something else."""
    assert redact_url(f"https://h.example/?{name}=1&page=2") == f"https://h.example/?{name}=***&page=2"
    assert "X-Error-Code" not in SECRET_NAMES
    assert "X-Ticket" not in SECRET_NAMES
