"""Secrets in a peer's text, recognised by their look and by what was sent."""

from __future__ import annotations

import pytest

from http_service_client.http.secret_names import SecretNames
from http_service_client.http.secret_values import hide_secrets

HIDDEN = {
    "key sk-proj-abcDEF12": "key ***",
    "ghp_abcdefghijk was revoked": "*** was revoked",
    "AKIAIOSFODNN7EXAMPLE is unknown": "*** is unknown",
    "token eyJhbGciOi.eyJzdWIi.c2ln ended": "token *** ended",
    "from https://ann:pass@host/x": "from https://***host/x",
    "sent 'Bearer abc123def'": "sent 'Bearer ***",
    "?api_key=abc&page=2": "?api_key=***&page=2",
    'password: "hunter22" is weak': 'password: "***" is weak',
    "(wrong key: abc123).": "(wrong key: ***).",
    "digest 0123456789abcdef0123456789abcdef": "digest ***",
}
SHOWN = [
    "Basic authentication is required",
    "the token: expired",
    "request 123e4567-e89b-42d3-a456-426614174000 failed",
    "a skeleton_without_any_key",
    "see /v1/orders/2024/items/12345678901234567890",
    "the-words-of-a-very-long-name-of-something",
    "page=2 of limit=10",
    "max_tokens: 400000 is too large",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    """Tokens by their prefix or length, and values under the name of a secret."""
    assert hide_secrets(text, (), SecretNames()) == HIDDEN[text]


@pytest.mark.parametrize("text", SHOWN)
def test_plain_words_are_shown(text: str) -> None:
    """A message without its words would help nobody."""
    assert hide_secrets(text, (), SecretNames()) == text


def test_a_short_secret_is_hidden_as_a_word() -> None:
    """And a longer one everywhere, the longest first."""
    text = "pin 12, 1234 or 12345; long: xcorrecthorsex"
    assert (
        hide_secrets(text, ("1234", "correct", "correcthorse"), SecretNames())
        == "pin 12, *** or 12345; long: x***x"
    )


def test_the_settings_decide_which_names_are_secret() -> None:
    """As for headers and URLs."""
    assert hide_secrets("shop=x1", (), SecretNames(sensitive=("shop",))) == "shop=***"
    assert hide_secrets("api_key=x1", (), SecretNames(public=("api_key",))) == "api_key=x1"
