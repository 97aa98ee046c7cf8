"""`--curl`: a command that sends what ours sends, quoted for any shell, without secrets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from http_service_client.testing import LoopbackServer, Received, respond
from kit.command_line import run_piped

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None or os.name == "nt", reason="curl and a POSIX shell are not installed here"
)

HOSTILE = 'it\'s "$HOME" `id` $(id) \\ ! * ~ ; & | < > # \n ü'


def curl_of(*arguments: str) -> str:
    done = run_piped(*arguments, "--curl")
    assert (done.code, done.errors) == (0, "")
    return done.output.decode()


@needs_curl
@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "-p", f"q={HOSTILE}"],
        ["get", "-H", "User-Agent:", "-H", "Accept:", "-H", "X-A: it's $HOME"],
        ["get", "-H", "Accept-Encoding: identity"],
        ["get", "-d", ""],
        ["get", "-u", "ann:pw'$HOME", "--show-secrets"],
        ["head"],
        ["delete"],
        ["options", "--cookie", "a=1", "--show-secrets"],
        ["post", "-j", '{"a": "it\'s"}'],
        ["post", "-d", HOSTILE],
        ["post", "-d", "@body.bin"],
        ["post", "-f", f"a={HOSTILE}", "-f", "b=@c"],
        ["post"],
        ["put", "-d", "@body.bin", "-H", "Content-Type: text/csv"],
        ["patch", "-d", "@"],
        ["query", "-j", "[]"],
    ],
    ids=lambda arguments: " ".join(arguments).replace("\n", "")[:30],
)
def test_it_sends_what_the_command_sends(
    arguments: list[str], server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Method, target, headers and body, through a real shell and a real curl."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "body.bin").write_bytes(b"\0\r\n\xff")
    if arguments[-1] == "@":
        arguments = [*arguments[:-1], ""]
    server.script("/x", respond())
    verb, *options = arguments
    command = curl_of(verb, f"{server.url}/x", *options)
    assert server.requests == []  # --curl sends nothing
    assert run_piped(verb, f"{server.url}/x", *options).code == 0
    subprocess.run(["sh", "-c", f"{command.rstrip()} --silent --output /dev/null"], check=True, timeout=20)
    ours, theirs = server.requests
    assert _seen(theirs) == _seen(ours)


@needs_curl
def test_it_sends_the_same_form(
    server: LoopbackServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the boundary."""
    monkeypatch.chdir(tmp_path)
    for name in ("a;b, c.csv", "typed.csv"):
        (tmp_path / name).write_bytes(b"\0id")
    server.script("/x", respond())
    files = ["-F", "f=a;b, c.csv", "-F", "g=@typed.csv;text/csv"]
    arguments = ["post", f"{server.url}/x", *files, "-f", f"t=@{HOSTILE};type=x"]
    command = curl_of(*arguments)
    assert run_piped(*arguments).code == 0
    subprocess.run(["sh", "-c", f"{command.rstrip()} --silent --output /dev/null"], check=True, timeout=20)
    assert _without_boundary(server.requests[0]) == _without_boundary(server.requests[1])


def _without_boundary(request: Received) -> list[bytes]:
    boundary = (request.header("Content-Type") or "").partition("boundary=")[2].encode()
    assert boundary
    return sorted(request.body.split(boundary))


