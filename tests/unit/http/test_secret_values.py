"""Secrets in a peer's text, recognised by their look and by what was sent."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import HttpRequest
from http_service_client.http.secret_names import SecretNames
from http_service_client.http.secret_values import hide_secrets, secrets_of
from kit.fakes import URL
from kit.rows import each_row

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
    "wrong key: abc12X!": "wrong key: ***!",
    "the token: 4f8a12 is wrong": "the token: *** is wrong",
    "digest 0123456789abcdef0123456789abcdef": "digest ***",
}
SHOWN = [
    "Basic authentication is required",
    "the token: expired",
    "the token: abc12",
    "request 123e4567-e89b-42d3-a456-426614174000 failed",
    "a skeleton_without_any_key",
    "see /v1/orders/2024/items/12345678901234567890",
    "the-words-of-a-very-long-name-of-something",
    "page=2 of limit=10",
    "max_tokens: 400000 is too large",
]


@each_row("text", HIDDEN)
def test_what_looks_like_a_secret_is_hidden(text: str) -> None:
    """Tokens by their prefix or length, and values under the name of a secret."""
    assert hide_secrets(text, (), SecretNames()) == HIDDEN[text]


@each_row("text", SHOWN)
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


def test_a_secret_of_eight_characters_is_hidden_within_words() -> None:
    """One that begins as another does hides nothing of it."""
    known = ("abcdefgh", "abcdefgh-more")
    assert hide_secrets("xabcdefghx, abcdefgh-more", known, SecretNames()) == "x***x, ***"


@pytest.mark.parametrize(
    "text", ["p@ss wörd/1", "p%40ss%20w%C3%B6rd%2F1", "p%40ss+w%C3%B6rd%2F1", r"p@ss w\u00f6rd/1"]
)
def test_a_secret_is_hidden_however_it_is_escaped(text: str) -> None:
    """A peer may repeat it as it was sent: in a query, a form or JSON."""
    assert hide_secrets(f"no: {text}!", ("p@ss wörd/1",), SecretNames()) == "no: ***!"


def test_a_secret_that_utf_8_cannot_express_is_hidden() -> None:
    """It came from a body in another charset, say."""
    assert hide_secrets("no: p\ud800ssword", ("p\ud800ssword",), SecretNames()) == "no: ***"


@pytest.mark.parametrize(
    "text", ['"ä\\<&"', r"\"ä\\<&\"", r"\"\u00e4\\\u003c\u0026\"", "&quot;ä\\&lt;&amp;&quot;"]
)
def test_quotes_and_brackets_in_a_secret_may_be_escaped(text: str) -> None:
    """As in JSON, also in that of Go, and in HTML."""
    assert hide_secrets(f"no: {text}", ('"ä\\<&"',), SecretNames()) == "no: ***"


def test_the_settings_decide_which_names_are_secret() -> None:
    """As for headers and URLs."""
    assert hide_secrets("shop=x1", (), SecretNames(sensitive=("shop",))) == "shop=***"
    assert hide_secrets("api_key=x1", (), SecretNames(public=("api_key",))) == "api_key=x1"


KEY_URL = "https://api.example.com/?page=2&api_key="


@each_row(
    ("request_", "secrets"),
    [
        (HttpRequest("GET", "https://a.test/?page=2"), ()),
        (HttpRequest("GET", KEY_URL + "abc"), ("abc",)),
        (HttpRequest("GET", KEY_URL + "ab"), ()),
        (
            HttpRequest("GET", URL, headers={"Authorization": "Bearer abc123", "X-Page": "12345"}),
            ("Bearer abc123", "abc123"),
        ),
        (HttpRequest("GET", URL, headers={"Authorization": "abc123"}), ("abc123",)),
        (HttpRequest("GET", URL, headers={"X-Page": "12345", "Authorization": "abc123"}), ("abc123",)),
        (HttpRequest("GET", URL, headers={"Authorization": "Basic abc"}), ("Basic abc", "abc")),
        (HttpRequest("GET", URL, headers={"Cookie": "a=XfirstX"}), ("a=XfirstX", "XfirstX")),
        (HttpRequest("POST", URL, data=iter([b"password=one"])), ()),
        (HttpRequest("POST", URL, data={"code": "one"}, files={"file": b"two"}), ("one",)),
        (
            HttpRequest("POST", URL, data={b"\xff": "one", "password": b"\xfftwo"}, files={"file": b"three"}),
            ("\ufffdtwo",),
        ),
        (
            HttpRequest("GET", URL, headers={"Authorization": "Basic YW5uOnBhc3N3b3Jk"}),
            ("Basic YW5uOnBhc3N3b3Jk", "YW5uOnBhc3N3b3Jk", "password"),
        ),
        (
            HttpRequest("GET", URL, headers={"Authorization": "Basic ****"}),
            ("Basic ****", "****"),
        ),
        (
            HttpRequest("GET", URL, headers={"Cookie": 'a=first; b="second"'}),
            ('a=first; b="second"', "first", "second"),
        ),
        (
            HttpRequest(
                "POST",
                URL,
                json={"password": "one", "list": [{"token": 12345, "secret": True}], "page": "none"},
            ),
            ("one", "12345"),
        ),
        (HttpRequest("POST", URL, json={"password": {"secret": "inner"}}), ("inner",)),
        (HttpRequest("POST", URL, data={"password": "one", "page": "none"}), ("one",)),
        (HttpRequest("POST", URL, data=b"password=one"), ()),
        (HttpRequest("POST", URL, data={"code": "one"}), ("one",)),
        (HttpRequest("GET", URL + "?code=one#password=two"), ("one",)),
        (
            HttpRequest("GET", URL, headers={"Authorization": "Basic c2hvcDphJTNBYitj"}),
            ("Basic c2hvcDphJTNBYitj", "c2hvcDphJTNBYitj", "a%3Ab+c", "a:b c"),
        ),
        (
            HttpRequest(
                "POST",
                URL,
                data={"password": "o\r\n\r\ne", "page": "none"},
                files={"secret": ("name", b"two")},
            ),
            ("o\r\n\r\ne",),
        ),
    ],
    ids=repr,
)
def test_the_secrets_that_a_request_holds(request_: HttpRequest, secrets: tuple[str, ...]) -> None:
    """Under the names of secrets: in headers, cookies, the query and the body. A value of two characters is none."""
    assert secrets_of(request_) == secrets


def test_the_settings_of_the_client_name_secrets_of_a_request() -> None:
    """In its headers, its query and each kind of body."""
    bodies: list[dict[str, Any]] = [
        {},
        {"data": {"shop": "three"}},
        {"data": {"shop": "three"}, "files": {"file": b"f"}},
    ]
    for keywords in bodies:
        request = HttpRequest("POST", URL + "?shop=two&page=none", headers={"shop": "one"}, **keywords)
        assert secrets_of(request) == ()
        request.headers.secret_names = SecretNames(sensitive=("shop",))
        assert secrets_of(request) == ("one", "two", "three")[: 3 if keywords else 2]


@pytest.mark.parametrize("content", [b"{", b"[" * 60_000], ids=["cut short", "deep"])
def test_a_body_that_is_not_what_it_says_has_no_secrets(content: bytes) -> None:
    """A codec of the user's may write anything."""
    request = HttpRequest("POST", URL, headers={"Authorization": "abc123"})
    codec: Any = SimpleNamespace(encode=lambda value: content, decode=json.loads)
    request._use_codec(codec, {"password": "one"})
    assert request.content == content
    assert secrets_of(request) == ("abc123",)


@pytest.mark.parametrize(("size", "count"), [(64 * 1024, 1), (64 * 1024 + 1, 0)])
def test_only_a_small_body_is_searched(size: int, count: int) -> None:
    """Of 64 KiB at most."""
    body = {"password": "one", "x": ""}
    body["x"] = "x" * (size - len(json.dumps(body, separators=(",", ":"))))
    request = HttpRequest("POST", URL, json=body)
    assert len(request.content or b"") == size
    assert len(secrets_of(request)) == count


def test_a_hundred_secrets_are_enough() -> None:
    """More would take long to be looked for in each message."""
    request = HttpRequest("POST", URL, json=[{"password": f"secret {number}"} for number in range(150)])
    assert len(secrets_of(request)) == 100
