"""What a request command shows: on a pseudo-terminal for people, elsewhere the bytes."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from http_service_client.cli import build_parser
from http_service_client.cli.request import command
from http_service_client.cli.request.prefetch import Prefetch
from http_service_client.testing import Action, LoopbackServer, hang_up, raw, respond
from http_service_client.testing.actions import Exchange
from kit.command_line import needs_rich, run_in_terminal, run_piped, without_styles

on_posix = pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")

BYTES = b"a\r\n\x00\x1b[2J\xff, without a line feed"
JSON = {"Content-Type": "application/json"}


def test_a_pipe_gets_the_bytes_of_the_body(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """Exactly, and nothing else."""
    server.script("/x", respond(body=BYTES, headers={"Content-Type": "text/plain"}))
    assert run_piped("get", f"{server.url}/x", *front_end_flag) == (0, BYTES, "")


def test_a_long_body_passes_through(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """One that is longer than what is read ahead, and than what a client keeps in memory."""
    body = bytes(range(256)) * 50_000
    server.script("/x", respond(body=body))
    assert run_piped("get", f"{server.url}/x", *front_end_flag) == (0, body, "")


def test_the_head_is_shown_where_it_is_wanted(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """By --include, and by `head`, which brings nothing else. Its secrets are not, but by --show-secrets."""
    headers = [("Set-Cookie", "sid=1"), ("Set-Cookie", "b=2"), ("Location", "/?token=abc")]
    server.script("/x", respond(201, headers=headers, body=b"tea"))
    url = f"{server.url}/x"
    head = (
        "HTTP/1.1 201 Created\nSet-Cookie: ***\nSet-Cookie: ***\nLocation: /?token=***\nContent-Length: 3\n\n"
    )
    assert run_piped("post", url, "-i", *front_end_flag).output.decode() == head + "tea"
    assert run_piped("head", url, *front_end_flag).output.decode() == head
    shown = run_piped("head", url, "--show-secrets", *front_end_flag).output.decode()
    assert shown.splitlines()[1:4] == ["Set-Cookie: sid=1", "Set-Cookie: b=2", "Location: /?token=abc"]


def test_the_body_alone_of_a_head_is_nothing(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """`head` shows the head because it brings nothing else; --body says otherwise."""
    server.script("/x", respond(body=b"tea"))
    assert run_piped("head", f"{server.url}/x", "-b", *front_end_flag) == (0, b"", "")


class Tty(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("options", "errors", "heads"),
    [
        ([], Tty, 1),
        (["-v"], Tty, 0),
        (["-v"], io.StringIO, 1),
        (["-v", "-i"], Tty, 1),
        (["-b"], Tty, 0),
        (["-b"], io.StringIO, 0),
    ],
)
def test_a_terminal_shows_a_head_once(
    options: list[str],
    errors: type[io.StringIO],
    heads: int,
    server: LoopbackServer,
    front_end_flag: list[str],
) -> None:
    """With -v it is among the lines of the exchange, unless these go to a file."""
    server.script("/x", respond(body=b"tea"))
    words = ["get", f"{server.url}/x", "--color", "never", *options, *front_end_flag]
    output, beside = Tty(), errors()
    assert command.run(build_parser("get").parse_args(words), output, beside) == 0
    assert output.getvalue().count("HTTP/1.1 200 OK\n") == heads
    assert beside.getvalue().count("< HTTP/1.1 200 OK\n") == ("-v" in options)


@pytest.mark.parametrize(
    ("options", "limit"), [([], 1024 * 1024), (["--stream"], 0)], ids=["default", "stream"]
)
def test_a_mebibyte_is_read_before_it_is_shown(
    options: list[str], limit: int, server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a connection that is lost within it is retried; nothing, where it is to be shown as it comes."""
    limits: list[int] = []

    def noted(limit: int) -> Prefetch:
        limits.append(limit)
        return Prefetch(limit)

    monkeypatch.setattr(command, "Prefetch", noted)
    server.script("/x", respond(body=b"tea"))
    assert run_piped("get", f"{server.url}/x", *options) == (0, b"tea", "")
    assert limits == [limit]


