"""What a TLS context is made of."""

from __future__ import annotations

import errno
import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.transports.network import tls, tls_contexts
from http_service_client.transports.network.tls import TlsSettings
from http_service_client.transports.network.tls_sessions import resumption_for
from kit.rows import each_row


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


@each_row(
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


# How a context is made of files, without a file.


SYSTEM = ssl.get_default_verify_paths()._replace(cafile="system.pem", capath=None)


class Context:
    """Notes what is done with it, and raises what it is told to.   authorities: how many it has by then."""

    errors: dict[str, OSError] = {}
    authorities = 1
    passwords: list[str] = []
    has_encrypted_key = False

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.options = ssl.OP_ALL
        self.check_hostname, self.verify_mode = True, ssl.CERT_REQUIRED
        self.hostname_checks_common_name = True

    def _call(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] in self.errors:
            raise self.errors[call[0]]

    def load_verify_locations(self, file: str) -> None:
        self._call("load_verify_locations", file)

    def load_cert_chain(self, cert: str, key: str | None, password: Callable[[], str]) -> None:
        if self.has_encrypted_key:
            self.passwords.append(password())
        self._call("load_cert_chain", cert, key)

    def set_alpn_protocols(self, protocols: list[str]) -> None:
        self._call("set_alpn_protocols", *protocols)

    def cert_store_stats(self) -> dict[str, int]:
        return {"x509": self.authorities}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Context]:
    """The contexts that are made, as the class of the standard library; the system has a file of authorities."""
    made: list[Context] = []

    def create(cafile: str | None) -> Context:
        made.append(Context())
        made[-1]._call("create", cafile)
        return made[-1]

    monkeypatch.setattr(Context, "__module__", "ssl")
    monkeypatch.setattr(Context, "errors", {})
    monkeypatch.setattr(Context, "passwords", [])
    monkeypatch.setattr(ssl, "create_default_context", create)
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SYSTEM)
    monkeypatch.setattr(tls, "_system_has_authorities", lambda: True)
    monkeypatch.setattr(tls, "_warned", True)
    return made


def make(**settings: Any) -> Any:
    """The context of these files."""
    with_it = TlsSettings(**settings)._files[True]
    return with_it._create()


@pytest.mark.parametrize("verify", [True, False])
def test_a_context_verifies_certificate_and_name(made: list[Context], verify: bool) -> None:
    """Unless the user wants neither. The common name is no name of a host in either case."""
    context = make(verify=verify, alpn=("h2", "http/1.1"))
    assert context is made[0]
    assert context.calls == [("create", None), ("set_alpn_protocols", "h2", "http/1.1")]
    assert context.check_hostname is verify
    assert context.verify_mode is (ssl.CERT_REQUIRED if verify else ssl.CERT_NONE)
    assert context.hostname_checks_common_name is not ssl.HAS_NEVER_CHECK_COMMON_NAME
    assert resumption_for(context, "peer") is not None
    assert make().verify_mode is ssl.CERT_REQUIRED


FILES = ["ca.pem", "client.pem", "client.key"]


def test_a_context_is_made_of_its_files(made: list[Context]) -> None:
    """By their whole paths. The authorities of the system are none of its, then."""
    make(ca_file="ca.pem", cert_file="client.pem", key_file="client.key")
    ca, cert, key = map(os.path.abspath, FILES)
    assert made[0].calls == [
        ("create", ca),
        ("set_alpn_protocols", "http/1.1"),
        ("load_cert_chain", cert, key),
    ]


