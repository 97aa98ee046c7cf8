"""Sessions of TLS that later connections resume: without certificates, and over TLS 1.2 in one round trip less.

**A resumed connection verifies nothing.** Neither the certificate of the server nor its name is looked at again: OpenSSL
would resume a session of one host with another. So a session is used for

    the context of its handshake         the same authorities, and the same certificate of the client. A context that is made
                                         again, because its files have changed, has no sessions
    the same host, port and route        a proxy, or a Unix socket, may lead elsewhere
    ten minutes at most                  after the handshake that verified the certificate. What was resumed of it, and
                                         resumed again, counts from there, too

and not in a forked child. A context that is not ours has no sessions: its owner may change it at any time, and a resumed
connection would not notice; or it verifies by itself, as `truststore` does, what a resumed connection does not have. A
server that does not accept a session makes a full handshake instead.

A ticket of TLS 1.3 is used once (RFC 8446, C.4), so that nobody on the way can tell that two connections have the same
client. It comes after the handshake: it is taken once the head of a response has arrived. Over TLS 1.2, one session
serves many connections.

CPython copies a session when it is read, and again when it is set, each for as much CPU time as a fifth of a handshake.
So a session is taken only where another connection to the same peer was made less than ten minutes before. Most clients
need one in hours, and one that calls every quarter of an hour would never resume what it has kept.
"""

from __future__ import annotations

import math
import ssl
from collections import OrderedDict, deque
from collections.abc import Hashable
from contextvars import ContextVar
from time import monotonic
from typing import Any

from ...drivers.forks import reset_in_forked_children
from ...drivers.locks import ForkSafeLock
from .tls_errors import DeferringObject

__all__ = ["RESUMPTION", "Resumption", "keep_sessions", "resumption_for"]

_LONGEST = 600.0  # seconds
_PEERS = 256
_TICKETS = 4  # for each peer
_SESSIONS = (
    "_http_service_client_sessions"  # an attribute of a context: its sessions refer to it, and end with it
)

RESUMPTION: ContextVar[Resumption | None] = ContextVar("http_service_client.resumption", default=None)
"""Of the connection that this task makes: asyncio passes no session on."""


def keep_sessions(context: ssl.SSLContext) -> None:
    """Let connections of this context, which is not changed any more, resume sessions."""
    if type(context).__module__ != "ssl":  # `truststore.inject_into_ssl` has replaced the class
        return
    setattr(context, _SESSIONS, _Sessions())
    context.sslobject_class = _ResumingObject


def resumption_for(context: ssl.SSLContext, peer: Hashable) -> Resumption | None:
    """What a new connection to this peer may resume; None for a context without sessions.

    peer: host, port and route.
    """
    sessions: _Sessions | None = getattr(context, _SESSIONS, None)
    return None if sessions is None else Resumption(sessions, sessions.peer(peer))


class Resumption:
    """One new connection, and the sessions of its peer."""

    __slots__ = ("_peer", "_sessions", "_tls", "_verified_at")

    def __init__(self, sessions: _Sessions, peer: _Peer) -> None:
        self._sessions = sessions
        self._peer = peer
        self._verified_at = 0.0
        self._tls: Any = None

    def take(self) -> ssl.SSLSession | None:
        """The session to resume, at the beginning of the handshake; None for a full one."""
        session, self._verified_at = self._sessions.take(self._peer)
        return session

    def begin(self, tls: ssl.SSLObject) -> None:
        """Begin the handshake of this object."""
        self._tls = tls
        session = self.take()
        if session is not None:
            tls.session = session

    def failed(self) -> None:
        """The handshake failed: do not try with the same sessions again, which may be the reason."""
        self._sessions.forget(self._peer)

    def keep(self, tls: ssl.SSLSocket | None = None) -> None:
        """Keep the session of the connection for the next one: the head of a response has arrived."""
        of: ssl.SSLSocket | ssl.SSLObject | None = tls or self._tls
        self._tls = None
        if of is None:
            return
        is_resumed = of.session_reused
        if self._verified_at and not is_resumed:
            self._sessions.forget(self._peer)  # the server has new keys
        if not self._sessions.wants_more(self._peer):
            return
        is_single_use = of.version() == "TLSv1.3"
        if is_resumed and not is_single_use:
            return
        session = of.session
        if session is None or not (session.has_ticket or (session.id and not is_single_use)):
            return
        verified_at = self._verified_at if is_resumed else monotonic()
        self._sessions.add(self._peer, _Kept(session, verified_at, is_single_use))


class _ResumingObject(DeferringObject):
    """What asyncio does a handshake with, made to resume a session."""

    _has_begun = False

    def do_handshake(self) -> None:
        """As `SSLObject.do_handshake`, which is called until all of it has arrived."""
        if not self._has_begun:
            self._has_begun = True
            resumption = RESUMPTION.get()
            if resumption is not None:
                resumption.begin(self)
        super().do_handshake()


class _Kept:
    __slots__ = ("is_single_use", "session", "verified_at")

    def __init__(self, session: ssl.SSLSession, verified_at: float, is_single_use: bool) -> None:
        self.session = session
        self.verified_at = verified_at
        self.is_single_use = is_single_use


class _Peer:
    """connected_at: when a connection was made last.   is_frequent: when there was another one not long before.
    kept: their sessions, the newest last.
    """

    __slots__ = ("connected_at", "is_frequent", "kept")

    def __init__(self) -> None:
        self.connected_at = -math.inf
        self.is_frequent = False
        self.kept: deque[_Kept] = deque(maxlen=_TICKETS)


class _Sessions:
    """Of one context. Threads share them, for a moment at each new connection."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._peers: OrderedDict[Hashable, _Peer] = OrderedDict()
        reset_in_forked_children(self)

    def peer(self, key: Hashable) -> _Peer:
        """The peer, one of whose connections is being made. Of too many, the least recently used one is forgotten."""
        with self._lock:
            peer = self._peers.get(key)
            if peer is None:
                peer = self._peers[key] = _Peer()
                if len(self._peers) > _PEERS:
                    self._peers.popitem(last=False)
            else:
                self._peers.move_to_end(key)
            now = monotonic()
            peer.is_frequent = now - peer.connected_at <= _LONGEST
            peer.connected_at = now
            return peer

    def take(self, peer: _Peer) -> tuple[ssl.SSLSession | None, float]:
        """The newest session that may be used, and when its certificate was verified."""
        with self._lock:
            kept = peer.kept
            while kept:
                newest = kept[-1]
                is_fresh = monotonic() - newest.verified_at <= _LONGEST
                if newest.is_single_use or not is_fresh:
                    kept.pop()
                if is_fresh:
                    return newest.session, newest.verified_at
            return None, 0.0

    def wants_more(self, peer: _Peer) -> bool:
        """Whether another session of this peer would be kept."""
        return peer.is_frequent and len(peer.kept) < _TICKETS

    def add(self, peer: _Peer, kept: _Kept) -> None:
        """Keep a session."""
        with self._lock:
            peer.kept.append(kept)

    def forget(self, peer: _Peer) -> None:
        """Drop the sessions of one peer."""
        with self._lock:
            peer.kept.clear()

    def _reset_after_fork(self) -> None:
        self._peers = OrderedDict()  # two processes must not use the same ticket
