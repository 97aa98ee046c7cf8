"""A TLS context of the user's own: it is used as it is, and made where that has to be."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import functools
import ipaddress
import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from http_service_client import ConfigurationError, ConnectionPoolConfig, HttpClientConfig
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd
from network.faults import Certificates, failing
from network.proxy_server import running_proxy


def own(context: Any) -> ConnectionPoolConfig:
    return ConnectionPoolConfig(ssl_context=context)


@pytest.fixture
def corporate(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    """The file of an authority whose Basic Constraints are not critical, as many are; and a server that it vouches for."""
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Corporation")])
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]

    def certificate(name: str, key: Any, extension: Any) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        )
        builder = builder.serial_number(x509.random_serial_number())
        builder = (
            builder.not_valid_before(now - day).not_valid_after(now + day).add_extension(extension, False)
        )
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    ca, server = tmp_path / "corporate.pem", tmp_path / "server.pem"
    ca.write_bytes(certificate("Corporation", keys[0], x509.BasicConstraints(True, None)))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server.write_bytes(certificate("server", keys[1], address) + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    return str(ca), context


def strict(ca_file: str, is_strict: bool) -> ssl.SSLContext:
    """A context that checks by RFC 5280, as Python does from 3.13 on, or not."""
    context = ssl.create_default_context(cafile=ca_file)
    flag = ssl.VERIFY_X509_STRICT
    context.verify_flags = context.verify_flags | flag if is_strict else context.verify_flags & ~flag
    return context


def test_an_authority_that_python_3_13_refuses_can_be_trusted(
    each_path: FrontEnd, corporate: tuple[str, ssl.SSLContext]
) -> None:
    """A context without VERIFY_X509_STRICT. With it, the error says what to do, and nothing is tried again."""
    ca_file, server_context = corporate
    with LoopbackServer(tls=server_context) as server:
        server.script("/", respond(204))
        client = each_path.client(connection_pool=own(strict(ca_file, True)))
        caught = failing(each_path, client, "GET", server.url + "/")
        assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")
        assert caught.message.endswith("or pass an ssl_context without ssl.VERIFY_X509_STRICT")
        assert server.connection_count == 1
        client = each_path.client(connection_pool=own(functools.partial(strict, ca_file, False)))
        assert each_path.request(client, "GET", server.url + "/").status_code == 204


@pytest.mark.parametrize("checks", [True, False])
def test_the_context_decides_about_host_names(
    each_path: FrontEnd, certificates: Certificates, checks: bool
) -> None:
    """`check_hostname` is left as the user has set it, through a tunnel and in TLS to the proxy too."""
    context = ssl.create_default_context(cafile=certificates.ca_file)
    context.check_hostname = checks
    url_of: Any = {}
    with (
        LoopbackServer(tls=certificates.server_context("other.test")) as server,
        running_proxy() as proxy,
        running_proxy(certificates.server_context("proxy.test")) as tls_proxy,
        LoopbackServer() as plain,
    ):
        server.script("/", respond(204))
        plain.script("/", respond(204))
        url_of[None] = url_of[f"http://{proxy.address}"] = server.url
        url_of[f"https://{tls_proxy.address}"] = plain.url
        for through, url in url_of.items():
            settings = {} if through is None else {"proxy": through}
            client = each_path.client(connection_pool=own(context), **settings)
            if checks:
                assert failing(each_path, client, "GET", url + "/").type == "TlsVerificationError"
            else:
                assert each_path.request(client, "GET", url + "/").status_code == 204
    assert context.check_hostname is checks


def test_a_context_that_verifies_nothing_does_not_warn(
    front_end: FrontEnd, tls_server: LoopbackServer, recwarn: pytest.WarningsRecorder
) -> None:
    """The user has said it in two lines of code."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls_server.script("/", respond(204))
    client = front_end.client(connection_pool=own(context))
    assert front_end.request(client, "GET", tls_server.url + "/").status_code == 204
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_protocol_can_be_spoken(each_path: FrontEnd, certificates: Certificates) -> None:
    """TLS 1.1 with a partner's old device, for the client with this context alone; the error of any other names it."""
    old = certificates.server_context()
    client_context = ssl.create_default_context(cafile=certificates.ca_file)
    for context in (old, client_context):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with LoopbackServer(tls=old) as server:
        server.script("/", respond(204))
        assert (
            each_path.request(
                each_path.client(connection_pool=own(client_context)), "GET", server.url + "/"
            ).status_code
            == 204
        )
        caught = failing(
            each_path, each_path.client(connection_pool=certificates.pool()), "GET", server.url + "/"
        )
        assert (caught.type, caught.sent) == ("TlsError", "never_sent")
        assert caught.message.endswith(
            "; it is older or weaker than this system allows: upgrade it, or allow it by an ssl_context"
        )


