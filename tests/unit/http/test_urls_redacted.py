"""URLs as logs and errors show them: without passwords, tokens and other secrets."""

from __future__ import annotations

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.urls import normalise_url, redact_url
from kit.rows import each_row


@each_row(
    "url",
    [
        "http://bob:hunter2@h/\n",
        "http://bob:hunter2@h/",
        "http://bob:hunter2/@h\\",
        "bob:hunter2@h",
        "http://bob:hunt/er2@h/",
        "http://bob:hunt:er2/@h/",
        "http://h/?token=hunter2\n",
        "/x?api_key=hunter2",
    ],
)
def test_an_error_never_shows_a_secret(url: str) -> None:
    """Neither a password before the host nor a secret of the query is in the message."""
    with pytest.raises(InvalidRequestError) as caught:
        normalise_url(url)
    assert "hunt" not in str(caught.value)


@each_row(
    ("url", "shown"),
    [
        ("https://h/a?b=c", "https://h/a?b=c"),
        ("https://u:p@h/a", "https://***@h/a"),
        ("https://h/@me", "https://h/@me"),
        (
            "https://h/?Access_Token=x&q=1&sig=y&api%5Fkey=z",
            "https://h/?Access_Token=***&q=1&sig=***&api%5Fkey=***",
        ),
        (
            "https://h/?" + "a" * 99 + "=x&" + "a" * 200 + "_token=y",
            "https://h/?" + "a" * 99 + "=x&" + "a" * 200 + "_token=***",
        ),
        ("https://h/?code=x&ticket=y&page=1", "https://h/?code=***&ticket=***&page=1"),
        ("https://h/#access_token=x", "https://h/#***"),
        ("https://h/a;jsessionid=x/b;v=1?c=;d", "https://h/a;jsessionid=***/b;v=1?c=;d"),
        ("https://h/token=x/a;v=1", "https://h/token=x/a;v=1"),
        ("https://h/?a=b;token=x;&sig=y;c", "https://h/?a=b;token=***;&sig=***;c"),
        ("https://h/a;jsessionid=x", "https://h/a;jsessionid=***"),
        ("https://h/?token&a=b", "https://h/?token&a=b"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_secrets_are_redacted(url: str, shown: str) -> None:
    """User information and the values of secret-like keys, in the query and the path, become ***."""
    assert redact_url(url) == shown


_LONG = "AAF-x_9" * 6


@each_row(
    ("url", "shown"),
    [
        (f"https://api.telegram.org/bot110201543:{_LONG}/getMe", "https://api.telegram.org/bot***/getMe"),
        (
            f"https://api.telegram.org/file/bot110201543%3A{_LONG}/a.jpg",
            "https://api.telegram.org/file/bot***/a.jpg",
        ),
        (
            "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx",
            "https://hooks.slack.com/services/***",
        ),
        (
            f"https://discord.com/api/webhooks/1234567890123456789/{_LONG}?wait=true",
            "https://discord.com/api/webhooks/***?wait=true",
        ),
        (
            "https://a.webhook.office.com/webhookb2/g@h/IncomingWebhook/0123456789abcdef0123456789abcdef/"
            "01234567-89ab-cdef-0123-456789abcdef",
            "https://a.webhook.office.com/webhookb2/g@h/IncomingWebhook/***",
        ),
        ("https://h/bottles/12:30", "https://h/bottles/12:30"),
        (
            "https://h/webhooks/1234567890123456789/messages",
            "https://h/webhooks/1234567890123456789/messages",
        ),
        ("https://h/services/TEAM/BOARD", "https://h/services/TEAM/BOARD"),
    ],
)
def test_a_token_in_a_path_is_redacted(url: str, shown: str) -> None:
    """Of services that are known to have one there. A path that looks alike is shown."""
    assert redact_url(url) == shown


@each_row(
    ("value", "shown"),
    [
        ("https%3A%2F%2Fi%2F%3Ftoken%3Dx%26page%3D2", "https://i/%3Ftoken%3D***%26page%3D2"),
        ("https://i/?token=x", "https://i/%3Ftoken%3D***"),
        ("https%3A%2F%2Fu%3Ap%40i%2F", "https://***%40i/"),
        ("%2Fback%3Fcode%3Dx", "/back%3Fcode%3D***"),
        ("https%3A%2F%2Fi%2F%3Fpage%3D2", "https%3A%2F%2Fi%2F%3Fpage%3D2"),
        ("https://i/\ud800?token=x", "https://i/%3F%3Ftoken%3D***"),
        ("ann%40example.com", "ann%40example.com"),
    ],
)
def test_a_url_in_a_query_is_redacted_too(value: str, shown: str) -> None:
    """Such as that of a webhook, or of the page to return to. Without a secret, it stays as it is written."""
    url = redact_url(f"https://h/?a=1&next={value}&b=2")
    assert url == f"https://h/?a=1&next={shown}&b=2"
    assert redact_url(url) == url


def test_a_url_of_many_layers_is_redacted_in_no_time() -> None:
    """One layer is looked at, however many there are."""
    assert redact_url("?a=" * 20_000 + "?token=x")
