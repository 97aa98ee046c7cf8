"""What each command takes, in one table: its options, the placeholders of their values, and their defaults."""

from __future__ import annotations

import argparse
import re

import pytest

from http_service_client import HttpClientConfig
from http_service_client.cli import COMMANDS, build_parser
from http_service_client.policies.retry import RetryPolicy
from kit.command_line import run_piped
from kit.rows import each_row

REQUESTS = ("get", "head", "post", "put", "patch", "delete", "options", "query")

# A row: an option, its choices, or the placeholder of its value in the help, and its default, if it has one. Scripts rely
# on them.
OPTIONS: dict[tuple[str, ...], list[str]] = {
    (*REQUESTS, "load", "doctor"): [
        "URL",
        "-H --header NAME:VALUE",
        "-u --auth USER:PASSWORD",
        "--bearer TOKEN",
        "--digest",
        "--netrc",
        "--netrc-file FILE",
        "--timeout TIME",
        "--connect-timeout TIME",
        "--deadline --total-timeout TIME",
        "--retries N",
        "--proxy URL",
        "--cacert FILE",
        "--cert FILE",
        "--key FILE",
        "-k --insecure",
        "--http2",
        "--unix-socket FILE",
    ],
    (*REQUESTS, "load"): [
        "-p --param NAME=VALUE",
        "--cookie NAME=VALUE",
        "-j --json JSON",
        "-d --data DATA",
        "-f --form NAME=VALUE",
        "-F --file --multipart NAME=FILE",
        "--idempotency-key KEY",
        "--idempotent",
        "--as-json",
        "--asyncio",
    ],
    REQUESTS: [
        "-o --output FILE",
        "--download",
        "--no-resume",
        "--parallel N",
        "--checksum sha256:HEX",
        "--follow = True",
        "--no-follow = True",
        "--max-redirects N",
        "--stream",
        "--check-status",
        "-i --include",
        "-b --body",
        "-v --verbose",
        "--explain",
        "--why",
        "--curl",
        "--show-secrets",
        "--color {auto,always,never} = auto",
    ],
    (*REQUESTS, "simulate", "load", "doctor"): [
        "--config FILE",
    ],
    (*REQUESTS, "load", "doctor", "check"): [
        "--client NAME",
    ],
    ("demo",): [
        "--orders N = 60",
        "--seed SEED = 1",
        "--plain",
        "--no-color",
        "--prometheus PORT",
        "--tempo TEMPO = 1.0",
        "--sabotage {forget-keys,stay-down}",
    ],
    ("simulate",): [
        "scenario *",
        "--list",
        "--seconds S",
        "--clients N",
        "--seed SEED = 0",
        "--html FILE",
    ],
    ("simulate", "load"): [
        "--rate R",
    ],
    ("load",): [
        "--concurrency -c N = 10",
        "--duration TIME",
        "--requests -n N",
        "--warm-up TIME = 0.0",
        "--max-failures SHARE = 0.0",
        "-X --method METHOD = GET",
    ],
    ("doctor",): [
        "--idle TIME",
        "--as-json --json",
    ],
    ("check",): [
        "FILE",
        "--rate R (required)",
        "--caller-timeout S",
    ],
    ("completion",): [
        "{bash,fish,zsh}",
    ],
}


def actions_of(command: str) -> list[argparse.Action]:
    """What this command takes, besides `--help`."""
    (commands,) = (
        action for action in build_parser(command)._actions if isinstance(action, argparse._SubParsersAction)
    )
    return [action for action in commands.choices[command]._actions if action.dest != "help"]


def rows_of(command: str) -> list[str]:
    return [_row(action) for action in actions_of(command)]


def _row(action: argparse.Action) -> str:
    takes = f"{{{','.join(action.choices)}}}" if action.choices else action.metavar or action.dest.upper()
    words = [*action.option_strings, *([] if action.nargs == 0 else [takes])]
    if isinstance(action.nargs, str):
        words.append(action.nargs)
    if isinstance(action.default, (str, int, float)) and action.default is not False:
        words.append(f"= {action.default}")
    if action.option_strings and action.required:
        words.append("(required)")
    return " ".join(map(str, words))


@each_row("command", COMMANDS)
def test_a_command_takes_what_the_table_says(command: str) -> None:
    """No more, and no less."""
    expected = [row for commands, rows in OPTIONS.items() for row in rows if command in commands]
    assert sorted(rows_of(command)) == sorted(expected)


# Defaults that are none of the parser, so that a configuration file can have others.
CLIENT = HttpClientConfig()
OF_THE_CLIENT = {
    "timeout": CLIENT.timeout.total,
    "connect_timeout": CLIENT.timeout.connect,
    "deadline": "none",
    "retries": RetryPolicy().max_attempts - 1,
    "max_redirects": CLIENT.allowed_redirect_count,
    "method": "GET",
}


@each_row("command", COMMANDS)
def test_the_help_names_the_default_that_holds(command: str) -> None:
    """That of the option, or of the client."""
    for action in actions_of(command):
        assert action.help
        if (named := re.search(r"default: (\w+)(?:\)|$)", action.help or "")) is not None:
            default = OF_THE_CLIENT.get(action.dest, action.default)
            assert named[1] == (f"{default:g}" if isinstance(default, float) else str(default))


@pytest.mark.parametrize(
    ("commands", "headings"),
    [
        (REQUESTS, "request, body, response, what is shown, credentials, time and retries, connection, configuration"),
        (["load"], "how much, the result, request, body, credentials, time and retries, connection, configuration"),
        (["doctor"], "credentials, time and retries, connection, configuration"),
    ],
    ids=["requests", "load", "doctor"],
)  # fmt: skip
def test_many_options_have_headings(commands: list[str], headings: str) -> None:
    """After the arguments that need none."""
    for command in commands:
        lines = run_piped(command, "--help").output.decode().splitlines()
        found = [line[:-1] for line in lines if re.fullmatch(r"[a-z][a-z ]+:", line)]
        own = [
            each
            for each in found
            if each not in ("positional arguments", "options", "examples", "exit codes")
        ]
        assert ", ".join(own) == headings
