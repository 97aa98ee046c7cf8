"""`doctor` against real servers: healthy ones, and those with the faults that it is for."""

from __future__ import annotations

import datetime
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from http_service_client import EgressPolicy, HttpClientConfig
from http_service_client.cli import main
from http_service_client.cli.doctor.examination import Examination
from http_service_client.testing import LoopbackServer, drip, raw, reset, respond
from http_service_client.transports.network import tls
from kit.command_line import COMMAND, environment
from kit.terminal import SEQUENCE, Terminal
from network.faults import Certificates, served

Examine = Callable[..., dict[str, Any]]
UTC = datetime.timezone.utc
OF_A_GET = {"status", "seconds", "bytes_read", "is_whole", "is_http2", "error"}


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Examine:
    """Runs the doctor; its findings by check, and the whole under "all"."""

    def examine(*arguments: str) -> dict[str, Any]:
        code = main(["doctor", *arguments, "--as-json"])
        found = json.loads(capsys.readouterr().out)
        return {"all": found, "code": code, **{each["check"]: each for each in found["findings"]}}

    return examine


def levels(found: dict[str, Any]) -> dict[str, str]:
    return {name: each["level"] for name, each in found.items() if isinstance(each, dict) and "level" in each}


def details(found: dict[str, Any]) -> dict[str, set[str]]:
    """The names of the details of each finding that has some: scripts rely on them."""
    return {each["check"]: set(each["details"]) for each in found["all"]["findings"] if each["details"]}


def test_a_healthy_service_is_ok(server: LoopbackServer, examine: Examine) -> None:
    """Nothing fails; all that was sent is one HEAD and a GET of each front end."""
    server.script("*", respond(json={"up": True}))
    found = examine(f"{server.url}/health", "--idle", "0.2")
    assert levels(found) == {
        "proxy": "ok", "dns": "skip", "connect": "ok", "clock": "skip", "keep-alive": "ok", "GET, blocking": "ok",
        "GET, asyncio": "ok", "redirects": "ok", "compression": "ok", "rate limit": "ok", "encryption": "warn",
    }  # fmt: skip
    assert (found["code"], found["all"]["worst"]) == (0, "warn")
    assert [(request.method, request.path) for request in server.requests] == [
        ("HEAD", "/health"), ("GET", "/health"), ("GET", "/health"),
    ]  # fmt: skip
    assert found["all"]["requests"] == {"HEAD": 1, "GET": 2}
    assert list(found["all"]) == ["url", "worst", "requests", "findings"]
    assert details(found) == {
        "proxy": {"proxy"}, "connect": {"addresses"}, "keep-alive": {"seconds", "announced", "ours"},
        "GET, blocking": OF_A_GET, "GET, asyncio": OF_A_GET,
        "redirects": {"hops"}, "compression": {"coding"}, "rate limit": {"headers"},
    }  # fmt: skip


def test_redirects_are_followed_and_counted(server: LoopbackServer, examine: Examine) -> None:
    """By both front ends."""
    server.script("/old", respond(301, headers={"Location": "/new"}))
    found = examine(f"{server.url}/old", "--idle", "0")
    assert found["redirects"]["details"]["hops"] == [{"status": 301, "location": "/new"}]
    assert found["all"]["requests"] == {"HEAD": 1, "GET": 4}
    assert len(server.requests) == 5


@pytest.mark.parametrize("status", [201, 300, 304])
def test_what_no_client_follows_is_no_redirect(status: int, server: LoopbackServer, examine: Examine) -> None:
    """A location alone makes none, nor does a status alone."""
    server.script("/a", respond(status, headers={"Location": "/b"}))
    server.script("/b", respond(302))
    for path in ("a", "b"):
        found = examine(f"{server.url}/{path}", "--idle", "0")
        assert found["redirects"]["details"]["hops"] == []
        assert found["all"]["requests"] == {"HEAD": 1, "GET": 2}


def test_a_request_counts_unless_it_never_left(server: LoopbackServer, examine: Examine) -> None:
    """Whatever became of it: the service may have seen it."""
    server.script("*", reset())
    assert examine(server.url, "--idle", "0")["all"]["requests"] == {"HEAD": 1, "GET": 2}


