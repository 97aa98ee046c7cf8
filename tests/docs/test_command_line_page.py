"""The commands of docs/command-line.md print what the page shows.

In a `console` block, a line after `$ ` is a command, and the lines below it are what it prints on both streams, where
`...` stands for anything. A command of ours runs in this process, and all others in a shell. The example hosts are live
servers, as on the other pages.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

from docs.test_docs import EXAMPLE_HOST, blocks_of
from kit.command_line import environment, run_piped
from kit.docs_server import DocsServer

PAGE = "docs/command-line.md"
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_SHELL = re.compile(r"[|<>]")


def examples() -> Iterator[tuple[str, str, str]]:
    """The position, the command and the output of each example."""
    for block in blocks_of(PAGE):
        if block.info == "console":
            for example in re.split(r"^\$ ", block.source, flags=re.MULTILINE)[1:]:
                command, _, output = example.partition("\n")
                yield block.position, command, output


def run(command: str) -> str:
    """What the command prints."""
    words = shlex.split(command)
    plain = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    if words[0] == "http-service-client" and not _SHELL.search(plain):
        done = run_piped(*words[1:])
        output = done.output.decode()
        # As on a terminal, where a body ends with a line feed.
        return output + "\n" * (output != "" and not output.endswith("\n")) + done.errors
    done = subprocess.run(
        [
            "bash",
            "-c",
            f'http-service-client() {{ "{sys.executable}" -m http_service_client "$@"; }}; {command}',
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    return done.stdout


@pytest.mark.skipif(os.name == "nt", reason="the page is for a POSIX shell")
def test_every_command_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in one folder."""
    monkeypatch.chdir(tmp_path)
    checker = doctest.OutputChecker()
    urls: dict[str, str] = {}
    with ExitStack() as stack, patch.dict(os.environ, environment(), clear=True):

        def live(match: re.Match[str]) -> str:
            if match[0] not in urls:
                urls[match[0]] = stack.enter_context(DocsServer()).url
            return urls[match[0]]

        for position, command, expected in examples():
            got = run(EXAMPLE_HOST.sub(live, command))
            for host, url in urls.items():
                got = got.replace(url, host)
            if not checker.check_output(expected, got, _FLAGS):
                pytest.fail(f"{position}: $ {command}\n\nexpected:\n{expected}\ngot:\n{got}", pytrace=False)


def test_each_kind_of_command_is_on_the_page() -> None:
    """Requests by several verbs, at least; and the page has no empty example."""
    commands = [command for _, command, _ in examples()]
    assert len(commands) > 10
    assert {"get", "post", "put"} <= {word for command in commands for word in shlex.split(command)}
