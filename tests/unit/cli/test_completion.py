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
        ("http-service-client check --rate o", []),
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


REQUESTS = ["get", "head", "post", "put", "patch", "delete", "options", "query"]
GROUPS = [
    REQUESTS, ["demo"], ["simulate"], ["load"], ["doctor"], ["check"], ["dashboard", "alerts"], ["completion"],
]  # fmt: skip


def plain(text: str) -> str:
    """Help without what a shell would read in it."""
    return re.sub("[':]", "", text)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_commands_with_the_same_arguments_are_one_case(shell: str) -> None:
    """No other ones are."""
    labels = re.findall(r"^    ([a-z|]+)\)$", script(shell), re.MULTILINE)
    assert labels == ["|".join(group) for group in GROUPS]


def test_zsh_has_a_line_for_each_name() -> None:
    """With its help, but for what a shell would read in it."""
    lines = script("zsh").splitlines()
    for name, command in COMMANDS.items():
        assert f"    '{name}:{plain(command.help)}'" in lines
    save = "save the body; the file appears complete or not at all"
    for name in ("-o", "--output"):
        assert f"      '*{name}[{save}]:file:_http_service_client_files' \\" in lines
    assert "      '*--stream[show the body as it comes; events always are]' \\" in lines
    assert "      '*--color[(default auto)]:value:(auto always never)' \\" in lines
    kinds = [line.strip() for line in lines if line.endswith(" ;;")]
    assert kinds == [
        {"check": "'*:file:_files' ;;", "completion": "'*:value:(bash fish zsh)' ;;"}.get(
            group[0], "'*: : ' ;;"
        )
        for group in GROUPS
    ]


def test_fish_has_a_line_for_each_command_and_option() -> None:
    """With what its value is, and its help."""
    text = script("fish")
    lines = text.splitlines()
    start = "complete -c http-service-client"
    assert lines[:2] == ["# Completion of http-service-client for fish.", f"{start} -f"]
    for name, command in COMMANDS.items():
        assert f"{start} -n __fish_use_subcommand -a {name} -d '{plain(command.help)}'" in lines
    seen = f"{start} -n '__fish_seen_subcommand_from {' '.join(REQUESTS)}'"
    assert f"{seen} -s o -l output -r -F -d 'save the body; the file appears complete or not at all'" in lines
    assert f"{seen} -l stream -d 'show the body as it comes; events always are'" in lines
    assert f"{seen} -l color -x -a 'auto always never' -d '(default auto)'" in lines
    assert f"{seen} -l idempotency-key -x -d 'the Idempotency-Key; auto makes one'" in lines
    positional = [line.removeprefix(start) for line in lines[2:] if " -d " not in line]
    assert positional == [
        " -n '__fish_seen_subcommand_from check' -F",
        " -n '__fish_seen_subcommand_from completion' -a 'bash fish zsh'",
    ]
    assert text.endswith("\n")
    assert "" not in lines
