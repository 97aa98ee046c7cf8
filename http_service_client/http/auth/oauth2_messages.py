"""Token requests of OAuth 2.0 and their responses (RFC 6749, 4.4, 5 and 6). No library helps here: the requests are a form,
the responses a JSON object. What takes care is what servers make of them.

    expires_in   a number, as it should be; or text; or missing, 0, negative: then nothing is known of the token's life
    token_type   in any case of letters; or missing, which is taken for Bearer
    an error     400 or 401 with a JSON object; or 200 with one
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from ...errors import HttpStatusError
from ..messages import HttpResponse
from ..printable import printable
from .bearer import bearer

__all__ = ["TokenResponse", "TokenResponseError", "client_secret_basic", "error_code", "parse_token_response"]

# error-uri = URI-reference; the characters that RFC 6749 (A.9) allows.
_URI = re.compile(r"https?://[!#-\[\]-~]{1,200}").fullmatch
_CODE = re.compile(r"[ !#-\[\]-~]{1,100}").fullmatch


class TokenResponse(NamedTuple):
    """What a token service grants.   lifetime: seconds, or None if unknown."""

    access_token: str
    lifetime: float | None
    refresh_token: str | None

    def __repr__(self) -> str:
        return f"TokenResponse('***', lifetime={self.lifetime})"


class TokenResponseError(Exception):
    """The response grants no token.   code: the error code of RFC 6749 (5.2), or None."""

    def __init__(self, problem: str, code: str | None = None, cause: HttpStatusError | None = None) -> None:
        super().__init__(problem)
        self.code = code
        self.cause = cause


def client_secret_basic(client_id: str, client_secret: str) -> str:
    """The Authorization header of a client. Both parts are form-encoded first (RFC 6749, 2.3.1).

    >>> client_secret_basic("shop", "a:b c")
    'Basic c2hvcDphJTNBYitj'
    """
    login = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + b64encode(login.encode()).decode()


def parse_token_response(response: HttpResponse) -> TokenResponse:
    """The token in a response. Raises TokenResponseError."""
    members = _members(response)
    code = error_code(members)
    try:
        response.raise_for_status()
    except HttpStatusError as error:
        raise TokenResponseError(str(error) + _see(members), code, error) from None
    status = f"{response.status_code} {response.reason_phrase}".rstrip()
    if code is not None:
        raise TokenResponseError(f"it answered {status} with the error {code}{_see(members)}", code)
    if not response.is_success:
        advice = "; set token_url to where it leads" if 300 <= response.status_code < 400 else ""
        raise TokenResponseError(f"it answered {status}, which grants nothing{advice}")
    token, kind = members.get("access_token"), members.get("token_type")
    if not isinstance(token, str) or not token:
        raise TokenResponseError(f"it answered {status} without an access_token")
    if kind is not None and (not isinstance(kind, str) or kind.lower() != "bearer"):
        shown = printable(str(kind), 40)
        raise TokenResponseError(f"its token is of the type {shown!r}, and only Bearer can be sent")
    try:
        bearer(token)
    except ValueError:
        raise TokenResponseError("its access_token has characters that no header may have") from None
    following = members.get("refresh_token")
    return TokenResponse(
        token,
        parse_lifetime(members.get("expires_in")),
        following if isinstance(following, str) and following else None,
    )


def parse_lifetime(value: object) -> float | None:
    """Seconds that a token is valid for; None if that is unknown.

    Zero and less cannot be meant: some services write 0 for "never". Such a token is used until it is refused.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < math.inf else None


def error_code(members: Mapping[str, Any]) -> str | None:
    """The error code in a response (RFC 6749, 5.2), or None."""
    code = members.get("error")
    return code if isinstance(code, str) and _CODE(code) else None


def _members(response: HttpResponse) -> Mapping[str, Any]:
    try:
        members = response.json()
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _see(members: Mapping[str, Any]) -> str:
    uri = members.get("error_uri")
    return f" (see {uri})" if isinstance(uri, str) and _URI(uri) else ""
