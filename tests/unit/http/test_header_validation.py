"""Which header fields may be sent: no second header injected, and one statement of where a message ends."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.errors import InvalidRequestError
from http_service_client.http import header_validation
from http_service_client.http.header_validation import check_framing, validate_headers, validate_once
from http_service_client.http.headers import Headers, build_headers
from kit.rows import each_row


@each_row("name", ["", "x T", "a:b", "é", "a\r\nb", "a\n", "(x)", "a\x00", 'a"b', "a/b"])
def test_a_name_is_a_token(name: str) -> None:
    """RFC 9110 5.6.2."""
    with pytest.raises(InvalidRequestError, match="header name"):
        validate_headers(Headers({name: "x"}))


@each_row("bad", ["\r\n", "\n", "\r", "\0", "\x0b", "\x1f", "\x7f", "\ud800"])
@each_row("shape", ["s3cret{}", "{}s3cret", "s3{}cret"])
def test_a_value_cannot_inject_and_is_not_shown(bad: str, shape: str) -> None:
    """Control characters and lone surrogates are refused; the error has the header's name only."""
    with pytest.raises(InvalidRequestError, match="'X-Thing'") as caught:
        validate_headers(build_headers({"X-Thing": shape.format(bad)}))
    assert "cret" not in str(caught.value)


@each_row("value", ["", "a b", "a\tb", "é", "!~", "\x80\xff", "€", "\U0001f355"])
def test_visible_characters_and_obs_text_are_allowed(value: str) -> None:
    """RFC 9110 5.5."""
    validate_headers(Headers({"X-Thing!#$%&'*+-.^_`|~": value}))


@each_row(
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
        (None, True, "None", False),
        (None, True, "", False),
        (3, False, "3", False),
    ],
)
def test_a_wrong_content_length_is_refused(
    length: int | None, has_body: bool, value: str, passes: bool
) -> None:
    """Two statements of where a message ends are request smuggling (RFC 9112 11.2)."""
    headers = Headers({"content-length": value})
    if passes:
        check_framing(headers, length, has_body)
    else:
        with pytest.raises(InvalidRequestError, match="leave it out"):
            check_framing(headers, length, has_body)


def test_transfer_encoding_cannot_be_set() -> None:
    """Even where it would be correct."""
    check_framing(Headers(), 3, True)
    with pytest.raises(InvalidRequestError, match="leave it out"):
        check_framing(Headers({"Transfer-Encoding": "chunked"}), None, True)


def test_expect_cannot_be_set() -> None:
    """With 100-continue, a body would wait for servers that never send it (RFC 9110 10.1.1)."""
    with pytest.raises(InvalidRequestError, match="leave it out"):
        check_framing(Headers({"Expect": "100-continue"}), 3, True)


@pytest.mark.parametrize("host", ["example.com", "example.com:8080", "127.0.0.1", "[::1]:80", "a_b.example."])
def test_a_host_can_be_set(host: str) -> None:
    """For a virtual host behind an address."""
    check_framing(Headers({"Host": host}), 0, False)


@each_row("host", ["", "a b", "a/b", "u@a", "a:b", "a:123456", "a,b", "[::1", "a?", "é"])
def test_a_host_is_one_host(host: str) -> None:
    """A server must refuse anything else, or could misunderstand it (RFC 9112 3.2)."""
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
def test_a_validated_header_is_validated_again_after_a_change(change: Any) -> None:
    """A copy of valid headers is valid; a new value in it is not, until it has been validated."""
    headers = Headers({"X-Good": "yes"})
    validate_once(headers)
    twin = headers.copy()
    validate_headers(twin)
    change(twin)
    with pytest.raises(InvalidRequestError):
        validate_headers(twin)
    validate_headers(headers)


def test_an_invalid_header_is_never_marked_as_valid() -> None:
    """`validate_once` refuses it as `validate_headers` does."""
    with pytest.raises(InvalidRequestError):
        validate_once(Headers({"X-Bad": "line\nbreak"}))


def test_a_value_like_a_known_name_lends_it_to_no_other() -> None:
    """A name that was validated before counts as a name only."""
    validate_headers(Headers({"X-Known": "1"}))
    with pytest.raises(InvalidRequestError, match="header name"):
        validate_headers(Headers({"X Unknown": "X-Known"}))


def test_the_usual_field_needs_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one value for a name that came before, nor a field that was validated once: they are in each request."""
    validated = Headers({"a" * 101: "1"})
    validate_once(validated)
    validate_headers(Headers({"X-Known": "1"}))

    def fail(field: tuple[str, ...]) -> None:
        raise AssertionError(field)

    monkeypatch.setattr(header_validation, "_validate_field", fail)
    validate_headers(Headers({"X-Known": "né b"}))
    validate_headers(validated.copy())


def test_names_that_strangers_chose_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them are remembered, of at most 100 characters; the others are validated each time."""
    known: set[str] = set()
    monkeypatch.setattr(header_validation, "_KNOWN_NAMES", known)
    validate_headers(Headers({"a" * 100: "1", "a" * 101: "1"}))
    assert known == {"a" * 100}
    validate_headers(Headers({f"X-{number}": "1" for number in range(1001)}))
    assert len(known) == 1000
    with pytest.raises(InvalidRequestError, match="header name"):
        validate_headers(Headers({"X Other": "1"}))


@given(
    st.lists(st.tuples(st.text(), st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none())))
)
def test_any_headers_can_be_sent_or_are_refused(pairs: list[tuple[str, Any]]) -> None:
    """Accepted names are tokens and values UTF-8 without line breaks; all else raises one error type."""
    try:
        headers = build_headers(pairs)
        validate_headers(headers)
    except InvalidRequestError:
        return
    for name, value in headers.multi_items():
        line = f"{name}: {value}".encode()
        assert re.fullmatch(rb"[!-9;-~]+: [\t -~\x80-\xff]*", line)
