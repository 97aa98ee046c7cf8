"""Arguments of a call that are wrong: an error before anything is sent, which names the argument."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3

from http_service_client import (
    CircuitBreakerPolicy,
    ConfigurationError,
    FallbackPolicy,
    HedgingPolicy,
    HttpClientError,
    HttpServiceClient,
    InvalidRequestError,
    RetryPolicy,
    SentState,
    Timeout,
)
from kit.fakes import URL, Harness, short
from kit.front_ends import BlockingFrontEnd, FrontEnd
from kit.rows import each_row

NAN, INF = float("nan"), float("inf")
DURATION = [0, 0.0, -1, -0.001, NAN, INF, -INF, "5", True, [], timedelta(seconds=5), 1j, 10**400]
FLAG = [0, 1, "yes", "false", None, []]


class Unprintable:
    def __str__(self) -> str:
        raise AssertionError("this object has no text")


BAD_CALLS: list[tuple[dict[str, Any], type[HttpClientError], str]] = [
    ({"url": 5}, InvalidRequestError, "URL"),
    ({"url": None}, InvalidRequestError, "URL"),
    ({"url": b"https://h/"}, InvalidRequestError, "URL"),
    ({"url": "/relative"}, InvalidRequestError, "not absolute"),
    ({"url": ""}, InvalidRequestError, "not absolute"),
    ({"url": "ftp://h/"}, InvalidRequestError, "scheme"),
    ({"url": "https://"}, InvalidRequestError, "host"),
    ({"url": "https://h:99999/"}, InvalidRequestError, "port"),
    ({"url": "https://h/\r\nX: y"}, InvalidRequestError, "control character"),
    ({"url": "https://u:pw@h/"}, InvalidRequestError, "user information"),
    ({"method": 5}, InvalidRequestError, "method"),
    ({"method": None}, InvalidRequestError, "method"),
    ({"method": ""}, InvalidRequestError, "method"),
    ({"method": "GET /x"}, InvalidRequestError, "method"),
    ({"method": "GÉT"}, InvalidRequestError, "method"),
    ({"method": "connect"}, InvalidRequestError, "CONNECT opens a tunnel"),
    ({"params": 5}, InvalidRequestError, "params"),
    ({"params": {"a": object()}}, InvalidRequestError, "params"),
    ({"params": {"a": NAN}}, InvalidRequestError, "params"),
    ({"params": [1, 2]}, InvalidRequestError, "params"),
    ({"headers": 5}, InvalidRequestError, "headers"),
    ({"headers": "X: y"}, InvalidRequestError, "headers"),
    ({"headers": ["X"]}, InvalidRequestError, "headers"),
    ({"headers": {"X": "a\r\nb"}}, InvalidRequestError, "control character"),
    ({"headers": {"X": "a\0b"}}, InvalidRequestError, "control character"),
    ({"headers": {"X Y": "a"}}, InvalidRequestError, "header name"),
    ({"headers": {5: "a"}}, InvalidRequestError, "header name"),
    ({"headers": {5: None}}, InvalidRequestError, "header name"),
    ({"headers": {"X": Unprintable()}}, InvalidRequestError, "'X'"),
    ({"headers": {"X": "\ud800"}}, InvalidRequestError, "UTF-8"),
    ({"headers": {"Content-Length": "5"}}, InvalidRequestError, "Content-Length"),
    ({"headers": {"Transfer-Encoding": "chunked"}}, InvalidRequestError, "Transfer-Encoding"),
    (
        {"files": {"f": b""}, "headers": {"Content-Type": "multipart/form-data"}},
        InvalidRequestError,
        "boundary",
    ),
    ({"json": {"a": NAN}}, InvalidRequestError, "a"),
    ({"json": {"a": object()}}, InvalidRequestError, "a"),
    ({"json": {"a": {1, 2}}}, InvalidRequestError, "a"),
    ({"json": 1, "data": {"a": "b"}}, InvalidRequestError, "json and data"),
    ({"json": 1, "files": {"f": b"x"}}, InvalidRequestError, "json and files"),
    ({"data": 5}, InvalidRequestError, "data"),
    ({"data": {1, 2}}, InvalidRequestError, "data"),
    ({"data": {"a": object()}}, InvalidRequestError, "data"),
    ({"files": 5}, InvalidRequestError, "files"),
    (
        {"data": Path("menu.pdf")},
        InvalidRequestError,
        "data is a path; pass the file itself: open('menu.pdf', 'rb')",
    ),
    ({"files": {"f": Path("menu.pdf")}}, InvalidRequestError, "files['f'] is a path; pass the file itself"),
    ({"cookies": 5}, InvalidRequestError, "cookies"),
    ({"cookies": "a=b"}, InvalidRequestError, "cookies"),
    ({"cookies": {"a b": "c"}}, InvalidRequestError, "cookie"),
    (
        {"cookies": {"a": "b"}, "headers": {"cookie": "c=d"}},
        InvalidRequestError,
        "both cookies and a Cookie header",
    ),
    ({"cookies": {"a": "b;c"}}, InvalidRequestError, "cookie"),
    ({"auth": 5}, InvalidRequestError, "auth"),
    ({"auth": ("user",)}, InvalidRequestError, "auth"),
    ({"auth": "two words"}, InvalidRequestError, "auth"),
    ({"auth": ("u:x", "p")}, InvalidRequestError, "auth"),
    ({"auth": "t", "headers": {"Authorization": "x"}}, InvalidRequestError, "Authorization"),
    *[({"timeout": value}, ConfigurationError, "timeout must be") for value in DURATION],
    ({"timeout": (3, 5)}, ConfigurationError, "write Timeout(total=…, connect=…, read=…)"),
    *[({"total_timeout": value}, ConfigurationError, "total_timeout must be") for value in DURATION],
    ({"total_timeout": Timeout(3.0)}, ConfigurationError, "total_timeout must be"),
    *[({"allow_redirects": value}, ConfigurationError, "allow_redirects must be") for value in FLAG],
    ({"retry_policy": 3}, ConfigurationError, "retry_policy must be"),
    ({"retry_policy": "off"}, ConfigurationError, "retry_policy must be"),
    ({"retry_policy": CircuitBreakerPolicy()}, ConfigurationError, "retry_policy must be"),
    ({"retry_policy": RetryPolicy}, ConfigurationError, "retry_policy must be"),
    ({"circuit_breaker": 3}, ConfigurationError, "circuit_breaker must be"),
    ({"circuit_breaker": RetryPolicy()}, ConfigurationError, "circuit_breaker must be"),
    *[({"decompress": value}, ConfigurationError, "decompress must be") for value in FLAG],
    *[({"key": value}, ConfigurationError, "key must be") for value in (5, "", "a\nb", "x" * 101)],
    *[({"name": value}, ConfigurationError, "name must be") for value in (5, "", "a\nb")],
    ({"progress": 5}, ConfigurationError, "progress must be"),
    ({"error_type": "Nobody"}, ConfigurationError, "response_type 'Nobody' cannot be validated"),
    ({"idempotent": 1}, ConfigurationError, "idempotent must be"),
    ({"idempotent": "yes"}, ConfigurationError, "idempotent must be"),
    ({"response_type": "Nobody"}, ConfigurationError, "response_type 'Nobody' cannot be validated"),
    ({"response_type": list["Nobody"]}, ConfigurationError, "name 'Nobody' is not defined"),  # noqa: F821  # the point
    ({"response_type": object()}, ConfigurationError, "cannot be validated"),
    ({"response_type": Timeout()}, ConfigurationError, "must be a type such as dict or list[Order]"),
    (
        {"retry_policy": urllib3.Retry(3)},
        ConfigurationError,
        "; write RetryPolicy(max_attempts=4)",
    ),
]


@each_row(
    ("options", "kind", "message"),
    BAD_CALLS,
    ids=short,
)
def test_a_wrong_call_sends_nothing(
    front_end: FrontEnd, options: dict[str, Any], kind: type[HttpClientError], message: str
) -> None:
    """The error names the argument, sync and async, and nothing reaches the network."""
    harness = Harness(front_end)
    options = {"method": "POST", "url": URL, **options}
    with pytest.raises(kind) as raised:
        harness.request(options.pop("method"), options.pop("url"), **options)
    assert type(raised.value) is kind
    assert isinstance(raised.value, ValueError)
    assert message in str(raised.value)
    assert raised.value.sent_state is SentState.NEVER_SENT
    assert harness.sends == 0
    assert all(limit.in_use == 0 for limit in harness.limits)


@pytest.mark.parametrize("how", ["stream", "download"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"response_type": dict}, "response_type needs a response that is read whole"),
        ({"fallback": FallbackPolicy(value=1)}, "fallback stands in for a response that is read whole"),
        ({"hedging": HedgingPolicy(delay=1.0)}, "hedging needs a response that is read whole"),
        ({"fallback": 5}, "fallback must be a FallbackPolicy"),
        ({"hedging": 5}, "hedging must be a HedgingPolicy"),
        *[
            ({"max_response_size": value}, "max_response_size must be a whole number of bytes of 1 or more")
            for value in (0, -1, 1.5, "5", True)
        ],
    ],
    ids=short,
)
def test_a_wrong_stream_sends_nothing(
    front_end: FrontEnd, tmp_path: Path, how: str, options: dict[str, Any], message: str
) -> None:
    """What needs the whole body is refused, and so is a limit that no body could keep."""
    harness = Harness(front_end)
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        if how == "download":
            front_end.download(harness.client, URL, tmp_path / "file", **options)
        else:
            with front_end.stream(harness.client, "GET", URL, **options):
                pass
    assert harness.sends == 0


def test_arguments_in_the_wrong_order_show_no_secret(front_end: FrontEnd) -> None:
    """client.request(url, method) is an easy mistake, and the URL may contain a token."""
    harness = Harness(front_end)
    with pytest.raises(InvalidRequestError, match="method must be") as raised:
        harness.request("https://h/?token=s3cret", "GET")
    assert "s3cret" not in str(raised.value)


@each_row("keyword", ["verify", "jsn", "proxies", "stream", "follow_redirects", "x"])
def test_an_unknown_keyword_is_a_type_error_that_names_it(front_end: FrontEnd, keyword: str) -> None:
    """Sync and async; nothing is sent."""
    harness = Harness(front_end)
    with pytest.raises(TypeError, match=f"{keyword!r}"):
        harness.request(**{keyword: True})
    assert harness.sends == 0


@each_row(
    ("keyword", "remedy"),
    [
        ("jsn", "did you mean 'json'?"),
        ("header", "did you mean 'headers'?"),
        ("total_timout", "did you mean 'total_timeout'?"),
        ("verify", "set ssl_verify in ConnectionPoolConfig"),
        ("checksum", "only download takes it"),
        ("resume", "only download takes it"),
        ("max_attempts", "pass retry_policy=RetryPolicy(max_attempts=…)"),
        ("deadline", "pass total_timeout, or make the call in a 'with deadline(…)' block"),
        ("idempotency_key", "send it in headers, as Idempotency-Key"),
        ("max_response_size", "only stream and download take it; for other calls set it in HttpClientConfig"),
        ("cache", "use client.with_options(cache=…), or send Cache-Control in headers"),
        ("http2", "set it in HttpClientConfig"),
        ("request_signers", "set it in HttpClientConfig"),
        ("x", "see HttpServiceClient.request"),
        ("streaming", "see HttpServiceClient.request"),  # not our own _stream
    ],
)
def test_the_error_of_an_unknown_keyword_has_a_remedy(keyword: str, remedy: str) -> None:
    """For a misspelt name, another library's name, and an unknown one."""
    with pytest.raises(TypeError) as raised:
        HttpServiceClient().get(URL, **{keyword: 1})
    assert str(raised.value) == f"a call takes no keyword {keyword!r}; {remedy}"


