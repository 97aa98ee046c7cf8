"""What the doctor makes of what it sees: names, addresses, clocks, headers, certificates."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from http_service_client import ConnectError
from http_service_client.cli.doctor import network
from http_service_client.cli.doctor.calls import Reply, examine_response
from http_service_client.cli.doctor.certificates import read_certificate
from http_service_client.cli.doctor.connection import Head, examine_clock
from http_service_client.cli.doctor.findings import Finding, Level, ok, skip, warn
from http_service_client.cli.doctor.network import Address, examine_addresses, examine_names
from http_service_client.http.headers import Headers
from http_service_client.transports.network.sockets import SocketSettings
from kit.rows import each_row

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
V4, V6 = Address("IPv4", ("192.0.2.1", 443)), Address("IPv6", ("2001:db8::1", 443, 0, 0))


def one(findings: Iterator[Any]) -> Finding:
    """The only finding."""
    (found,) = [each for each in findings if isinstance(each, Finding)]
    return found


class Names:
    """A resolver.   known: by family, the addresses or the error."""

    def __init__(self, **known: Any) -> None:
        self.known = known

    def __call__(self, host: str, port: int, family: Any, kind: Any) -> list[Any]:
        found = self.known["v4" if family == socket.AF_INET else "v6"]
        if isinstance(found, OSError):
            raise found
        return [(family, kind, 6, "", address) for address in found]


NONE = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def test_a_finding_without_advice_has_none_as_data() -> None:
    """As one that was skipped."""
    for found, level in ((ok("dns", "fine", seconds=1.0), "ok"), (skip("dns", "fine", seconds=1.0), "skip")):
        assert found.as_json() == {
            "check": "dns", "level": level, "message": "fine", "advice": None, "details": {"seconds": 1.0},
        }  # fmt: skip
    assert warn("dns", "slow", "ask").as_json()["advice"] == "ask"


@pytest.mark.parametrize(
    ("names", "level", "message"),
    [
        (Names(v4=[V4.sockaddr], v6=[V6.sockaddr]), Level.OK, "IPv4: 192.0.2.1 in "),
        (Names(v4=[V4.sockaddr], v6=NONE), Level.OK, "; no IPv6"),
        (Names(v4=NONE, v6=[V6.sockaddr]), Level.OK, "no IPv4; IPv6: 2001:db8::1 in "),
        (Names(v4=[V4.sockaddr], v6=AGAIN), Level.WARN, "; IPv6: Temporary failure in name resolution"),
        (Names(v4=NONE, v6=NONE), Level.FAIL, "h.example does not resolve: no IPv4; no IPv6"),
        (Names(v4=AGAIN, v6=AGAIN), Level.FAIL, "does not resolve: IPv4: Temporary failure"),
    ],
)
def test_a_name_is_looked_up_for_each_family(
    names: Names, level: Level, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a name has no address of one family is no fault; that nobody can say is one."""
    monkeypatch.setattr(socket, "getaddrinfo", names)
    results = list(examine_names("h.example", 443, 5.0))
    found = one(iter(results))
    assert (found.check, found.level) == ("dns", level)
    assert message in found.message
    assert bool(found.advice) is (level is not Level.OK)
    expected = [
        each for key in ("v4", "v6") if isinstance(names.known[key], list) for each in names.known[key]
    ]
    assert [each.sockaddr for each in results if isinstance(each, Address)] == expected


def test_a_look_up_without_an_end_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other family is used, with a warning."""
    release = threading.Event()

    def look_up(host: str, port: int, family: Any, kind: Any) -> list[Any]:
        if family == socket.AF_INET6:
            release.wait(3)
        return [(family, kind, 6, "", V4.sockaddr)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    began_at = time.monotonic()
    try:
        results = list(examine_names("h.example", 443, 0.2))
    finally:
        release.set()
    assert time.monotonic() - began_at < 2
    found = one(iter(results))
    assert (found.level, found.message.partition("; ")[2]) == (Level.WARN, "IPv6: no reply within 0.2 s")


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_not_looked_up(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the only one."""
    monkeypatch.setattr(socket, "getaddrinfo", Names())
    found, address = examine_names(host, 443, 5.0)
    assert isinstance(found, Finding)
    assert found.level is Level.SKIP
    assert isinstance(address, Address)
    assert address.text == host


