"""What the options of a request mean for the call."""

from __future__ import annotations

import io
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError
from http_service_client.cli import build_parser
from http_service_client.cli.request_options import build_request, full_url, parse_header, split_file


def request(*options: str, base_url: str | None = None) -> tuple[str, dict[str, Any]]:
    """The URL and the keywords, files read."""
    with ExitStack() as stack:
        url, keywords = build_request(
            build_parser("post").parse_args(["post", *options]), stack, base_url=base_url
        )
        if hasattr(keywords.get("data"), "read"):
            keywords["data"] = keywords["data"].read()
        if "files" in keywords:
            keywords["files"] = [
                (name, (path, file.read(), kind)) for name, (path, file, kind) in keywords["files"]
            ]
        return url, keywords


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"\xfftext\n")
    (tmp_path / "a.json").write_bytes(b"[1.50]\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'"typed"')))
    return tmp_path


JSON = [("Content-Type", "application/json")]


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        ([], {}),
        (["-H", "A: b", "-H", "C:", "-H", " D :e:f "], {"headers": [("A", "b"), ("C", None), ("D", "e:f")]}),
        (["-p", "a=b", "-p", "a=c=d", "-p", "e="], {"params": [("a", "b"), ("a", "c=d"), ("e", "")]}),
        (["--idempotent"], {"idempotent": True}),
        (["--idempotency-key", "k"], {"headers": [("Idempotency-Key", "k")]}),
        (["-j", "[1]"], {"data": b"[1]", "headers": JSON}),
        (["-j", "[1]", "-H", "content-type: a/b"], {"data": b"[1]", "headers": [("content-type", "a/b")]}),
        (["-j", "[1]", "-H", "A: b"], {"data": b"[1]", "headers": [("A", "b"), *JSON]}),
        (["-j", "@a.json"], {"data": b"[1.50]\n", "headers": JSON}),
        (["-j", "-"], {"data": b'"typed"', "headers": JSON}),
        (["-j", "@-"], {"data": b'"typed"', "headers": JSON}),
        (["-d", "a"], {"data": b"a"}),
        (["-d", ""], {"data": b""}),
        (["-d", "-"], {"data": b'"typed"'}),
        (["-d", "@-"], {"data": b'"typed"'}),
        (["-d", "@a.txt"], {"data": b"\xfftext\n"}),
        (["-f", "a=b", "-f", "c=d"], {"data": [("a", "b"), ("c", "d")]}),
        (["-F", "f=a.txt"], {"data": None, "files": [("f", ("a.txt", b"\xfftext\n", None))]}),
        (["-F", "f=@a.txt;text/csv", "-f", "a=b"], {"data": [("a", "b")], "files": [("f", ("a.txt", b"\xfftext\n", "text/csv"))]}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_options_are_keywords_of_the_call(options: list[str], keywords: dict[str, Any]) -> None:
    """And nothing else is."""
    assert request("u", *options) == ("https://u", keywords)


def test_cookies_are_of_the_request() -> None:
    """The last of a name counts, as of a browser."""
    found = request("u", "--cookie", "a=1", "--cookie", "b=2=3")[1]
    assert dict(found["cookies"]) == {"a": "1", "b": "2=3"}


def test_a_key_is_made_for_each_command() -> None:
    """That nobody guesses."""
    made = {request("u", "--idempotency-key", "auto")[1]["headers"][0][1] for _ in range(3)}
    assert len(made) == 3
    assert {len(key) for key in made} == {32}


def test_a_file_is_sent_under_its_name_and_closed(folder: Path) -> None:
    """Not under its path."""
    (folder / "b").mkdir()
    (folder / "b" / "c.txt").write_bytes(b"x")
    assert request("u", "-F", "f=b/c.txt")[1]["files"] == [("f", ("c.txt", b"x", None))]
    with ExitStack() as stack:
        arguments = build_parser("post").parse_args(["post", "u", "-d", "@a.txt"])
        data = build_request(arguments, stack).keywords["data"]
    assert data.closed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-H", "secret"], "--header must be NAME:VALUE, such as 'Accept: text/plain', in quotes"),
        (["-H", " :secret"], "--header must be NAME:VALUE, such as 'Accept: text/plain', in quotes"),
        (["-p", "a"], "--param must be NAME=VALUE, not 'a'"),
        (["-p", "=b"], "--param must be NAME=VALUE, not '=b'"),
        (["--cookie", "a"], "--cookie must be NAME=VALUE, not 'a'"),
        (["-f", "a"], "--form must be NAME=VALUE, not 'a'"),
        (["-F", "a"], "--file must be NAME=VALUE, not 'a'"),
        (["-d", "@no"], "--data: cannot read 'no': No such file or directory"),
        (["-j", "@no"], "--json: cannot read 'no': No such file or directory"),
        (["-F", "f=no"], "--file: cannot read 'no': No such file or directory"),
        (["-j", "[]", "-d", ""], "a request has one body, but --json and --data were given; give one of them"),
        (["-d", "x", "-f", "a=b", "-F", "f=a.txt"], "a request has one body, but --data and --form and --file were given; give one of them"),
        (["-j", "[]", "-F", "f=a.txt"], "a request has one body, but --json and --file were given; give one of them"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_an_option_that_says_nothing_is_named(options: list[str], message: str) -> None:
    """The text of a header, which may be a secret, is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        request("u", *options)
    assert str(caught.value) == message


def test_what_is_no_json_is_found_before_it_is_sent() -> None:
    """With where it ends to be some, and how a shell passes it on."""
    with pytest.raises(ConfigurationError) as caught:
        request("u", "-j", "{id: 1}")
    assert str(caught.value).startswith("--json is not JSON: Expecting property name")
    assert str(caught.value).endswith("""; in a shell, put it in single quotes, such as '{"id": 1}'""")
    with pytest.raises(ConfigurationError, match="--json is not JSON"):
        request("u", "-j", "@a.txt")


@pytest.mark.parametrize(
    ("text", "base_url", "url"),
    [
        ("h.example/x", None, "https://h.example/x"),
        ("h.example/x", "https://b", "https://h.example/x"),
        ("HTTP://h.example", None, "HTTP://h.example"),
        ("http+unix://s/x", None, "http+unix://s/x"),
        ("127.0.0.1:1", None, "http://127.0.0.1:1"),
        ("127.1.2.3/x", None, "http://127.1.2.3/x"),
        ("127.0.0.1.example", None, "https://127.0.0.1.example"),
        ("LocalHost?a=1", None, "http://LocalHost?a=1"),
        ("[::1]/x", None, "http://[::1]/x"),
        ("localhost", None, "http://localhost"),
        (":80", None, "http://localhost:80"),
        ("/x", "https://b", "/x"),
        ("?a=1", "https://b", "?a=1"),
        ("", "https://b", ""),
        ("/x", None, "https:///x"),
    ],
)
def test_a_url_is_completed(text: str, base_url: str | None, url: str) -> None:
    """By a scheme; a path is completed by the client, where it has a base URL."""
    assert full_url(text, base_url) == url
    assert request(text, base_url=base_url)[0] == url


def test_a_header_is_parted_at_its_first_colon() -> None:
    """Without the spaces around both; one without a value is left out of the request."""
    assert parse_header(" A : b:c ") == ("A", "b:c")
    assert parse_header("A: ") == ("A", None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("f=a.txt", ("f", "a.txt", None)),
        ("f=@a.txt", ("f", "a.txt", None)),
        ("f=a=b;c", ("f", "a=b;c", None)),
        ("f=a;text/csv", ("f", "a", "text/csv")),
        ("f=@a;b;type=text/csv", ("f", "a;b", "text/csv")),
    ],
)
def test_a_file_has_a_name_a_path_and_perhaps_a_type(text: str, parts: tuple[str, str, str | None]) -> None:
    """As curl writes it, too."""
    assert split_file(text) == parts


@pytest.mark.skipif(os.name == "nt", reason="its arguments are texts")
def test_a_text_is_sent_as_the_bytes_that_the_shell_gave() -> None:
    """Whatever they are."""
    assert request("u", "-d", os.fsdecode(b"a\xff"))[1]["data"] == b"a\xff"
