"""The command `simulate`: scenarios, configurations from files, a table and a page."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from http_service_client import cli
from http_service_client.cli import main, simulate
from http_service_client.cli.simulate import Progress
from http_service_client.simulation import SCENARIOS
from kit.sources import INSTALLED

QUICK = ["--clients", "2", "--seconds", "20"]


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the scenarios that were named, for no client and the defaults."""
    assert main(["simulate", "healthy", "failing-10", *QUICK]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    rows = [re.split(r" {2,}", line.strip()) for line in output.splitlines()[2:6]]
    assert [row[0] for row in rows] == ["healthy", "defaults", "failing-10", "defaults"]
    assert rows[0][1:4] == ["no client", "100.0%", "1.00"]
    assert "exchanges: for each call" in output


def test_all_scenarios_but_the_heavy_one_are_simulated_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """The retry storm runs when it is named."""
    assert main(["simulate", "--clients", "1", "--seconds", "2"]) == 0
    output = capsys.readouterr().out
    assert [name for name in SCENARIOS if not re.search(rf"^{name} ", output, re.MULTILINE)] == [
        "retry-storm"
    ]


def test_the_options_have_the_defaults_that_help_states() -> None:
    """What a scenario says of its clients, their rate and its time holds unless an option says otherwise."""
    assert vars(cli.build_parser("simulate").parse_args(["simulate"])) == {
        "command": "simulate",
        "run": simulate.run,
        "scenarios": [],
        "list": False,
        "config": [],
        "seconds": None,
        "clients": None,
        "rate": None,
        "seed": 0,
        "html": None,
    }


def test_options_replace_what_a_scenario_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clients, their rate, its time; each on its own."""
    for option, name, value in (
        ("--clients=3", "clients", 3),
        ("--rate=0.5", "rate", 0.5),
        ("--seconds=7", "seconds", 7.0),
    ):
        arguments = cli.build_parser("simulate").parse_args(["simulate", "healthy", "flapping", option])
        scenarios = simulate._scenarios(arguments)
        assert scenarios == {key: replace(SCENARIOS[key], **{name: value}) for key in ("healthy", "flapping")}  # type: ignore[arg-type]


def test_the_list_names_all_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with a sentence, in a column."""
    assert main(["simulate", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(SCENARIOS)
    (column,) = {line.index(SCENARIOS[line.split()[0]].about) for line in lines}
    assert column == max(map(len, SCENARIOS)) + 2
    assert all(line.endswith(SCENARIOS[line.split()[0]].about) for line in lines)


def test_configurations_are_compared_by_the_names_of_their_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TOML and JSON, as many as are given; of two with one name, the second has its path as its name."""
    (tmp_path / "hasty.toml").write_text("base_timeout = 1.5\n[retry_policy_config]\nmax_attempts = 2\n")
    (tmp_path / "hasty.json").write_text('{"enable_retry_policy": false}')
    files = [f"--config={tmp_path / name}" for name in ("hasty.toml", "hasty.json")]
    assert main(["simulate", "failing-30", *QUICK, *files]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^ +hasty  ", output, re.MULTILINE)
    assert re.search(rf"^ +{re.escape(str(tmp_path / 'hasty.json'))}  ", output, re.MULTILINE)


def test_the_seed_decides_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """The same command prints the same table."""
    outputs = []
    for seed in ("1", "1", "2"):
        assert main(["simulate", "failing-30", *QUICK, "--seed", seed]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1] != outputs[2]


def test_a_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With pictures of each scenario."""
    pytest.importorskip("matplotlib", reason="an extra that is not installed here")
    page = tmp_path / "page.html"
    assert main(["simulate", "healthy", *QUICK, "--html", str(page)]) == 0
    assert page.read_text(encoding="utf-8").count("<svg") == 1
    assert f"written to {page}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["helthy"], "there is no scenario 'helthy'; did you mean 'healthy'?"),
        (["healthy", "--rate=-1"], "--rate must be a finite number"),
        (["healthy", "--clients=0"], "--clients must be a whole number of 1 or more, not 0"),
        (["healthy", "--seconds=0"], "--seconds must be a positive"),
        (["healthy", "--config=/no/such/file.toml"], "/no/such/file.toml: No such file or directory"),
        (["healthy", "--rate=0"], "--rate must be a finite number above 0"),
        (["healthy", "--html=/no/such/page.html"], "the folder '/no/such' does not exist; create it first"),
        (["healthy", "--html=page.txt"], "must end with .html, not 'page.txt'"),
    ],
)
def test_a_wrong_argument_ends_the_command(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With exit code 2 and one line."""
    assert main(["simulate", *arguments]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("error: ")
    assert part in errors
    assert errors.count("\n") == 1


def test_a_run_that_ends_before_the_fault_begins_is_pointed_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures are those of good health."""
    assert main(["simulate", "healthy", "flapping", *QUICK]) == 0
    assert capsys.readouterr().err == "flapping: nothing fails within 20 s, since its fault begins at 60 s\n"


def test_each_client_of_a_file_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name; where two files name one alike, the second has the file before it."""
    text = "[clients.default]\nbase_timeout = 1.5\n[clients.payments]\ninherits = 'default'\n"
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(text)
    files = [f"--config={tmp_path / name}" for name in ("a.toml", "b.toml")]
    assert main(["simulate", "failing-30", *QUICK, *files]) == 0
    output = capsys.readouterr().out
    for name in ("default", "payments", f"{tmp_path / 'b.toml'} payments"):
        assert re.search(rf"^ +{re.escape(name)}  ", output, re.MULTILINE)


class Terminal(io.StringIO):
    """A terminal.   seen: what was flushed."""

    seen = ""

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.seen = self.getvalue()


class Comparison:
    """What would be simulated, and what happens in its place.   page: where it was drawn."""

    def __init__(self) -> None:
        self.configs: list[str] = []
        self.scenarios: list[str] = []
        self.seed: int | None = None
        self.page: str | None = None
        self.end: BaseException | None = None

    def __call__(
        self, configs: dict[str, object], scenarios: dict[str, object], *, seed: int, progress: Progress
    ) -> Comparison:
        self.configs, self.scenarios, self.seed = list(configs), list(scenarios), seed
        progress(self.scenarios[0], self.configs[0])
        if self.end is not None:
            raise self.end
        return self

    def plot(self, page: str) -> None:
        self.page = page

    def __str__(self) -> str:
        return "the table"


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    made = Comparison()
    monkeypatch.setattr(simulate, "compare", made)
    return made


def run(errors: io.StringIO, *arguments: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    output = io.StringIO()
    code = simulate.run(cli.build_parser("simulate").parse_args(["simulate", *arguments]), output, errors)
    return code, output.getvalue()


def test_each_configuration_runs_in_each_scenario(
    comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the seed; a terminal is told how many simulations there are."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    terminal = Terminal()
    assert run(terminal, "healthy", "failing-10", "failing-30", "--seed=7") == (0, "the table\n")
    assert comparison.scenarios == ["healthy", "failing-10", "failing-30"]
    assert comparison.configs == ["no client", "defaults"]
    assert comparison.seed == 7
    assert "1 of 6: healthy, no client" in terminal.getvalue()


@pytest.mark.parametrize(("seconds", "is_said"), [("59", True), ("60", True), ("60.5", False)])
def test_a_fault_begins_within_the_time_or_not(seconds: str, is_said: bool, comparison: Comparison) -> None:
    """At its very end there is nothing left of it."""
    errors = io.StringIO()
    run(errors, "flapping", f"--seconds={seconds}")
    assert errors.getvalue().startswith("flapping: nothing fails") is is_said


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_an_interruption_leaves_no_line(
    has_tqdm: bool, comparison: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor a table."""
    if has_tqdm:
        pytest.importorskip("tqdm", reason="an extra that is not installed here")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    comparison.end = KeyboardInterrupt()
    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt):
        run(terminal, "healthy")
    assert terminal.getvalue().rpartition("\r")[2].strip("\x1b[K") == ""


def test_a_page_is_drawn_where_it_was_asked_for(comparison: Comparison, tmp_path: Path) -> None:
    """And only then; the table is printed all the same."""
    errors = io.StringIO()
    assert run(errors, "healthy") == (0, "the table\n")
    assert comparison.page is None
    pytest.importorskip("matplotlib", reason="an extra that is not installed here")
    page = str(tmp_path / "page.html")
    assert run(errors, "healthy", f"--html={page}") == (0, "the table\n")
    assert comparison.page == page
    assert errors.getvalue() == f"written to {page}\n"


@pytest.mark.parametrize("has_tqdm", [True, False])
def test_progress_is_shown_on_a_terminal(has_tqdm: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By tqdm, or by a plain line without it; the line is removed at the end."""
    if has_tqdm:
        pytest.importorskip("tqdm", reason="an extra that is not installed here")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    terminal = Terminal()
    progress = Progress(2, terminal)
    progress("outage", "defaults")
    progress("outage", "mine")
    progress.close()
    shown = terminal.getvalue()
    assert "outage, defaults" in shown
    assert "outage, mine" in shown
    assert shown.rpartition("\r")[2].strip("\x1b[K") == ""


def test_a_plain_line_counts_the_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once. Each line replaces the one before, and the last is removed."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    terminal = Terminal()
    progress = Progress(2, terminal)
    for configuration in ("defaults", "mine"):
        progress("outage", configuration)
        assert terminal.seen.endswith(f"outage, {configuration}")
    progress.close()
    assert terminal.seen.split("\r\x1b[K") == [
        "",
        "1 of 2: outage, defaults",
        "2 of 2: outage, mine",
        "",
    ]


def test_a_bar_moves_when_a_simulation_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the last one is not done while it runs; the bar leaves nothing behind."""
    seen: list[object] = []

    class Bar:
        def __init__(self, **settings: object) -> None:
            seen.append(settings)

        set_description = update = staticmethod(seen.append)

        def close(self) -> None:
            seen.append("closed")

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Bar))
    terminal = Terminal()
    progress = Progress(3, terminal)
    for configuration in ("no client", "defaults", "mine"):
        progress("outage", configuration)
    progress.close()
    assert seen == [
        {"total": 3, "file": terminal, "leave": False},
        *("outage, no client", 0, "outage, defaults", 1, "outage, mine", 1),
        "closed",
    ]
    assert terminal.getvalue() == ""


def test_progress_is_not_shown_where_nobody_watches() -> None:
    """In a log or a pipe it would be noise."""
    stream = io.StringIO()
    progress = Progress(1, stream)
    progress("outage", "defaults")
    progress.close()
    assert stream.getvalue() == ""


def test_the_command_works_in_a_shell_without_warnings() -> None:
    """As `python -m http_service_client simulate`."""
    command = [sys.executable, "-W", "error", "-m", "http_service_client", "simulate", "healthy", *QUICK]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(INSTALLED.parent)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("scenario")