def _seen(request: Received) -> tuple[object, ...]:
    """What counts. Hosts are the same, and codings are what each can decode."""
    headers = {name.lower(): value for name, value in request.headers}
    own = {"accept-encoding"} if headers.get("accept-encoding") != "identity" else set()
    if request.body == b"":
        own |= {"content-length"}  # curl sends no length of 0 for a DELETE
    return request.method, request.target, request.body, {k: v for k, v in headers.items() if k not in own}


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["get"], "--compressed"),
        (["get", "-H", "X-A: */*"], "--compressed --header 'X-A: */*'"),
        (["get", "-H", "X-A: Basic b"], "--compressed --header 'X-A: Basic b'"),
        (["get", "-H", "Accept: text/csv", "-H", "X-A: b"], "--compressed --header 'Accept: text/csv' --header 'X-A: b'"),
        (["get", "-H", "X-A: b", "-H", "Accept-Encoding: br"], "--header 'X-A: b' --header 'Accept-Encoding: br'"),
        (["get", "--config", "plain.json"], ""),
        (["head"], "--head --compressed"),
        *(([verb], f"--request {verb.upper()} --compressed") for verb in ("delete", "options", "query")),
        (["post"], "--compressed --data-raw '' --header Content-Type:"),
        (["post", "-d", ""], "--compressed --header Content-Type: --data-raw ''"),
        (["post", "-d", "a"], "--compressed --header Content-Type: --data-raw a"),
        (["get", "-d", ""], "--request GET --compressed --header Content-Type: --data-raw ''"),
        (["query", "-j", "[]"], "--request QUERY --compressed --header 'Content-Type: application/json' --data-raw '[]'"),
        (["post", "-f", "a=b"], "--compressed --header 'Content-Type: application/x-www-form-urlencoded' --data-raw a=b"),
        (["get", "-f", "a=b"], "--request GET --compressed --header 'Content-Type: application/x-www-form-urlencoded' --data-raw a=b"),
        (["get", "-F", "f=a"], """--request GET --compressed --form 'f=@"a";type=application/octet-stream'"""),
        (["post", "-d", "-"], "--compressed --header Content-Type: --data-binary @-"),
        (["post", "-d", "@-"], "--compressed --header Content-Type: --data-binary @-"),
        (["post", "-d", "@a"], "--compressed --header Content-Type: --data-binary @a"),
        (["post", "-F", "f=a"], """--compressed --form 'f=@"a";type=application/octet-stream'"""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_curl_does_by_itself_is_not_said(
    arguments: list[str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a POST with a body: a method that is named would be repeated after a redirect, whatever its status."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").touch()
    (tmp_path / "plain.json").write_text('{"connection_pool": {"enable_compression": false}}')
    verb, *options = arguments
    made = curl_of(verb, "https://h.example/x", "-H", "User-Agent: a", "--no-follow", *options)
    words = made.replace(" \\\n  ", " ").replace("--header 'User-Agent: a' ", "")
    assert " ".join(words.split()) == " ".join(f"curl {command} https://h.example/x".split())


@pytest.mark.skipif(os.name == "nt", reason="its arguments are texts")
@pytest.mark.parametrize("given", [b"a\xff", "ü".encode()])
def test_a_text_is_printed_as_the_bytes_that_the_shell_gave(given: bytes) -> None:
    """Whatever they are, and whatever the locale of the output is."""
    done = run_piped("post", "https://h.example/x", "-d", os.fsdecode(given), "--curl", encoding="ascii")
    assert done.code == 0
    assert b"--data-raw '" + given + b"'" in done.output


@pytest.mark.skipif(os.name == "nt", reason="no file has such a name")
def test_a_quote_and_a_backslash_of_a_file_are_escaped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the shell, and for curl, which reads its own quotes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a"\\').touch()
    words = curl_of("post", "https://h.example/x", "-F", 'f=a"\\;text/csv').split(" \\\n  ")
    assert """--form 'f=@"a\\"\\\\";type=text/csv'""" in words


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("Authorization: Bearer abc", '"Authorization: Bearer $AUTHORIZATION"'),
        ("Authorization: abc", '"Authorization: $AUTHORIZATION"'),
        ("X-Api-Key: abc def", '"X-Api-Key: $X_API_KEY"'),
    ],
)
def test_no_word_of_a_secret_is_printed(header: str, shown: str) -> None:
    """But for the scheme of credentials, which are in two words then."""
    done = run_piped("get", "https://api.example.com/x", "-H", header, "--curl")
    assert f"--header {shown}" in done.output.decode().split(" \\\n  ")
    assert "abc" not in done.output.decode()


def test_a_wrong_url_is_a_wrong_argument_for_curl_too() -> None:
    """No command is printed."""
    done = run_piped("get", "http://a b/", "--curl")
    assert (done.code, done.output) == (2, b"")
    assert done.errors.startswith("error: the host 'a b'")


def test_secrets_become_variables(server: LoopbackServer) -> None:
    """The command may be shown to anybody, and runs where they are set; --show-secrets prints them."""
    options = ["--bearer", "abc", "-H", "X-Api-Key: d'ef", "--cookie", "sid=1"]
    url = f"{server.url}/x?token=ghi"
    done = run_piped("get", url, *options, "--curl")
    assert not {"abc", "d'ef", "sid=1", "ghi"} & set(re.findall(r"[\w'=]+", done.output.decode()))
    assert '--header "Authorization: Bearer $AUTHORIZATION"' in done.output.decode()
    assert '--header "X-Api-Key: $X_API_KEY"' in done.output.decode()
    assert '--header "Cookie: $COOKIE"' in done.output.decode()
    assert "token=***" in done.output.decode()
    assert done.errors.splitlines() == [
        "set AUTHORIZATION, COOKIE, X_API_KEY in your shell, or print secrets by --show-secrets",
        "secrets of URLs are left out (***); --show-secrets prints them",
    ]
    shown = run_piped("get", url, *options, "--curl", "--show-secrets")
    assert "--header 'Authorization: Bearer abc'" in shown.output.decode()
    assert "token=ghi" in shown.output.decode()
    assert shown.errors == ""


