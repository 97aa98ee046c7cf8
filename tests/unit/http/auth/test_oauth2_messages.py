"""The response of a token service, as it comes: what is a token in it, and what is not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from http_service_client import HttpResponse
from http_service_client.http.auth.oauth2_messages import (
    TokenResponseError,
    error_code,
    parse_lifetime,
    parse_token_response,
)
from kit.rows import each_row

GOOD = {"access_token": "t", "token_type": "Bearer"}


def answered(members: Any, status: int = 200) -> HttpResponse:
    content = members if isinstance(members, bytes) else json.dumps(members).encode()
    return HttpResponse(status, content=content, reason_phrase="Phrase", url="https://id.test/token")


@each_row(
    ("members", "expected"),
    [
        (GOOD, ("t", None, None)),
        ({"access_token": "t"}, ("t", None, None)),
        ({**GOOD, "token_type": "bEARER"}, ("t", None, None)),
        ({**GOOD, "expires_in": 60}, ("t", 60.0, None)),
        ({**GOOD, "refresh_token": "r"}, ("t", None, "r")),
        ({**GOOD, "refresh_token": ""}, ("t", None, None)),
        ({**GOOD, "refresh_token": 5}, ("t", None, None)),
        ({**GOOD, "error": 5}, ("t", None, None)),
    ],
)
def test_a_response_with_a_token_grants_it(members: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Its lifetime and the next refresh token, if they are of the right kind."""
    assert tuple(parse_token_response(answered(members))) == expected


@each_row(
    ("response", "message", "code"),
    [
        (answered({}), "it answered 200 Phrase without an access_token", None),
        (answered([GOOD]), "it answered 200 Phrase without an access_token", None),
        (answered(b"x"), "it answered 200 Phrase without an access_token", None),
        (answered({**GOOD, "access_token": ""}), "it answered 200 Phrase without an access_token", None),
        (answered({**GOOD, "access_token": 5}), "it answered 200 Phrase without an access_token", None),
        (answered({**GOOD, "token_type": "mac"}), "its token is of the type 'mac', and only Bearer can be sent", None),
        (answered({**GOOD, "token_type": 5}), "its token is of the type '5', and only Bearer can be sent", None),
        (answered({**GOOD, "token_type": "t" * 50}), f"its token is of the type '{'t' * 36} ...', and only Bearer can be sent", None),
        (answered({**GOOD, "access_token": "a\nb"}), "its access_token has characters that no header may have", None),
        (answered({**GOOD, "error": "slow_down"}), "it answered 200 Phrase with the error slow_down", "slow_down"),
        (
            answered({"error": "bad", "error_uri": "https://id.test/help"}, 201),
            "it answered 201 Phrase with the error bad (see https://id.test/help)",
            "bad",
        ),
        (answered({"error": "bad", "error_uri": "javascript:x"}, 201), "it answered 201 Phrase with the error bad", "bad"),
        (answered({"error": "bad", "error_uri": 5}, 201), "it answered 201 Phrase with the error bad", "bad"),
        (answered(GOOD, 399), "it answered 399 Phrase, which grants nothing; set token_url to where it leads", None),
        (answered(GOOD, 304), "it answered 304 Phrase, which grants nothing; set token_url to where it leads", None),
        (answered(GOOD, 302), "it answered 302 Phrase, which grants nothing; set token_url to where it leads", None),
        (answered(GOOD, 300), "it answered 300 Phrase, which grants nothing; set token_url to where it leads", None),
        (answered(GOOD, 103), "it answered 103 Phrase, which grants nothing", None),
        (answered({"error": "invalid_client"}, 401), "the request to https://id.test/token answered 401 Phrase: invalid_client", "invalid_client"),
    ],
)  # fmt: skip
def test_a_response_without_a_token_is_an_error(
    response: HttpResponse, message: str, code: str | None
) -> None:
    """That says why, with the code of the standard if there is one."""
    with pytest.raises(TokenResponseError) as raised:
        parse_token_response(response)
    assert str(raised.value) == message
    assert raised.value.code == code


@each_row(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (0.5, 0.5),
        (1e300, 1e300),
        (0, None),
        ("0", None),
        ("", None),
        ("nan", None),
        (-1, None),
        (True, None),
        (None, None),
        ([], None),
        ("soon", None),
        (math.inf, None),
        (math.nan, None),
        (10**400, None),
    ],
)
def test_a_lifetime_is_a_positive_number_of_seconds(value: object, seconds: float | None) -> None:
    """Also as text; anything else is unknown. Zero cannot be meant: such a token is used until it is refused."""
    assert parse_lifetime(value) == seconds


@each_row(("error", "code"), [("a_b", "a_b"), ("", None), ('a"b', None), ("a\nb", None), (5, None), (None, None)])  # fmt: skip
def test_an_error_code_is_text_of_the_standard_s_characters(error: object, code: str | None) -> None:
    """It may be shown in a log."""
    assert error_code({"error": error}) == code
