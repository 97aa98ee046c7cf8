"""What a TLS context is made of."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client.transports.network import tls
from http_service_client.transports.network.tls import TlsSettings


def test_no_repr_shows_the_pass_phrase() -> None:
    """It shows the files, and that there is one."""
    shown = repr(TlsSettings(cert_file="client.pem", key_password="hush")._files)
    assert "client.pem" in shown
    assert "hush" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    ("settings", "has_authorities", "is_needed"),
    [
        ({}, False, True),
        ({}, True, False),
        ({"ca_file": "ca.pem"}, False, False),
        ({"context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, False, False),
    ],
    ids=["none", "of the system", "of the user", "a context of the user"],
)
def test_certifi_is_imported_before_the_first_call_where_it_is_needed(
    settings: dict[str, Any], has_authorities: bool, is_needed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call imports a module on its way; and none is imported for nothing."""
    monkeypatch.setattr(tls, "_system_has_authorities", lambda: has_authorities)
    monkeypatch.delitem(sys.modules, "certifi", raising=False)
    TlsSettings(**settings).load_modules()
    assert ("certifi" in sys.modules) is is_needed


@pytest.mark.parametrize(
    ("file", "folder", "expected"),
    [
        ("", "", False),
        ("bundle.pem", "", True),
        ("missing.pem", "", False),
        ("", "full", True),
        ("", "empty", False),
        ("", "missing", False),
        ("missing.pem", "full", True),
    ],
)
def test_a_system_has_authorities_in_a_file_or_in_a_folder(
    file: str, folder: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that OpenSSL was built with need not exist, and an empty folder has none."""
    (tmp_path / "bundle.pem").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "5ed36f99.0").touch()
    paths = SimpleNamespace(
        cafile=str(tmp_path / file) if file else None, capath=str(tmp_path / folder) if folder else None
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert tls._system_has_authorities() is expected


@pytest.mark.parametrize(
    ("peers", "is_shown"),
    [
        ([("api.test", 443)], True),
        ([("api.test", 8443)], False),
        ([("other.test", 443)], False),
        ([("api.test", 443), ("proxy.test", 3128)], False),
        ([("proxy.test", 3128), ("api.test", 443)], False),
        ([("api.test", 443), ("api.test", 443)], True),
        ([], True),
    ],
)
def test_a_context_for_several_peers_shows_a_certificate_that_all_of_them_may_see(
    peers: list[tuple[str, int]], is_shown: bool
) -> None:
    """A proxy, and the server behind it, may have one context."""
    settings = TlsSettings(
        cert_file="client.pem", shows_certificate=lambda host, port: (host, port) == ("api.test", 443)
    )
    shown, hidden = settings._shared_for((("api.test", 443),)), settings._shared_for((("other.test", 443),))
    assert shown is not hidden
    assert settings._shared_for(tuple(peers)) is (shown if is_shown else hidden)
    everybody = TlsSettings(cert_file="client.pem")
    assert everybody._shared_for(tuple(peers)) is everybody._shared_for(())
