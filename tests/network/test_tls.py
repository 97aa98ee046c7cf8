"""Whom we trust, and how we show who we are: one context, the same errors in both worlds."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, ConnectionPoolConfig
from http_service_client.testing.server import LoopbackServer, respond
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


def test_an_unknown_authority_is_refused(front_end: FrontEnd, tls_server: LoopbackServer) -> None:
    """A certificate that nobody vouches for ends the call before anything is sent."""
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
    """A certificate that is valid, but somebody else's."""
    with LoopbackServer(tls=certificates.server_context("other.test")) as server:
        caught = failing(
            front_end, front_end.client(connection_pool=certificates.pool()), "GET", server.url + "/"
        )
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")
    assert caught.message == (
        f"the certificate of {server.url} could not be verified: "
        "IP address mismatch, certificate is not valid for '127.0.0.1'."
    )


def test_verification_off_warns_once(
    front_end: FrontEnd, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ssl_verify=False` takes any certificate, and says what that means, once a process."""
    monkeypatch.setattr(tls, "_warned", False)
    tls_server.script("/", respond(204))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            client = front_end.client(connection_pool=ConnectionPoolConfig(ssl_verify=False))
            assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204
    messages = [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
    assert len([message for message in messages if message.startswith("ssl_verify=False")]) == 1


@pytest.mark.parametrize("kind", [str, Path])
def test_a_server_that_asks_gets_our_certificate(
    front_end: FrontEnd, certificates: Certificates, kind: type[Any]
) -> None:
    """Mutual TLS, the files as text or as paths."""
    own = ConnectionPoolConfig(
        ssl_ca_file=kind(certificates.ca_file),
        ssl_cert_file=kind(certificates.client_cert),
        ssl_key_file=kind(certificates.client_key),
    )
    with LoopbackServer(tls=certificates.server_context(asks=True)) as server:
        server.script("/", respond(204))
        assert (
            front_end.request(front_end.client(connection_pool=own), "GET", server.url + "/").status_code
            == 204
        )


def test_a_server_that_asks_for_our_certificate_in_vain(
    front_end: FrontEnd, certificates: Certificates
) -> None:
    """In TLS 1.3 its refusal comes after our handshake is done, yet before it takes a request."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        context = certificates.server_context(asks=True)
        with context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except ssl.SSLError:
                is_over.wait(0.2)  # closed at once, it would be reset, and the reset overtake the alert

    with served(serve) as address:
        client = front_end.client(connection_pool=certificates.pool())
        caught = failing(front_end, client, "POST", f"https://{address}/")
    assert (caught.type, caught.sent, caught.cause) == ("TlsError", "never_sent", "SSLError")
    assert caught.message == (
        f"https://{address} requires a client certificate that it trusts (TLSV13_ALERT_CERTIFICATE_REQUIRED); "
        "check ssl_cert_file and ssl_key_file"
    )


def test_tls_spoken_to_a_plain_port(front_end: FrontEnd) -> None:
    """https:// where http:// was due."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with served(serve) as address:
        caught = failing(front_end, front_end.client(), "GET", f"https://{address}/")
    assert (caught.type, caught.sent, caught.cause) == ("TlsError", "never_sent", "SSLError")
    assert caught.message.startswith(f"the TLS handshake with https://{address} failed: ")
    assert caught.message.endswith("; check that the server speaks TLS on this port")


def test_plain_http_spoken_to_a_tls_port(front_end: FrontEnd, tls_server: LoopbackServer) -> None:
    """http:// where https:// was due: what comes, if anything, is no HTTP."""
    url = tls_server.url.replace("https:", "http:")
    caught = failing(front_end, front_end.client(), "GET", url + "/")
    assert (caught.type, caught.sent) in [
        ("ProtocolError", "maybe_processed"),
        ("ConnectionLostError", "maybe_processed"),  # some versions of OpenSSL hang up without an alert
    ]


def test_a_handshake_that_ends_early(front_end: FrontEnd) -> None:
    """The server hangs up in the middle of it."""
    with served(lambda accepted, is_over: accepted.recv(65536)) as address:
        caught = failing(front_end, front_end.client(), "GET", f"https://{address}/")
    assert (caught.type, caught.sent) == ("ConnectError", "never_sent")
    assert caught.message == f"could not connect to https://{address} (ConnectionResetError)"


def test_a_file_that_is_none_is_a_wrong_setting(front_end: FrontEnd, tmp_path: Path) -> None:
    """The files are read when the first https URL needs them; what is wrong with them is said then."""
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
        with pytest.raises(ConfigurationError, match=field):
            front_end.request(client, "GET", "https://127.0.0.1:1/")


def test_a_certificate_without_its_key_is_told_so(front_end: FrontEnd, certificates: Certificates) -> None:
    """OpenSSL says "PEM lib"."""
    client = front_end.client(connection_pool=ConnectionPoolConfig(ssl_cert_file=certificates.client_cert))
    with pytest.raises(ConfigurationError, match="contains no key; set ssl_key_file"):
        front_end.request(client, "GET", "https://127.0.0.1:1/")


def test_the_context_is_made_once(
    front_end: FrontEnd, tls_server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the authorities takes milliseconds: not for each call, and not for plain http."""
    made = []
    make = tls.TlsSettings._create
    monkeypatch.setattr(tls.TlsSettings, "_create", lambda self: made.append(self) or make(self))
    client = front_end.client()
    with pytest.raises(ConnectionError):
        front_end.request(client, "GET", "http://127.0.0.1:1/", retry_policy=None)
    assert not made
    for _ in range(3):
        failing(front_end, client, "GET", tls_server.url + "/")
    assert len(made) == 1


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_where_the_system_has_no_authorities_certifi_s_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    """As in a slim container."""
    nowhere = tmp_path / "certificates"
    if folder == "empty":
        nowhere.mkdir()
    paths = ssl.get_default_verify_paths()._replace(cafile=None, capath=str(nowhere))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *arguments: None)
    assert tls.TlsSettings().context.cert_store_stats()["x509_ca"] > 50


def test_where_the_system_has_authorities_they_alone_are_trusted(
    monkeypatch: pytest.MonkeyPatch, certificates: Certificates
) -> None:
    paths = ssl.get_default_verify_paths()._replace(cafile=certificates.ca_file)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *arguments: None)
    assert tls.TlsSettings().context.cert_store_stats()["x509_ca"] == 0
