"""The Keep-Alive field of a response: how long the server keeps the connection (RFC 2068, 19.7.1.1).

    Keep-Alive: timeout=5, max=100

`timeout` is in seconds of idleness, `max` the number of requests that the connection still serves. Node, Apache, Tomcat
and others send it. No later RFC defines the parameters, but closing servers keep to what they announce.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ...lazy import lazy_pattern

__all__ = ["announced_keep_alive"]

_PARAMETER = lazy_pattern(
    r'(?:^|[,;])[ \t]*(timeout|max)[ \t]*=[ \t]*"?([0-9]{1,9})(?![0-9.])', re.IGNORECASE
)


@lru_cache(maxsize=256)
def announced_keep_alive(value: str) -> tuple[int | None, int | None]:
    """The timeout and the remaining requests in a field value; None for what it does not say, or not clearly.

    Of several values of a parameter, the smallest counts: a proxy may have added its own.

    >>> announced_keep_alive("timeout=5, max=100")
    (5, 100)
    """
    found: dict[str, int] = {}
    for name, digits in _PARAMETER.findall(value):
        key, number = name.lower(), int(digits)
        found[key] = min(number, found.get(key, number))
    return found.get("timeout"), found.get("max")
