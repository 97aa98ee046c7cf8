"""TLS: how servers are verified, the client's certificate, and the same errors in both transports."""

from __future__ import annotations

import random
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from http_service_client import ConfigurationError, ConnectionPoolConfig
from http_service_client.testing import LoopbackServer, hang_up, reset, respond
from http_service_client.testing.actions import Action
from http_service_client.transports.network import tls
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing, served


def test_our_own_authority_is_trusted(
    front_end: FrontEnd, tls_server: LoopbackServer, certificates: Certificates
) -> None:
    """`ssl_ca_file` names whom to trust."""
    tls_server.script("/", respond(204))
    client = front_end.client(connection_pool=certificates.pool())
    for _ in range(2):
        assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204
    assert tls_server.connection_count == 1


@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_of_any_number_of_records_are_whole(
    front_end: FrontEnd,
    tls_server: LoopbackServer,
    certificates: Certificates,
    tmp_path: Path,
    is_chunked: bool,
) -> None:
    """In memory, as a stream and as a file; then the connection serves another call."""
    client = front_end.client(connection_pool=certificates.pool())
    for size in (1, 1023, 16384, 16385, 300_000, 1_000_000):
        content = random.Random(size).randbytes(size)
        tls_server.script(f"/{size}", respond(body=content, chunked=is_chunked))
        url = f"{tls_server.url}/{size}"
        assert front_end.request(client, "GET", url).content == content
        with front_end.stream(client, "GET", url) as response:
            assert b"".join(response.iter_bytes()) == content
        front_end.download(client, url, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == content
    assert tls_server.connection_count == 1


@pytest.mark.parametrize("end", [hang_up, reset])
@pytest.mark.parametrize("size", [1000, 16384, 100_000])
def test_a_body_that_is_cut_short_is_an_error(
    front_end: FrontEnd,
    tls_server: LoopbackServer,
    certificates: Certificates,
    end: Callable[[bytes], Action],
    size: int,
) -> None:
    """Also where its last record and the end arrive together."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n"
    tls_server.script("/", end(head + bytes(size)))
    failing(front_end, front_end.client(connection_pool=certificates.pool()), "POST", tls_server.url + "/")


@pytest.mark.skipif(ssl.OPENSSL_VERSION_INFO < (3,), reason="OpenSSL 1 reports no reset")
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n\r\nhalf"], ids=["no response", "half of one"])
def test_a_reset_is_reported_as_without_tls(
    each_path: FrontEnd,
    server: LoopbackServer,
    tls_server: LoopbackServer,
    certificates: Certificates,
    begun: bytes,
) -> None:
    """The message has the same reason, whatever OpenSSL calls it."""
    client = each_path.client(connection_pool=certificates.pool())
    for each in (server, tls_server):
        each.script("/", reset(begun))
        caught = failing(each_path, client, "GET", each.url + "/")
        assert caught.message == (
            f"the connection to {each.url}/ was lost (ConnectionResetError: Connection reset by peer)"
        )


def test_an_unknown_authority_is_refused(front_end: FrontEnd, tls_server: LoopbackServer) -> None:
    """A certificate of an authority that is not trusted ends the call before anything is sent."""
    client = front_end.client()
    caught = failing(front_end, client, "POST", tls_server.url + "/")
    assert (caught.type, caught.sent, caught.cause) == (
        "TlsVerificationError", "never_sent", "SSLCertVerificationError",
    )  # fmt: skip
    assert caught.message == (
        f"the certificate of {tls_server.url} could not be verified: unable to get local issuer certificate; "
        "if a private authority issued it, set ssl_ca_file"
    )
    assert not tls_server.requests


def test_a_certificate_for_another_name_is_refused(front_end: FrontEnd, certificates: Certificates) -> None:
    """The certificate is valid, but for another host."""
    with LoopbackServer(tls=certificates.server_context("other.test")) as server:
        caught = failing(
            front_end, front_end.client(connection_pool=certificates.pool()), "GET", server.url + "/"
        )
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")
    assert caught.message == (
        f"the certificate of {server.url} could not be verified: "
        "IP address mismatch, certificate is not valid for '127.0.0.1'."
    )


def test_a_certificate_that_has_the_host_as_its_common_name_alone_is_refused(
    each_path: FrontEnd, certificates: Certificates
) -> None:
    """The common name is no host (RFC 9110, 4.3.4): an authority may have verified nothing of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.authority.issue_cert(common_name="localhost").configure_cert(context)
    with LoopbackServer(tls=context) as server:
        client = each_path.client(connection_pool=certificates.pool())
        caught = failing(each_path, client, "GET", server.url.replace("127.0.0.1", "localhost") + "/")
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


def test_verification_off_warns_once(
    front_end: FrontEnd, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ssl_verify=False` accepts any certificate, and warns once a process."""
    monkeypatch.setattr(tls, "_warned", False)
    tls_server.script("/", respond(204))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            client = front_end.client(connection_pool=ConnectionPoolConfig(ssl_verify=False))
            assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204
    messages = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
    assert len([message for message in messages if message.startswith("ssl_verify=False")]) == 1


def test_a_process_has_not_warned_yet() -> None:
    """The first client of a process that does not verify certificates is the one that warns."""
    program = (
        "from http_service_client.transports.network import tls; tls.warn_unverified(); tls.warn_unverified()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stderr.count("RuntimeWarning: ssl_verify=False") == 1


@pytest.mark.parametrize("kind", [str, Path])
def test_the_client_certificate_is_sent_to_a_server_that_requests_it(
    front_end: FrontEnd, certificates: Certificates, kind: type[Any]
) -> None:
    """Mutual TLS; the files are given as text or as paths."""
    own = ConnectionPoolConfig(
        ssl_ca_file=kind(certificates.ca_file),
        ssl_cert_file=kind(certificates.client_cert),
        ssl_key_file=kind(certificates.client_key),
    )
    with LoopbackServer(tls=certificates.server_context(requests_certificate=True)) as server:
        server.script("/", respond(204))
        assert (
            front_end.request(front_end.client(connection_pool=own), "GET", server.url + "/").status_code
            == 204
        )


def encrypted(certificates: Certificates, folder: Path) -> dict[str, Any]:
    """The client's certificate, its key encrypted with the pass phrase `hush`."""
    key = serialization.load_pem_private_key(Path(certificates.client_key).read_bytes(), None)
    file = folder / "encrypted.key"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"hush"),
        )
    )
    return {"ssl_cert_file": certificates.client_cert, "ssl_key_file": str(file)}


def test_an_encrypted_key_is_read_with_its_pass_phrase(
    front_end: FrontEnd, certificates: Certificates, tmp_path: Path
) -> None:
    """`ssl_key_password`."""
    own = certificates.pool(**encrypted(certificates, tmp_path), ssl_key_password="hush")
    with LoopbackServer(tls=certificates.server_context(requests_certificate=True)) as server:
        server.script("/", respond(204))
        client = front_end.client(connection_pool=own)
        assert front_end.request(client, "GET", server.url + "/").status_code == 204


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"the key in '.*encrypted\.key' is encrypted; set ssl_key_password"),
        (
            {"ssl_key_password": "other"},
            r"ssl_key_password is not the pass phrase of the key in '.*encrypted\.key'",
        ),
    ],
    ids=["missing", "wrong"],
)
def test_nobody_is_asked_for_a_pass_phrase(
    front_end: FrontEnd, certificates: Certificates, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    """OpenSSL would ask at the terminal, and wait for the reply without end."""
    pool = certificates.pool(**encrypted(certificates, tmp_path), **settings)
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        front_end.request(front_end.client(connection_pool=pool), "GET", "https://127.0.0.1:1/")


def test_the_client_certificate_is_shown_to_its_hosts_only(
    front_end: FrontEnd, certificates: Certificates
) -> None:
    """Another host, which a redirect chose, does not learn who the client is."""
    context = certificates.server_context()
    certificates.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    seen: list[bool] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        assert isinstance(accepted, ssl.SSLSocket)
        seen.append(bool(accepted.getpeercert()))
        if b"/start" in accepted.recv(65536):
            head = f"302 Found\r\nLocation: https://localhost:{accepted.getsockname()[1]}/there"
        else:
            head = "204 No Content"
        accepted.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    with served(serve, tls=context) as address:
        for hosts, expected in ((["127.0.0.1"], [True, False]), (None, [True, True])):
            pool = certificates.pool(
                ssl_cert_file=certificates.client_cert,
                ssl_key_file=certificates.client_key,
                ssl_cert_hosts=hosts,
            )
            client = front_end.client(connection_pool=pool)
            assert front_end.request(client, "GET", f"https://{address}/start").status_code == 204
            assert seen == expected
            seen.clear()


def test_a_proxy_is_a_host_that_the_client_certificate_may_be_hidden_from(
    front_end: FrontEnd, certificates: Certificates
) -> None:
    """An `https://` proxy on the way to an origin that may see it."""
    if sys.version_info < (3, 11) and front_end.name == "asyncio":
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    context = certificates.server_context()
    certificates.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    seen: list[bool] = []

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        assert isinstance(accepted, ssl.SSLSocket)
        seen.append(bool(accepted.getpeercert()))
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with served(serve, tls=context) as address:
        pool = certificates.pool(
            ssl_cert_file=certificates.client_cert,
            ssl_key_file=certificates.client_key,
            ssl_cert_hosts=["orders.example"],
        )
        client = front_end.client(connection_pool=pool, proxy=f"https://{address}")
        assert failing(front_end, client, "GET", "https://orders.example/").type == "ProxyError"
    assert seen == [False]


def test_a_missing_client_certificate_is_a_tls_error(front_end: FrontEnd, certificates: Certificates) -> None:
    """In TLS 1.3 the server refuses it after our side of the handshake, but before it reads a request."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        context = certificates.server_context(requests_certificate=True)
        with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except ssl.SSLError:
                is_over.wait(0.2)  # closed at once, a reset would overtake the alert

    with served(serve) as address:
        client = front_end.client(connection_pool=certificates.pool())
        caught = failing(front_end, client, "POST", f"https://{address}/")
    assert (caught.type, caught.sent, caught.cause) == ("TlsError", "never_sent", "SSLError")
    assert caught.message == (
        f"https://{address} requires a client certificate that it trusts (TLSV13_ALERT_CERTIFICATE_REQUIRED); "
        "check ssl_cert_file, ssl_key_file and ssl_cert_hosts"
    )


def test_https_to_a_plain_port_is_a_tls_error(front_end: FrontEnd) -> None:
    """The server speaks plain HTTP."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with served(serve) as address:
        caught = failing(front_end, front_end.client(), "GET", f"https://{address}/")
    assert (caught.type, caught.sent, caught.cause) == ("TlsError", "never_sent", "SSLError")
    assert caught.message.startswith(f"the TLS handshake with https://{address} failed: ")
    assert caught.message.endswith("; check that the server speaks TLS on this port")


def test_http_to_a_tls_port_is_a_network_error(front_end: FrontEnd, tls_server: LoopbackServer) -> None:
    """The reply, if there is one, is not HTTP."""
    url = tls_server.url.replace("https:", "http:")
    caught = failing(front_end, front_end.client(), "GET", url + "/")
    assert (caught.type, caught.sent) in [
        ("ProtocolError", "maybe_processed"),
        ("ConnectionLostError", "maybe_processed"),  # some versions of OpenSSL close without an alert
    ]


def test_a_handshake_that_the_server_breaks_off_is_a_connect_error(front_end: FrontEnd) -> None:
    """The server closes the connection during the handshake."""
    with served(lambda accepted, is_over: accepted.recv(65536)) as address:
        caught = failing(front_end, front_end.client(), "GET", f"https://{address}/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")
    assert caught.message == f"could not connect to https://{address} (ConnectionResetError)"


def test_an_unusable_tls_file_is_a_configuration_error(front_end: FrontEnd, tmp_path: Path) -> None:
    """The files are read for the first https URL, and the error names the setting."""
    nothing, empty = str(tmp_path / "nothing.pem"), tmp_path / "empty.pem"
    empty.write_text("")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"ssl_ca_file": nothing}, "ssl_ca_file"),
        ({"ssl_ca_file": str(empty)}, "ssl_ca_file"),
        ({"ssl_cert_file": nothing}, "ssl_cert_file"),
        ({"ssl_cert_file": str(empty), "ssl_key_file": nothing}, "ssl_cert_file"),
    ]
    for settings, field in wrong:
        client = front_end.client(connection_pool=ConnectionPoolConfig(**settings))
        with pytest.raises(ConfigurationError, match=rf"\b{field}\b"):
            front_end.request(client, "GET", "https://127.0.0.1:1/")


