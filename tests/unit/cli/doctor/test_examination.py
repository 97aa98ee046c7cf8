"""The order of the doctor's checks, and what each of them is given, with steps that are made up."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from http_service_client import (
    ConnectError,
    ConnectionPoolConfig,
    EgressPolicy,
    HttpClientConfig,
    Timeout,
    __version__,
)
from http_service_client.cli import main
from http_service_client.cli.doctor import examination
from http_service_client.cli.doctor.calls import Reply
from http_service_client.cli.doctor.examination import Examination
from http_service_client.cli.doctor.findings import Finding, Level, ok, skip
from http_service_client.cli.doctor.network import Address
from http_service_client.http.headers import Headers
from kit.command_line import needs_rich, run_in_terminal

URL = "http://h.example/x"
ONE, TWO = (Address("IPv4", (f"192.0.2.{number}", 80)) for number in (1, 2))


class Socket:
    """One that is connected."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []
        self.is_closed = False

    def settimeout(self, seconds: float) -> None:
        self.timeouts.append(seconds)

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True


class Steps:
    """Stands in for the steps, and notes what they are given."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.names: list[Any] = [ok("dns", "found"), ONE, TWO]
        self.good: list[Address] = [TWO, ONE]
        self.sockets: list[Socket] = []
        self.connect_error: OSError | None = None
        self.blocking: int | None = 200
        self.asyncio: int | None = 204

    def examine_names(self, host: str, port: int, within: float) -> Iterator[Any]:
        self.given["names"] = host, port, within
        yield from self.names

    def examine_addresses(self, addresses: list[Address], within: float, sockets: Any) -> Iterator[Any]:
        self.given["addresses"] = addresses, within
        yield ok("connect", "connected")
        yield from self.good

    def connect(self, address: Address, within: float, sockets: Any) -> Socket:
        self.given["connect"] = address, within
        if self.connect_error is not None:
            raise self.connect_error
        self.sockets.append(Socket())
        return self.sockets[-1]

    def send_head(self, sock: Any, url: Any, fields: Any, within: float) -> str:
        self.given["head"] = sock, url.target, fields, within
        return "head"

    def examine_clock(self, head: str) -> Finding:
        return ok("clock", head)

    def examine_keep_alive(self, sock: Any, head: str, ours: float, limit: float) -> Iterator[Finding]:
        self.given["keep-alive"] = ours, limit
        yield ok("keep-alive", head)

    def get(self, url: str, config: Any, keywords: Any) -> Reply:
        self.given["keywords"] = keywords
        return self._reply("blocking", self.blocking)

    def get_async(self, url: str, config: Any, keywords: Any) -> Reply:
        assert keywords is self.given["keywords"]
        return self._reply("asyncio", self.asyncio)

    def _reply(self, front_end: str, status: int | None) -> Reply:
        made = Reply(front_end)
        made.requests = 1
        if status is None:
            made.error = ConnectError("no")
        else:
            made.status, made.phrase, made.headers = status, "", Headers()
            made.version, made.seconds = "HTTP/1.1", 0.0
        return made

    def examine_response(self, url: str, reply: Reply, accepts_codings: bool) -> Iterator[Finding]:
        self.given["response"] = url, reply.status, accepts_codings
        yield skip("response", "seen")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    made = Steps()
    for name in dir(Steps):
        if not name.startswith("_"):
            monkeypatch.setattr(examination, name, getattr(made, name))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return made


def run(config: HttpClientConfig | None = None, url: str = URL, **keywords: Any) -> dict[str, Finding]:
    made = Examination(url, config or HttpClientConfig(), keywords, [("A", "b")], 7.0)
    return {found.check: found for found in made.run()}


def test_each_step_is_given_what_the_one_before_found(steps: Steps) -> None:
    """The name, its addresses, a connection to the quickest of them, and what came on it."""
    found = run()
    assert list(found) == [
        "proxy", "dns", "connect", "clock", "keep-alive", "GET, blocking", "GET, asyncio", "response",
    ]  # fmt: skip
    assert steps.given["names"] == ("h.example", 80, 5.0)
    assert steps.given["addresses"] == ([ONE, TWO], 5.0)
    assert steps.given["connect"] == (TWO, 5.0)
    (sock,) = steps.sockets
    assert steps.given["head"] == (sock, "/x", [("A", "b")], 5.0)
    assert (sock.timeouts, sock.is_closed) == ([5.0], True)
    assert steps.given["keep-alive"] == (HttpClientConfig().resolved.pool.keep_alive_timeout, 7.0)
    assert steps.given["response"] == (URL, 200, True)


@pytest.mark.parametrize(
    ("timeout", "within", "total"),
    [
        (None, 5.0, 10.0),
        (Timeout(total=30.0, connect=5.0), 5.0, 10.0),
        (Timeout(total=0.5, connect=5.0), 0.5, 0.5),
        (Timeout(total=8.0, connect=None), 8.0, 8.0),
        (Timeout(total=None, connect=None), 10.0, 10.0),
        (Timeout(total=None, connect=20.0), 10.0, 10.0),
        (Timeout(total=4.0, connect=3.0), 3.0, 4.0),
    ],
)
def test_a_step_takes_as_long_as_the_options_say(
    timeout: Timeout | None, within: float, total: float, steps: Steps
) -> None:
    """Ten seconds at most. A call is made once, and a redirect has its time, too."""
    config = HttpClientConfig(base_timeout=0.25)
    if timeout is None:
        run()
    else:
        run(config, timeout=timeout)
    keywords = steps.given["keywords"]
    assert steps.given["names"][2] == within
    assert (keywords["timeout"].total, keywords["total_timeout"]) == (total, 2 * total)
    assert (keywords["retry_policy"], keywords["circuit_breaker"]) == (False, False)


def test_the_configuration_has_a_time_too(steps: Steps) -> None:
    """Where the options have none."""
    run(HttpClientConfig(base_timeout=0.25))
    assert (steps.given["names"][2], steps.given["keywords"]["timeout"].total) == (0.25, 0.25)


def test_other_keywords_go_along(steps: Steps) -> None:
    """Such as headers."""
    run(headers=[("A", "b")])
    assert steps.given["keywords"]["headers"] == [("A", "b")]


def test_a_unix_socket_of_the_url_has_no_name(steps: Steps) -> None:
    """As one of the options."""
    for found in (
        run(url="http+unix://%2Ftmp%2Fs/x"),
        run(HttpClientConfig(connection_pool=ConnectionPoolConfig(uds="/s"))),
    ):
        assert (found["dns"].level, "the Unix socket" in found["dns"].message) == (Level.SKIP, True)
        assert "connect" not in found
    assert steps.given.keys().isdisjoint({"names", "addresses"})


def test_the_response_of_the_front_end_that_has_one_is_examined(steps: Steps) -> None:
    """Of both, the blocking one's."""
    steps.blocking = None
    run()
    assert steps.given["response"][1] == 204


