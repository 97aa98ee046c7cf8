"""TLS sessions that later connections resume, and the rules that keep a resumed connection as safe as a verified one."""

from __future__ import annotations

import dataclasses
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from http_service_client.transports.network import tls, tls_sessions
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.network.tls_sessions import resumption_for
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd
from network.faults import Certificates, failing, served
from network.proxy_server import running_proxy
from network.tls_resumption import PEER, Resumptions

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


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