def test_the_bytes_of_a_body_are_counted(server: LoopbackServer, examine: Examine) -> None:
    """All of them, or those that came before it broke off."""
    server.script("/whole", respond(body=b"x" * 5000))
    server.script("/broken", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntea"))
    for path, size, is_whole, words in (
        ("whole", 5000, True, ", 5,000 bytes"),
        ("broken", 3, False, ", at least 3 bytes, and then "),
    ):
        found = examine(f"{server.url}/{path}", "--idle", "0")
        for check in ("GET, blocking", "GET, asyncio"):
            seen = found[check]["details"]
            assert (seen["bytes_read"], seen["is_whole"]) == (size, is_whole)
            assert words in found[check]["message"]


def test_a_header_goes_along_with_each_request(server: LoopbackServer, examine: Examine) -> None:
    """Such as the key of an API; it is shown nowhere."""
    found = examine(server.url, "--idle", "0", "-H", "X-Api-Key: s3cret")
    assert [request.header("X-Api-Key") for request in server.requests] == ["s3cret"] * 3
    assert "s3cret" not in json.dumps(found)


def responding_once(response: bytes, then: float) -> Callable[[socket.socket, threading.Event], object]:
    """Responds to each request of a connection, and closes it when it was idle for so many seconds."""

    def serve(accepted: socket.socket, is_over: threading.Event) -> None:
        accepted.settimeout(then)
        while accepted.recv(65536):
            accepted.sendall(response)

    return serve


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("response", "level", "message", "advice"),
    [
        (PLAIN, "warn", "the server closes an idle connection after 0.", "set keep_alive_timeout=0."),
        (
            PLAIN.replace(b"OK\r\n", b"OK\r\nKeep-Alive: timeout=1\r\n"),
            "ok",
            "it announces timeout=1, which this client obeys",
            None,
        ),
        (
            PLAIN.replace(b"OK\r\n", b"OK\r\nKeep-Alive: timeout=60\r\n"),
            "warn",
            "it announces timeout=60",
            "set keep_alive_timeout=0.",
        ),
        (
            PLAIN.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
            "warn",
            "the server closes the connection after each response",
            "each call pays for a connection of its own",
        ),
        (PLAIN.replace(b"1.1", b"1.0"), "warn", "(HTTP/1.0)", "each call pays for a connection of its own"),
    ],
    ids=["silent", "announced", "lies", "close", "http-1.0"],
)
def test_the_idle_time_of_the_server_is_compared_with_ours(
    response: bytes, level: str, message: str, advice: str | None, examine: Examine
) -> None:
    """A server that closes first makes requests fail; the advice has a number."""
    with served(responding_once(response, 0.3)) as address:
        found = examine(f"http://{address}/", "--idle", "5")["keep-alive"]
    assert found["level"] == level
    assert message in found["message"]
    assert (advice or "") in (found["advice"] or "")
    assert bool(found["advice"]) is (advice is not None)


def test_a_server_that_waits_longer_than_we_do_is_fine(examine: Examine) -> None:
    """As far as the limit of the wait shows it."""
    with served(responding_once(PLAIN, 30)) as address:
        found = examine(f"http://{address}/", "--idle", "0.3")["keep-alive"]
    assert (found["level"], found["details"]["seconds"]) == ("ok", None)
    assert (
        "for more than 0.3 s, this client for 4 s; wait longer than that to be sure: --idle 5"
        in found["message"]
    )


def test_the_idle_time_is_measured_under_tls_too(certificates: Certificates, examine: Examine) -> None:
    """Session tickets, which a server sends after the handshake, are no end of the connection."""
    with served(responding_once(PLAIN, 0.3), tls=certificates.server_context()) as address:
        found = examine(f"https://{address}/", "--idle", "5", "--cacert", certificates.ca_file)["keep-alive"]
    assert found["level"] == "warn"
    assert 0.25 < found["details"]["seconds"] < 5


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_has_no_name_to_look_up(tmp_path: Path, examine: Examine) -> None:
    """Only the calls are examined."""
    path = tmp_path / "s"
    with served(responding_once(PLAIN, 5), path=path):
        found = examine("http://localhost/", "--unix-socket", str(path))
    assert (found["dns"]["level"], found["GET, blocking"]["level"], found["GET, asyncio"]["level"]) == (
        "skip",
        "ok",
        "ok",
    )
    assert "the Unix socket" in found["dns"]["message"]
    assert "connect" not in found


