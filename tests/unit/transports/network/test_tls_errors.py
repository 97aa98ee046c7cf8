"""An error of TLS that OpenSSL finds behind bytes: when it is raised, and what is read before."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import trustme

from http_service_client.transports.network.tls_errors import DeferringObject, defer_errors

DAMAGED = b"\x17\x03\x03\x00\x20" + bytes(32)


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server, and of a client that makes such objects."""
    authority = trustme.CA()
    of_server, of_client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("app.test").configure_cert(of_server)
    authority.configure_trust(of_client)
    of_client.sslobject_class = DeferringObject
    return of_server, of_client


@pytest.fixture
def ends(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Any:
    """Both ends of a connection whose handshake is done, and the bytes between them."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts[0].wrap_bio(to_server, to_client, server_side=True)
    client = contexts[1].wrap_bio(to_client, to_server, server_hostname="app.test")
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return SimpleNamespace(client=client, server=server, to_client=to_client)


def test_an_error_behind_bytes_is_left_for_the_protocol(ends: Any) -> None:
    """Later reads raise nothing else: the bytes were passed on, and the protocol looks for the error."""
    assert defer_errors(SimpleNamespace(get_extra_info={"ssl_object": ends.client}.get)) is ends.client
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.read()
    ends.server.write(b"whole")
    ends.to_client.write(DAMAGED)
    buffer = bytearray(9)
    assert (ends.client.read(9, buffer), bytes(buffer[:5])) == (5, b"whole")
    for _ in range(2):
        with pytest.raises(ssl.SSLWantReadError):
            ends.client.read()
    assert type(ends.client.found) is ssl.SSLError
    assert ends.client.found.__traceback__ is None


def test_an_error_without_bytes_before_it_is_raised(ends: Any) -> None:
    """Bytes of an earlier read have been passed on already."""
    ends.client.defers = True
    ends.server.write(b"earlier")
    assert ends.client.read() == b"earlier"
    with pytest.raises(ssl.SSLWantReadError):
        ends.client.read()
    ends.to_client.write(DAMAGED)
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record"):
        ends.client.read()
    assert ends.client.found is None


@pytest.mark.parametrize("error", [ssl.SSLWantReadError, ssl.SSLWantWriteError])
def test_what_a_read_waits_for_is_told(error: type[ssl.SSLError], ends: Any) -> None:
    """In a renegotiation it is that something can be written."""
    ends.client._sslobj = SimpleNamespace(read=Mock(side_effect=error()))
    with pytest.raises(error):
        ends.client.read()


def test_no_error_is_deferred_for_a_protocol_that_does_not_look_for_it(ends: Any) -> None:
    """It would wait for bytes that never come."""
    ends.server.write(b"whole")
    ends.to_client.write(DAMAGED)
    assert ends.client.read() == b"whole"
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record"):
        ends.client.read()


@pytest.mark.parametrize("tls", [None, ssl.SSLObject], ids=["no TLS", "of another context"])
def test_a_transport_of_another_kind_has_no_errors_to_look_for(tls: Any) -> None:
    """Its loop raises them itself."""
    assert defer_errors(SimpleNamespace(get_extra_info={"ssl_object": tls}.get)) is None
