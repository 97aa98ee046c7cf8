"""TLS sessions that later connections resume, and the rules that keep a resumed connection as safe as a verified one."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from http_service_client.transports.network import tls, tls_sessions
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.network.tls_sessions import resumption_for
from kit.forks import in_a_child, needs_fork
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from network.faults import Certificates, failing, served
from network.proxy_server import running_proxy

PEER = ("api.test", 443)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Resumptions:
    """A TLS server that notes whether each connection resumed a session, and whether the client had a certificate."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.reused: list[bool] = []
        self.names: list[str | None] = []

    def serve(self, accepted: Any, is_over: threading.Event) -> None:
        self.reused.append(accepted.session_reused)
        peer = accepted.getpeercert()
        self.names.append(peer["subjectAltName"][0][1] if peer else None)
        while accepted.recv(65536):
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Handshakes(ssl.SSLContext):
    """What a server does its handshakes with.   before: is called before each."""

    _resumptions: Resumptions
    _before: Callable[[], object]

    def __new__(cls, resumptions: Resumptions, before: Callable[[], object]) -> Handshakes:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._resumptions, context._before = resumptions, before
        return context

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        self._before()
        return self._resumptions.context.wrap_socket(*arguments, **options)


@pytest.fixture
def ca_file(certificates: Certificates, tmp_path: Path) -> str:
    """A copy of the authority's file, so that no other test shares its context."""
    return str(shutil.copy(certificates.ca_file, tmp_path / "ca.pem"))


@pytest.fixture
def pool(ca_file: str) -> ConnectionPoolConfig:
    """The settings of a client that trusts the authority."""
    return ConnectionPoolConfig(ssl_ca_file=ca_file)


@pytest.fixture(params=VERSIONS, ids=lambda version: str(version.name))
def resumptions(request: pytest.FixtureRequest, certificates: Certificates) -> Resumptions:
    """A server for each version of TLS."""
    context = certificates.server_context()
    context.maximum_version = request.param
    return Resumptions(context)


def connect(front_end: FrontEnd, client: HttpServiceClient, address: str, times: int = 1) -> None:
    """Make this many calls, each over a new connection."""
    for _ in range(times):
        client.drop_idle_connections()
        assert front_end.request(client, "GET", f"https://{address}/").text == "ok"


def test_a_session_is_resumed_from_the_third_connection_on(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig
) -> None:
    """The second connection shows that there are several: most clients have one for hours, and taking a session costs time."""
    with served(resumptions.serve, tls=resumptions.context) as address:
        connect(front_end, front_end.client(connection_pool=pool), address, times=5)
    assert resumptions.reused == [False, False, True, True, True]


def test_blocking_and_asyncio_calls_share_sessions(
    resumptions: Resumptions, pool: ConnectionPoolConfig, both: list[FrontEnd]
) -> None:
    """They share the context."""
    with served(resumptions.serve, tls=resumptions.context) as address:
        clients = [each.client(connection_pool=pool) for each in both]
        for _ in range(2):
            for front_end, client in zip(both, clients, strict=True):
                connect(front_end, client, address)
    assert resumptions.reused == [False, False, True, True]


@pytest.fixture
def both() -> Iterator[list[FrontEnd]]:
    with BlockingFrontEnd() as blocking, AsyncioFrontEnd() as asyncio:
        yield [blocking, asyncio]


def test_a_session_is_not_used_for_another_name(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig, certificates: Certificates
) -> None:
    """OpenSSL would resume it, and not look at the name: the certificate of this server is not one for the other name."""
    certificates.authority.issue_cert("127.0.0.1").configure_cert(resumptions.context)
    with served(resumptions.serve, tls=resumptions.context) as address:
        client = front_end.client(connection_pool=pool)
        connect(front_end, client, address, times=2)
        other = address.replace("127.0.0.1", "localhost")
        caught = failing(front_end, client, "GET", f"https://{other}/")
        connect(front_end, client, address)
    assert caught.type == "TlsVerificationError"
    assert resumptions.reused[-1]


def test_a_session_is_not_used_for_another_port(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig
) -> None:
    """It is another server."""
    with (
        served(resumptions.serve, tls=resumptions.context) as one,
        served(resumptions.serve, tls=resumptions.context) as other,
    ):
        client = front_end.client(connection_pool=pool)
        connect(front_end, client, one, times=2)
        connect(front_end, client, other)
    assert not any(resumptions.reused)