@pytest.mark.parametrize("variable", ["no_proxy", "NO_PROXY"])
def test_an_exception_that_cannot_be_read_is_named(
    variable: str, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the environment counts: not beside a proxy of the configuration, nor if it is not trusted."""
    monkeypatch.setenv(variable, "exa..com:x, h.example, b..de:y")
    found = run()["proxy"]
    assert (found.level, found.message) == (
        Level.WARN, "NO_PROXY has 'exa..com:x', 'b..de:y', which is not valid and ignored",
    )  # fmt: skip
    assert found.advice == "write a domain, an address or a network"
    assert run(HttpClientConfig(trust_env_proxy_settings=False))["proxy"].level is Level.OK
    own = run(HttpClientConfig(proxy="http://ann:pw@p.example:8080"))["proxy"]
    assert own.message == "http://***@p.example:8080, set by the options or the configuration"
    assert own.details == {"proxy": "http://***@p.example:8080"}


def test_no_proxy_is_said_too(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, names and addresses are not examined."""
    assert (run()["proxy"].message, run()["proxy"].details) == ("none for this URL", {"proxy": None})
    monkeypatch.setenv("http_proxy", "http://p.example:8080")
    steps.given.clear()
    found = run()
    assert found["proxy"].message == (
        "http://p.example:8080, set by the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY)"
    )
    assert found["proxy"].advice == "--proxy none examines the direct way"
    assert found["dns"].message.startswith("connections lead to the proxy: ")
    assert "names" not in steps.given


def test_an_address_that_the_policy_refuses_is_not_tried(steps: Steps) -> None:
    """The others are."""
    found = run(
        HttpClientConfig(
            egress_policy=EgressPolicy(denied_hosts=["192.0.2.1"], allowed_hosts=["h.example", "192.0.2.2"])
        )
    )
    refused = found["egress policy"]
    assert (refused.level, refused.message) == (Level.FAIL, "it refuses 192.0.2.1")
    assert refused.advice == "no connection is made there; see egress_policy in the configuration"
    assert steps.given["addresses"][0] == [TWO]


def test_a_url_that_the_policy_refuses_leads_nowhere(steps: Steps) -> None:
    """All its addresses are named, though the policy allows each of them."""
    addresses = ["192.0.2.1", "192.0.2.2"]
    for policy in (
        EgressPolicy(allowed_hosts=["h.example", *addresses], allowed_ports=[443]),
        EgressPolicy(allowed_hosts=["h.example", *addresses], allowed_schemes=["https"]),
        EgressPolicy(allowed_hosts=["other.example", *addresses]),
    ):
        found = run(HttpClientConfig(egress_policy=policy))
        assert found["egress policy"].message == "it refuses 192.0.2.1, 192.0.2.2"
    assert "addresses" not in steps.given


def test_a_name_without_an_address_is_not_connected_to(steps: Steps) -> None:
    """Nor is one whose addresses are all dead; both front ends say so, too."""
    steps.names = [ok("dns", "none")]
    found = run()
    assert "egress policy" not in found
    assert "connect" not in found
    steps.names, steps.good = [ONE], []
    found = run()
    assert "connect" in found
    assert steps.given.keys().isdisjoint({"connect", "head"})


def test_a_second_connection_that_is_refused_is_a_finding(steps: Steps) -> None:
    """The server may be overloaded."""
    steps.connect_error = ConnectionRefusedError("no")
    found = run()["HEAD"]
    assert (found.level, found.message, found.advice) == (
        Level.FAIL, "the server accepts no second connection: no", "is it overloaded?",
    )  # fmt: skip
    assert "head" not in steps.given


def test_the_head_is_sent_on_the_connection_whose_tls_was_examined(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what was found about it. The connection is closed in the end."""

    class Secure(Socket):
        pass

    made = Secure()

    def examine_tls(open_socket: Any, host: str, port: int, *_: object) -> Iterator[Any]:
        steps.given["tls"] = host, port
        yield ok("tls", "fine")
        yield made

    monkeypatch.setattr(examination, "SSLSocket", Secure)
    monkeypatch.setattr(examination, "examine_tls", examine_tls)
    found = run(url="https://h.example/x")
    assert list(found)[2:6] == ["connect", "tls", "clock", "keep-alive"]
    assert steps.given["tls"] == ("h.example", 443)
    assert steps.given["head"][0] is made
    assert made.is_closed


def test_a_certificate_that_is_not_verified_is_a_finding_and_no_warning(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client warns of it, which the doctor says by itself."""

    def warning_get(url: str, config: Any, keywords: Any) -> Reply:
        warnings.warn("certificates are not verified", RuntimeWarning, stacklevel=2)
        return steps.get(url, config, keywords)

    monkeypatch.setattr(examination, "get", warning_get)
    assert "GET, blocking" in run()


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("the response is not HTTP/1.1")], ids=repr)
def test_a_head_that_does_not_come_is_a_finding(
    error: Exception, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls are made all the same."""

    def send_head(*_: object) -> None:
        raise error

    monkeypatch.setattr(examination, "send_head", send_head)
    found = run()
    assert (found["HEAD"].level, found["HEAD"].message) == (Level.FAIL, f"no response to HEAD: {error}")
    assert found["HEAD"].advice == "a plain HTTP/1.1 server responds to it: look at its log"
    assert "clock" not in found
    assert "GET, asyncio" in found


def test_what_was_sent_is_counted(steps: Steps) -> None:
    """By method."""
    made = Examination(URL, HttpClientConfig(), {}, [], 0.0)
    list(made.run())
    assert made.requests == {"HEAD": 1, "GET": 2}


def doctor(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main(["doctor", *arguments])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "idle"),
    [
        ([], 2.0 + HttpClientConfig().resolved.pool.keep_alive_timeout),
        (["--idle", "0"], 0.0),
        (["--idle", "2m"], 120.0),
    ],
)
def test_the_wait_for_an_idle_connection_is_chosen(
    options: list[str], idle: float, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two seconds more than ours, else."""
    assert doctor(URL, *options, capsys=capsys)[0] == 0
    assert steps.given["keep-alive"][1] == idle


def test_the_head_has_the_headers_of_the_calls(steps: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are left out are left out."""
    doctor(URL, "-H", "X-A: b", "-H", "Accept-Language:", capsys=capsys)
    names = [name for name, _ in steps.given["head"][2]]
    assert names == ["User-Agent", "Accept", "X-A"]
    assert dict(steps.given["head"][2])["User-Agent"] == f"http-service-client/{__version__}"
    assert dict(steps.given["head"][2])["Accept"] == "*/*"
    assert steps.given["keywords"]["headers"] == [("X-A", "b"), ("Accept-Language", None)]
    doctor(URL, capsys=capsys)
    assert "headers" not in steps.given["keywords"]


@pytest.mark.parametrize(
    ("levels", "worst", "code"),
    [
        ([], "skip", 0),
        ([Level.WARN, Level.OK], "warn", 0),
        ([Level.FAIL, Level.WARN], "fail", 1),
    ],
)
def test_the_worst_finding_is_the_end(
    levels: list[Level], worst: str, code: int, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure alone is an exit code."""
    steps.names = [*(Finding("dns", level, "made up") for level in levels), ONE]
    ended, output = doctor(f"{URL}?token=s3", "--as-json", capsys=capsys)
    found = json.loads(output)
    assert (ended, found["worst"]) == (code, worst)
    assert [each["level"] for each in found["findings"] if each["check"] == "dns"] == [
        level.value for level in levels
    ]
    assert (found["url"], found["requests"]) == (f"{URL}?token=***", {"HEAD": 1, "GET": 2})
    assert output.startswith('{\n  "url"')
    assert doctor(URL, capsys=capsys)[0] == code


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([URL, "--idle", "none"], "must have an end, since a server may keep a connection for ever; write 75, or 5m"),
        ([URL, "--idle", "x"], "must be a positive duration"),
        ([URL, "-H", "X A: b"], "error: "),
        ([URL, "-H", "X-A"], "error: --header must be NAME:VALUE"),
        (["ftp://h/"], "error: "),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_told_before_anything_is_examined(
    arguments: list[str], problem: str, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2."""
    assert main(["doctor", *arguments]) == 2
    printed = capsys.readouterr()
    assert problem in printed.err
    assert (printed.out, steps.given) == ("", {})


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        (lambda steps: None, "2 GET and 1 HEAD"),
        (lambda steps: steps.names.clear(), "2 GET"),
    ],
)
def test_the_last_line_has_the_numbers(
    change: Callable[[Steps], object], sent: str, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of findings, the worst first, and of requests."""
    change(steps)
    steps.names.insert(0, Finding("dns", Level.WARN, "slow", "be patient"))
    _, output = doctor(f"{URL}?token=s3", capsys=capsys)
    lines = output.splitlines()
    assert lines[:2] == [f"{URL}?token=***", ""]
    at = lines.index("warn  dns            slow")
    assert lines[at + 1] == "                     → be patient"
    assert lines[-2] == ""
    assert lines[-1].startswith("1 warn, 1 skip, ")
    assert lines[-1].endswith(f" ok; sent {sent}")


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
@needs_rich
def test_advice_is_dim_on_a_terminal(steps: Steps) -> None:
    """Below the sentence that it is for, whose level has its colour."""
    steps.names.insert(0, Finding("dns", Level.WARN, "slow", "be patient"))
    _, shown = run_in_terminal("doctor", URL)
    assert (
        "\x1b[33mwarn  \x1b[0mdns            slow\n                     \x1b[2m→ be patient\x1b[0m\n" in shown
    )
