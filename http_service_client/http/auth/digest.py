"""Digest authentication (RFC 7616): proof of a password that is never sent.

    A1       = user ":" realm ":" password           with -sess: H(that) ":" nonce ":" cnonce
    A2       = method ":" target                     with auth-int: ":" H(body)
    response = H(H(A1) ":" nonce ":" nc ":" cnonce ":" qop ":" H(A2))
               H(H(A1) ":" nonce ":" H(A2))          without qop, for servers of RFC 2069

A known challenge is answered before it is asked for: then a call takes one exchange. `nc` counts the requests under a
nonce, across threads. The client's own nonce stays the same for as long as the server's does, since a `-sess` server
may compute A1 from the first request or from the current one.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import unicodedata
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...errors import InvalidRequestError
from ..urls import origin_of, split_url
from .challenges import Challenge, parse_challenges, parse_parameters
from .credentials import HIDDEN, check_user, secret_bytes

if TYPE_CHECKING:
    from ..messages import HttpRequest, HttpResponse

__all__ = ["Digest", "DigestChallenge", "digest_header", "strongest"]

# By the name in the challenge, in lower case: hashlib's name, and how strong it is.
_HASHES = {"md5": ("md5", 0), "sha-256": ("sha256", 1), "sha-512-256": ("sha512_256", 1)}
_MOST = 256  # origins whose challenge is remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestChallenge:
    """What a server asks for.

    algorithm: as the server wrote it; None if it did not, which means MD5.   qop: "auth", "auth-int", or None.
    hash: hashlib's name.   is_session: the algorithm ends with "-sess".   is_stale: the nonce was, the password is not.
    """

    realm: str
    nonce: str
    hash: str
    strength: int
    algorithm: str | None = None
    opaque: str | None = None
    qop: str | None = None
    is_session: bool = False
    is_stale: bool = False
    hashes_user: bool = False


def strongest(challenges: Iterable[Challenge]) -> DigestChallenge | None:
    """The challenge of the strongest hash that we can answer, the server's first of equals; None without one."""
    usable = [read for read in map(_read, challenges) if read is not None]
    return max(usable, key=lambda challenge: challenge.strength, default=None)


def _read(challenge: Challenge) -> DigestChallenge | None:
    given = challenge.parameters
    if challenge.scheme != "digest" or "realm" not in given or "nonce" not in given:
        return None
    algorithm = given.get("algorithm")
    name = (algorithm or "MD5").lower()
    known = _HASHES.get(name.removesuffix("-sess"))
    if known is None or not _is_available(known[0]):
        return None
    hash_name, strength = known
    offered = {each.strip().lower() for each in given.get("qop", "").split(",")} - {""}
    qop = next((each for each in ("auth", "auth-int") if each in offered), None)
    if offered and qop is None:
        return None
    return DigestChallenge(
        realm=given["realm"],
        nonce=given["nonce"],
        hash=hash_name,
        strength=strength,
        algorithm=algorithm,
        opaque=given.get("opaque"),
        qop=qop,
        is_session=name.endswith("-sess"),
        is_stale=given.get("stale", "").lower() == "true",
        hashes_user=given.get("userhash", "").lower() == "true",
    )


@lru_cache
def _is_available(name: str) -> bool:
    try:  # OpenSSL may lack it, or its configuration forbid it
        hashlib.new(name, usedforsecurity=False)
    except ValueError:
        return False
    return True


def digest_header(
    challenge: DigestChallenge,
    username: str,
    password: str,
    method: str,
    target: str,
    *,
    cnonce: str,
    count: int,
    body: Iterable[bytes] = (),
) -> str:
    """The value of the Authorization header.   target: path and query.   body: read for auth-int alone."""

    def hashed(*parts: str | bytes) -> str:
        joined = b":".join(part.encode() if isinstance(part, str) else part for part in parts)
        return hashlib.new(challenge.hash, joined, usedforsecurity=False).hexdigest()

    user, secret = _bytes(username), _bytes(password)
    secret_hash = hashed(user, challenge.realm, secret)
    if challenge.is_session:
        secret_hash = hashed(secret_hash, challenge.nonce, cnonce)
    request = [method, target]
    if challenge.qop == "auth-int":
        content = hashlib.new(challenge.hash, usedforsecurity=False)
        for piece in body:
            content.update(piece)
        request.append(content.hexdigest())
    nc = f"{count:08x}"
    once = [challenge.nonce] if challenge.qop is None else [challenge.nonce, nc, cnonce, challenge.qop]
    fields = []
    if challenge.hashes_user:
        fields.append(f'username="{hashed(user, challenge.realm)}"')
    elif username.isascii():
        fields.append(f"username={_quoted(username)}")
    else:
        fields.append(f"username*=UTF-8''{quote(user, safe='')}")
    fields += [
        f"realm={_quoted(challenge.realm)}",
        f"nonce={_quoted(challenge.nonce)}",
        f"uri={_quoted(target)}",
        f'response="{hashed(secret_hash, *once, hashed(*request))}"',
    ]
    if challenge.algorithm is not None:
        fields.append(f"algorithm={challenge.algorithm}")
    if challenge.opaque is not None:
        fields.append(f"opaque={_quoted(challenge.opaque)}")
    if challenge.qop is not None:
        fields += [f"qop={challenge.qop}", f"nc={nc}", f'cnonce="{cnonce}"']
    if challenge.hashes_user:
        fields.append("userhash=true")
    return f"Digest {', '.join(fields)}"