def test_a_login_is_a_variable_that_a_user_can_set() -> None:
    """USER:PASSWORD, not its base64 form, for Basic as for Digest."""
    for options in ((), ("--digest",)):
        done = run_piped("get", "https://api.example.com/x", "-u", "ann:pw", "--curl", *options)
        assert '--user "$CREDENTIALS"' in done.output.decode().split(" \\\n  ")
        assert "uthorization" not in done.output.decode()
        assert done.errors == (
            "set CREDENTIALS in your shell (CREDENTIALS is USER:PASSWORD), or print secrets by --show-secrets"
        )


def test_a_login_of_a_file_is_shown_as_it_is_meant(tmp_path: Path) -> None:
    """Not by the name of the file, which is none of curl's."""
    (tmp_path / "login").write_text("ann:it's\n")
    arguments = ["get", "https://api.example.com/x", "-u", f"@{tmp_path}/login", "--digest", "--show-secrets"]
    assert """ --digest \\\n  --user 'ann:it'"'"'s' """ in curl_of(*arguments)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--unix-socket", "/run/a b"], "--unix-socket '/run/a b'"),
        (["-o", "a b"], "--output 'a b'"),
        (["--download"], "--remote-name"),
        (["--proxy", "none"], "--noproxy '*'"),
        (["--proxy", "http://ann:pw@p.example:1", "--show-secrets"], "--proxy http://ann:pw@p.example:1"),
        (["--netrc"], "--netrc"),
        (["--connect-timeout", "2m"], "--connect-timeout 120"),
        (["--timeout", "none", "--connect-timeout", "none"], ""),
        (["--timeout", "250ms"], "--max-time 0.25"),
        (["-k"], "--insecure"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_has_the_name_that_curl_gives_it(options: list[str], shown: str) -> None:
    """And is left out where it has none."""
    arguments = ["get", "http://h.example/x", "-H", "User-Agent:", "--no-follow", *options]
    words = f"curl {shown} --compressed --header User-Agent: http://h.example/x\n"
    assert curl_of(*arguments) == " ".join(words.split()) + "\n"


def test_http2_is_an_option_of_curl_too() -> None:
    """Of the same name."""
    pytest.importorskip("h2", reason="the extra http2 is not installed")
    assert " --http2 " in curl_of("get", "https://h.example/x", "--http2").replace("\n", "")


@pytest.mark.parametrize(("size", "is_long"), [(0, False), (1, True)])
def test_a_command_of_more_than_a_hundred_characters_has_lines(size: int, is_long: bool) -> None:
    """One for each option, so that it can be read."""
    start = "curl --compressed --header User-Agent: "
    url = "http://h.example/".ljust(100 - len(start) + size, "x")
    command = curl_of("get", url, "-H", "User-Agent:", "--no-follow")
    expected = f"{start}{url}\n"
    assert command == (
        expected.replace(" --", " \\\n  --").replace(" http", " \\\n  http") if is_long else expected
    )


def test_connection_settings_are_options_of_curl(tmp_path: Path) -> None:
    """Those of a file, too. Retries are not: curl repeats a POST that may have been processed."""
    config = tmp_path / "a.json"
    config.write_text(
        '{"connection_pool": {"ssl_ca_file": "ca.pem"}, "retry_policy_config": {"max_attempts": 5}}'
    )
    files = f"--config {config} --cert c.pem --key k.pem"
    others = "-k --proxy http://ann:pw@proxy.example.com:1 --timeout 1.5 --max-redirects 3 --retries 4"
    done = run_piped("get", "https://api.example.com/x", "--curl", *files.split(), *others.split())
    assert done.errors == "secrets of URLs are left out (***); --show-secrets prints them"
    words = done.output.decode().replace("\\\n", " ").split()
    expected = (
        "--location --max-redirs 3 --cacert ca.pem --cert c.pem --key k.pem --proxy http://***@proxy.example.com:1 "
        "--insecure --max-time 1.5"
    )
    assert " ".join(words).replace("'", "").startswith(f"curl {expected} --header")
    assert "--location" not in curl_of("get", "https://api.example.com/x", "--no-follow")
    (tmp_path / "a b").touch()
    config.write_text(json.dumps({"allowed_redirect_count": 0, "netrc": str(tmp_path / "a b")}))
    command = curl_of("get", "https://api.example.com/x", "--config", str(config))
    assert "--location" not in command
    assert f"--netrc-file '{tmp_path}/a b'" in command
