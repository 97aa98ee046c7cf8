"""The TLS sessions that one context keeps: how many, for how long, and when they are dropped."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import weakref
from typing import Any

import pytest

from http_service_client.transports.network import tls_sessions
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.network.tls_sessions import resumption_for
from kit.forks import in_a_child, needs_fork
from network.faults import Certificates, served
from network.tls_resumption import PEER, Resumptions, known


class Connected:
    """A connection whose first response has arrived, as far as its session is concerned."""

    def __init__(
        self, session: Any = "a new one", version: str = "TLSv1.3", session_reused: bool = False
    ) -> None:
        self.session = Session() if session == "a new one" else session
        self.session_reused = session_reused
        self._version = version

    def version(self) -> str:
        return self._version


class Session:
    def __init__(self, has_ticket: bool = True, id: bytes = b"id") -> None:
        self.has_ticket, self.id = has_ticket, id


@pytest.fixture
def context(ca_file: str) -> ssl.SSLContext:
    """A context of ours."""
    return TlsSettings(ca_file=ca_file).context_for(PEER)


def test_a_session_that_would_be_too_old_for_the_next_connection_is_not_taken(
    context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taking it costs a fifth of a handshake, which a client that calls once in a quarter of an hour would pay for nothing."""
    now = 0.0
    monkeypatch.setattr(tls_sessions, "monotonic", lambda: now)
    for seconds, is_kept in ((0.0, False), (900.0, False), (600.5, False), (600.0, True), (500.0, True)):
        now += seconds
        resumption: Any = resumption_for(context, PEER)
        resumption.keep(Connected())
        assert bool(resumption.take()) == is_kept


def test_a_ticket_of_tls_1_3_is_used_once(context: ssl.SSLContext) -> None:
    """RFC 8446, C.4. The newest one is used first."""
    tickets: Any = [Session(), Session()]
    for ticket in tickets:
        known(context).keep(Connected(ticket))
    assert [known(context).take() for _ in range(3)] == [*reversed(tickets), None]


def test_a_session_of_tls_1_2_serves_many_connections(context: ssl.SSLContext) -> None:
    """It is taken from the connection that made it, not from those that resumed it."""
    session: Any = Session(has_ticket=False)
    known(context).keep(Connected(session, "TLSv1.2"))
    known(context).keep(Connected(version="TLSv1.2", session_reused=True))
    assert [known(context).take() for _ in range(3)] == [session] * 3


def test_sessions_that_the_server_does_not_accept_are_dropped(context: ssl.SSLContext) -> None:
    """It has new keys: the others would not be accepted either."""
    for _ in range(4):
        known(context).keep(Connected(version="TLSv1.2"))
    refused, newest = known(context), Session()
    assert refused.take()
    refused.keep(Connected(newest))
    assert [known(context).take(), known(context).take()] == [newest, None]


def test_a_connection_that_had_nothing_to_resume_does_not_drop_sessions(context: ssl.SSLContext) -> None:
    """Its full handshake says nothing about those that others have kept meanwhile."""
    without, kept, newest = known(context), Session(), Session()
    assert without.take() is None
    known(context).keep(Connected(kept))
    without.keep(Connected(newest))
    assert [known(context).take() for _ in range(3)] == [newest, kept, None]


@pytest.mark.parametrize(
    "connected",
    [
        Connected(Session(has_ticket=False)),
        Connected(Session(False, b""), "TLSv1.2"),
        Connected(None),
        Connected(None, "TLSv1.2"),
    ],
    ids=["TLSv1.3 without a ticket", "TLSv1.2 with neither ticket nor id", "TLSv1.3 none", "TLSv1.2 none"],
)
def test_a_session_that_no_server_would_resume_is_not_kept(context: ssl.SSLContext, connected: Any) -> None:
    """Some servers issue none."""
    known(context).keep(connected)
    assert known(context).take() is None


def test_a_session_for_which_there_is_no_room_is_not_copied(context: ssl.SSLContext) -> None:
    """To read it from a connection copies it."""
    copied: list[Session] = []

    class Copying(Connected):
        @property
        def session(self) -> Session:
            copied.append(self._session)
            return self._session

        @session.setter
        def session(self, session: Session) -> None:
            self._session = session

    made: list[Any] = [Copying() for _ in range(6)]
    for connected in made:
        known(context).keep(connected)
    assert copied == [connected._session for connected in made[:4]]


def test_the_number_of_sessions_is_bounded(context: ssl.SSLContext) -> None:
    """Per peer, and of peers: the peer that was connected to least recently is forgotten."""
    for _ in range(20):
        known(context).keep(Connected())
    for number in range(300):
        known(context, number).keep(Connected())
    taken = [known(context, number).take() for number in range(299, 40, -1)]
    assert sum(ticket is not None for ticket in taken) == 256
    assert known(context).take() is None
    for _ in range(20):
        known(context, 1).keep(Connected())
    assert sum(known(context, 1).take() is not None for _ in range(20)) == 4


def test_a_peer_that_is_connected_to_again_is_not_forgotten_first(context: ssl.SSLContext) -> None:
    """The sessions of 256 peers are kept: here those of all but the second one."""
    for number in range(256):
        known(context, number).keep(Connected())
    known(context, 0)
    known(context, 256)
    assert [known(context, number).take() is None for number in (2, 0, 1)] == [False, False, True]


def test_a_connection_gives_its_session_once(context: ssl.SSLContext) -> None:
    """After its first response. One that never began a handshake has none to give."""
    resumption = known(context)
    resumption.keep()
    resumption.begin(Connected())
    resumption.keep()
    resumption.keep()
    assert [known(context).take() is None for _ in range(2)] == [False, True]


@needs_fork
def test_a_forked_child_starts_without_sessions(context: ssl.SSLContext) -> None:
    """Parent and child would use the same ticket."""
    known(context).keep(Connected())

    def child() -> None:
        assert known(context).take() is None

    assert in_a_child(child) == 0
    assert known(context).take() is not None


def test_a_context_is_freed_with_its_sessions(certificates: Certificates, ca_file: str) -> None:
    """A session refers to its context, and the context to its sessions."""
    context = TlsSettings(ca_file=ca_file).context_for(PEER)
    resumptions = Resumptions(certificates.server_context())
    with served(resumptions.serve, tls=resumptions.context) as address:
        host, _, port = address.partition(":")
        with context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host) as sock:
            sock.sendall(b"x")
            assert sock.recv(100)
            known(context).keep(sock)
    assert isinstance(known(context)._peer.kept[0].session, ssl.SSLSession)
    alive = weakref.ref(context)
    del context, sock
    gc.collect()
    assert alive() is None


def test_threads_never_get_the_same_ticket(context: ssl.SSLContext) -> None:
    """Each ticket is handed out once, whatever threads take at the same time."""
    taken: list[Any] = []

    def work() -> None:
        for _ in range(500):
            resumption = known(context)
            resumption.keep(Connected())
            ticket = resumption.take()
            if ticket is not None:
                taken.append(ticket)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(ticket) for ticket in taken}) == len(taken) > 0