def test_a_function_is_called_once_for_all_clients_that_have_it(
    front_end: FrontEnd, tls_server: LoopbackServer, certificates: Certificates
) -> None:
    """For the first https URL."""
    made: list[ssl.SSLContext] = []

    def make() -> ssl.SSLContext:
        made.append(ssl.create_default_context(cafile=certificates.ca_file))
        return made[-1]

    tls_server.script("/", respond(204))
    clients = [front_end.client(connection_pool=own(make)) for _ in range(2)]
    assert not made
    for client in clients:
        front_end.request(client, "GET", tls_server.url + "/")
    assert len(made) == 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 5, "returned 5; it must return an ssl.SSLContext"),
        (lambda: open("/no/such/file"), r"raised FileNotFoundError: .*; it must return an ssl.SSLContext"),
    ],
)
def test_a_function_that_makes_no_context_is_named(
    front_end: FrontEnd, tls_server: LoopbackServer, function: Any, message: str
) -> None:
    """A fault of the program, not of the network: nothing is sent, and nothing tried again."""
    client = front_end.client(connection_pool=own(function))
    with pytest.raises(ConfigurationError, match=f"^ssl_context=.*<lambda> {message}$"):
        front_end.request(client, "GET", tls_server.url + "/")
    assert tls_server.connection_count == 0


def make_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def test_a_configuration_with_a_function_can_be_pickled() -> None:
    """For the processes of a pool. One with a live context says what to do instead."""
    config = HttpClientConfig(connection_pool=own(make_context))
    assert pickle.loads(pickle.dumps(config)) == config
    live = HttpClientConfig(connection_pool=own(make_context()))
    with pytest.raises(TypeError, match="set ssl_context to a function of a module that makes the context"):
        pickle.dumps(live)


def test_a_configuration_with_a_context_can_be_copied_and_compared() -> None:
    """The copies share the context, which cannot be copied."""
    pool = own(make_context())
    twins = (
        copy.copy(pool),
        copy.deepcopy(HttpClientConfig(connection_pool=pool)).pool,
        dataclasses.replace(pool),
    )
    assert [twin.ssl_context is pool.ssl_context for twin in twins] == [True] * 3
    assert [twin == pool for twin in twins] == [True] * 3


@pytest.mark.parametrize(
    ("setting", "remedy"),
    [
        (
            {"ssl_verify": False},
            "leave ssl_verify out, and set check_hostname and verify_mode of the context",
        ),
        ({"ssl_ca_file": "ca.pem"}, "leave ssl_ca_file out, and call load_verify_locations of the context"),
        ({"ssl_cert_file": "me.pem"}, "leave ssl_cert_file out, and call load_cert_chain of the context"),
    ],
)
def test_settings_that_the_context_replaces_conflict_with_it(setting: dict[str, Any], remedy: str) -> None:
    """Which one would count?"""
    (name, value), *_ = setting.items()
    with pytest.raises(ConfigurationError, match=f"^ssl_context conflicts with {name}={value!r}; {remedy}$"):
        ConnectionPoolConfig(ssl_context=make_context, **setting)
