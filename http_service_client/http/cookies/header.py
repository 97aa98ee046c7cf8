"""Cookies as header fields (RFC 6265): parsed from Set-Cookie, written to Cookie.

These functions remember nothing: the jar, which does, lives in `jar`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ...errors import InvalidRequestError
from ...lazy import lazy_pattern
from ..header_validation import is_token
from ..parameters import scalar_bytes

__all__ = ["cookie_header", "cookie_names", "parse_set_cookie"]

# Wider than cookie-octet (4.1.1): spaces, commas, quotes and backslashes are common, and servers accept
# them. A character that ends a cookie or the header is refused.
_VALUE = lazy_pattern(r"(?:[!-:<-~](?:[ -:<-~]*[!-:<-~])?)?")
_REMOVES = lazy_pattern(r";[ \t]*max-age[ \t]*=[ \t]*(?:0+|-[0-9]+)[ \t]*(?:;|$)", re.IGNORECASE)


def parse_set_cookie(values: Iterable[str]) -> dict[str, str]:
    """The cookies that a response set, name to value; quotes are part of the value (RFC 6265 5.2).

    A later cookie of the same name wins; a Max-Age of zero removes it. Expires is ignored, since nothing here
    knows the time. Never raises.
    """
    cookies: dict[str, str] = {}
    for line in values:
        pair = line.partition(";")[0]
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if not equals or not name:
            continue
        if _REMOVES.search(line):
            cookies.pop(name, None)
        else:
            cookies[name] = value.strip(" \t")
    return cookies


def cookie_header(cookies: Mapping[str, object]) -> str:
    """The Cookie header's value. None drops a cookie. Raises an InvalidRequestError that names the cookie."""
    if not isinstance(cookies, Mapping):
        raise InvalidRequestError(
            f"cookies must be a mapping of names to values, not {type(cookies).__name__}"
        )
    pairs: list[str] = []
    for name, value in cookies.items():
        if not isinstance(name, str) or is_token(name) is None:
            raise InvalidRequestError(
                f"cookie name {str(name)[:80]!r} is not valid; use letters, digits, - and _ only"
            )
        raw = scalar_bytes(value, f"cookie {name!r}")
        if raw is None:
            continue
        text = raw.decode("latin-1")
        if _VALUE.fullmatch(text) is None:
            raise InvalidRequestError(
                f"cookie {name!r} has a character in its value that a cookie cannot hold; "
                "encode it, for example by urllib.parse.quote"
            )
        pairs.append(f"{name}={text}")
    return "; ".join(pairs)


def cookie_names(header: str) -> list[str]:
    """The names in a Cookie header's value."""
    return [pair.partition("=")[0].strip(" \t") for pair in header.split(";")] if header else []
