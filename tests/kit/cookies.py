"""A cookie jar with what a server has set."""

from __future__ import annotations

from http_service_client.http.cookies.jar import CookieJar

__all__ = ["A_DAY", "NOW", "jar_with"]

NOW = 1_800_000_000.0


A_DAY = 24 * 3600.0


def jar_with(url: str, *lines: str, now: float = NOW) -> CookieJar:
    jar = CookieJar()
    jar.store(url, lines, now)
    return jar
