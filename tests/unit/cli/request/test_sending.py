"""What a request command sends, and when it sends it again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from http_service_client.cli import build_parser
from http_service_client.cli.request_options import full_url
from http_service_client.testing import LoopbackServer, hang_up, respond
from kit.command_line import run_piped
from kit.rows import each_row

QUICK = '{"retry_policy_config": {"initial_delay": 0.001, "max_delay": 0.001}}'


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    """Arguments that make the waits between attempts short."""
    (tmp_path / "quick.json").write_text(QUICK)
    return ["--config", str(tmp_path / "quick.json")]


@pytest.mark.parametrize(
    ("arguments", "target", "headers", "body"),
    [
        (["get", "-p", "q=a b", "-p", "q=c"], "/x?q=a%20b&q=c", {}, b""),
        (["get", "-H", "Accept: text/csv", "-H", "User-Agent:"], "/x", {"Accept": "text/csv", "User-Agent": None}, b""),
        (["get", "--cookie", "a=1", "--cookie", "b=2"], "/x", {"Cookie": "a=1; b=2"}, b""),
        (["get", "-u", "ann:pw:1"], "/x", {"Authorization": "Basic YW5uOnB3OjE="}, b""),
        (["get", "--bearer", "abc"], "/x", {"Authorization": "Bearer abc"}, b""),
        (["post", "-j", '{"a": 1.50}'], "/x", {"Content-Type": "application/json"}, b'{"a": 1.50}'),
        (["post", "-j", "{}", "-H", "content-type: a/b+json"], "/x", {"Content-Type": "a/b+json"}, b"{}"),
        (["put", "-d", "grün"], "/x", {"Content-Type": None, "Content-Length": "5"}, "grün".encode()),
        (["patch", "-f", "a=b c", "-f", "a=="], "/x", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b+c&a=%3D"),
        (["query", "-d", "-"], "/x", {"Content-Length": "5"}, b"typed"),
        (["delete"], "/x", {"Content-Length": "0"}, b""),
        (["options", "--idempotency-key", "k1"], "/x", {"Idempotency-Key": "k1"}, b""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_the_options_are_what_is_sent(
    arguments: list[str],
    target: str,
    headers: dict[str, str | None],
    body: bytes,
    server: LoopbackServer,
    front_end_flag: list[str],
) -> None:
    """Each verb, by both front ends."""
    server.script("/x", respond())
    verb, *options = arguments
    assert run_piped(verb, f"{server.url}/x", *options, *front_end_flag, stdin=b"typed") == (0, b"", "")
    (received,) = server.requests
    assert (received.method, received.target, received.body) == (verb.upper(), target, body)
    assert {name: received.header(name) for name in headers} == headers


def test_files_are_sent_as_they_are(
    server: LoopbackServer, tmp_path: Path, front_end_flag: list[str]
) -> None:
    """`@FILE` for any text, and parts of a multipart form with their types."""
    (tmp_path / "a.csv").write_bytes(b"id\r\n\x001")
    (tmp_path / "token").write_text("abc\n")
    server.script("/x", respond())
    path = str(tmp_path / "a.csv")
    for options in (
        ["-d", f"@{path}", "--bearer", f"@{tmp_path}/token"],
        ["-F", f"f={path};text/csv", "-f", "t=Tea"],
    ):
        assert run_piped("post", f"{server.url}/x", *options, *front_end_flag) == (0, b"", "")
    plain, form = server.requests
    assert (plain.body, plain.header("Authorization")) == (b"id\r\n\x001", "Bearer abc")
    assert b'name="t"\r\n\r\nTea\r\n' in form.body
    assert b'name="f"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\nid\r\n\x001\r\n' in form.body


def test_digest_and_netrc_log_in(server: LoopbackServer, tmp_path: Path, front_end_flag: list[str]) -> None:
    """A challenge is answered; a login is found by the host."""
    challenge = {"WWW-Authenticate": 'Digest realm="r", nonce="n", qop="auth"'}
    server.script("/digest", respond(401, headers=challenge), respond())
    server.script("/netrc", respond())
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password pw")
    assert run_piped("get", f"{server.url}/digest", "-u", "ann:pw", "--digest", *front_end_flag).code == 0
    login = ["--netrc-file", str(tmp_path / "netrc")]
    assert run_piped("get", f"{server.url}/netrc", *login, *front_end_flag).code == 0
    assert (server.received("/digest")[1].header("Authorization") or "").startswith('Digest username="ann"')
    assert server.received("/netrc")[0].header("Authorization") == "Basic YW5uOnB3"


def test_a_get_is_retried(server: LoopbackServer, quick: list[str], front_end_flag: list[str]) -> None:
    """Also one whose connection was lost in the middle of the body."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    server.script("/x", respond(503), hang_up(head + b"te"), respond(body=b"tea"))
    assert run_piped("get", f"{server.url}/x", *quick, *front_end_flag) == (0, b"tea", "")
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ([], 1),
        (["--idempotent"], 3),
        (["--idempotency-key", "auto"], 3),
        (["--idempotent", "--retries", "1"], 2),
        (["--idempotent", "--retries", "0"], 1),
    ],
)
def test_a_post_is_retried_where_that_is_safe(
    options: list[str], count: int, server: LoopbackServer, quick: list[str], front_end_flag: list[str]
) -> None:
    """By its key, or because its user vouches for it; never more often than --retries allows."""
    server.script("/x", respond(503))
    arguments = ["post", f"{server.url}/x", "-d", "tea", *options, *quick, *front_end_flag]
    assert run_piped(*arguments, "--check-status")[:2] == (5, b"")
    assert len(server.requests) == count
    assert len({request.header("Idempotency-Key") for request in server.requests}) == 1


