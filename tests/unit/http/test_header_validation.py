"""Which header fields may be sent: no second header injected, and one statement of where a message ends."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http.header_validation import check_framing, validate_headers, validate_once
from http_service_client.http.headers import Headers, build_headers


@pytest.mark.parametrize("name", ["", "x T", "a:b", "é", "a\r\nb", "a\n", "(x)", "a\x00", 'a"b', "a/b"])
def test_a_name_is_a_token(name: str) -> None:
    """RFC 9110 5.6.2."""
    with pytest.raises(InvalidRequestError, match="header name"):
        validate_headers(Headers({name: "x"}))


@pytest.mark.parametrize("bad", ["\r\n", "\n", "\r", "\0", "\x0b", "\x1f", "\x7f", "\ud800"])
@pytest.mark.parametrize("shape", ["s3cret{}", "{}s3cret", "s3{}cret"])
def test_a_value_cannot_inject_and_is_not_shown(bad: str, shape: str) -> None:
    """Control characters and what UTF-8 cannot express are refused, by the header's name only."""
    with pytest.raises(InvalidRequestError, match="'X-Thing'") as caught:
        validate_headers(build_headers({"X-Thing": shape.format(bad)}))
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "a b", "a\tb", "é", "!~", "\x80\xff", "€", "\U0001f355"])
def test_visible_and_obs_text_pass(value: str) -> None:
    """RFC 9110 5.5."""
    validate_headers(Headers({"X-Thing!#$%&'*+-.^_`|~": value}))


@pytest.mark.parametrize(
    ("length", "has_body", "value", "passes"),
    [
        (3, True, "3", True),
        (0, True, "0", True),
        (None, False, "0", True),
        (0, False, "0", True),
        (3, True, "4", False),
        (3, True, "+3", False),
        (3, True, "03", False),
        (3, True, "3, 3", False),
        (3, True, "٣", False),
        (3, True, "9" * 5000, False),
        (3, True, "", False),
        (None, True, "3", False),
        (None, False, "3", False),
        (3, False, "3", False),
    ],
)
def test_content_length_tells_the_truth_or_is_refused(
    length: int | None, has_body: bool, value: str, passes: bool
) -> None:
    """Two truths about where a message ends are request smuggling (RFC 9112 11.2)."""
    headers = Headers({"content-length": value})
    if passes:
        check_framing(headers, length, has_body)
    else:
        with pytest.raises(InvalidRequestError, match="leave it out"):
            check_framing(headers, length, has_body)


def test_transfer_encoding_is_ours_to_set() -> None:
    """Even when it would be right."""
    check_framing(Headers(), 3, True)
    with pytest.raises(InvalidRequestError, match="leave it out"):
        check_framing(Headers({"Transfer-Encoding": "chunked"}), None, True)


def test_nobody_waits_for_a_hundred() -> None:
    """Expect: 100-continue would have a body wait for a server that never says it (RFC 9110 10.1.1)."""
    with pytest.raises(InvalidRequestError, match="leave it out"):
        check_framing(Headers({"Expect": "100-continue"}), 3, True)


@pytest.mark.parametrize("host", ["example.com", "example.com:8080", "127.0.0.1", "[::1]:80", "a_b.example."])
def test_a_host_of_ones_own_may_stand(host: str) -> None:
    """A virtual host behind an address."""
    check_framing(Headers({"Host": host}), 0, False)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "u@a", "a:b", "a:123456", "a,b", "[::1", "a?", "é"])
def test_a_host_is_one_host(host: str) -> None:
    """Whatever else it is, a server must refuse it, or may take it for something else (RFC 9112 3.2)."""
    with pytest.raises(InvalidRequestError, match="one host"):
        check_framing(Headers({"Host": host}), 0, False)
    with pytest.raises(InvalidRequestError, match="one host"):
        check_framing(Headers([("Host", "a"), ("host", "a")]), 0, False)


@pytest.mark.parametrize(
    "change",
    [
        lambda headers: headers.add("X-Good", "line\nbreak"),
        lambda headers: headers.__setitem__("x-good", "line\nbreak"),
        lambda headers: headers.__setitem__("X-Other", "line\nbreak"),
        lambda headers: headers.__setitem__("X Other", "fine"),
    ],
)
def test_what_was_validated_for_good_is_looked_at_again_when_it_is_changed(change: Any) -> None:
    """A copy of what is in order is in order; what is written on it is not, before it has been looked at."""
    headers = Headers({"X-Good": "yes"})
    validate_once(headers)
    twin = headers.copy()
    validate_headers(twin)
    change(twin)
    with pytest.raises(InvalidRequestError):
        validate_headers(twin)
    validate_headers(headers)


def test_what_is_wrong_is_not_validated_for_good() -> None:
    """It is refused as ever."""
    with pytest.raises(InvalidRequestError):
        validate_once(Headers({"X-Bad": "line\nbreak"}))


@given(
    st.lists(st.tuples(st.text(), st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none())))
)
def test_headers_are_sendable_or_refused(pairs: list[tuple[str, Any]]) -> None:
    """What passes is a token and UTF-8 without line breaks; what does not raises one error type."""
    try:
        headers = build_headers(pairs)
        validate_headers(headers)
    except InvalidRequestError:
        return
    for name, value in headers.multi_items():
        line = f"{name}: {value}".encode()
        assert re.fullmatch(rb"[!-9;-~]+: [\t -~\x80-\xff]*", line)
