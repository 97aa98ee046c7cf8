"""Checks of credentials, and the header of a user and password. Errors never show the value: it is the secret."""

from __future__ import annotations

from base64 import b64encode

from ...errors import InvalidRequestError
from ...lazy import lazy_pattern

__all__ = ["HIDDEN", "basic", "check_user", "secret_bytes"]

HIDDEN = "***"
"""What a repr shows in place of a secret."""

# A user-id and a password have no control characters (RFC 7617 2).
_CONTROL = lazy_pattern(rb"[\x00-\x1f\x7f]")


def secret_bytes(value: object, name: str) -> bytes:
    """Text in UTF-8, or bytes as they are. Raises InvalidRequestError for any other value and control characters."""
    if isinstance(value, str):
        try:
            value = value.encode("utf-8")
        except UnicodeEncodeError:
            value = None
    if not isinstance(value, bytes) or _CONTROL.search(value):
        raise InvalidRequestError(f"the {name} in auth must be text without control characters")
    return value


def check_user(user: bytes, scheme: str) -> bytes:
    """Raises InvalidRequestError for a user name that the scheme cannot tell from its password."""
    if b":" in user:
        raise InvalidRequestError(
            f"the user name in auth has a colon, which {scheme} authentication cannot express; remove it"
        )
    return user


def basic(user: str | bytes, password: str | bytes) -> str:
    """The header value for a user and password, in UTF-8.

    >>> basic("Aladdin", "open sesame")
    'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='
    """
    login, secret = secret_bytes(user, "user name"), secret_bytes(password, "password")
    return "Basic " + b64encode(check_user(login, "Basic") + b":" + secret).decode("ascii")
