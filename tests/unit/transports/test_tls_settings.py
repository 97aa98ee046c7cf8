"""What a TLS context is made of."""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.transports.network import tls, tls_contexts
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


def test_contexts_are_shared_by_all_that_they_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's authorities, which the environment names, are a part of them only where they are used."""

    def share(**settings: Any) -> Any:
        return TlsSettings(**settings)._shared_for(())

    def paths(name: str) -> None:
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: name)

    paths("one")
    system, own, keyed = share(), share(ca_file="ca.pem"), share(cert_file="client.pem", key_password="a")
    assert share() is system
    assert share(ca_file="ca.pem") is own
    others = [share(alpn=("h2",)), share(cert_file="client.pem", key_password="b"), share(ca_file="b.pem")]
    assert len({id(each) for each in (system, own, keyed, *others)}) == 6
    paths("two")
    assert share() is not system
    assert share(ca_file="ca.pem") is own
    paths("one")
    assert share() is system
    monkeypatch.setenv("SSLKEYLOGFILE", "keys.log")
    assert share() is not system


@pytest.mark.parametrize("of_the_user", [False, True])
def test_no_connection_of_http2_renegotiates(of_the_user: bool) -> None:
    """RFC 9113, 9.2.1. Those of HTTP/1.1 may: some servers request the client's certificate in this way."""
    made = (lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) if of_the_user else None
    settings = TlsSettings(context=made)
    refused = [
        bool(each.context_for(("h.test", 443)).options & ssl.OP_NO_RENEGOTIATION)
        for each in (settings, settings.offering("h2", "http/1.1"))
    ]
    assert refused == [False, True]


def test_a_key_log_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is no fault of the authorities."""
    path = str(tmp_path / "missing" / "keys.log")
    monkeypatch.setenv("SSLKEYLOGFILE", path)
    with pytest.raises(ConfigurationError) as caught:
        TlsSettings().context_for(("api.test", 443))
    assert str(caught.value).startswith(f"SSLKEYLOGFILE in the environment, {path!r}, cannot be written (")


@pytest.mark.parametrize(
    ("content", "has_remedy"), [(None, False), ("no certificate", True)], ids=["missing", "no PEM"]
)
def test_a_certificate_that_cannot_be_used_has_the_remedy_that_fits(
    content: str | None, has_remedy: bool, tmp_path: Path
) -> None:
    """A file that is not there needs no key."""
    file = tmp_path / "client.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match="ssl_cert_file") as caught:
        TlsSettings(cert_file=file).context_for(("api.test", 443))
    assert ("set ssl_key_file" in str(caught.value)) is has_remedy


def test_a_function_that_is_not_hashable_makes_a_context_for_each_client() -> None:
    """It cannot be looked up among those of others."""

    class Makes:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> ssl.SSLContext:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    makes = Makes()
    one, other = (TlsSettings(context=makes).context_for(("api.test", 443)) for _ in range(2))
    assert isinstance(one, ssl.SSLContext)
    assert one is not other


@pytest.mark.parametrize("path", ["missing.pem", "not\0a path"])
def test_a_file_that_cannot_be_looked_at_has_no_state(path: str) -> None:
    """A context that was made of it before is still used."""
    assert tls_contexts._state_of(path) is None
