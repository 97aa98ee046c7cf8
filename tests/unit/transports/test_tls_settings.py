"""What a TLS context is made of."""

from __future__ import annotations

from http_service_client.transports.network.tls import TlsSettings


def test_no_repr_shows_the_pass_phrase() -> None:
    """It shows the files, and that there is one."""
    shown = repr(TlsSettings(cert_file="client.pem", key_password="hush")._files)
    assert "client.pem" in shown
    assert "hush" not in shown
    assert "***" in shown
