"""The Authorization header, built from auth= (RFC 7617 Basic, RFC 6750 Bearer).

Errors never show the value: it is the secret.
"""

from __future__ import annotations

import re
from base64 import b64encode

from ...errors import InvalidRequestError

__all__ = ["authorization", "basic", "bearer"]

# A user-id and a password have no control characters (RFC 7617 2).
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]").search
# Wider than b64token (RFC 6750 2.1): tokens such as "1|abc" are in use.
_TOKEN = re.compile(r"[!-~]+").fullmatch


def basic(user: str | bytes, password: str | bytes) -> str:
    """The header value for a user and password, in UTF-8.

    >>> basic("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    user, password = _secret_bytes(user, "user name"), _secret_bytes(password, "password")
    if b":" in user:
        raise InvalidRequestError(
            "the user name in auth has a colon, which Basic authentication cannot express"
        )
    return "Basic " + b64encode(user + b":" + password).decode("ascii")


def bearer(token: str) -> str:
    """The header value for a bearer token."""
    if token == "":
        raise InvalidRequestError("the token in auth is empty; leave auth out, or check where it comes from")
    if not isinstance(token, str) or _TOKEN(token) is None:
        raise InvalidRequestError(
            "the token in auth must be visible ASCII text without white space; strip the line break, if any"
        )
    return f"Bearer {token}"


def authorization(auth: object) -> str | None:
    """The header value for auth=: Basic for (user, password), Bearer for text, None for None."""
    if auth is None:
        return None
    if isinstance(auth, str):
        return bearer(auth)
    if isinstance(auth, (tuple, list)) and len(auth) == 2:
        return basic(auth[0], auth[1])
    raise InvalidRequestError(
        f"auth must be a (user, password) pair or a bearer token, not {type(auth).__name__}; "
        "for other schemes set the Authorization header"
    )


def _secret_bytes(value: object, name: str) -> bytes:
    if isinstance(value, str):
        try:
            value = value.encode("utf-8")
        except UnicodeEncodeError:
            value = None
    if not isinstance(value, bytes) or _CONTROL(value):
        raise InvalidRequestError(f"the {name} in auth must be text without control characters")
    return value