def test_a_file_is_sent_again_from_its_start(
    server: LoopbackServer, quick: list[str], tmp_path: Path, front_end_flag: list[str]
) -> None:
    """As a whole body, and in a form."""
    (tmp_path / "a.bin").write_bytes(b"x" * 100_000)
    server.script("/x", respond(503), respond())
    server.script("/y", respond(503), respond())
    url, path = server.url, tmp_path / "a.bin"
    assert run_piped("put", f"{url}/x", "-d", f"@{path}", *quick, *front_end_flag).code == 0
    assert run_piped("put", f"{url}/y", "-F", f"f={path}", *quick, *front_end_flag).code == 0
    assert [request.body for request in server.received("/x")] == [b"x" * 100_000] * 2
    first, second = (request.body for request in server.received("/y"))
    assert first == second


def test_a_password_is_asked_for_at_a_terminal(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is an argument is seen by others, and kept by the shell."""
    monkeypatch.setattr("getpass.getpass", lambda prompt: {"Password of ann: ": "pw"}[prompt])
    server.script("/x", respond())
    assert run_piped("get", f"{server.url}/x", "-u", "ann", has_terminal=True).code == 0
    assert server.requests[0].header("Authorization") == "Basic YW5uOnB3"


def test_redirects_are_followed_up_to_a_limit(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """--no-follow shows the first, --max-redirects sets a limit."""
    server.script("/x", respond(302, headers={"Location": "/y"}))
    server.script("/y", respond(302, headers={"Location": "/z"}))
    server.script("/z", respond(body=b"tea"))
    url = f"{server.url}/x"
    assert run_piped("get", url, *front_end_flag) == (0, b"tea", "")
    assert run_piped("get", url, "--no-follow", "--check-status", *front_end_flag).code == 3
    limited = run_piped("get", url, "--max-redirects", "1", *front_end_flag)
    assert limited.code == 6
    assert limited.errors.endswith("--max-redirects allows more, and --no-follow shows the first")


def test_a_file_configures_the_client(
    server: LoopbackServer, tmp_path: Path, front_end_flag: list[str]
) -> None:
    """Options come before it; with its base URL, a path is a URL."""
    config = tmp_path / "clients.json"
    config.write_text(
        f'{{"clients": {{"shop": {{"base_url": "{server.url}/v1", "auth": "abc", "default_headers": {{"X-A": "1"}}}}}}}}'
    )
    server.script("*", respond())
    assert run_piped("get", "/orders", "--config", str(config), "--client", "shop", *front_end_flag).code == 0
    options = ["--bearer", "own", "-H", "X-A: 2"]
    assert (
        run_piped(
            "get", "/orders", "--config", str(config), "--client", "shop", *options, *front_end_flag
        ).code
        == 0
    )
    seen = [(each.path, each.header("Authorization"), each.header("X-A")) for each in server.requests]
    assert seen == [("/v1/orders", "Bearer abc", "1"), ("/v1/orders", "Bearer own", "2")]


@each_row(
    ("typed", "url"),
    [
        ("api.example.com/x", "https://api.example.com/x"),
        ("http://api.example.com", "http://api.example.com"),
        ("localhost:8000/x", "http://localhost:8000/x"),
        ("localhost.example.com", "https://localhost.example.com"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("[::1]:80/x", "http://[::1]:80/x"),
        (":8000/x", "http://localhost:8000/x"),
    ],
)
def test_a_scheme_may_be_left_out(typed: str, url: str) -> None:
    """It is https, except for this machine: nobody sends a password in the clear by typing less."""
    assert full_url(typed, None) == url


_WRONG = [
    ([], "the following arguments are required: url"),
    (["u", "-j", "{a"], "--json is not JSON: Expecting property name"),
    (["u", "-j", "{}", "-d", "x"], "--json and --data were given"),
    (["u", "-d", "@/no/such"], "--data: cannot read '/no/such': No such file"),
    (["u", "-F", "a=/no/such"], "--file: cannot read '/no/such'"),
    (["u", "-F", "a"], "--file must be NAME=VALUE, not 'a'"),
    (["u", "-H", "secret"], "--header must be NAME:VALUE"),
    (["u", "-H", "a b: c"], "error: header name 'a b'"),
    (["ftp://u"], "error: "),
    (["http://ann:pw@u"], "user information before the host; remove it and pass auth= (--auth) instead"),
    (["u", "--timeout", "0"], "must be a positive duration such as 5, 250ms, 2m or none, not '0'"),
    (["u", "--retries", "-1"], "--retries"),
    (["u", "-u", "ann"], "--auth has no password, and there is no terminal"),
    (["u", "-u", "a:b", "--bearer", "c"], "--auth and --bearer are both credentials"),
    (["u", "--digest"], "--digest needs --auth"),
    (["u", "--client", "a"], "--client names a client of a file"),
    (["u", "--config", "/no/such.toml"], "error: /no/such.toml: No such file"),
    (["u", "--config", "{clients}"], "choose one of its clients by client= (--client): a, b"),
    (["u", "--key", "k"], "ssl_key_file (--key) 'k' needs ssl_cert_file (--cert)"),
    (["https://u", "--cacert", "/no/such"], "ssl_ca_file (--cacert) '/no/such' cannot be used"),
    (["u", "-o", "a", "--download"], "--output names the file"),
    (["u", "-o", "a", "--as-json"], "--as-json and --stream print the body"),
    (["u", "--stream", "--as-json"], "--as-json prints one object"),
    (["u", "--http2"], "http-service-client[http2]"),
    (["u", "--checksum", "sha256:00"], "--checksum is about a file that get saves"),
    (["u", "--parallel", "2"], "--parallel is about a file that get saves"),
    (["u", "--parallel", "17"], "must be a whole number from 1 to 16, not '17'"),
    (["u", "--col", "never"], "there is no option --col; did you mean '--color'?"),
    (["u", "--bearr=secret"], "there is no option --bearr; did you mean '--bearer'?"),
    (["u", "--zzzzz"], "there is no option --zzzzz; --help lists all options"),
    (["u", "-X", "POST"], "there is no option -X; the method is the command, such as http-service-client post URL"),
    (["u", "--max-time=5"], "there is no option --max-time; write --deadline"),
    (["u", "--verify", "no"], "there is no option --verify; write --insecure, or --cacert FILE"),
    (["u", "item=it's tea"], """write -f 'item=it'"'"'s tea' for a field of a form, or -p"""),
    (["u", "tea"], "unexpected 'tea'; a value with spaces must be quoted"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "part"), _WRONG, ids=[" ".join(row[0]) for row in _WRONG])
def test_wrong_arguments_end_with_2(
    arguments: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with one line that says what to write, after the usage at most; nothing is sent."""
    monkeypatch.setattr("http_service_client.client.config.http2.find_spec", lambda _: None)
    clients = tmp_path / "clients.json"
    clients.write_text('{"clients": {"a": {}, "b": {}}}')
    done = run_piped("post", *(word.replace("{clients}", str(clients)) for word in arguments))
    assert (done.code, done.output) == (2, b"")
    assert part in done.errors
    assert len(re.sub(r"^usage: .*\n", "", done.errors).splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("get u --download --as-json", "--as-json and --stream print the body, and --output and --download save it"),
        ("get u --download --stream", "--as-json and --stream print the body, and --output and --download save it"),
        ("get u -o a --stream", "--as-json and --stream print the body, and --output and --download save it"),
        ("head u -o a", "head brings no body to save; leave --output and --download out"),
        ("head u --download", "head brings no body to save; leave --output and --download out"),
        ("get u --checksum sha256:00", "--checksum is about a file that get saves; add --output FILE"),
        ("post u -o a --checksum sha256:00", "--checksum is about a file that get saves; add --output FILE"),
        ("get u --parallel 2", "--parallel is about a file that get saves; add --output FILE"),
        ("put u --download --parallel 2", "--parallel is about a file that get saves; add --output FILE"),
    ],
)  # fmt: skip
def test_options_that_contradict_each_other_are_named(arguments: str, message: str) -> None:
    """Before anything is sent or opened."""
    assert run_piped(*arguments.split()) == (2, b"", f"error: {message}")


@pytest.mark.parametrize("text", ["1", "16"])
def test_a_file_has_from_one_to_sixteen_parts(text: str) -> None:
    """Both included."""
    assert build_parser("get").parse_args(["get", "u", "--parallel", text]).parallel == int(text)


@pytest.mark.parametrize("text", ["0", "17", "-1", "1.5", "x"])
def test_another_number_of_parts_is_refused(text: str) -> None:
    """More connections of one user at a time would be an attack."""
    done = run_piped("get", "u", f"--parallel={text}")
    assert done.code == 2
    assert done.errors.endswith(f"must be a whole number from 1 to 16, not {text!r}")