@pytest.mark.parametrize(
    ("v4", "v6", "level", "message"),
    [
        (None, None, Level.OK, "192.0.2.1 in "),
        (None, TimeoutError(), Level.WARN, "2001:db8::1 did not respond in time"),
        (None, ConnectionRefusedError(), Level.WARN, "2001:db8::1 refused the connection"),
        (None, OSError(errno.ENETUNREACH, "unreachable"), Level.OK, "this machine has no route for it"),
        (ConnectionRefusedError(), None, Level.WARN, "192.0.2.1 refused the connection"),
        (TimeoutError(), TimeoutError(), Level.FAIL, "no address accepts connections: "),
    ],
)
def test_each_address_is_connected(
    v4: OSError | None, v6: OSError | None, level: Level, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is dead is a warning, also where another one works; a machine without IPv6 loses nothing by it."""

    def connect(address: Address, within: float | None, _: SocketSettings) -> socket.socket:
        error = v4 if address is V4 else v6
        if error is not None:
            raise error
        return socket.socket()

    monkeypatch.setattr(network, "connect", connect)
    results = list(examine_addresses([V4, V6], 1.0, SocketSettings()))
    found = one(iter(results))
    assert found.level is level
    assert message in found.message
    assert ("IPv6 is broken" in found.advice) is (v6 is not None and v4 is None and level is Level.WARN)
    assert {each for each in results if isinstance(each, Address)} == {
        address for address, error in ((V4, v4), (V6, v6)) if error is None
    }


def head(date: str | None = None, took: float = 0.2, **headers: str) -> Head:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    pairs += [] if date is None else [("Date", date)]
    return Head("HTTP/1.1", 200, Headers(pairs), NOW - took, NOW)


@each_row(
    ("seen", "level", "message"),
    [
        (head("Fri, 15 Jan 2027 07:59:59 GMT"), Level.OK, "the server's clock agrees with ours, as far as can be seen (to 0.6 s)"),
        (head("Fri, 15 Jan 2027 08:00:04 GMT"), Level.WARN, "the server's clock is 4.6 s ahead of ours (to 0.6 s)"),
        (head("Fri, 15 Jan 2027 08:00:04 GMT", took=9.0), Level.WARN, "the server's clock is 9.0 s ahead of ours (to 5.0 s)"),
        (head("Fri, 15 Jan 2027 08:00:01 GMT"), Level.OK, "the server's clock is 1.6 s ahead of ours (to 0.6 s)"),
        (head("Fri, 15 Jan 2027 07:54:00 GMT"), Level.FAIL, "the server's clock is 359.4 s behind ours (to 0.6 s)"),
        (head(), Level.SKIP, "the response has no Date"),
        (head("yesterday"), Level.SKIP, "the Date of the response is not valid"),
        (head("Fri, 15 Jan 2027 07:00:00 GMT", Age="3600"), Level.SKIP, "the response is from a cache (Age), and its Date is old"),
    ],
    ids=["same", "ahead", "slow", "little", "behind", "none", "invalid", "cached"],
)  # fmt: skip
def test_a_skew_counts_beyond_its_error_bound(seen: Head, level: Level, message: str) -> None:
    """Half of the round trip, and half of the second that a Date is cut to."""
    found = examine_clock(seen)
    assert (found.level, found.message) == (level, message)


def reply(
    status: int = 200, size: int = 0, hops: list[tuple[int, str]] | None = None, **headers: str
) -> Reply:
    pairs = [(name.replace("_", "-"), value) for name, value in headers.items()]
    made = Reply("blocking")
    made.hops, made.status, made.phrase, made.headers = hops or [], status, "OK", Headers(pairs)
    made.version, made.seconds, made.size, made.is_whole = "HTTP/1.1", 0.0123, size, True
    return made


def checks(url: str, seen: Reply, accepts: bool = True) -> dict[str, Finding]:
    return {found.check: found for found in examine_response(url, seen, accepts)}


@each_row(
    ("url", "hops", "level", "message", "advice"),
    [
        ("https://h/", [], Level.OK, "none", ""),
        ("https://h/", [(302, "/login")], Level.OK, "302 to /login", ""),
        ("https://h/", [(302, "https://h/login")], Level.OK, "302 to https://h/login", ""),
        ("http://h/", [(303, "http://h/login")], Level.OK, "303 to http://h/login", ""),
        ("https://h/", [(308, "/v2")], Level.WARN, "308 to /v2", "it is permanent"),
        ("http://h/", [(301, "/v2"), (302, "/v3")], Level.WARN, "301 to /v2, 302 to /v3", "it is permanent"),
        ("https://h/", [(302, "https://other/")], Level.WARN, "302 to https://other/", "credentials"),
        ("https://h/", [(301, "https://h:8443/")], Level.WARN, "301 to https://h:8443/", "credentials"),
        ("http://h/", [(302, "http://other/")], Level.WARN, "302 to http://other/", "credentials"),
        ("https://h/", [(301, "http://h/")], Level.FAIL, "301 to http://h/", "the redirect leaves TLS"),
        ("https://h/", [(302, "HTTP://h/")], Level.FAIL, "302 to HTTP://h/", "the redirect leaves TLS"),
        ("http://h/", [(302, "HTTPS://h/")], Level.WARN, "302 to HTTPS://h/", "write https:// in the URL"),
        (
            "http://h/",
            [(301, "https://h/"), (302, "/x?token=s3")],
            Level.WARN,
            "301 to https://h/, 302 to /x?token=***",
            "write https:// in the URL",
        ),
    ],
)
def test_redirects_are_listed(
    url: str, hops: list[tuple[int, str]], level: Level, message: str, advice: str
) -> None:
    """Permanent ones cost a round trip a call; one that leaves TLS is a fault. Secrets are hidden."""
    found = checks(url, reply(hops=hops))["redirects"]
    assert (found.level, found.message) == (level, message)
    assert found.advice.startswith(advice)
    assert bool(found.advice) is bool(advice)
    assert [hop["status"] for hop in found.details["hops"]] == [status for status, _ in hops]


@pytest.mark.parametrize(
    ("seen", "accepts", "level"),
    [
        (reply(size=5000, Content_Type="application/json", Content_Encoding="gzip"), True, Level.OK),
        (reply(size=5000, Content_Type="application/json"), True, Level.WARN),
        (reply(size=5000, Content_Type="image/png"), True, Level.OK),
        (reply(size=500, Content_Type="text/html"), True, Level.OK),
        (reply(size=5000, Content_Type="text/html"), False, Level.SKIP),
    ],
)
def test_text_should_be_compressed(seen: Reply, accepts: bool, level: Level) -> None:
    """If there is enough of it, and the client asks for it."""
    assert checks("https://h/", seen, accepts)["compression"].level is level


@pytest.mark.parametrize(
    ("headers", "level", "message"),
    [
        (
            {"x_envoy_attempt_count": "3"},
            Level.WARN,
            "a proxy made 3 attempts of the request (x-envoy-attempt-count)",
        ),
        ({"x_envoy_attempt_count": "1"}, Level.OK, "x-envoy-attempt-count: 1"),
        ({"server": "istio-envoy"}, Level.OK, "server: istio-envoy"),
        ({"l5d_proxy_error": "connect timed out"}, Level.OK, "l5d-proxy-error: connect timed out"),
        ({"server": "nginx"}, None, ""),
    ],
)
def test_a_proxy_of_a_mesh_is_shown(headers: dict[str, str], level: Level | None, message: str) -> None:
    """With a warning if it retries, too; nothing is said where there is none."""
    found = checks("https://h/", reply(**headers)).get("service mesh")
    assert (None if found is None else found.level) is level
    if found is not None:
        assert found.message == message
        assert "only one side should" in found.advice


def test_limits_of_the_service_are_shown() -> None:
    """As the response names them; a refusal that says when to come back is a warning."""
    found = checks("https://h/", reply(X_RateLimit_Remaining="7"))["rate limit"]
    assert (found.level, found.message) == (Level.OK, "X-RateLimit-Remaining: 7")
    for status, level in (
        (429, Level.WARN),
        (503, Level.WARN),
        (200, Level.OK),
        (301, Level.OK),
        (502, Level.OK),
    ):
        found = checks("https://h/", reply(status, Retry_After="30"))["rate limit"]
        assert (found.level, found.message, found.details) == (
            level, "Retry-After: 30", {"headers": {"Retry-After": "30"}},
        )  # fmt: skip
    found = checks("https://h/", reply(429, X_RateLimit_Remaining="0"))["rate limit"]
    assert found.level is Level.OK
    assert checks("https://h/", reply())["rate limit"].message == "the response names none"


def test_a_url_without_tls_is_a_warning() -> None:
    """HSTS is mentioned where it is there."""
    assert checks("http://h/", reply())["encryption"].level is Level.WARN
    value = "max-age=31536000"
    found = checks("https://h/", reply(Strict_Transport_Security=value))["encryption"]
    assert (found.level, found.message) == (Level.OK, f"https; Strict-Transport-Security: {value}")


@each_row(
    ("status", "level"), [(200, Level.OK), (304, Level.OK), (401, Level.WARN), (404, Level.WARN), (429, Level.WARN), (503, Level.FAIL)]
)  # fmt: skip
def test_a_status_has_its_level(status: int, level: Level) -> None:
    """A service that fails is a fault; a wrong URL or credential may be the user's."""
    assert reply(status).finding().level is level


def test_a_body_that_breaks_off_is_a_fault() -> None:
    """The headers had arrived; what came is shown, and nothing that a terminal acts on."""
    seen = reply(size=70)
    seen.error, seen.is_whole = ConnectError("broken\x1b[2J"), False
    found = seen.finding()
    assert (found.level, found.message) == (
        Level.FAIL, "200 OK in 12 ms, at least 70 bytes, and then broken [2J",
    )  # fmt: skip


def test_a_certificate_is_read() -> None:
    """As another library reads it."""
    authority = trustme.CA(organization_name="Example Authority")
    until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=20)
    issued = authority.issue_cert(
        "h.example", "*.h.example", "127.0.0.1", common_name="h.example", not_after=until
    )
    known = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    found = read_certificate(known.public_bytes(Encoding.DER))
    assert found is not None
    assert (found.subject, found.issuer) == ("h.example", "Example Authority")
    assert found.valid_until == until == known.not_valid_after_utc
    assert found.valid_from == known.not_valid_before_utc
    assert found.hosts == ("h.example", "*.h.example", "127.0.0.1")
    assert not found.is_self_signed
    own = x509.load_pem_x509_certificate(authority.cert_pem.bytes()).public_bytes(Encoding.DER)
    root = read_certificate(own)
    assert root is not None
    assert root.is_self_signed


@given(
    st.binary(max_size=64)
    | st.binary(max_size=64).map(lambda rest: b"\x30\x82\x01\x00\x30\x81\xff\x02" + rest)
)
def test_no_bytes_break_the_reader_of_certificates(data: bytes) -> None:
    """It gives up."""
    assert read_certificate(data) is None