def test_a_download_has_no_method(tmp_path: Path) -> None:
    """The error is about the keyword, not about the arguments of an internal function."""
    with pytest.raises(
        TypeError, match=r"^a call takes no keyword 'method'; a download is a GET; use stream"
    ):
        HttpServiceClient().download(URL, tmp_path / "file", method="POST")  # type: ignore[call-arg]


def test_an_async_body_in_a_blocking_call_is_refused() -> None:
    """Nothing could read it there; the message names the methods that can."""

    async def chunks() -> Any:
        yield b"x"

    harness = Harness(BlockingFrontEnd())
    with pytest.raises(InvalidRequestError, match="_async"):
        harness.request("POST", data=chunks())
    assert harness.state.breaker.snapshot().failures == 0
    assert all(limit.in_use == 0 for limit in harness.limits)


def test_an_error_of_the_body_s_generator_reaches_the_caller(front_end: FrontEnd) -> None:
    """Slots and permit are released, and the client still works."""

    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise ZeroDivisionError

    harness = Harness(front_end)
    with pytest.raises(ZeroDivisionError):
        harness.request("POST", data=chunks())
    assert all(limit.in_use == 0 for limit in harness.limits)
    assert harness.state.breaker.snapshot().abandoned == 1
    assert harness.request().status_code == 200


@each_row(
    ("headers", "expected"),
    [
        ({"Range": "bytes=0-9"}, "identity"),
        ({"range": "bytes=0-9", "Accept-Encoding": "gzip"}, "gzip"),
        ({"Range": "bytes=0-9", "Accept-Encoding": None}, None),
    ],
)
def test_a_range_request_asks_for_the_identity_coding(
    front_end: FrontEnd, headers: dict[str, str | None], expected: str | None
) -> None:
    """A part of an encoded body cannot be decoded. What the call itself says about encodings stays."""
    harness = Harness(front_end)
    harness.request(headers=headers)
    assert harness.transport.sent[0].headers.get("Accept-Encoding") == expected


def test_other_headers_leave_the_codings_that_a_client_takes(front_end: FrontEnd) -> None:
    """A call of its own headers is as compact as one without."""
    harness = Harness(front_end)
    for headers in (None, {"X-A": "1"}):
        harness.request(headers=headers)
    plain, other = (request.headers["Accept-Encoding"] for request in harness.transport.sent)
    assert plain == other != "identity"
