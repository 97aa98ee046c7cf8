"""What a request command reports about its call: the whole result as JSON, the timeline, the heads, the errors."""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from http_service_client import ConnectError
from http_service_client.cli.request import result as results
from http_service_client.testing import LoopbackServer, reset, respond, stall
from kit.command_line import needs_rich, run_piped

QUICK = '{"retry_policy_config": {"initial_delay": 0.001, "max_delay": 0.001}}'
TIME = re.compile(r"\d+\.\d{3} s")


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    """Arguments that make the waits between attempts short."""
    (tmp_path / "quick.json").write_text(QUICK)
    return ["--config", str(tmp_path / "quick.json")]


def as_json(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = run_piped(*arguments, "--as-json")
    assert done.code == code
    result: dict[str, Any] = json.loads(done.output)
    return result


def test_the_whole_result_is_one_object(
    server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """Status, headers, body and timeline; secrets of the head are left out."""
    headers = [("Set-Cookie", "a=1"), ("Vary", "A"), ("Vary", "B")]
    server.script("/x", respond(503), respond(201, headers=headers, json={"id": 1}))
    result = as_json("put", f"{server.url}/x?token=abc", *quick, *front_end_flag)
    timeline = result.pop("timeline")
    assert result.pop("elapsed") == timeline[-1]["at"]
    assert result == {
        "status": 201,
        "reason": "Created",
        "http_version": "HTTP/1.1",
        "url": f"{server.url}/x?token=***",
        "headers": {
            "set-cookie": ["***"],
            "vary": ["A", "B"],
            "content-type": ["application/json"],
            "content-length": ["9"],
        },
        "json": {"id": 1},
        "error": None,
        "idempotency_key": None,
        "attempts": 2,
        "sent_state": "answered",
    }
    kinds = ["attempt_finished", "retry_scheduled", "attempt_finished", "call_finished"]
    assert [event["event"] for event in timeline] == kinds
    assert timeline[1]["cause"] == "status 503"
    assert timeline[3]["text"] == "done: 201 after 2 attempts, answered"


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b"[1]", {"json": [1]}),
        ("application/json", b"{", {"text": "{"}),
        ("application/json", b"NaN", {"text": "NaN"}),
        ("text/plain; charset=latin-1", b"\xfc", {"text": "ü"}),
        ("text/plain", "ü\0".encode(), {"text": "ü\0"}),
        ("image/png", b"\x89PNG", {"base64": "iVBORw=="}),
        ("", b"", {"text": ""}),
    ],
)
def test_the_body_has_the_name_of_its_form(
    content_type: str, body: bytes, expected: dict[str, Any], server: LoopbackServer
) -> None:
    """JSON, text, or base64 of the bytes: the first that loses nothing."""
    server.script("/x", respond(body=body, headers={"Content-Type": content_type}))
    result = as_json("get", f"{server.url}/x")
    assert {name: result[name] for name in ("json", "text", "base64") if name in result} == expected


