"""What the doctor says about a handshake and a certificate, of servers that are made up."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from http_service_client.cli.doctor import tls
from http_service_client.cli.doctor.findings import Finding, Level
from http_service_client.cli.doctor.tls import examine_tls
from http_service_client.http.urls import split_url
from http_service_client.testing import LoopbackServer
from kit.der import (
    ALTERNATIVE_NAMES,
    COMMON_NAME,
    OWN,
    UTC_TIME,
    UTF8,
    certificate,
    element,
    extension,
    name,
)
from kit.rows import each_row

NOW = datetime(2027, 1, 1, tzinfo=timezone.utc).timestamp()
NOTHING: list[bytes] = []


def until(date: str, subject: str = "h.example", hosts: Sequence[str] = (), since: str = "260101") -> bytes:
    """A certificate that begins and ends on these days, as YYMMDD."""
    names = [element(0x82, host.encode()) for host in hosts]
    return certificate(
        *([extension(ALTERNATIVE_NAMES, *names)] if names else []),
        subject=name((COMMON_NAME, UTF8, subject.encode())),
        times=((UTC_TIME, f"{since}000000Z".encode()), (UTC_TIME, f"{date}000000Z".encode())),
    )


class Sock:
    """A socket, before and after its handshake."""

    def __init__(self, **seen: Any) -> None:
        self.seen = seen
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def __enter__(self) -> Sock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def version(self) -> Any:
        return self.seen.get("version", "TLSv1.3")

    def cipher(self) -> Any:
        return self.seen.get("cipher", ("AES", "TLSv1.3", 256))

    def selected_alpn_protocol(self) -> Any:
        return self.seen.get("alpn")


class NewSock(Sock):
    """As of Python 3.13."""

    def get_unverified_chain(self) -> list[bytes]:
        chain: list[bytes] = self.seen.get("chain", [])
        return chain


class Server:
    """Stands in for the settings of TLS and for a context.   error: of each handshake.   offered: of one with ALPN."""

    def __init__(self, sock: Any = None, error: Exception | None = None, offered: Any = None) -> None:
        self.sock, self.error, self.offered = sock or NewSock(), error, offered
        self.asked: list[object] = []

    def context_for(self, address: object) -> Server:
        self.asked.append(address)
        return self

    def offering(self, *protocols: str) -> Server:
        self.asked.append(protocols)
        offered = self.offered
        return Server(error=offered) if isinstance(offered, Exception) else Server(NewSock(alpn=offered))

    def wrap_socket(self, sock: Any, server_hostname: str) -> Any:
        self.asked.append(server_hostname)
        if self.error is not None:
            raise self.error
        return self.sock


def examine(server: Server, *, is_verified: bool = True) -> dict[str, Finding]:
    """The findings by their checks."""
    opened = [Sock() for _ in range(3)]
    unused = iter(opened)
    made: Any = examine_tls(lambda: next(unused), "h.example", 443, server, is_verified, NOW)  # type: ignore[arg-type, return-value]
    found = list(made)
    if server.error is None:
        assert found.pop() is server.sock
    else:
        assert opened[0].closed == 1
    return {each.check: each for each in found}


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is found about a chain that OpenSSL refuses by a code."""

    def refused(code: int, chain: list[bytes], message: str = "odd") -> Finding:
        error = ssl.SSLCertVerificationError(1, "x")
        error.verify_code, error.verify_message = code, message
        monkeypatch.setattr(tls, "_certificates_of", lambda open_socket, host: chain)
        (found,) = examine(Server(error=error)).values()
        assert (found.check, found.level) == ("certificate", Level.FAIL)
        assert (found.details["error"], found.details["code"]) == (message, code)
        return found

    return refused


