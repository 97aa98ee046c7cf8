"""Which names hold secrets: of header fields, and of parameters in a query.

A name is judged by its words. A list of known names is always behind: each service has its own (`DD-API-KEY`,
`X-Shopify-Access-Token`, `CF-Access-Client-Secret`). A name that only looks like a secret's costs little: its value
is shown as ``***``, and another origin does not get it. A secret under another name must be listed by its user.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from ..lazy import lazy_pattern

__all__ = ["CREDENTIAL_HEADERS", "SECRET_NAMES", "SecretNames"]

CREDENTIAL_HEADERS: frozenset[str] = frozenset(
    {"authorization", "proxy-authorization", "cookie", "cookie2", "set-cookie"}
)
"""Headers that are secret whatever the settings say."""

# Anywhere in a name.
_WORDS = lazy_pattern(
    r"(?:access|backup|device|one[-_]?time|recovery|security|verification)[-_]?code|assertion|authentication|authori[sz]ation"
    r"|bearer|(?:code|oauth)[-_]?verifier|connection[-_]?string|cookie|credential|hmac|jwt|key|macaroon|oidc-data|passcode"
    r"|passphrase|passw|saml|secret|sessid|session|signature|token|wresult"
)
# As a whole part of a name.
_PARTS = lazy_pattern(
    r"(?<![^-_.])(?:auth|creds|csrf|dpop|hdnea|hdnts|mfa|otp|pass|pin|psk|pswd|pw|pwd|sas|sid|sig|sign|totp|wsse|xsrf)(?![^-_.])"
)
_OTHERS = frozenset({"appid", "x-honeycomb-team", "x-jfrog-art-api"})  # API keys by other names
# Words of well-known names that hold no secret. An idempotency key must go along with a redirected request: without it
# the next server would take a repeat for a new order.
_PLAIN = lazy_pattern(
    r"(?:cache|idempotency|partition|public|sort|surrogate|websocket)[-_]?key"
    r"|(?:completion|input|limit|max|output|prompt|remaining|reset|total|used)[-_]?tokens"
    r"|tokens[-_](?:limit|remaining|reset|used)"
    r"|access-control-allow-credentials|authentication-info"
)


# A peer may choose a name, and two stars of a user's take quadratic time for it. Nobody needs to see a longer one.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class SecretNames:
    """Names that hold secrets: by the pattern of this module, more of them, and fewer.

    sensitive: further names of headers, in lower case; "*" stands for any characters.
    public: names of headers that hold no secret though they match; CREDENTIAL_HEADERS are secret all the same.

        >>> "X-Api-Key" in SecretNames()
        True
        >>> "X-Partner-Id" in SecretNames(sensitive=("x-partner-*",))
        True
    """

    sensitive: tuple[str, ...] = ()
    public: tuple[str, ...] = ()

    def __contains__(self, name: str) -> bool:
        if len(name) > _LONGEST:
            return True
        key = name.lower()
        if key in CREDENTIAL_HEADERS:
            return True
        if self.public and _matcher(self.public)(key):
            return False
        if self.sensitive and _matcher(self.sensitive)(key):
            return True
        # Most names look like no secret's: this order costs them least.
        return _looks_secret(key) and _looks_secret(_PLAIN.sub("", key))


def _looks_secret(key: str) -> bool:
    return bool(_WORDS.search(key) or _PARTS.search(key) or key in _OTHERS)


@lru_cache(maxsize=64)
def _matcher(names: tuple[str, ...]) -> Callable[[str], object]:
    texts = (".*".join(map(re.escape, name.split("*"))) for name in names)
    return re.compile("|".join(texts)).fullmatch


SECRET_NAMES = SecretNames()
"""The names that hold secrets where no settings say otherwise."""