def test_a_session_is_not_used_over_another_route(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig
) -> None:
    """Whoever answers behind the proxy is verified once more; from then on, sessions are resumed there, too."""
    with (
        served(resumptions.serve, tls=resumptions.context) as address,
        running_proxy() as proxy,
    ):
        direct = front_end.client(connection_pool=pool)
        connect(front_end, direct, address, times=3)
        through = front_end.client(connection_pool=pool, proxy=f"http://{proxy.address}")
        connect(front_end, through, address, times=3)
    assert resumptions.reused == [False, False, True] * 2


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")
def test_a_session_is_not_used_over_a_unix_socket(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig, tmp_path: Path
) -> None:
    """Whoever listens there is verified, though the URL is the same."""
    with (
        served(resumptions.serve, tls=resumptions.context) as address,
        served(resumptions.serve, tls=resumptions.context, path=tmp_path / "socket") as path,
    ):
        connect(front_end, front_end.client(connection_pool=pool), address, times=3)
        local = front_end.client(connection_pool=dataclasses.replace(pool, uds=path))
        connect(front_end, local, address, times=3)
    assert resumptions.reused == [False, False, True] * 2


def test_clients_that_trust_other_authorities_share_no_session(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig, tmp_path: Path
) -> None:
    """A client that does not trust the server refuses it, whatever sessions another one has."""
    (tmp_path / "stranger").mkdir()
    stranger = Certificates(tmp_path / "stranger")
    with served(resumptions.serve, tls=resumptions.context) as address:
        connect(front_end, front_end.client(connection_pool=pool), address, times=2)
        caught = failing(
            front_end, front_end.client(connection_pool=stranger.pool()), "GET", f"https://{address}/"
        )
    assert caught.type == "TlsVerificationError"