@pytest.mark.parametrize(
    ("version", "level"),
    [
        ("SSLv3", Level.WARN),
        ("TLSv1", Level.WARN),
        ("TLSv1.1", Level.WARN),
        ("TLSv1.2", Level.OK),
        ("TLSv1.3", Level.OK),
        (None, Level.OK),
    ],
)
def test_a_handshake_is_told_with_its_version(
    version: str | None, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cipher, and how long it took. Old versions are not to be used any more."""
    times = iter([10.0, 10.25])
    monkeypatch.setattr(tls, "time", SimpleNamespace(monotonic=lambda: next(times)))
    server = Server(NewSock(version=version, cipher=None if version is None else ("AES", "x", 256)))
    found = examine(server)["tls"]
    shown = "?, ?" if version is None else f"{version}, AES"
    assert (found.level, found.message) == (level, f"{shown}, in 250 ms with the connection")
    assert found.details == {
        "version": version or "?", "cipher": "?" if version is None else "AES", "seconds": 0.25,
    }  # fmt: skip
    assert found.advice.startswith(f"{version} is deprecated") is (level is Level.WARN)
    assert server.asked[:2] == [("h.example", 443), "h.example"]


@pytest.mark.parametrize(
    ("dates", "level", "message"),
    [
        (["270201"], Level.OK, "expires in 31 days, on 2027-02-01; the server sends it alone"),
        (["270115"], Level.OK, "expires in 14 days, on 2027-01-15; the server sends it alone"),
        (["270114"], Level.WARN, "expires in 13 days, on 2027-01-14; the server sends it alone"),
        (["270201", "280101", "290101"], Level.OK, "expires in 31 days, on 2027-02-01; the server sends it with that of c1, c2"),
        (["280101", "270110", "290101"], Level.WARN, "expires in 9 days, on 2027-01-10 (that of c1, further up the chain); "
         "the server sends it with that of c1, c2"),
    ],
)  # fmt: skip
def test_a_chain_ends_with_the_first_of_its_certificates(
    dates: list[str], level: Level, message: str
) -> None:
    """Two weeks before, it should have been renewed."""
    chain = [until(date, "h.example" if number == 0 else f"c{number}") for number, date in enumerate(dates)]
    found = examine(Server(NewSock(chain=chain)))["certificate"]
    assert found.message == f"verified for this host: h.example, issued by Authority; {message}"
    assert (found.level, bool(found.advice)) == (level, level is Level.WARN)
    assert [each["valid_until"][2:10].replace("-", "") for each in found.details["chain"]] == dates


def test_a_certificate_is_data_too() -> None:
    """Times in ISO 8601, and the days that are left."""
    found = examine(Server(NewSock(chain=[until("270103", hosts=["a.example", "b.example"])])))["certificate"]
    assert found.details["chain"] == [
        {
            "subject": "h.example", "issuer": "Authority", "valid_from": "2026-01-01T00:00:00+00:00",
            "valid_until": "2027-01-03T00:00:00+00:00", "days_left": 2.0, "hosts": ["a.example", "b.example"],
        }
    ]  # fmt: skip
    late = examine(Server(NewSock(chain=[until("491231")])))["certificate"]
    assert late.details["chain"][0]["days_left"] == 8400.0
    soon = certificate(times=((UTC_TIME, b"260101000000Z"), (UTC_TIME, b"270101080000Z")))
    assert examine(Server(NewSock(chain=[soon])))["certificate"].details["chain"][0]["days_left"] == 0.33


def test_a_chain_that_cannot_be_read_was_verified_all_the_same() -> None:
    """Nothing more is said about it."""
    for chain in (NOTHING, [b"odd"]):
        found = examine(Server(NewSock(chain=chain)))["certificate"]
        assert (found.level, found.message, found.details) == (
            Level.OK,
            "verified for this host",
            {"chain": []},
        )


@pytest.mark.parametrize(
    ("chain", "subject"),
    [
        ([until("270201")], "h.example, issued by Authority"),
        ([certificate(issuer=OWN)], "h.example, issued by itself"),
        ([until("270201"), until("270201", "c1")], "h.example, issued by Authority"),
        (NOTHING, "a certificate that cannot be read"),
        ([b"odd"], "a certificate that cannot be read"),
    ],
)
def test_a_certificate_that_is_not_verified_is_a_warning(chain: list[bytes], subject: str) -> None:
    """With whose it says it is."""
    found = examine(Server(NewSock(chain=chain)), is_verified=False)["certificate"]
    assert (found.level, found.message) == (
        Level.WARN, f"not verified, since --insecure or ssl_verify=False says so: {subject}",
    )  # fmt: skip
    assert len(found.details["chain"]) == len([each for each in chain if each != b"odd"])


class Old(Sock):
    """As before Python 3.13: the chain is private, or is not there at all."""

    def __init__(self, inner: Any, own: bytes | None) -> None:
        super().__init__()
        self._sslobj, self._own = inner, own

    def getpeercert(self, binary_form: bool) -> bytes | None:
        assert binary_form
        return self._own


def raising(error: Exception) -> Any:
    def get_unverified_chain() -> None:
        raise error

    return SimpleNamespace(get_unverified_chain=get_unverified_chain)


def test_an_older_python_has_the_chain_too() -> None:
    """Or the certificate of the server alone; or nothing."""
    chain = [until("270201"), until("280101", "c1")]
    made = [SimpleNamespace(public_bytes=lambda form, der=der: der if form == 2 else None) for der in chain]
    inner = SimpleNamespace(get_unverified_chain=lambda: made)
    ways = [(inner, None, "it with that of c1")]
    ways += [
        (raising(error), chain[0], "it alone") for error in (AttributeError(), TypeError(), ValueError())
    ]
    for way, own, sent in ways:
        found = examine(Server(Old(way, own)))["certificate"]
        assert found.message.endswith(f"the server sends {sent}")
    assert examine(Server(Old(None, None)))["certificate"].message == "verified for this host"


EXPIRED = [until("261220"), until("261230", "c1")]
EARLY = [until("290101", since="270201")]
HOSTS = [until("270201", hosts=["a.example", "b.example"])]
ALONE, TWO = [until("270201")], [until("270201"), until("290101", "c1")]
SUBJECT = "H.example, issued by Authority"


@pytest.mark.parametrize(
    ("code", "chain", "message", "advice"),
    [
        (10, EXPIRED, f"{SUBJECT}: expired 12 days ago, on 2026-12-20", "renew it"),
        (10, [until("290101"), *EXPIRED], f"{SUBJECT}: expired 12 days ago, on 2026-12-20", "renew it"),
        (10, NOTHING, "A certificate that cannot be read: odd", "look the message up"),
        (9, EARLY, f"{SUBJECT}: not valid before 2027-02-01 00:00 UTC", "check the clock"),
        (9, NOTHING, "A certificate that cannot be read: odd", "look the message up"),
        (62, HOSTS, "It is not for h.example, but for a.example, b.example", "call the service by one"),
        (62, [*HOSTS, until("290101", "c1")], "It is not for h.example, but for a.example, b.example", "call the service by one"),
        (64, HOSTS, "It is not for h.example, but for a.example, b.example", "call the service by one"),
        (62, ALONE, "It is not for h.example, but for h.example, issued by Authority", "call the service by one"),
        (62, NOTHING, "It is not for h.example, but for a certificate that cannot be read", "call the service by one"),
        (18, ALONE, f"{SUBJECT}: nobody else vouches for it", "trust it by --cacert FILE"),
        (19, TWO, f"{SUBJECT}: no authority that this machine trusts vouches for it", "trust the authority by --cacert"),
        (20, TWO, f"{SUBJECT}: no authority that this machine trusts vouches for it", "trust the authority by --cacert"),
        (21, TWO, f"{SUBJECT}: no authority that this machine trusts vouches for it", "trust the authority by --cacert"),
        (20, ALONE, f"{SUBJECT}: no authority that this machine trusts vouches for it", "the server sends its own"),
        (20, NOTHING, "A certificate that cannot be read: no authority that this machine trusts vouches for it", "trust the authority"),
        (99, ALONE, f"{SUBJECT}: odd", "look the message up in the manual of openssl-verify"),
    ],
)  # fmt: skip
def test_a_refusal_is_explained_by_its_code(
    code: int, chain: list[bytes], message: str, advice: str, refuse: Any
) -> None:
    """That of OpenSSL: what is wrong, and what to do."""
    found = refuse(code, chain)
    assert found.message == f"cannot be verified. {message}"
    assert found.advice.startswith(advice)
    assert len(found.details["chain"]) == len(chain)


def reason(text: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = text
    return error


NO_TLS, NO_VERSION = "the server does not speak TLS at this port", "client and server share no version of TLS"


@each_row(
    ("error", "message", "advice"),
    [
        *((reason(text), NO_TLS, "try http://, or the port for https") for text in
          ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")),
        *((reason(text), NO_VERSION, "enable TLS 1.2 and 1.3 on the server") for text in
          ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE")),
        (reason("ODD"), "ODD", "compare the versions and ciphers of client and server"),
        (TimeoutError(), "the server did not go on in time", "is it overloaded"),
        (ConnectionResetError(), "the server closed the connection", "does it expect another host name"),
        (ssl.SSLEOFError(8, "eof"), "the server closed the connection", "does it expect another host name"),
        (OSError("plain"), "plain", "see the findings above"),
        (OSError(), "OSError", "see the findings above"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_handshake_that_fails_is_explained(error: Exception, message: str, advice: str) -> None:
    """By the reason of OpenSSL, or by how the connection ended."""
    found = examine(Server(error=error))
    assert list(found) == ["tls"]
    assert (found["tls"].level, found["tls"].message) == (Level.FAIL, f"the handshake failed: {message}")
    assert found["tls"].advice.startswith(advice)


@pytest.mark.parametrize(
    ("offered", "level", "message", "alpn"),
    [
        ("h2", Level.OK, "the server speaks HTTP/2 and HTTP/1.1", "h2"),
        ("http/1.1", Level.OK, "HTTP/1.1; the server does not offer HTTP/2", "http/1.1"),
        (None, Level.OK, "HTTP/1.1; the server does not offer HTTP/2", None),
        (OSError("no"), Level.WARN, "the server refuses to be offered HTTP/2: no", None),
        (ValueError("own"), Level.WARN, "the server refuses to be offered HTTP/2: own", None),
    ],
)
def test_the_server_chooses_a_version_when_it_may(
    offered: Any, level: Level, message: str, alpn: str | None
) -> None:
    """On a connection of its own."""
    server = Server(offered=offered)
    found = examine(server)["http version"]
    assert (found.level, found.message, found.details) == (level, message, {"alpn": alpn})
    assert bool(found.advice) is (offered == "h2" or level is Level.WARN)
    assert ("h2", "http/1.1") in server.asked


def test_a_server_that_cannot_be_asked_again_is_refused_all_the_same() -> None:
    """Its certificate is not shown then."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = 20, "odd"
    sockets = iter([Sock()])

    def open_socket() -> Any:
        try:
            return next(sockets)
        except StopIteration:
            raise ConnectionRefusedError from None

    made: Any = examine_tls(open_socket, "h.example", 443, Server(error=error), True, NOW)  # type: ignore[arg-type]
    (found,) = made
    assert found.message.startswith("cannot be verified. A certificate that cannot be read: no authority")
    assert found.details["chain"] == []


def test_the_certificates_of_a_server_that_is_refused_are_shown() -> None:
    """By a handshake that verifies nothing, and sends nothing. None, where that does not succeed either."""
    issued = trustme.CA().issue_cert("other.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    refused = ssl.SSLCertVerificationError(1, "x")
    refused.verify_code, refused.verify_message = 62, "Hostname mismatch"

    def chain(second: Any) -> list[Any]:
        sockets = iter([Sock(), second])
        (found,) = examine_tls(lambda: next(sockets), "h.example", 443, Server(error=refused), True, NOW)  # type: ignore[arg-type]
        assert isinstance(found, Finding)
        shown: list[Any] = found.details["chain"]
        return shown

    with LoopbackServer(tls=context) as server:
        url = split_url(server.url)
        assert chain(socket.create_connection((url.host, url.port), 5))[0]["hosts"] == ["other.example"]
        assert server.requests == []
    ours, theirs = socket.socketpair()
    theirs.close()
    assert chain(ours) == []