def context(issued: trustme.LeafCert) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(made)
    return made


def in_days(days: int) -> datetime.datetime:
    return datetime.datetime.now(UTC) + datetime.timedelta(days=days, hours=1)


def test_a_certificate_is_verified_and_dated(
    tls_server: LoopbackServer, certificates: Certificates, examine: Examine
) -> None:
    """By the authorities that the options name."""
    tls_server.script("*", respond())
    found = examine(tls_server.url, "--idle", "0", "--cacert", certificates.ca_file)
    assert {name: levels(found)[name] for name in ("tls", "certificate", "http version", "GET, blocking", "encryption")} == {
        "tls": "ok", "certificate": "ok", "http version": "ok", "GET, blocking": "ok", "encryption": "ok",
    }  # fmt: skip
    assert found["tls"]["details"]["version"] == "TLSv1.3"
    (own, *_) = found["certificate"]["details"]["chain"]
    assert set(own) == {"subject", "issuer", "valid_from", "valid_until", "days_left", "hosts"}
    assert own["hosts"] == ["127.0.0.1", "localhost"]
    assert own["days_left"] > 14
    assert own["valid_from"] < own["valid_until"]
    assert found["code"] == 0


@pytest.mark.parametrize(
    ("names", "since", "until", "message", "advice"),
    [
        (["127.0.0.1"], -90, -3, ": expired 3 days ago, on ", "renew it"),
        (["127.0.0.1"], 2, 90, ": not valid before ", "check the clock"),
        (
            ["h.example", "i.example"],
            -1,
            90,
            "It is not for 127.0.0.1, but for h.example, i.example",
            "call the service",
        ),
    ],
    ids=["expired", "not-yet", "wrong-host"],
)
def test_a_certificate_that_is_refused_is_explained(
    names: list[str],
    since: int,
    until: int,
    message: str,
    advice: str,
    certificates: Certificates,
    examine: Examine,
) -> None:
    """With its dates and hosts, which the refusal of OpenSSL does not name; nothing is sent to such a server."""
    issued = certificates.authority.issue_cert(*names, not_before=in_days(since), not_after=in_days(until))
    with LoopbackServer(tls=context(issued)) as server:
        found = examine(server.url, "--idle", "0", "--cacert", certificates.ca_file)
        assert server.requests == []
    assert (found["code"], found["certificate"]["level"]) == (1, "fail")
    assert message in found["certificate"]["message"]
    assert found["certificate"]["advice"].startswith(advice)


def test_a_certificate_that_expires_soon_is_a_warning(certificates: Certificates, examine: Examine) -> None:
    """Two weeks before, and not three."""
    issued = certificates.authority.issue_cert("127.0.0.1", not_after=in_days(13))
    with LoopbackServer(tls=context(issued)) as server:
        found = examine(server.url, "--idle", "0", "--cacert", certificates.ca_file)
    assert (found["certificate"]["level"], found["code"]) == ("warn", 0)
    assert "expires in 13 days" in found["certificate"]["message"]