def test_a_session_of_an_unverified_connection_proves_nothing_to_a_verifying_client(
    front_end: FrontEnd,
    resumptions: Resumptions,
    ca_file: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`ssl_verify=False` has sessions of its own."""
    monkeypatch.setattr(tls, "_warned", True)
    (tmp_path / "stranger").mkdir()
    stranger = Certificates(tmp_path / "stranger")
    stranger.authority.issue_cert("127.0.0.1").configure_cert(resumptions.context)
    with served(resumptions.serve, tls=resumptions.context) as address:
        careless = ConnectionPoolConfig(ssl_ca_file=ca_file, ssl_verify=False)
        connect(front_end, front_end.client(connection_pool=careless), address, times=3)
        careful = front_end.client(connection_pool=ConnectionPoolConfig(ssl_ca_file=ca_file))
        caught = failing(front_end, careful, "GET", f"https://{address}/")
    assert resumptions.reused[:3] == [False, False, True]
    assert caught.type == "TlsVerificationError"


def test_a_renewed_client_certificate_is_not_hidden_by_a_session(
    front_end: FrontEnd, certificates: Certificates, ca_file: str, tmp_path: Path
) -> None:
    """A resumed connection would show the old one."""
    cert, key = str(tmp_path / "client.pem"), str(tmp_path / "client.key")
    resumptions = Resumptions(certificates.server_context(requests_certificate=True))

    def issue(name: str) -> None:
        issued = certificates.authority.issue_cert(name)
        issued.cert_chain_pems[0].write_to_path(cert)
        issued.private_key_pem.write_to_path(key)

    issue("old.client")
    own = ConnectionPoolConfig(ssl_ca_file=ca_file, ssl_cert_file=cert, ssl_key_file=key)
    with served(resumptions.serve, tls=resumptions.context) as address:
        client = front_end.client(connection_pool=own)
        connect(front_end, client, address, times=3)
        issue("new.client")
        connect(front_end, client, address, times=3)
    assert resumptions.names == ["old.client"] * 3 + ["new.client"] * 3
    assert resumptions.reused == [False, False, True] * 2


def test_a_certificate_is_verified_again_after_ten_minutes(
    front_end: FrontEnd,
    resumptions: Resumptions,
    pool: ConnectionPoolConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They count from the handshake that verified it, though its session was resumed since, and that one again."""
    now = 1000.0
    monkeypatch.setattr(tls_sessions, "monotonic", lambda: now)
    with served(resumptions.serve, tls=resumptions.context) as address:
        client = front_end.client(connection_pool=pool)
        connect(front_end, client, address, times=2)
        for _ in range(4):
            now += 200.0
            connect(front_end, client, address)
    assert resumptions.reused == [False, False, True, True, True, False]


def test_a_server_that_does_not_accept_the_session_is_verified(
    front_end: FrontEnd, certificates: Certificates, resumptions: Resumptions, pool: ConnectionPoolConfig
) -> None:
    """Another machine behind a load balancer, say: the call succeeds after a full handshake."""

    def replace_keys() -> None:
        resumptions.context = certificates.server_context()
        resumptions.context.maximum_version = version

    version = resumptions.context.maximum_version
    with served(resumptions.serve, tls=Handshakes(resumptions, replace_keys)) as address:
        connect(front_end, front_end.client(connection_pool=pool), address, times=5)
    assert resumptions.reused == [False] * 5


def test_a_session_that_may_have_failed_a_handshake_is_not_tried_again(
    front_end: FrontEnd, resumptions: Resumptions, pool: ConnectionPoolConfig
) -> None:
    """The retry makes a full handshake."""
    failures = ["once"]

    def fail_the_third() -> None:
        if len(resumptions.reused) == 2 and failures:
            raise OSError(failures.pop())

    with served(resumptions.serve, tls=Handshakes(resumptions, fail_the_third)) as address:
        client = front_end.client(connection_pool=pool)
        connect(front_end, client, address, times=3)
    assert not failures
    assert resumptions.reused == [False] * 3


def test_a_context_of_the_users_own_resumes_nothing(
    front_end: FrontEnd, resumptions: Resumptions, ca_file: str
) -> None:
    """Its owner may load another certificate into it, or verify in another way: a resumed connection would not notice."""
    own = ConnectionPoolConfig(ssl_context=ssl.create_default_context(cafile=ca_file))
    with served(resumptions.serve, tls=resumptions.context) as address:
        connect(front_end, front_end.client(connection_pool=own), address, times=3)
    assert resumptions.reused == [False] * 3


def test_a_context_whose_class_knows_no_sessions_can_be_used(
    tls_server: LoopbackServer, ca_file: str
) -> None:
    """A class of the user's own may take the arguments that it needs, and no more."""

    class Plain(ssl.SSLContext):
        def wrap_socket(  # type: ignore[override]  # as users write it
            self, sock: socket.socket, server_hostname: str, suppress_ragged_eofs: bool
        ) -> ssl.SSLSocket:
            return super().wrap_socket(sock, server_hostname=server_hostname)

    context = Plain(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca_file)
    tls_server.script("/", respond(204))
    with BlockingFrontEnd() as front_end:
        client = front_end.client(connection_pool=ConnectionPoolConfig(ssl_context=context))
        assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204


def test_a_context_that_verifies_by_itself_resumes_nothing(
    ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`truststore.inject_into_ssl()` looks at the chain of certificates after the handshake; a resumed one has none."""

    class Injected(ssl.SSLContext):
        pass

    monkeypatch.setattr(ssl, "create_default_context", lambda **options: Injected(ssl.PROTOCOL_TLS_CLIENT))
    context = TlsSettings(ca_file=ca_file).context_for(PEER)
    assert isinstance(context, Injected)
    assert resumption_for(context, PEER) is None


# The store of one context.


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


def known(context: ssl.SSLContext, peer: Any = PEER) -> Any:
    """A connection to a peer that is not the first one."""
    for _ in range(2):
        found = resumption_for(context, peer)
    return found


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


def test_sessions_are_resumed_on_uvloop(
    resumptions: Resumptions, certificates: Certificates, ca_file: str
) -> None:
    """It does its own TLS, with the same objects."""
    uvloop = pytest.importorskip("uvloop")

    async def calls(url: str) -> None:
        async with HttpServiceClient(
            HttpClientConfig(connection_pool=ConnectionPoolConfig(ssl_ca_file=ca_file))
        ) as client:
            for _ in range(3):
                client.drop_idle_connections()
                await client.get_async(url)

    with served(resumptions.serve, tls=resumptions.context) as address:
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(calls(f"https://{address}/"))
        finally:
            loop.close()
    assert resumptions.reused == [False, False, True]


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