@pytest.mark.parametrize("call", ["create", "load_cert_chain", "load_verify_locations"])
@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOMEM"])
def test_a_lack_of_descriptors_or_of_memory_is_no_fault_of_a_file(
    made: list[Context], call: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It passes, so the error is that of the connection, which another attempt may mend."""
    code = getattr(errno, name)
    error = OSError(code, os.strerror(code))
    monkeypatch.setitem(Context.errors, call, error)
    monkeypatch.setattr(Context, "authorities", 0)
    with pytest.raises(OSError, match=os.strerror(code)) as caught:
        make(cert_file="client.pem")
    assert caught.value is error


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_the_number_of_an_error_of_openssl_is_its_own(made: list[Context], number: int) -> None:
    """It may be that of a lack of descriptors, and is none."""
    for call, field in (("create", "ssl_ca_file"), ("load_cert_chain", "ssl_cert_file")):
        Context.errors = {call: ssl.SSLError(number, "PEM lib")}
        with pytest.raises(ConfigurationError, match=field):
            make(ca_file="ca.pem", cert_file="client.pem")


MISSING = FileNotFoundError(errno.ENOENT, "No such file or directory")
NO_PEM = ssl.SSLError(9, "PEM lib")
CERT, KEY = (
    "ssl_cert_file {client.pem} with ssl_key_file ",
    ": it is not a PEM certificate, or contains no key; set ssl_key_file",
)


@pytest.mark.parametrize(
    ("settings", "call", "error", "message"),
    [
        ({"ca_file": "ca.pem"}, "create", MISSING, "ssl_ca_file {ca.pem} cannot be used: {error}"),
        ({"ca_file": "ca.pem"}, "create", NO_PEM, "ssl_ca_file {ca.pem} cannot be used: {error}"),
        ({}, "load_cert_chain", MISSING, CERT + "None cannot be used: {error}"),
        ({}, "load_cert_chain", NO_PEM, CERT + f"None cannot be used{KEY}: {{error}}"),
        (
            {"key_file": "client.key"},
            "load_cert_chain",
            MISSING,
            CERT + "{client.key} cannot be used: {error}",
        ),
        (
            {"key_file": "client.key"},
            "load_cert_chain",
            NO_PEM,
            CERT + "{client.key} cannot be used: {error}",
        ),
    ],
)
@pytest.mark.parametrize("key_log", [None, "keys.log"])
def test_a_file_that_cannot_be_used_is_named(
    made: list[Context],
    settings: dict[str, str],
    call: str,
    error: OSError,
    message: str,
    key_log: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With what is wrong, and with the remedy where there is one; a key log that can be written is not the reason."""
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)
    if key_log is not None:
        monkeypatch.setenv("SSLKEYLOGFILE", key_log)
    monkeypatch.setitem(Context.errors, call, error)
    with pytest.raises(ConfigurationError) as caught:
        make(cert_file="client.pem", **settings)
    for name in FILES:
        message = message.replace(f"{{{name}}}", repr(os.path.abspath(name)))
    assert str(caught.value) == message.replace("{error}", str(error))
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("key_file", [None, "client.key"])
@pytest.mark.parametrize("password", [None, "hush"])
def test_a_key_that_its_pass_phrase_does_not_open_is_named(
    made: list[Context], key_file: str | None, password: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be in the file of the certificate. OpenSSL gets an empty pass phrase where there is none."""
    monkeypatch.setattr(Context, "has_encrypted_key", True)
    monkeypatch.setitem(Context.errors, "load_cert_chain", NO_PEM)
    with pytest.raises(ConfigurationError) as caught:
        make(cert_file="client.pem", key_file=key_file, key_password=password)
    key = repr(os.path.abspath(key_file or "client.pem"))
    assert Context.passwords == [password or ""]
    assert str(caught.value) == (
        f"the key in {key} is encrypted; set ssl_key_password"
        if password is None
        else f"ssl_key_password is not the pass phrase of the key in {key}"
    )


@pytest.mark.parametrize(
    ("file", "module", "authorities", "is_read"),
    [
        ("system.pem", "ssl", 0, True),
        ("system.pem", "ssl", 3, False),
        ("system.pem", "truststore", 0, False),
        (None, "ssl", 0, False),
    ],
)
@pytest.mark.parametrize("error", [None, MISSING], ids=["readable", "missing"])
def test_a_context_that_trusts_nobody_has_the_file_of_the_system_read_again(
    made: list[Context],
    file: str | None,
    module: str,
    authorities: int,
    is_read: bool,
    error: OSError | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To learn whether there was no descriptor for it. A system without that file has its authorities elsewhere."""
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SYSTEM._replace(cafile=file))
    monkeypatch.setattr(Context, "__module__", module)
    monkeypatch.setattr(Context, "authorities", authorities)
    if error is not None:
        monkeypatch.setitem(Context.errors, "load_verify_locations", error)
    make()
    assert (("load_verify_locations", file) in made[0].calls) is is_read


