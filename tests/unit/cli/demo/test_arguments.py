"""What the arguments of the demo decide."""

from __future__ import annotations

import io
from typing import Any, TextIO

import pytest

from http_service_client.cli import build_parser
from http_service_client.cli.demo import command, play


@pytest.mark.parametrize(
    ("arguments", "settings", "options"),
    [
        ([], play.Settings(), {"plain": False, "colour": True}),
        (["--orders=9", "--seed=4"], play.Settings(orders=9, seed=4), {"plain": False, "colour": True}),
        (["--plain"], play.Settings(), {"plain": True, "colour": True}),
        (["--no-color"], play.Settings(), {"plain": False, "colour": False}),
        (
            ["--tempo=0.5", "--sabotage=stay-down"],
            play.Settings(tempo=0.5, sabotage="stay-down"),
            {"plain": False, "colour": True},
        ),
        (["--prometheus=9090"], play.Settings(metrics_port=9090), {"plain": False, "colour": True}),
    ],
    ids=["none", "orders", "plain", "no-color", "sabotage", "prometheus"],
)
def test_each_argument_decides_about_the_evening(
    arguments: list[str], settings: play.Settings, options: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And about nothing else; the exit code is that of the evening."""
    played: list[Any] = []

    def run(settings: play.Settings, stream: TextIO, **options: bool) -> int:
        played.extend((settings, stream, options))
        return 1

    monkeypatch.setattr(play, "run", run)
    output = io.StringIO()
    assert command.run(build_parser("demo").parse_args(["demo", *arguments]), output, io.StringIO()) == 1
    assert played == [settings, output, options]


@pytest.mark.parametrize("port", [0, 1, 65535])
def test_a_port_has_bounds(port: int) -> None:
    """0 is any free one."""
    assert build_parser("demo").parse_args(["demo", "--prometheus", str(port)]).prometheus == port


@pytest.mark.parametrize(
    "wrong", ["--orders=0", "--orders=501", "--orders=x", "--orders=-1", "--prometheus=-1", "--prometheus=65536", "--prometheus=x"]
)  # fmt: skip
def test_a_number_out_of_bounds_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what would do, before the evening begins."""
    with pytest.raises(SystemExit):
        build_parser("demo").parse_args(["demo", wrong])
    option, _, value = wrong.partition("=")
    bounds = {
        "--orders": "must be a whole number from 1 to 500",
        "--prometheus": "must be a port from 0 to 65535 (0 for any free one)",
    }
    assert f"argument {option}: {bounds[option]}, not {value!r}" in capsys.readouterr().err