def _bytes(text: str) -> bytes:
    return unicodedata.normalize("NFC", text).encode()  # RFC 7616, 4


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class _Session:
    """A challenge, and how many requests have answered it."""

    __slots__ = ("challenge", "cnonce", "counts")

    def __init__(self, challenge: DigestChallenge) -> None:
        self.challenge = challenge
        self.cnonce = secrets.token_hex(16)
        self.counts = itertools.count(1)  # `next` of it is a single step: no two threads get one number


class _Sessions(dict[str, _Session]):
    """The sessions by origin, of this process: a forked child would count on under its parent's nonces."""

    __slots__ = ("_owner",)

    def __init__(self) -> None:
        self._owner = os.getpid()

    def of_process(self) -> _Sessions:
        if self._owner != os.getpid():
            self.clear()
            self._owner = os.getpid()
        return self

    def remember(self, origin: str, session: _Session) -> None:
        if len(self) >= _MOST and origin not in self:
            for oldest in tuple(self)[:1]:  # a copy, since other threads add others
                self.pop(oldest, None)
        self[origin] = session


@dataclass(frozen=True, slots=True, repr=False)
class Digest:
    """Digest authentication (RFC 7616), with MD5, SHA-256 and SHA-512-256, their -sess forms, auth and auth-int.

    The first request to an origin goes out without credentials and is answered by a 401 with a challenge; the strongest
    that can be answered is. Further requests carry the answer at once, until the server has another nonce. Object and
    challenges may be shared by threads, tasks and clients. A copy, a pickled one too, has the credentials alone.

    Raises InvalidRequestError for control characters, and for a colon in the user name.
    """

    username: str
    password: str
    _sessions: _Sessions = field(default_factory=_Sessions, init=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("user name", self.username), ("password", self.password)):
            if not isinstance(value, str):
                raise InvalidRequestError(f"the {name} in auth must be text, not {type(value).__name__}")
            secret_bytes(value, name)
        check_user(self.username.encode(), "Digest")

    def auth_flow(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """Send the request, and once more with the answer to the challenge of a 401."""
        origin, sessions = origin_of(request.url), self._sessions.of_process()
        session = sessions.get(origin)
        is_new = False
        for _ in range(3):  # a remembered challenge, a new one, and one whose nonce expired at once
            if session is not None:
                request.headers["Authorization"] = self._answer(session, request)
            response = yield request
            if response.status_code != 401:
                if session is not None:
                    following = parse_parameters(response.headers.get("Authentication-Info", "")).get(
                        "nextnonce"
                    )
                    if following:
                        sessions.remember(origin, _Session(replace(session.challenge, nonce=following)))
                return
            challenge = strongest(parse_challenges(response.headers.get_all("WWW-Authenticate")))
            if challenge is None:
                return
            # Some servers do not say that a nonce is stale, but send another one. If that is refused as well, the
            # password is wrong: trying again could lock the account.
            is_refused = session is not None and (is_new or challenge.nonce == session.challenge.nonce)
            if is_refused and not challenge.is_stale:
                sessions.pop(origin, None)
                return
            session, is_new = _Session(challenge), True
            sessions.remember(origin, session)

    def _answer(self, session: _Session, request: HttpRequest) -> str:
        challenge = session.challenge
        body: Iterable[bytes] = ()
        if challenge.qop == "auth-int":
            if request.body.is_async or not request.body.is_replayable:
                raise InvalidRequestError(
                    "the server asks for a digest of the body (qop=auth-int), which is a stream; pass bytes or a file"
                )
            body = request.body.chunks()
        return digest_header(
            challenge, self.username, self.password, request.method, split_url(request.url).target,
            cnonce=session.cnonce, count=next(session.counts), body=body,
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return Digest, (self.username, self.password)

    def __repr__(self) -> str:
        return f"Digest({self.username!r}, {HIDDEN!r})"
