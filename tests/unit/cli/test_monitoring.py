"""`python -m http_service_client dashboard` and `alerts`."""

from __future__ import annotations

import json

import pytest
import yaml

from http_service_client.cli import main
from http_service_client.observability.dashboard import dashboard


def test_the_dashboard_is_printed_as_a_file_to_import(capsys: pytest.CaptureFixture[str]) -> None:
    """The model alone, so that it may be redirected into a file."""
    assert main(["dashboard"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == dashboard()
    assert printed.out.startswith('{\n  "')
    assert printed.err == ""


def test_the_rules_are_printed_with_their_comments(capsys: pytest.CaptureFixture[str]) -> None:
    """They give the reasons of the thresholds."""
    assert main(["alerts"]) == 0
    printed = capsys.readouterr().out
    assert [group["name"] for group in yaml.safe_load(printed)["groups"]] == ["http_service_client"]
    assert "# The budget of errors." in printed


@pytest.mark.parametrize("command", ["dashboard", "alerts"])
def test_the_help_says_what_to_do_with_the_file(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where to import it, or to name it."""
    assert main([command, "--help"]) == 0
    assert "rule_files:" in capsys.readouterr().out
