"""Servers that ask for a digest: one checks it, another plays a script."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from http_service_client import HttpRequest, HttpResponse
from http_service_client.auth import Digest
from http_service_client.http.auth.challenges import parse_challenges
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd

__all__ = ["Server", "fields", "harness_of", "scripted"]


def fields(header: str) -> dict[str, str]:
    (challenge,) = parse_challenges([header])
    return challenge.parameters


class Server:
    """Checks answers by the formulas of the RFC, written down once more."""

    def __init__(
        self, *, algorithm: str = "SHA-256", qop: str = "auth", extra: str = "", uses: int = 99
    ) -> None:
        self.algorithm, self.qop, self.extra, self.uses = algorithm, qop, extra, uses
        self.nonces: dict[str, set[str]] = {}
        self.statuses: list[int] = []
        self.names: list[str] = []
        self.login = ("ann", "secret")
        self.next_nonce = False

    def challenge(self, *, stale: bool = False) -> str:
        nonce = secrets.token_hex(4)
        self.nonces[nonce] = set()
        qop = f', qop="{self.qop}"' if self.qop else ""
        return f'Digest realm="a \\"b\\"", nonce="{nonce}", algorithm={self.algorithm}{qop}{self.extra}{", stale=true" * stale}'

    def __call__(self, request: HttpRequest) -> HttpResponse:
        status, headers = self._judge(request)
        self.statuses.append(status)
        return HttpResponse(status, headers=headers, url=request.url, request=request)

    def _judge(self, request: HttpRequest) -> tuple[int, dict[str, str]]:
        header = request.headers.get("Authorization")
        if header is None:
            return 401, {"WWW-Authenticate": self.challenge()}
        given = fields(header)
        counts = self.nonces.get(given["nonce"])
        if counts is None or len(counts) >= self.uses:
            return 401, {"WWW-Authenticate": self.challenge(stale=True)}
        assert given["nc"] not in counts, "replayed"
        counts.add(given["nc"])
        self.names.append(given.get("username", given.get("username*", "")))
        if given["response"] != self._response(request, given):
            return 401, {"WWW-Authenticate": self.challenge()}
        info = f'nextnonce="{parse_challenges([self.challenge()])[0].parameters["nonce"]}"'
        return 200, {"Authentication-Info": info} if self.next_nonce else {}

    def _response(self, request: HttpRequest, given: dict[str, str]) -> str:
        name = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}[
            self.algorithm.removesuffix("-sess")
        ]

        def h(text: str | bytes) -> str:
            return hashlib.new(name, text.encode() if isinstance(text, str) else text).hexdigest()

        user, password = self.login
        a1 = f"{user}:{given['realm']}:{password}"
        if self.algorithm.endswith("-sess"):
            a1 = f"{h(a1)}:{given['nonce']}:{given['cnonce']}"
        a2 = f"{request.method}:{request.url.removeprefix(ORIGIN)}"
        if given["qop"] == "auth-int":
            a2 += f":{h(b''.join(request.body.chunks()))}"
        return h(f"{h(a1)}:{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}:{h(a2)}")


def harness_of(
    front_end: FrontEnd, server: Callable[[HttpRequest], HttpResponse], **settings: Any
) -> Harness:
    return Harness(front_end, server, auth=Digest("ann", "secret"), **settings)


def scripted(challenges: list[str | None]) -> Callable[[HttpRequest], HttpResponse]:
    """A server that answers each request with the next challenge: a nonce, and whether the last one was stale."""
    left = iter(challenges)

    def respond(request: HttpRequest) -> HttpResponse:
        nonce = next(left)
        if nonce is None:
            return HttpResponse(200, url=request.url)
        name, _, stale = nonce.partition(" ")
        challenge = f"Digest realm=r, qop=auth, nonce={name}{', stale=TRUE' if stale else ''}"
        return HttpResponse(401, headers={"WWW-Authenticate": challenge}, url=request.url)

    return respond