def test_a_failure_is_an_object_too(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """With the state of the request, from which a script decides whether to repeat it."""
    server.script("/x", reset())
    result = as_json("post", f"{server.url}/x", "-d", "tea", *front_end_flag, code=6)
    assert (result["status"], result["url"], result["headers"]) == (None, None, {})
    assert set(result["error"]) == {"type", "message"}
    assert result["error"]["type"] == "ConnectionLostError"
    assert result["error"]["message"].startswith("the connection ")
    assert (result["sent_state"], result["attempts"]) == ("maybe_processed", 1)
    assert result["timeline"][1]["reason"].startswith("the server may have acted on the request")


def test_the_state_is_the_worst_of_all_attempts(
    server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """A success may be the second one."""
    server.script("/x", reset(), respond(429))
    arguments = ["post", f"{server.url}/x", "--idempotent", "--retries", "1", *quick, *front_end_flag]
    result = as_json(*arguments)
    assert (result["status"], result["attempts"], result["sent_state"]) == (429, 2, "maybe_processed")


def test_a_failure_without_a_story_has_an_empty_one() -> None:
    """Before the first attempt, nothing has happened."""
    result = json.loads(results.as_json(ConnectError("no"), shows_secrets=False))
    figures = {name: result[name] for name in ("attempts", "elapsed", "timeline")}
    assert figures == {"attempts": 0, "elapsed": 0.0, "timeline": []}


def test_explain_prints_the_story(
    server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """On standard error, after the body, for a failure too."""
    server.script("/x", respond(503), respond(body=b"tea"))
    done = run_piped("get", f"{server.url}/x", "--explain", *quick, *front_end_flag)
    assert (done.code, done.output) == (0, b"tea")
    assert TIME.sub("T", done.errors).splitlines() == [
        f"GET {server.url}/x",
        "  T  attempt 1: 503 Service Unavailable (after T, answered)",
        "  T  retry in T because of status 503 [3 retries left in the budget]",
        "  T  attempt 2: 200 OK (after T, answered)",
        "  T  done: 200 after 2 attempts, answered",
    ]
    server.script("/y", stall())
    failed = run_piped(
        "get", f"{server.url}/y", "--explain", "--timeout", "50ms", "--retries", "0", *front_end_flag
    )
    lines = failed.errors.splitlines()
    assert failed.code == 6
    assert "not retried: that was the last attempt" in lines[-3]
    assert lines[-1] == (
        f"error: no complete response from {server.url}/y within 0.05 s; --timeout and --connect-timeout allow more"
    )


def test_why_says_what_would_have_helped(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """In the story, which a success has too, and as a field of the event in the JSON object."""
    server.script("/y", respond())
    assert "done: 200 after 1 attempt" in run_piped("get", f"{server.url}/y", "--why", *front_end_flag).errors
    server.script("/x", reset(), reset())
    done = run_piped("post", f"{server.url}/x", "-d", "tea", "--why", *front_end_flag)
    assert "would have been retried with idempotent=True (or an Idempotency-Key)" in done.errors
    result = as_json("post", f"{server.url}/x", "-d", "tea", *front_end_flag, code=6)
    assert result["timeline"][1]["why"].startswith("would have been retried with idempotent=True")
    assert "decision" not in result["timeline"][1]


def test_verbose_shows_each_exchange(
    server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """The heads as they were sent and received, and what happens in between. Secrets are left out."""
    server.script("/x", respond(503), respond(302, headers={"Location": "/y"}))
    server.script("/y", respond(body=b"tea"))
    options = ["-H", "X-Api-Key: abc", "-H", "Accept-Encoding:", "-H", "User-Agent:", "--bearer", "def"]
    done = run_piped("get", f"{server.url}/x?token=1", "-v", *options, *quick, *front_end_flag)
    request = ["> Accept: */*", "> Authorization: ***", "> X-Api-Key: ***"]
    assert done.output == b"tea"
    lines = TIME.sub("T", done.errors).splitlines()
    assert [line for line in lines if not line.startswith("> ") or line.startswith("> GET")] == [
        f"> GET {server.url}/x?token=***",
        "< HTTP/1.1 503 Service Unavailable",
        "< Content-Length: 0",
        "* retry in T because of status 503 [3 retries left in the budget]",
        f"> GET {server.url}/x?token=***",
        "< HTTP/1.1 302 Found",
        "< Location: /y",
        "< Content-Length: 0",
        f"* attempt 2: 302, following to GET {server.url}/y",
        f"> GET {server.url}/y",
        "< HTTP/1.1 200 OK",
        "< Content-Length: 3",
    ]
    assert sorted(line for line in lines[1:5] if line.startswith("> ")) == request
    shown = run_piped("get", f"{server.url}/y", "-v", "--show-secrets", *options, *front_end_flag).errors
    assert "> Authorization: Bearer def\n" in shown
    assert "> X-Api-Key: abc\n" in shown


def test_verbose_shows_why_no_response_came(
    server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """In place of its head."""
    server.script("/x", reset(), respond())
    done = run_piped("get", f"{server.url}/x", "-v", *quick, *front_end_flag)
    lines = [line for line in done.errors.splitlines() if line.startswith("< ")]
    lost = rf"< ConnectionLostError: the connection to {server.url}/x was lost \(ConnectionResetError(: [\w ]+)?\)"
    assert re.fullmatch(lost, lines[0])
    assert lines[1:] == ["< HTTP/1.1 200 OK", "< Content-Length: 0"]


@needs_rich
def test_what_is_said_has_colours(
    server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """Of a terminal, or where they are asked for."""
    server.script("/x", reset(), respond(503))
    arguments = ["get", f"{server.url}/x", "-v", "--check-status", "--retries", "1", "--color", "always"]
    lines = run_piped(*arguments, *quick, *front_end_flag).errors.splitlines()
    painted = [line[: line.index("m") + 8] for line in lines if line.startswith("\x1b[")]
    assert painted == [
        "\x1b[1m> GET h",
        "\x1b[31m< Conne",
        "\x1b[2m* retry",
        "\x1b[1m> GET h",
        "\x1b[1m< HTTP/",
        "\x1b[2m* not r",
        "\x1b[31merror: ",
    ]
    assert all(line.endswith("\x1b[0m") for line in lines if line.startswith("\x1b["))


class TestErrors:
    """One line each, with what to do, and an exit code that says whether the request may be repeated."""

    def test_a_refused_connection_was_never_sent(
        self, server: LoopbackServer, front_end_flag: list[str]
    ) -> None:
        """Exit code 1: the command can be repeated."""
        server.refuse()
        done = run_piped("post", server.url, "--retries", "0", *front_end_flag)
        assert (done.code, done.output) == (1, b"")
        assert done.errors == (
            f"error: could not connect to {server.url} (ConnectionRefusedError: Connection refused); "
            "check that the service runs and that the port is right"
        )

    def test_a_refusal_was_not_processed(self, server: LoopbackServer, front_end_flag: list[str]) -> None:
        """A response is no error, but by --check-status."""
        server.script("/x", respond(429, headers={"Retry-After": "3600"}, body=b"later"))
        assert run_piped("post", f"{server.url}/x", *front_end_flag) == (0, b"later", "")
        done = run_piped("post", f"{server.url}/x", "--check-status", *front_end_flag)
        assert done == (4, b"later", f"error: POST {server.url}/x answered 429 Too Many Requests")

    def test_a_refused_redirect_is_no_wrong_argument(
        self, server: LoopbackServer, tmp_path: Path, front_end_flag: list[str]
    ) -> None:
        """The server chose it, and may have processed a POST before. A URL that was typed and is refused is one."""
        config = tmp_path / "egress.json"
        config.write_text('{"egress_policy": {"allow_loopback": true, "denied_hosts": ["no.example"]}}')
        server.script("/x", respond(302, headers={"Location": "http://no.example/"}))
        options = ["--config", str(config), *front_end_flag]
        assert run_piped("get", f"{server.url}/x", *options).code == 1
        assert run_piped("post", f"{server.url}/x", *options).code == 6
        assert run_piped("get", "http://no.example/", *options).code == 2

    def test_a_lost_post_may_have_been_processed(
        self, server: LoopbackServer, front_end_flag: list[str]
    ) -> None:
        """Exit code 6, and a warning: a script must not repeat it."""
        server.script("/x", reset())
        done = run_piped("post", f"{server.url}/x", "-d", "charge", *front_end_flag)
        assert done.code == 6
        assert done.errors.endswith("; the request may have been processed: look before you send it again")

    def test_a_generated_key_is_shown(self, server: LoopbackServer, front_end_flag: list[str]) -> None:
        """With it the service recognises the request, so that it can be repeated after all."""
        server.script("/x", reset())
        server.script("/y", respond(500))
        for path, code in (("x", 6), ("y", 5)):
            url = f"{server.url}/{path}"
            options = ["--idempotency-key", "auto", "--retries", "0", "--check-status", *front_end_flag]
            done = run_piped("post", url, *options)
            key = server.received(f"/{path}")[0].header("Idempotency-Key")
            assert done.code == code
            assert done.errors.endswith(f"repeat it with --idempotency-key {key}")
        result = as_json("post", f"{server.url}/x", *options, code=6)
        assert result["idempotency_key"] == server.requests[-1].header("Idempotency-Key")

    def test_a_deadline_a_name_and_a_proxy_have_remedies(
        self, server: LoopbackServer, front_end_flag: list[str]
    ) -> None:
        """The option that helps."""
        server.script("/x", stall())
        done = run_piped("get", f"{server.url}/x", "--deadline", "50ms", *front_end_flag)
        assert (done.code, done.errors.rpartition("; ")[2]) == (6, "--deadline allows more")
        options = ["--retries", "0", "--proxy", "http://127.0.0.1:1", *front_end_flag]
        done = run_piped("get", "http://a.example.com", *options)
        remedy = "check the proxy, or connect without it by --proxy none"
        assert (done.code, done.errors.rpartition("; ")[2]) == (1, remedy)
        done = run_piped("get", "http://no-such-host.invalid", "--retries", "0", *front_end_flag)
        assert (done.code, done.errors.rpartition("; ")[2]) == (1, "check the name of the host")

    @pytest.mark.filterwarnings("default:ssl_verify=False:RuntimeWarning")
    def test_a_certificate_can_be_trusted_or_not_be_checked(
        self, tmp_path: Path, front_end_flag: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """--cacert is the remedy that the error names; --insecure warns in one line."""
        monkeypatch.setattr("http_service_client.transports.network.tls._warned", False)  # once a process
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        with LoopbackServer(tls=context) as server:
            server.script("/x", respond(body=b"tea"))
            url = f"{server.url}/x"
            refused = run_piped("get", url, *front_end_flag)
            assert (refused.code, refused.output) == (1, b"")
            assert refused.errors.endswith(
                "; if a private authority issued it, set ssl_ca_file (--cacert); doctor URL examines the certificate"
            )
            assert run_piped("get", url, "--cacert", str(tmp_path / "ca.pem"), *front_end_flag) == (
                0,
                b"tea",
                "",
            )
            insecure = run_piped("get", url, "--insecure", *front_end_flag)
            assert (insecure.code, insecure.output) == (0, b"tea")
            assert insecure.errors == (
                "warning: ssl_verify=False: certificates are not verified, so any server can impersonate yours; "
                "use it in tests only"
            )


@needs_rich
@pytest.mark.filterwarnings("default:ssl_verify=False:RuntimeWarning")
def test_warnings_and_errors_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yellow for what is worth a thought, red for what failed."""
    monkeypatch.setattr("http_service_client.transports.network.tls._warned", False)  # once a process
    arguments = ["get", "https://127.0.0.1:1", "-k", "--retries", "0", "--color", "always"]
    warning, error = run_piped(*arguments).errors.splitlines()
    assert warning.startswith("\x1b[33mwarning: ")
    assert error.startswith("\x1b[31merror: could not connect")