# The user's own context.


def test_a_context_of_the_user_is_used_as_it_is() -> None:
    """For all hosts, of HTTP/1.1."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    options = own.options
    settings = TlsSettings(context=own)
    assert settings.context_for(("a.test", 443)) is settings.context_for(("b.test", 443)) is own
    assert own.options == options


@pytest.mark.parametrize("alpn", [("http/1.1",), ("h2", "http/1.1")])
def test_a_function_of_the_user_makes_one_context_for_all_clients_of_a_protocol(
    made: list[Context], alpn: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called when the first one needs it. What HTTP/1.1 offers is the user's choice."""
    monkeypatch.setattr(ssl, "SSLContext", Context)

    def function() -> Any:
        made.append(Context())
        return made[-1]

    one, other = (TlsSettings(context=function, alpn=alpn) for _ in range(2))
    assert not made
    context: Any = one.context_for(("a.test", 443))
    assert other.context_for(("b.test", 443)) is context
    assert len(made) == len(alpn)  # one more shows that it makes a new one each time
    assert context.calls == ([] if len(alpn) == 1 else [("set_alpn_protocols", *alpn)])


def refuse() -> ssl.SSLContext:
    raise LookupError("no such store")


THE_SAME = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SAME_TWICE = (
    "returned the same context twice; with http2=True it must make a new one each time, "
    "since other connections that use it would offer HTTP/2, too"
)


class Unnamed:
    def __repr__(self) -> str:
        return "<a callable>"

    def __call__(self) -> Any:
        return "a context"


@pytest.mark.parametrize(
    ("function", "alpn", "message"),
    [
        (refuse, ("http/1.1",), "refuse raised LookupError: no such store; it must return an ssl.SSLContext"),
        (refuse, ("h2",), "refuse raised LookupError: no such store; it must return an ssl.SSLContext"),
        (Unnamed(), ("http/1.1",), "<a callable> returned 'a context'; it must return an ssl.SSLContext"),
        (lambda: THE_SAME, ("h2",), f"<lambda> {SAME_TWICE}"),
    ],
)
def test_a_function_that_makes_no_context_of_its_own_is_named(
    function: Any, alpn: tuple[str, ...], message: str
) -> None:
    """With what it did, and what it must do."""
    with pytest.raises(ConfigurationError) as caught:
        TlsSettings(context=function, alpn=alpn).context_for(("a.test", 443))
    assert str(caught.value) == f"ssl_context={message}"
    assert isinstance(caught.value.__cause__, LookupError) is (function is refuse)
    if function is not refuse and alpn == ("h2",):
        assert TlsSettings(context=function).context_for(("a.test", 443)) is THE_SAME


def test_a_client_that_verifies_nothing_warns_once_a_process(
    made: list[Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it needs its first context; none of the user's is looked at."""
    monkeypatch.setattr(tls, "_warned", False)

    def begin() -> None:
        for verify in (True, False, False):
            TlsSettings(verify=verify).context_for(("a.test", 443))

    with pytest.warns(RuntimeWarning) as caught:
        begin()
    assert [str(each.message) for each in caught] == [
        "ssl_verify=False: certificates are not verified, so any server can impersonate yours; use it in tests only"
    ]
