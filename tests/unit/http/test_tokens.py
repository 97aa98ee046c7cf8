"""Tokens (RFC 9110, 5.6.2): one set of characters wherever a token is sent or received."""

from __future__ import annotations

import string
from collections.abc import Callable

import pytest

from http_service_client.errors import InvalidRequestError
from http_service_client.http.cookies.header import cookie_header
from http_service_client.http.header_validation import validate_headers
from http_service_client.http.headers import Headers
from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.fast_path import read_fast_head
from http_service_client.http.http1.framing import ParserSettings
from http_service_client.http.http1.response_parser import ResponseParser
from http_service_client.http.preparation import parse_method

# tchar, written from the RFC and not taken from the package.
TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters)


def head_with(name: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{name}: x\r\nContent-Length: 0\r\n\r\n".encode("latin-1")


def received_by_the_parser(name: str) -> None:
    parser = ResponseParser()
    parser.feed(b"\n" + head_with(name).replace(b"\r\n", b"\n"))  # not on the fast path
    parser.read_head()


def received_on_the_fast_path(name: str) -> None:
    if read_fast_head(head_with(name), ParserSettings()) is None:
        raise NotHttpError()


TAKES: dict[str, Callable[[str], object]] = {
    "a header name": lambda name: validate_headers(Headers({name: "x"})),
    "a method": parse_method,
    "a cookie name": lambda name: cookie_header({name: "x"}),
    "a received field name, by the parser": received_by_the_parser,
    "a received field name, on the fast path": received_on_the_fast_path,
}


@pytest.mark.parametrize("take", TAKES)
def test_a_token_is_made_of_the_same_characters_everywhere(take: str) -> None:
    """Of all octets, each token takes those of tchar and no other."""
    taken = set()
    for character in map(chr, range(256)):
        try:
            TAKES[take](f"a{character}b")
        except (InvalidRequestError, NotHttpError):
            continue
        taken.add(character)
    # A colon ends the name of a field that is received; what stands before and after it is fine.
    assert taken - ({":"} if "received" in take else set()) == TOKEN_CHARACTERS
