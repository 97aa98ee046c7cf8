"""The scripts for the tab key, in the real shells where they are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from http_service_client.cli import COMMANDS
from kit.command_line import run_piped


def script(shell: str) -> str:
    done = run_piped("completion", shell)
    assert (done.code, done.errors) == (0, "")
    return done.output.decode()


def needs(shell: str) -> str:
    path = shutil.which(shell)
    if path is None or os.name == "nt":
        pytest.skip(f"{shell} is not installed here")
    return path


def in_bash(line: str, folder: Path) -> list[str]:
    """What bash offers after this line."""
    words = line.split(" ")
    setup = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}"
    done = subprocess.run(
        [
            needs("bash"),
            "--norc",
            "-c",
            f'source /dev/stdin; {setup}; _http_service_client; printf "%s\\n" "${{COMPREPLY[@]}}"',
        ],
        input=script("bash").encode(),
        capture_output=True,
        cwd=folder,
        check=True,
        timeout=30,
    )
    assert done.stderr == b""
    return sorted(done.stdout.decode().split())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file."""
    (tmp_path / "order.json").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("http-service-client o", ["options"]),
        ("http-service-client get --as", ["--as-json", "--asyncio"]),
        ("http-service-client get --color a", ["always", "auto"]),
        ("http-service-client post u --json @o", ["@order.json"]),
        ("http-service-client get -o o", ["order.json"]),
        ("http-service-client get --header o", []),
        ("http-service-client get o", []),
        ("http-service-client check o", ["order.json"]),
        ("http-service-client completion z", ["zsh"]),
        ("http-service-client demo --sabo", []),
    ],
)
def test_bash_completes(line: str, offered: list[str], folder: Path) -> None:
    """Commands, options, values of a list, files, also behind an @; nothing where only the user knows."""
    assert in_bash(line, folder) == offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("http-service-client comp", ["completion"]),
        ("http-service-client get --as", ["--as-json", "--asyncio"]),
        ("http-service-client get --color a", ["always", "auto"]),
        ("http-service-client get -o o", ["order.json"]),
        ("http-service-client completion z", ["zsh"]),
    ],
)
def test_fish_completes(line: str, offered: list[str], folder: Path) -> None:
    """As bash does, with the help of each."""
    (folder / "script").write_text(script("fish"))
    done = subprocess.run(
        [needs("fish"), "--no-config", "-c", f"source script; complete -C '{line}'"],
        capture_output=True,
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        check=True,
        timeout=30,
    )
    assert done.stderr == b""
    assert sorted(entry.partition("\t")[0] for entry in done.stdout.decode().splitlines()) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_valid(shell: str) -> None:
    """The shell reads it without a complaint."""
    done = subprocess.run(
        [needs(shell), "-n", "/dev/stdin"],
        input=script(shell).encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("option", "action"),
    [
        ("--stream", ""),
        ("--color", ":value:(auto always never)"),
        ("--output", ":file:_http_service_client_files"),
        ("--idempotency-key", ":value: "),
    ],
)
def test_zsh_completes_what_an_option_takes(option: str, action: str) -> None:
    """Nothing, one of its choices, a file, or a text that the user knows."""
    text = script("zsh")
    assert re.search(rf"^ *'\*{option}\[[^]]+\]{re.escape(action)}'", text, re.MULTILINE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_has_every_command(shell: str) -> None:
    """And no option that is for the tests alone."""
    text = script(shell)
    assert [name for name in COMMANDS if name not in text] == []
    assert "--sabotage" not in text
    assert "sabotage" not in text


def test_an_unknown_shell_is_a_wrong_argument() -> None:
    """The message lists those that are known."""
    done = run_piped("completion", "csh")
    assert done.code == 2
    assert "choose from" in done.errors
