"""The program as a whole: its list of commands, and the same lines on a terminal as in a pipe."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

import http_service_client
from http_service_client import cli
from http_service_client.cli import COMMANDS, build_parser
from kit.command_line import COMMAND, environment, run_in_terminal, run_piped

ROOT = Path(__file__).resolve().parents[3]
REQUESTS = ("get", "head", "post", "put", "patch", "delete", "options", "query")


def test_help_lists_every_command() -> None:
    """Each with a line."""
    done = run_piped("--help")
    assert done.code == 0
    lines = done.output.decode().splitlines()
    at = lines.index("commands:")
    assert lines[at + 1 :] == [
        *(f"  {name:<12}{command.help}" for name, command in COMMANDS.items()),
        "",
        "COMMAND --help shows the arguments of a command.",
    ]
    assert max(map(len, lines)) <= 80


def test_without_a_command_the_list_is_shown() -> None:
    """As an error: a script that lost its arguments has not succeeded."""
    done = run_piped()
    assert (done.code, done.output) == (2, b"")
    assert done.errors == run_piped("--help").output.decode().rstrip("\n")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("gte", "error: there is no command 'gte'; did you mean 'get'?"),
        ("zzzzz", "error: there is no command 'zzzzz'; --help lists all commands"),
        (":8000/x", "error: there is no command ':8000/x'; to request a URL, write get before it"),
    ],
)
def test_an_unknown_command_is_reported_with_what_may_be_meant(typed: str, message: str) -> None:
    """In one line, and nothing is imported for it."""
    assert run_piped(typed, "--color", "never") == (2, b"", message)


def test_an_unknown_option_is_reported_with_the_usage_of_its_command() -> None:
    """Not with that of the whole program, which has no such options."""
    done = run_piped("load", "u", "--rte", "5")
    assert done.code == 2
    assert " load URL [options]" in done.errors.splitlines()[0]
    assert done.errors.endswith("there is no option --rte; did you mean '--rate'?")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["get", "u", "a=1"], "unexpected a=1; write -f a=1 for a field of a form, or -p a=1 for the query"),
        (
            ["get", "u", "a=b c"],
            "unexpected 'a=b c'; write -f 'a=b c' for a field of a form, or -p 'a=b c' for the query",
        ),
        (["get", "u", "word"], "unexpected 'word'; a value with spaces must be quoted"),
        (["doctor", "u", "a=1"], "unexpected 'a=1'; a value with spaces must be quoted"),
        (["get", "u", "--jsn=1"], "there is no option --jsn; did you mean '--json'?"),
        (["get", "u", "--zzzzz"], "there is no option --zzzzz; --help lists all options"),
        (["load", "u", "--seconds=2"], "there is no option --seconds; --help lists all options"),
        (["load", "u", "--head"], "there is no option --head; did you mean '--header'?"),
        (["load", "u", "--X"], "there is no option --X; did you mean '-X'?"),
    ],
)
def test_a_word_too_many_is_reported_with_what_may_be_meant(words: list[str], message: str) -> None:
    """A field without its option, a text without its quotes, or an option with a typing error."""
    done = run_piped(*words)
    assert done.code == 2
    assert done.errors.endswith(f"error: {message}")


# What people write for curl, wget or HTTPie, and what they are told.
HABITS = {
    "-X --request --method": "the method is the command, such as http-service-client post URL",
    "-I --head": "write http-service-client head URL",
    "-L --location": "redirects are followed without one",
    "-m --max-time": "write --deadline",
    "-O --remote-name": "write --download",
    "-A --user-agent": "write -H 'User-Agent: …'",
    "-x --socks5": "write --proxy",
    "-s --silent --no-progress-meter": "a pipe or a file gets the body alone without one",
    "--data-raw --data-binary --data-ascii": "write --data",
    "--verify --no-check-certificate": "write --insecure, or --cacert FILE",
    "--compressed": "responses are decompressed without one",
    "--retry": "write --retries",
    "--fail": "write --check-status",
}


@pytest.mark.parametrize(
    ("option", "hint"), [(option, hint) for options, hint in HABITS.items() for option in options.split()]
)
def test_an_option_of_another_client_has_its_equal(
    option: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or none is needed."""
    with pytest.raises(SystemExit):
        build_parser("get").parse_args(["get", "u", option])
    assert capsys.readouterr().err.endswith(f"there is no option {option}; {hint}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """Its usage, what it does, and each of its arguments, in ASCII."""
    done = run_piped(name, "--help")
    assert (done.code, done.errors) == (0, "")
    usage, description, arguments, *_ = done.output.decode("ascii").split("\n\n")
    assert f" {name} " in usage.splitlines()[0]
    assert description.endswith(".")
    assert arguments.startswith(("positional arguments:\n  ", "options:\n  ", "With --rate", "It sends"))


@pytest.mark.parametrize("name", [*REQUESTS, "load", "doctor"])
def test_a_command_for_a_url_has_a_short_usage_and_examples(name: str) -> None:
    """Its many options are below; the examples can be copied."""
    lines = run_piped(name, "--help").output.decode().splitlines()
    program = "python -m http_service_client"
    assert lines[0] == f"usage: {program} {name} URL [options]"
    examples = lines[lines.index("examples:") + 1 :]
    typed = examples[: examples.index("")]
    assert all(line.startswith(f"  {program} ") for line in typed)
    assert {line.split()[3] for line in typed} <= ({*REQUESTS} if name in REQUESTS else {name})
    assert any(line.startswith("exit codes:") for line in lines)


def test_a_command_knows_its_own_arguments_alone() -> None:
    """The modules of the others are not imported."""
    assert build_parser("get").parse_args(["get", "u"]).command == "get"
    with pytest.raises(SystemExit):
        build_parser("get").parse_args(["demo", "--orders", "1"])


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(
    "arguments",
    [["check", "a.json", "--rate=5"], ["simulate", "--list"], ["completion", "bash"], ["--version"]],
)
def test_a_terminal_gets_the_lines_of_a_pipe(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of commands without colours."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    code, output, errors = run_piped(*arguments)
    assert (code, errors) == (0, "")
    assert run_in_terminal(*arguments) == (0, output.decode())


@pytest.mark.parametrize(
    ("started_as", "name"),
    [
        ("/usr/bin/http-service-client", "http-service-client"),
        ("/x/http_service_client/__main__.py", "python -m http_service_client"),
    ],
)
def test_the_usage_has_the_name_that_was_typed(
    started_as: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the script, or of the module."""
    monkeypatch.setattr("sys.argv", [started_as, "get", "--help"])
    assert cli.build_parser().prog == name


def test_the_console_script_is_the_same_program() -> None:
    """`http-service-client` calls `main`, whose result is the exit code."""
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert settings["options.entry_points"]["console_scripts"].strip() == (
        "http-service-client = http_service_client.cli:main"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.parametrize(("redirection", "code"), [("> /dev/full", 1), (">&-", 0), (">&- 2>&-", 0)])
def test_output_that_goes_nowhere_causes_no_traceback(redirection: str, code: int) -> None:
    """A full disk is an error in one line; a stream that the shell has closed is not an error."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$@" {redirection}', *COMMAND, "simulate", "--list"],
        env=environment(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    expected = b"error: [Errno 28] No space left on device\n" if code else b""
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", expected)


def test_the_script_reads_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its own name."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/http-service-client", "completion", "bash"])
    assert cli.main() == 0
    assert capsys.readouterr().out.startswith("# Completion of http-service-client for bash.")


def test_streams_that_are_not_there_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `>&-` and `2>&-` of a shell."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert cli.main(["simulate", "--list"]) == 0
    output = io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", None)
    assert cli.main(["nope"]) == 2
    assert output.getvalue() == ""  # an error is none of the output


def test_warnings_of_the_library_are_not_written_across_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python would, where a program sets up no logging: to standard error, by its last resort."""
    logger = logging.getLogger("http_service_client")
    monkeypatch.setattr(logger, "handlers", [])
    assert run_piped("completion", "bash").code == 0
    assert [type(each) for each in logger.handlers] == [logging.NullHandler]


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left on device"), 1, "error: [Errno 28] No space left on device"),
    ],
    ids=["ctrl-c", "reader gone", "full disk"],
)
def test_a_command_ends_with_a_line_whatever_ends_it(
    end: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with no traceback. Who left the pipe is told nothing."""

    def run(*_: object) -> int:
        raise end

    monkeypatch.setattr("http_service_client.cli.monitoring.run", run)
    assert run_piped("alerts") == (code, b"", said)


@pytest.mark.skipif(os.name == "nt", reason="pipes break in another way")
@pytest.mark.parametrize(("path", "code"), [(None, 141), ("/dev/full", 1)], ids=["reader gone", "full disk"])
def test_what_nobody_took_is_not_written_later(
    path: str | None, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python would try it again when it ends, and complain."""
    if path is None:
        reader, target = os.pipe()
        os.close(reader)
    elif not os.path.exists(path):
        pytest.skip("this system has no /dev/full")
    else:
        target = os.open(path, os.O_WRONLY)
    with open(target, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli.main(["simulate", "--list"]) == code


def test_the_program_has_a_version_and_a_usage() -> None:
    """It takes a command first."""
    options = [option for action in cli.build_parser()._actions for option in action.option_strings]
    assert options == ["-h", "--help", "--version"]
    version = f"http_service_client {http_service_client.__version__}\n"
    assert run_piped("--version") == (0, version.encode(), "")
    usage = "usage: python -m http_service_client COMMAND [arguments]"
    assert run_piped("--help").output.decode().splitlines()[0] == usage
    done = run_piped("--")
    assert (done.code, done.errors.splitlines()[0]) == (2, usage)
    assert done.errors.endswith("error: the following arguments are required: COMMAND")
