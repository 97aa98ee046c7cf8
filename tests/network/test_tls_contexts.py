"""One TLS context for all clients of like settings, made off the event loop, and made again when its files change."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import ssl
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConnectionPoolConfig, HttpClientConfig, HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from http_service_client.transports.network import tls
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.network.tls_contexts import SharedContext
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing, served

PEER = ("api.test", 443)


@pytest.fixture
def ca_file(certificates: Certificates, tmp_path: Path) -> str:
    """A copy of the authority's file, so that no other test shares its context."""
    return str(shutil.copy(certificates.ca_file, tmp_path / "ca.pem"))


def test_clients_of_like_settings_share_one_context(
    ca_file: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is freed with the last of them. Settings that differ make another one."""
    monkeypatch.setattr(tls, "_warned", True)
    first, second = TlsSettings(ca_file=ca_file), TlsSettings(ca_file=Path(ca_file))
    context = first.context_for(PEER)
    assert second.context_for(PEER) is context
    other = {"cert_file": certificates.client_cert, "key_file": certificates.client_key}
    for settings in ({"verify": False}, other, {**other, "key_password": "hush"}):
        assert TlsSettings(ca_file=ca_file, **settings).context_for(PEER) is not context
    alive = weakref.ref(context)
    del context, first
    gc.collect()
    assert alive() is not None
    del second
    gc.collect()
    assert alive() is None


def test_a_relative_path_means_the_directory_in_which_the_client_was_made(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon leaves it, and must not trust the file of that name in another one. Nor do two clients share these."""
    settings: list[TlsSettings] = []
    for name, found in (("mine", certificates), ("strange", Certificates(tmp_path))):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        shutil.copy(found.ca_file, "ca.pem")
        settings.append(TlsSettings(ca_file="ca.pem"))
    contexts = [each.context_for(PEER) for each in settings]
    assert contexts[0].get_ca_certs() != contexts[1].get_ca_certs()
    assert [each.context_for(PEER) for each in settings] == contexts


def test_a_file_that_is_replaced_with_its_time_and_size_is_read_again(tmp_path: Path) -> None:
    """As `rsync --inplace --times` and `cp --preserve` do it."""
    file = tmp_path / "a.pem"
    file.write_text("one")
    shared = SharedContext(lambda: file.read_text(), (str(file),))  # type: ignore[arg-type,return-value]  # any object
    assert shared.get() == "one"
    then = file.stat()
    file.write_text("two")
    os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert shared.get() == "two"


def test_a_class_that_replaces_the_standard_one_is_not_shared(
    ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`truststore.inject_into_ssl()` may come after the first client."""
    before = TlsSettings(ca_file=ca_file)
    before.context_for(PEER)
    injected = ssl.create_default_context()
    monkeypatch.setattr(ssl, "SSLContext", type("Injected", (), {}))
    monkeypatch.setattr(ssl, "create_default_context", lambda **options: injected)
    assert TlsSettings(ca_file=ca_file).context_for(PEER) is injected


def test_blocking_and_asyncio_calls_share_one_context(
    ca_file: str, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one client, of two, and of many threads that need it at once."""
    made: list[Any] = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **its: made.append(its) or create(**its))
    tls_server.script("/", respond(204))
    config = HttpClientConfig(connection_pool=ConnectionPoolConfig(ssl_ca_file=ca_file))

    async def calls(client: HttpServiceClient) -> None:
        async with client:
            await asyncio.gather(*[client.get_async(tls_server.url + "/") for _ in range(4)])

    with HttpServiceClient(config) as client:
        threads = [threading.Thread(target=client.get, args=[tls_server.url + "/"]) for _ in range(4)]
        for thread in threads:
            thread.start()
        asyncio.run(calls(HttpServiceClient(config)))
        for thread in threads:
            thread.join()
    assert len(tls_server.requests) == 8
    assert len(made) == 1


def test_the_event_loop_goes_on_while_a_context_is_made(
    ca_file: str, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes tens of milliseconds, in which no other task of a service would get a turn."""
    goes_on, create = threading.Event(), ssl.create_default_context

    def slowly(**options: Any) -> ssl.SSLContext:
        assert goes_on.wait(10)
        return create(**options)

    monkeypatch.setattr(ssl, "create_default_context", slowly)
    tls_server.script("/", respond(204))

    async def calls() -> int:
        pool = ConnectionPoolConfig(ssl_ca_file=ca_file)
        async with HttpServiceClient(HttpClientConfig(connection_pool=pool)) as client:
            call = asyncio.create_task(client.get_async(tls_server.url + "/"))
            await asyncio.sleep(0.01)
            assert not call.done()
            goes_on.set()
            return (await call).status_code

    assert asyncio.run(calls()) == 204


def test_a_call_that_times_out_while_a_context_is_made_was_never_sent(
    ca_file: str, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt's timeout bounds it, and the context is there for the next call."""
    goes_on, create = threading.Event(), ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **its: (goes_on.wait(10), create(**its))[1])
    tls_server.script("/", respond(204))

    async def calls() -> Any:
        pool = ConnectionPoolConfig(ssl_ca_file=ca_file)
        async with HttpServiceClient(
            HttpClientConfig(connection_pool=pool, enable_retry_policy=False)
        ) as client:
            with pytest.raises(TimeoutError) as caught:
                await client.post_async(tls_server.url + "/", timeout=0.05)
            goes_on.set()
            assert (await client.post_async(tls_server.url + "/")).status_code == 204
            return caught.value

    assert asyncio.run(calls()).sent_state == "never_sent"
    assert len(tls_server.requests) == 1


# Files that change.


class Authority:
    """An authority that issues the client's certificate, and a server that requires it."""

    def __init__(self, certificates: Certificates, folder: Path) -> None:
        self._authority = certificates.authority
        self.cert, self.key = folder / "client.pem", folder / "client.key"
        self.context = certificates.server_context(requests_certificate=True)
        self.names: list[str] = []

    def issue(self, name: str, *, key: bool = True) -> None:
        """Replace the client's files, as a renewal does: by others of the same name."""
        issued = self._authority.issue_cert(name)
        for path, pem in ((self.cert, issued.cert_chain_pems[0]), (self.key, issued.private_key_pem)):
            if path is self.cert or key:
                written = path.with_suffix(".new")
                pem.write_to_path(str(written))
                os.replace(written, path)

    def serve(self, accepted: Any, is_over: threading.Event) -> None:
        """Note the name of the certificate of each connection."""
        self.names.append(accepted.getpeercert()["subjectAltName"][0][1])
        while accepted.recv(65536):
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def pool(self, certificates: Certificates) -> ConnectionPoolConfig:
        return certificates.pool(ssl_cert_file=self.cert, ssl_key_file=self.key)


def test_a_renewed_certificate_is_used_for_new_connections(
    each_path: FrontEnd, certificates: Certificates, tmp_path: Path
) -> None:
    """Without a restart, and without another client."""
    authority = Authority(certificates, tmp_path)
    authority.issue("old.client")
    with served(authority.serve, tls=authority.context) as address:
        client = each_path.client(connection_pool=authority.pool(certificates))
        each_path.request(client, "GET", f"https://{address}/")
        authority.issue("new.client")
        client.drop_idle_connections()
        for _ in range(2):
            each_path.request(client, "GET", f"https://{address}/")
        each_path.close(client)
    assert authority.names == ["old.client", "new.client"]


def test_a_renewed_certificate_does_not_disturb_a_connection_that_is_open(
    front_end: FrontEnd, certificates: Certificates, tmp_path: Path
) -> None:
    """It serves further calls until its time is over."""
    authority = Authority(certificates, tmp_path)
    authority.issue("old.client")
    with served(authority.serve, tls=authority.context) as address:
        client = front_end.client(connection_pool=authority.pool(certificates))
        front_end.request(client, "GET", f"https://{address}/")
        authority.issue("new.client")
        for _ in range(2):
            front_end.request(client, "GET", f"https://{address}/")
        front_end.close(client)
    assert authority.names == ["old.client"]


def test_half_a_renewal_keeps_the_old_certificate_with_one_warning(
    each_path: FrontEnd, certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate is there and its key is not yet; then the file is empty; then both are there."""
    authority = Authority(certificates, tmp_path)
    authority.issue("old.client")

    def connect() -> None:
        client.drop_idle_connections()
        each_path.request(client, "GET", f"https://{address}/")

    with (
        served(authority.serve, tls=authority.context) as address,
        caplog.at_level(logging.WARNING, "http_service_client"),
    ):
        client = each_path.client(connection_pool=authority.pool(certificates))
        connect()
        authority.issue("half.client", key=False)
        connect()
        connect()
        assert [record.message.partition(" ")[0] for record in caplog.records] == ["ssl_cert_file"]
        assert "use the files as they were read before" in caplog.records[0].message
        authority.cert.write_text("")
        connect()
        assert len(caplog.records) == 2
        authority.issue("new.client")
        connect()
        each_path.close(client)
    assert authority.names == ["old.client"] * 4 + ["new.client"]
    assert len(caplog.records) == 2


def test_another_bundle_of_authorities_is_read_again(
    each_path: FrontEnd, tls_server: LoopbackServer, certificates: Certificates, tmp_path: Path
) -> None:
    """An authority that is replaced by another one is trusted no more, and the new one is."""
    stranger, bundle = Certificates(tmp_path), tmp_path / "bundle.pem"
    tls_server.script("/", respond(204))
    shutil.copy(stranger.ca_file, bundle)
    client = each_path.client(connection_pool=ConnectionPoolConfig(ssl_ca_file=bundle))
    assert failing(each_path, client, "GET", tls_server.url + "/").type == "TlsVerificationError"
    shutil.copy(certificates.ca_file, bundle)
    assert each_path.request(client, "GET", tls_server.url + "/").status_code == 204
    bundle.unlink()  # between two steps of a renewal
    client.drop_idle_connections()
    assert each_path.request(client, "GET", tls_server.url + "/").status_code == 204


def test_files_are_looked_at_for_new_connections_only(
    front_end: FrontEnd, tls_server: LoopbackServer, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call on a connection that is open costs no look at the disk."""
    looked_at: list[Any] = []
    stat = os.stat
    monkeypatch.setattr(
        "http_service_client.transports.network.tls_contexts.os.stat",
        lambda path, **options: looked_at.append(path) or stat(path, **options),
    )
    tls_server.script("/", respond(204))
    client = front_end.client(connection_pool=ConnectionPoolConfig(ssl_ca_file=ca_file))
    front_end.request(client, "GET", tls_server.url + "/")
    before = looked_at.count(ca_file)
    for _ in range(3):
        front_end.request(client, "GET", tls_server.url + "/")
    assert looked_at.count(ca_file) == before
    client.drop_idle_connections()
    front_end.request(client, "GET", tls_server.url + "/")
    assert looked_at.count(ca_file) == before + 1


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """The process can open no file and no socket."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("authority", ["of the system", "of the settings"])
def test_a_lack_of_descriptors_passes(
    front_end: FrontEnd,
    tls_server: LoopbackServer,
    server: LoopbackServer,
    ca_file: str,
    authority: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenSSL ignores that it could not open the system's file: a context of that moment would trust nobody, for ever."""
    pool = ConnectionPoolConfig(ssl_ca_file=ca_file)
    if authority == "of the system":
        monkeypatch.setenv("SSL_CERT_FILE", ca_file)
        monkeypatch.setenv("SSL_CERT_DIR", str(Path(ca_file).parent / "none"))
        pool = ConnectionPoolConfig()
    for each in (server, tls_server):
        each.script("/", respond(204))
    client = front_end.client(connection_pool=pool, enable_circuit_breaker=False)
    front_end.request(client, "GET", server.url + "/")  # the event loop has descriptors, too
    with no_descriptor_left():
        caught = failing(front_end, client, "GET", tls_server.url + "/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")
    assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204


def test_a_renewal_that_found_no_descriptor_is_read_by_the_next_connection(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not only when the files change once more, which may be after they have expired."""
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    for file, source in ((cert, certificates.client_cert), (key, certificates.client_key)):
        shutil.copy(source, file)
    settings = TlsSettings(cert_file=cert, key_file=key, ca_file=certificates.ca_file)
    old = settings.context_for(PEER)
    cert.write_bytes(cert.read_bytes() + b"\n")
    with no_descriptor_left():
        assert settings.context_for(PEER) is old
    assert settings.context_for(PEER) is not old
    assert caplog.records == []