def test_an_unknown_authority_is_named(
    tls_server: LoopbackServer, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the option that trusts it. --insecure goes on, with a warning."""
    tls_server.script("*", respond())
    found = examine(tls_server.url, "--idle", "0")["certificate"]
    assert found["level"] == "fail"
    assert "no authority that this machine trusts vouches for it" in found["message"]
    assert "--cacert FILE" in found["advice"]
    monkeypatch.setattr(tls, "_warned", False)  # a warning of Python would be an error here
    found = examine(tls_server.url, "--idle", "0", "--insecure")
    assert (found["certificate"]["level"], found["GET, asyncio"]["level"], found["code"]) == ("warn", "ok", 0)


def test_an_intermediate_authority_has_to_be_sent(
    tmp_path: Path, certificates: Certificates, examine: Examine
) -> None:
    """Browsers may fetch the one that is missing; clients do not."""
    issued = certificates.authority.create_child_ca().issue_cert("127.0.0.1")
    with LoopbackServer(tls=context(issued)) as server:
        found = examine(server.url, "--idle", "0", "--cacert", certificates.ca_file)["certificate"]
    assert found["level"] == "ok"
    assert len(found["details"]["chain"]) == 2
    assert "; the server sends it with that of trustme" in found["message"]
    alone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = tmp_path / "alone.pem"
    file.write_bytes(issued.private_key_pem.bytes() + issued.cert_chain_pems[0].bytes())
    alone.load_cert_chain(file)
    with LoopbackServer(tls=alone) as server:
        found = examine(server.url, "--idle", "0", "--cacert", certificates.ca_file)["certificate"]
    assert found["level"] == "fail"
    assert found["advice"].startswith(
        "the server sends its own certificate only; it should send those of the intermediate"
    )


def test_a_self_signed_certificate_is_explained(tmp_path: Path, examine: Examine) -> None:
    """Nobody else vouches for it."""
    authority = trustme.CA()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = tmp_path / "own.pem"
    file.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    made.load_cert_chain(file)
    with LoopbackServer(tls=made) as server:
        found = examine(server.url, "--idle", "0")
    assert "issued by itself: nobody else vouches for it" in found["certificate"]["message"]


def answering_in_the_clear(accepted: socket.socket, is_over: threading.Event) -> None:
    accepted.recv(65536)
    accepted.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_tls_at_a_port_for_http_is_explained(examine: Examine) -> None:
    """It is the commonest reason for a handshake that fails."""
    with served(answering_in_the_clear) as address:
        found = examine(f"https://{address}/", "--idle", "0")
    assert (found["code"], found["tls"]["level"]) == (1, "fail")
    assert found["tls"]["message"] == "the handshake failed: the server does not speak TLS at this port"


def test_a_mute_server_does_not_hold_the_examination_up(mute: str, examine: Examine) -> None:
    """Each step has its time."""
    found = examine(f"https://{mute}/", "--idle", "0", "--timeout", "0.2")
    assert found["tls"]["message"] == "the handshake failed: the server did not go on in time"


def test_the_server_may_choose_http2(certificates: Certificates, examine: Examine) -> None:
    """It is offered once, on a connection without a request."""
    made = certificates.server_context()
    made.set_alpn_protocols(["h2", "http/1.1"])
    with LoopbackServer(tls=made) as server:
        found = examine(server.url, "--idle", "0", "--cacert", certificates.ca_file)
    assert found["http version"]["details"] == {"alpn": "h2"}
    assert "http2=True" in found["http version"]["advice"]
    assert found["code"] == 0


@pytest.mark.parametrize(
    ("action", "check", "message"),
    [
        (reset(), "HEAD", "no response to HEAD: "),
        (reset(), "GET, blocking", "the connection "),
        (raw(b"nonsense\r\n\r\n"), "HEAD", "no response to HEAD: the response is not HTTP/1.1"),
        (
            raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
            "HEAD",
            "no response to HEAD: the head of the response has no end",
        ),
        (drip(b"x" * 1000), "GET, asyncio", "200 OK in "),
    ],
    ids=["reset-head", "reset-get", "nonsense", "endless-head", "drip"],
)
def test_hostile_servers_are_findings(
    server: LoopbackServer, action: Any, check: str, message: str, examine: Examine
) -> None:
    """The examination ends, and says what it met."""
    server.script("*", action)
    found = examine(server.url, "--idle", "0", "--timeout", "0.6")
    assert (found["code"], found[check]["level"]) == (1, "fail")
    assert message in found[check]["message"]


def test_an_endless_body_is_not_read_to_its_end(server: LoopbackServer, examine: Examine) -> None:
    """Enough of it is."""
    server.script("*", raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 32768] * 1000, every=0.001))
    found = examine(server.url, "--idle", "0")
    assert found["GET, blocking"]["details"]["is_whole"] is False
    assert found["GET, asyncio"]["details"]["bytes_read"] < 1_000_000
    assert found["code"] == 0


def test_a_port_without_a_server_fails(examine: Examine) -> None:
    """Both front ends say so, too."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        found = examine(f"http://127.0.0.1:{bound.getsockname()[1]}/")
    assert (found["code"], found["connect"]["level"], found["GET, blocking"]["level"]) == (1, "fail", "fail")
    assert found["GET, blocking"]["advice"] is None
    assert "127.0.0.1 refused the connection" in found["connect"]["message"]
    assert "keep-alive" not in found
    assert found["all"]["requests"]["GET"] == 0


def test_the_configuration_may_have_the_base_url(
    server: LoopbackServer, tmp_path: Path, examine: Examine
) -> None:
    """All requests go there."""
    settings = tmp_path / "client.json"
    settings.write_text(json.dumps({"base_url": f"{server.url}/v1"}))
    examine("/health", "--idle", "0", "--config", str(settings))
    assert [request.target for request in server.requests] == ["/v1/health"] * 3


def test_the_egress_policy_holds_for_the_doctor_too(
    server: LoopbackServer,
) -> None:
    """It opens no connection that a client with the same configuration would not open."""
    config = HttpClientConfig(egress_policy=EgressPolicy())
    found = {each.check: each.level.value for each in Examination(server.url, config, {}, [], 0.0).run()}
    assert (found["egress policy"], found["GET, blocking"], found["GET, asyncio"]) == ("fail", "fail", "fail")
    assert "connect" not in found
    assert server.connection_count == 0


def test_a_proxy_of_the_environment_is_named(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch, examine: Examine
) -> None:
    """Without its password; what lies behind it cannot be examined, and is skipped. `--proxy none` goes past it."""
    server.script("*", respond(body=b"by the proxy"))
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//user:s3cret@"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    found = examine("http://service.invalid/")
    assert "the environment" in found["proxy"]["message"]
    assert "s3cret" not in json.dumps(found)
    assert (found["dns"]["level"], found["GET, asyncio"]["level"]) == ("skip", "ok")
    monkeypatch.setenv("no_proxy", "exa mple..com:x")
    assert examine("http://service.invalid/")["proxy"]["level"] == "warn"
    assert examine(server.url, "--proxy", "none", "--idle", "0")["proxy"]["message"] == "none for this URL"


@pytest.mark.parametrize(
    "arguments", [["http://"], ["http://h/", "--idle", "-1"], ["http://h/", "--idle", "none"], ["http://h/", "-H", "nonsense"], ["http://h/", "-H", "a b: c"]]
)  # fmt: skip
def test_wrong_arguments_are_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says so."""
    assert main(["doctor", *arguments]) == 2
    said = capsys.readouterr()
    assert "error: " in said.err
    assert said.out == ""


def test_piped_it_prints_lines_of_text(server: LoopbackServer) -> None:
    """A level, a check and a sentence each, and a summary."""
    server.script("*", respond(503))
    done = subprocess.run(
        [*COMMAND, "doctor", server.url, "--idle", "0"],
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == f"{server.url}/"
    assert "ok    proxy          none for this URL" in lines
    assert any(line.startswith("fail  GET, asyncio   503 Service Unavailable in ") for line in lines)
    assert "                     → the service fails: look at its log" in lines
    assert lines[-1] == "2 fail, 1 warn, 3 skip, 5 ok; sent 2 GET and 1 HEAD"


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
def test_ctrl_c_on_a_terminal_ends_it(server: LoopbackServer) -> None:
    """Each finding is shown as soon as it is known; the wait for an idle connection can be interrupted."""
    terminal = Terminal("doctor", server.url, "--idle", "60", columns=100)
    try:
        terminal.read_until("clock")
        terminal.process.send_signal(signal.SIGINT)
        shown = terminal.read_until()
        assert terminal.process.wait(timeout=30) == 130
    finally:
        terminal.close()
    assert "Traceback" not in shown
    assert SEQUENCE.sub("", shown).endswith("interrupted\r\n")