def test_a_certificate_without_its_key_names_the_setting(
    front_end: FrontEnd, certificates: Certificates
) -> None:
    """OpenSSL only reports "PEM lib"."""
    client = front_end.client(connection_pool=ConnectionPoolConfig(ssl_cert_file=certificates.client_cert))
    with pytest.raises(ConfigurationError, match="contains no key; set ssl_key_file"):
        front_end.request(client, "GET", "https://127.0.0.1:1/")


def test_the_tls_context_is_created_once(
    front_end: FrontEnd, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Loading the authorities takes milliseconds: it is not done for each call, nor for plain http."""
    created = []
    create = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda **its: created.append(its) or create(**its))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "not shared with other tests"))
    client = front_end.client()
    with pytest.raises(ConnectionError):
        front_end.request(client, "GET", "http://127.0.0.1:1/", retry_policy=None)
    assert not created
    for _ in range(3):
        failing(front_end, client, "GET", tls_server.url + "/")
    assert len(created) == 1


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_certifi_is_used_where_the_system_has_no_authorities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    """As in a minimal container."""
    nowhere = tmp_path / "certificates"
    if folder == "empty":
        nowhere.mkdir()
    paths = ssl.get_default_verify_paths()._replace(cafile=None, capath=str(nowhere))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *arguments: None)
    assert tls.TlsSettings().context_for(("h", 443)).cert_store_stats()["x509_ca"] > 50


def test_certifi_is_not_used_where_the_system_has_authorities(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    """The authorities that an administrator chose are the only ones."""
    paths = ssl.get_default_verify_paths()._replace(cafile=certificates.ca_file)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *arguments: None)
    theirs = ssl.create_default_context(cafile=certificates.ca_file)
    assert tls.TlsSettings().context_for(("h", 443)).get_ca_certs() == theirs.get_ca_certs()