def test_a_reader_that_has_left_is_no_error(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """The exit code says it, and nobody reads a message."""
    server.script("/x", respond(body=b"tea"))

    def leave(_: bytes) -> None:
        raise BrokenPipeError

    assert run_piped("get", f"{server.url}/x", *front_end_flag, on_output=leave) == (141, b"tea", "")


@on_posix
@needs_rich
def test_a_terminal_gets_head_and_body_in_colour(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """JSON is indented, and NO_COLOR, --color and --body are minded."""
    server.script("/x", respond(json={"id": 1, "of": []}))
    url = f"{server.url}/x"
    body = '{\n  "id": 1,\n  "of": []\n}\n'
    plain = f"HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 19\n\n{body}"
    code, shown = run_in_terminal("get", url, *front_end_flag)
    assert (code, without_styles(shown)) == (0, plain)
    assert "\x1b[32mHTTP/1.1 200 OK\x1b[0m\n\x1b[36mContent-Type\x1b[0m: application/json" in shown
    assert '\x1b[94m"id"\x1b[0m: \x1b[94m1\x1b[0m' in shown
    assert run_in_terminal("get", url, *front_end_flag, NO_COLOR="1") == (0, plain)
    assert run_in_terminal("get", url, "--color", "never", "-b", *front_end_flag) == (0, body)


@on_posix
def test_the_body_of_an_error_is_indented_too(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """It has been read when the head is shown."""
    headers = {"Content-Type": "application/problem+json"}
    server.script("/x", respond(404, body=b'{"title":"no"}', headers=headers))
    arguments = ["get", f"{server.url}/x", *front_end_flag]
    assert run_in_terminal(*arguments, "-b", NO_COLOR="1") == (0, '{\n  "title": "no"\n}\n')
    assert run_piped(*arguments) == (0, b'{"title":"no"}', "")


@on_posix
@pytest.mark.parametrize("verb", ["get", "head", "post", "put", "patch", "delete", "options", "query"])
def test_every_verb_shows_its_response_on_a_terminal(
    verb: str, server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """Head and body; of `head`, the head."""
    server.script("/x", respond(body=b"tea"))
    head = "HTTP/1.1 200 OK\nContent-Length: 3\n\n"
    shown = (0, head if verb == "head" else f"{head}tea\n")
    assert run_in_terminal(verb, f"{server.url}/x", *front_end_flag, NO_COLOR="1") == shown


@needs_rich
@pytest.mark.parametrize(
    ("status", "style"), [(200, "32"), (302, "36"), (404, "33"), (499, "33"), (503, "31"), (599, "31"), (999, "1")]
)  # fmt: skip
def test_a_status_has_the_colour_of_its_class(status: int, style: str, server: LoopbackServer) -> None:
    """Or is bold, where it is of none."""
    server.script("/x", respond(status))
    options = ["--retries", "0", "-i", "--color", "always"]
    shown = run_piped("get", f"{server.url}/x", *options).output
    assert shown.startswith(f"\x1b[{style}mHTTP/1.1 {status}".encode())


@needs_rich
def test_colours_can_be_asked_for_in_a_pipe(server: LoopbackServer) -> None:
    """For a pager, say. The body stays as it is."""
    server.script("/x", respond(body=b"tea"))
    output = run_piped("get", f"{server.url}/x", "-i", "--color", "always").output
    assert output.startswith(b"\x1b[32mHTTP/1.1 200 OK\x1b[0m\n")
    assert output.endswith(b"\n\ntea")


@on_posix
@pytest.mark.parametrize("options", [[], ["-v"]], ids=["", "verbose"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "text/html", "text/event-stream"])
def test_a_hostile_server_does_nothing_to_a_terminal(
    content_type: str, options: list[str], server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """Neither its head nor its body: its control characters are shown as escapes."""
    body = '"\x1b]0;owned\x07\x9b2J\u202e\r"'.encode()
    head = f"HTTP/1.1 200 O\x1b[2JK\r\nX-A: a\x9b31mb\u202e\r\nContent-Type: {content_type}\r\n".encode()
    server.script("/x", raw(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)))
    _, shown = run_in_terminal("get", f"{server.url}/x", *options, *front_end_flag)
    assert {each for each in without_styles(shown) if not each.isprintable()} == {"\n"}
    assert "\\u001b]0;owned\\u0007\\u009b2J\\u202e" in shown


@on_posix
def test_verbose_shows_the_head_once_on_a_terminal(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """That of -v; with --include, both."""
    server.script("/x", respond(body=b"tea"), respond(body=b"tea"))
    _, shown = run_in_terminal("get", f"{server.url}/x", "-v", *front_end_flag, NO_COLOR="1")
    assert [line for line in shown.splitlines() if "200 OK" in line] == ["< HTTP/1.1 200 OK"]
    _, shown = run_in_terminal("get", f"{server.url}/x", "-v", "-i", *front_end_flag, NO_COLOR="1")
    assert [line for line in shown.splitlines() if "200 OK" in line] == [
        "< HTTP/1.1 200 OK",
        "HTTP/1.1 200 OK",
    ]


@on_posix
@pytest.mark.parametrize("headers", [{}, {"Content-Type": "image/png"}])
def test_a_binary_body_is_refused_by_a_terminal(
    headers: dict[str, str], server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """With advice; the head is shown."""
    server.script("/x", respond(body=b"\x89PNG\0\xff", headers=headers))
    code, shown = run_in_terminal("get", f"{server.url}/x", *front_end_flag)
    assert code == 0
    assert "PNG" not in shown
    assert (
        "the body is binary and is not shown on a terminal; save it with --output FILE, or pipe it" in shown
    )


@on_posix
def test_text_ends_with_a_line_feed_on_a_terminal(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """So that the prompt of the shell is on a line of its own. What is not JSON is text, whatever its type says."""
    server.script("/x", respond(body=b"tea", headers=JSON))
    assert run_in_terminal("get", f"{server.url}/x", "-b", *front_end_flag) == (0, "tea\n")
    server.script("/x", respond(body=b"gr\xc3", headers={"Content-Type": "text/plain; charset=utf-8"}))
    assert run_in_terminal("get", f"{server.url}/x", "-b", *front_end_flag) == (0, "gr\ufffd\n")
    server.script("/y", respond(204))
    assert run_in_terminal("delete", f"{server.url}/y", "-b", *front_end_flag) == (0, "")


@pytest.mark.parametrize(
    ("content_type", "options"),
    [("text/event-stream", []), ("application/x-ndjson", []), ("text/plain", ["--stream"])],
)
def test_events_are_shown_as_they_come(
    content_type: str, options: list[str], server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """The first is there while the server has not sent the second: it waits until the first was seen."""
    was_seen = threading.Event()

    class OneByOne(Action):
        def play(self, exchange: Exchange) -> bool:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: 13\r\n\r\n"
            exchange.send(head.encode() + b"first\n")
            if was_seen.wait(5):
                exchange.send(b"second\n")
            return False

    server.script("/x", OneByOne())
    arguments = ["get", f"{server.url}/x", "--retries", "0", *options, *front_end_flag]
    assert run_piped(*arguments, on_output=lambda _: was_seen.set()) == (0, b"first\nsecond\n", "")


@pytest.mark.parametrize("content_type", ["text/plain", "text/event-stream"])
def test_nothing_of_a_failed_attempt_is_shown(
    content_type: str, server: LoopbackServer, front_end_flag: list[str], tmp_path: Path
) -> None:
    """Neither in place of the response that came in the end, which may be long, nor before it."""
    (tmp_path / "quick.json").write_text('{"retry_policy_config": {"initial_delay": 0.001}}')
    body = b"data: tea\n\n" * 200_000
    server.script(
        "/x", respond(503, body=b"busy"), respond(body=body, headers={"Content-Type": content_type})
    )
    arguments = ["get", f"{server.url}/x", "--config", str(tmp_path / "quick.json"), *front_end_flag]
    assert run_piped(*arguments) == (0, body, "")


def test_the_body_of_an_error_is_whole_whatever_its_type(
    server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """It has been read, also where it would be shown as it comes."""
    server.script("/x", respond(404, body=b"data: no\n\n", headers={"Content-Type": "text/event-stream"}))
    assert run_piped("get", f"{server.url}/x", *front_end_flag) == (0, b"data: no\n\n", "")


def test_the_head_is_shown_before_the_body_comes(server: LoopbackServer, front_end_flag: list[str]) -> None:
    """By --stream: the server waits until it was seen."""
    was_seen = threading.Event()

    class HeadFirst(Action):
        def play(self, exchange: Exchange) -> bool:
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
            if was_seen.wait(5):
                exchange.send(b"tea")
            return False

    server.script("/x", HeadFirst())
    arguments = ["get", f"{server.url}/x", "--stream", "-i", "--retries", "0", *front_end_flag]
    done = run_piped(*arguments, on_output=lambda _: was_seen.set())
    assert done == (0, b"HTTP/1.1 200 OK\nContent-Length: 3\n\ntea", "")


def test_a_body_that_breaks_off_is_an_error_after_what_came(
    server: LoopbackServer, front_end_flag: list[str]
) -> None:
    """Of a body that is shown as it comes; it is not shown twice."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\n"
    server.script("/x", hang_up(head + b"data: 1\n\n"))
    done = run_piped("get", f"{server.url}/x", *front_end_flag)
    assert (done.code, done.output) == (6, b"data: 1\n\n")
    assert done.errors.startswith("error: ")
    assert len(server.requests) == 1


def test_a_body_in_another_charset_keeps_its_bytes_in_a_pipe(server: LoopbackServer) -> None:
    """Only a content coding is undone."""
    server.script("/x", respond(body=b"\xfc", headers={"Content-Type": "text/plain"}))
    assert run_piped("get", f"{server.url}/x").output == b"\xfc"


@on_posix
def test_a_terminal_without_the_character_gets_an_escape(server: LoopbackServer) -> None:
    """In the C locale of an old system."""
    server.script("/x", respond(body="é→".encode(), headers={"Content-Type": "text/plain"}))
    assert run_in_terminal("get", f"{server.url}/x", "-b", encoding="latin-1") == (0, "é\\u2192\n")
