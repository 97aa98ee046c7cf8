"""The command `check`: contradictions in a configuration file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from http_service_client.cli import main


@pytest.mark.parametrize(
    ("text", "code", "parts"),
    [
        ("base_timeout = 5", 0, ["no contradictions found"]),
        (
            "base_timeout = 30\ntotal_timeout = 20",
            1,
            ["attempt-over-total: ", "done: DeadlineExceededError", "1 contradiction found"],
        ),
        ("base_timeout = 0.1\ntotal_timeout = 2", 1, ["waits-over-total: ", "2 contradictions found"]),
    ],
)
def test_the_exit_code_says_whether_something_was_found(
    tmp_path: Path, text: str, code: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it can be a step of a build."""
    (tmp_path / "a.toml").write_text(text)
    assert main(["check", str(tmp_path / "a.toml"), "--rate", "5"]) == code
    output, errors = capsys.readouterr()
    assert errors == ""
    assert [part for part in parts if part not in output] == []
    *findings, last = output.split("\n\n")
    assert all(re.match(r"[a-z-]+: ", finding) for finding in findings)
    assert last == f"{tmp_path / 'a.toml'}: {parts[-1]}\n"


def test_the_caller_s_patience_is_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a gateway before the service, say."""
    (tmp_path / "a.json").write_text("{}")
    assert main(["check", str(tmp_path / "a.json"), "--rate=5", "--caller-timeout=10"]) == 1
    assert "call-over-caller: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["/no/such.toml", "--rate=5"], "error: /no/such.toml: No such file"),
        (
            ["/no/such.toml", "--rate=0"],
            "error: --rate must be a finite number of calls a second above 0, not 0",
        ),
        (
            ["/no/such.toml", "--rate=inf"],
            "error: --rate must be a finite number of calls a second above 0, not inf",
        ),
        (
            ["/no/such.toml", "--rate=nan"],
            "error: --rate must be a finite number of calls a second above 0, not nan",
        ),
        (["/no/such.toml", "--rate=1", "--caller-timeout=0"], "error: --caller-timeout must be a positive"),
        (["/no/such.toml"], "--rate"),
    ],
)
def test_wrong_arguments_end_with_2(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a line that says what is wrong."""
    assert main(["check", *arguments]) == 2
    assert part in capsys.readouterr().err
