"""Cookies that servers set, stored for the requests that they are meant for (RFC 6265, hardened by 6265bis).

A jar belongs to one user, and so does a client with a jar. Host, path, scheme and time decide which cookies
a request gets; the port does not count (8.5). A server cannot set cookies for domains that it is not in, for
a single label (``com``, ``localhost``), for a domain that looks like a registry (``co.uk``) or for an
address. Registries of other shapes (``github.io``) count as ordinary domains, unless the list of public suffixes
is installed (`suffixes`).

The jar has no clock and no threads: the time is an argument, and code that shares the jar provides a lock.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from ipaddress import ip_address
from typing import Any, NamedTuple

from ...errors import InvalidRequestError
from ..headers import Latin1Text
from ..hosts import normalise_host
from ..printable import printable
from ..urls import Url, split_url
from .dates import parse_cookie_date
from .header import cookie_header
from .suffixes import is_public_suffix

__all__ = ["Cookie", "CookieJar"]

_MAX_PAIR = 4096  # octets of name and value together; a longer cookie is ignored                 6265bis 5.6
_MAX_ATTRIBUTE = 1024
_MAX_AGE = 400 * 24 * 3600  # seconds; no cookie lives longer                                     6265bis 5.5
_MAX_PER_DOMAIN = 50
_MAX_COOKIES = 3000
_MAX_HEADER = 8190  # bytes of a Cookie header, as in curl; servers answer a longer one with 431 or 400
# domain, path, name, is_host_only: a server that moves a cookie from its host to its domain deletes the former without
# losing the latter                                                                                6265bis 5.7, step 23
_Key = tuple[str, str, str, bool]
_NO_LOCK = nullcontext()
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]").search
_SECONDS = re.compile(r"-?[0-9]+").fullmatch
# Registries that sell names below a second label: co.uk, com.au. As http.cookiejar has them.
_SECOND_LABELS = frozenset(
    ["ac", "co", "com", "edu", "gob", "gov", "info", "int", "mil", "net", "nom", "or", "org"]
)


class Cookie(NamedTuple):
    """One cookie. Its value stays out of the repr.

    domain: the host that set it, or its Domain attribute.   is_host_only: not sent to hosts below the domain.
    expires_at: seconds since the epoch; None: it lives as long as the jar.   is_secure: sent over https only, and to this machine.
    """

    name: str
    value: str
    domain: str
    path: str
    expires_at: float | None
    is_secure: bool
    is_host_only: bool

    def __repr__(self) -> str:
        return f"<Cookie {printable(self.name)} for {self.domain}{printable(self.path)}>"


class CookieJar:
    """The cookies of one user, for ``HttpClientConfig(cookies=jar)``; sync and async calls share them.

    Iteration yields each `Cookie` that was not yet seen to have expired. A jar holds at most 50 cookies for a
    domain and 3000 in total; beyond that it drops the oldest ones, those that are Secure last. It is thread-safe once a
    client has it.
    """

    def __init__(self) -> None:
        # All cookies, and those of each domain; both in the order in which they were first set.
        self._all: dict[_Key, Cookie] = {}
        self._domains: dict[str, dict[_Key, Cookie]] = {}
        self._next_end = math.inf  # none of them expires before this instant
        self._lock: Any = _NO_LOCK

    def share(self, lock: object) -> None:
        """Use this reentrant lock from now on, for several threads. Later calls have no effect."""
        if self._lock is _NO_LOCK:
            self._lock = lock

    def store(self, url: str, set_cookies: Iterable[str], now: float) -> None:
        """Store the cookies that a response set.

        url: of the request, normalised.  set_cookies: the Set-Cookie values, in order.  now: seconds since the
        epoch. Cookies that the server may not set are ignored. Never raises.
        """
        origin = split_url(url)
        with self._lock:
            for line in set_cookies:
                cookie = _read(line, origin, now)
                if cookie is not None:
                    self._put_locked(cookie, origin, now)

    def header(self, url: str, now: float, besides: Iterable[str] = (), taken: int = 0) -> str:
        """The Cookie header's value for a request to a normalised URL (5.4); "" if there are no cookies.

        besides: names of the cookies that the request has already.   taken: bytes of the header that they take.
        """
        origin = split_url(url)
        path = origin.target.partition("?")[0]
        is_secure = _is_trustworthy(origin)
        known = frozenset(besides)
        with self._lock:
            found = [
                cookie
                for domain in _domains_of(origin.host)
                for cookie in list(self._domains.get(domain, {}).values())
                if self._is_alive_locked(cookie, now)
                and (cookie.domain == origin.host or not cookie.is_host_only)
                and (is_secure or not cookie.is_secure)
                and _path_matches(path, cookie.path)
                and cookie.name not in known
            ]
            # Longer paths first; among equals, the one that was set earlier, whichever domain it is of (5.4, step 2).
            if len({cookie.domain for cookie in found}) > 1:
                places = {key: place for place, key in enumerate(self._all)}
                found.sort(key=lambda cookie: places[_key(cookie)])
        found.sort(key=lambda cookie: -len(cookie.path))
        return _header(found, _MAX_HEADER - taken)

    def set(self, url: str, name: str, value: object) -> None:
        """Put a cookie into the jar by hand, for the URL's host and all of its paths.

        Raises InvalidRequestError for an invalid URL, name or value.
        """
        origin = split_url(url)
        pair = cookie_header({name: value})
        if pair:
            cookie = Cookie(
                name, pair.partition("=")[2], origin.host, "/", None, _is_trustworthy(origin), True
            )
            with self._lock:
                self._insert_locked(cookie, 0.0)

    def clear(self) -> None:
        """Forget all cookies."""
        with self._lock:
            self._all.clear()
            self._domains.clear()

    def __iter__(self) -> Iterator[Cookie]:
        with self._lock:
            return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<CookieJar {len(self)} cookies>"

    def __getstate__(self) -> dict[str, Any]:
        return {"cookies": list(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]  # the one constructor
        for cookie in state["cookies"]:
            self._insert_locked(cookie, 0.0)

    # Methods that need the lock.

    def _put_locked(self, cookie: Cookie, origin: Url, now: float) -> None:
        if not _is_trustworthy(origin) and self._shadows_secure_locked(cookie):
            return
        if cookie.expires_at is not None and cookie.expires_at <= now:
            self._drop_locked(cookie)
        else:
            self._insert_locked(cookie, now)

    def _shadows_secure_locked(self, cookie: Cookie) -> bool:
        """Whether plain http would overwrite or hide a cookie that https set (6265bis 5.7, step 15)."""
        below = f".{cookie.domain}"
        return any(
            known.is_secure and known.name == cookie.name and _path_matches(cookie.path, known.path)
            for domain, cookies in self._domains.items()
            if domain.endswith(below) or _is_below(cookie.domain, domain)
            for known in cookies.values()
        )

    def _insert_locked(self, cookie: Cookie, now: float) -> None:
        cookies = self._domains.setdefault(cookie.domain, {})
        cookies[_key(cookie)] = self._all[_key(cookie)] = cookie
        if cookie.expires_at is not None:
            self._next_end = min(self._next_end, cookie.expires_at)
        if len(cookies) > _MAX_PER_DOMAIN:
            self._drop_one_locked(cookies, now)
        if len(self._all) > _MAX_COOKIES:
            self._drop_one_locked(self._all, now)

    def _drop_one_locked(self, among: dict[_Key, Cookie], now: float) -> None:
        """Drop the expired cookies or, if none has expired, the oldest, of those that are not Secure if there are any.

        Else plain http, where anybody may set cookies, could push out those of https, and then set them (6265bis 5.7).
        """
        before = len(among)
        if self._next_end <= now:
            for cookie in list(self._all.values()):
                self._is_alive_locked(cookie, now)
            ends = [cookie.expires_at for cookie in self._all.values() if cookie.expires_at is not None]
            self._next_end = min(ends, default=math.inf)
        if len(among) == before:
            cookies = iter(among.values())
            oldest = next(cookies)
            if oldest.is_secure:
                oldest = next((cookie for cookie in cookies if not cookie.is_secure), oldest)
            self._drop_locked(oldest)

    def _is_alive_locked(self, cookie: Cookie, now: float) -> bool:
        if cookie.expires_at is None or cookie.expires_at > now:
            return True
        self._drop_locked(cookie)
        return False

    def _drop_locked(self, cookie: Cookie) -> None:
        cookies = self._domains.get(cookie.domain, {})
        cookies.pop(_key(cookie), None)
        self._all.pop(_key(cookie), None)
        if not cookies:
            self._domains.pop(cookie.domain, None)


def _header(cookies: list[Cookie], left: int) -> str:
    """As many of the cookies as fit into so many bytes: one that is too long must not keep shorter ones out."""
    pairs = []
    for cookie in cookies:
        pair = f"{cookie.name}={cookie.value}"
        size = len(pair) if pair.isascii() else len(pair.encode())
        if size <= left:
            pairs.append(pair)
            left -= size + 2  # "; "
    return "; ".join(pairs)


def _is_trustworthy(origin: Url) -> bool:
    """Whether cookies that are Secure may be set by it and sent to it: https, or this machine, for development.

    As browsers have it (W3C Secure Contexts, 3.1): nobody else can read what does not leave the machine.
    """
    host = origin.host
    return origin.scheme == "https" or host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    if not (host.startswith("127.") or host == "::1"):
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _key(cookie: Cookie) -> _Key:
    return cookie.domain, cookie.path, cookie.name, cookie.is_host_only


def _read(line: str, origin: Url, now: float) -> Cookie | None:
    """The cookie of one Set-Cookie value, or None if it may not be set (6265 5.2 and 5.3, 6265bis 5.7)."""
    if _UNFIT(line) is not None or isinstance(line, Latin1Text):
        return None  # octets that are not UTF-8 could only be sent back as others: header text is UTF-8
    pair, _, rest = line.partition(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(" \t"), value.strip(" \t")
    if not equals or not name or len(f"{name}{value}".encode()) > _MAX_PAIR:
        return None
    attributes = _attributes(rest)
    scope = _domain(attributes.get("domain", ""), origin.host)
    is_secure = "secure" in attributes
    if scope is None or (is_secure and not _is_trustworthy(origin)):
        return None
    domain, is_host_only = scope
    path = attributes.get("path", "")
    if path[:1] != "/":
        path = _default_path(origin.target)
    key = name.lower()
    if key.startswith("__secure-") and not is_secure:
        return None
    if key.startswith("__host-") and not (is_secure and is_host_only and attributes.get("path") == "/"):
        return None
    return Cookie(name, value, domain, path, _expiry(attributes, now), is_secure, is_host_only)


def _attributes(text: str) -> dict[str, str]:
    """The attributes by lower-case name; the last of a name counts that can be read (5.2.1, 5.2.2)."""
    found: dict[str, str] = {}
    for item in text.split(";"):
        name, _, value = item.partition("=")
        name, value = name.strip(" \t").lower(), value.strip(" \t")
        is_malformed = (name == "max-age" and _SECONDS(value) is None) or (
            name == "expires" and parse_cookie_date(value) is None
        )
        if len(value) <= _MAX_ATTRIBUTE and not is_malformed:
            found[name] = value
    return found


def _domain(attribute: str, host: str) -> tuple[str, bool] | None:
    """The domain of a cookie and whether it is host-only; None if the host may not set it."""
    domain = attribute.removeprefix(".").lower()
    if not domain:
        return host, True
    try:
        domain = normalise_host(domain).strip("[]")
    except InvalidRequestError:
        return None
    if domain == host:  # a suffix has cookies of its own, and shares none with those below it (5.3, step 5)
        return host, _is_registry(host) or is_public_suffix(host)
    if not _is_below(host, domain) or _is_registry(domain) or is_public_suffix(domain):
        return None
    return domain, False


def _is_registry(domain: str) -> bool:
    """Whether strangers share the domain, or it has nothing below it (an address, a single label)."""
    labels = domain.rstrip(".").split(".")
    if len(labels) == 1 or labels[-1].isdigit():  # an IPv6 address has no dots, or ends in an IPv4 one
        return True
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _SECOND_LABELS


def _is_below(host: str, domain: str) -> bool:
    """Whether the host is the domain or below it (5.1.3)."""
    return host.endswith(domain) and (host == domain or host[-len(domain) - 1] == ".")


def _domains_of(host: str) -> Iterator[str]:
    """The host, and the domains above it."""
    yield host
    if not _is_registry(host):
        while "." in host:
            host = host.partition(".")[2]
            yield host


def _default_path(target: str) -> str:
    """The folder of the request (5.1.4)."""
    path = target.partition("?")[0]
    return path[: path.rfind("/")] or "/"


def _path_matches(path: str, cookie_path: str) -> bool:
    """Whether the path is the cookie's path or below it (5.1.4)."""
    return path == cookie_path or (
        path.startswith(cookie_path) and (cookie_path.endswith("/") or path[len(cookie_path)] == "/")
    )


def _expiry(attributes: dict[str, str], now: float) -> float | None:
    """When the cookie expires. Max-Age wins over Expires."""
    if "max-age" in attributes:
        return now + max(0, min(int(attributes["max-age"]), _MAX_AGE))
    at = parse_cookie_date(attributes["expires"]) if "expires" in attributes else None
    return None if at is None else min(at, now + _MAX_AGE)
