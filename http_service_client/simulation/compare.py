"""`compare`: several configurations in several scenarios."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.checks import did_you_mean
from ..errors import ConfigurationError
from .plots import Section, alone, draw, save
from .report import Report, in_seconds
from .scenarios import SCENARIOS, Scenario
from .simulate import Configuration, simulate

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """The reports of some configurations in some scenarios; as text, a table of their main figures.

    reports: by the names of scenario and configuration, in the order in which they were given.
    comparison[scenario, configuration] is one of them.
    about: a sentence on each scenario.
    """

    reports: Mapping[tuple[str, str], Report]
    about: Mapping[str, str]

    def __getitem__(self, names: tuple[str, str]) -> Report:
        return self.reports[names]

    @property
    def scenarios(self) -> list[str]:
        """The names of the scenarios."""
        return list(dict.fromkeys(scenario for scenario, _ in self.reports))

    @property
    def configurations(self) -> list[str]:
        """The names of the configurations."""
        return list(dict.fromkeys(configuration for _, configuration in self.reports))

    def plot(self, path: str | os.PathLike[str] | None = None, *, scenario: str | None = None) -> Any:
        """Draw the configurations side by side, with matplotlib (extra `simulation`); returns its figure.

        path: of the file to write: .svg, .png, or .html for a page with tables and all scenarios; None for no file.
        scenario: which one to draw, if there are several.

        Raises ConfigurationError for an unknown scenario, without matplotlib, or if a picture would have to show several.
        """
        if scenario is not None and scenario not in self.scenarios:
            remedy = did_you_mean(scenario, self.scenarios) or f"there are {', '.join(self.scenarios)}"
            raise ConfigurationError(f"scenario={scenario!r} was not compared; {remedy}")
        sections = [self._section(name) for name in self.scenarios if scenario in (None, name)]
        if path is not None:
            return save(path, "Simulation", sections, _LEGEND)
        section = alone(sections)
        return draw(section.reports, section.title)

    def _section(self, scenario: str) -> Section:
        reports = {name: self[scenario, name] for name in self.configurations}
        rows = [_HEADERS[1:], *((name, *_figures(report)) for name, report in reports.items())]
        return Section(scenario, self.about[scenario], rows, reports)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [_HEADERS]
        before: str | None = None
        for (scenario, configuration), report in self.reports.items():
            rows.append(("" if scenario == before else scenario, configuration, *_figures(report)))
            before = scenario
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, row, widths, range(len(row)))).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, "", _LEGEND])


_HEADERS = (
    *("scenario", "configuration", "success", "exchanges", "p50", "p99", "opened", "normal", "wasted"),
    *("doubled", "metastable"),
)
_LEGEND = """\
exchanges: for each call, retries included.  p50, p99: of the durations of calls.  opened: from the first fault until
a circuit opened.  normal: from the end of the last fault until as many calls succeed as before.  wasted: work of the
service on requests that were given up.  doubled: calls that were acted on twice, with harm.  metastable: the failure
outlives its cause."""


def _figures(report: Report) -> tuple[str, ...]:
    return (
        f"{report.success_share:.1%}",
        f"{report.amplification:.2f}",
        in_seconds(report.p50_call),
        in_seconds(report.p99_call),
        in_seconds(report.time_to_open),
        in_seconds(report.time_to_normal),
        f"{report.wasted_work / report.work:.0%}" if report.work else "-",
        f"{report.duplicates}",
        {None: "-", True: "YES", False: "no"}[report.is_metastable],
    )


def _aligned(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column < 2 else text.rjust(width)


def compare(
    configs: Mapping[str, Configuration | None],
    scenarios: Mapping[str, Scenario] | Iterable[str] = SCENARIOS,
    *,
    seed: int = 0,
    progress: Callable[[str, str], object] | None = None,
) -> Comparison:
    """Simulate each configuration in each scenario. The same calls come at the same instants to all of them.

    configs: by name; see `simulate`.
    scenarios: by name, or the names of some of the `SCENARIOS`; all of them by default.
    progress: called with the names of scenario and configuration before each simulation.

    Raises ConfigurationError.

    >>> from http_service_client.simulation import NO_CLIENT, compare
    >>> comparison = compare({"defaults": None, "no client": NO_CLIENT}, ["failing-10"])
    >>> comparison["failing-10", "defaults"].success_share > comparison[
    ...     "failing-10", "no client"
    ... ].success_share
    True
    """
    if not isinstance(configs, Mapping) or not configs:
        raise ConfigurationError(
            f"configs must be a mapping of names to configurations, not {configs!r}; "
            'write for example {"defaults": None, "mine": HttpClientConfig(…)}'
        )
    if not isinstance(scenarios, Mapping):
        scenarios = {name: built_in(name) for name in _names(scenarios)}
    reports = {}
    for name, scenario in scenarios.items():
        if not isinstance(scenario, Scenario):
            raise ConfigurationError(f"scenarios[{name!r}] must be a Scenario, not {scenario!r}")
        for label, config in configs.items():
            if progress is not None:
                progress(name, label)
            is_function = callable(config)
            reports[name, label] = simulate(
                config,
                scenario.service,
                clients=scenario.clients,
                rate=scenario.rate,
                seconds=scenario.seconds,
                seed=seed,
                method=scenario.method,
                options=None if is_function else scenario.options,
            )
    return Comparison(reports, {name: scenario.about for name, scenario in scenarios.items()})


def _names(scenarios: Any) -> list[str]:
    if isinstance(scenarios, (str, bytes)) or not isinstance(scenarios, Iterable):
        raise ConfigurationError(
            f"scenarios must be a mapping, or a list of names of built-in ones, not {scenarios!r}"
        )
    return list(scenarios)


def built_in(name: str) -> Scenario:
    """The scenario of this name. Raises ConfigurationError."""
    if name not in SCENARIOS:
        remedy = did_you_mean(name, SCENARIOS) or f"there are {', '.join(SCENARIOS)}"
        raise ConfigurationError(f"there is no scenario {name!r}; {remedy}")
    return SCENARIOS[name]
