"""`python -m http_service_client simulate`: configurations in scenarios, as a table and as a page with pictures."""

from __future__ import annotations

import importlib
import math
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from ..client.config.client_config import HttpClientConfig
from ..client.config.sources.files import client_names
from ..core.checks import check_count, check_duration, check_number
from ..errors import ConfigurationError
from ..simulation import NO_CLIENT, SCENARIOS, Scenario, compare
from ..simulation.compare import built_in
from ..simulation.plots import check_picture

__all__ = ["Progress", "declare", "run"]

_HEAVY = {"retry-storm"}  # runs for half a minute, so it runs only when it is named


_DESCRIPTION = """\
What will a configuration do when the service behind it fails? This runs the real client, its own retries,
circuits and deadlines, against a model of a service, in virtual time. It compares your configurations with the
defaults, and with no client at all."""


def declare(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = _DESCRIPTION
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="default: all but retry-storm")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument(
        "--config",
        metavar="FILE",
        action="append",
        default=[],
        help="settings of HttpClientConfig in TOML, JSON or YAML, of one client or several; may be repeated",
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="of each simulation")
    parser.add_argument("--clients", type=int, metavar="N", help="how many call the service")
    parser.add_argument("--rate", type=float, metavar="R", help="calls a second of each client")
    parser.add_argument("--seed", type=int, default=0, help="decides the random numbers (default: 0)")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures (extra simulation)")


def run(arguments: Namespace, output: TextIO, errors: TextIO) -> int:
    """Simulate and print; the exit code: 0."""
    if arguments.list:
        width = max(map(len, SCENARIOS))
        for name, scenario in SCENARIOS.items():
            print(f"{name:<{width}}  {scenario.about}", file=output)
        return 0
    scenarios = _scenarios(arguments)
    configs: dict[str, HttpClientConfig] = {"no client": NO_CLIENT, "defaults": HttpClientConfig()}
    for path in arguments.config:
        clients: list[str | None] = [*client_names(path)]
        for client in clients or [None]:
            short = Path(path).stem if client is None else client
            long = path if client is None else f"{path} {client}"
            configs[long if short in configs else short] = HttpClientConfig.from_file(path, client)
    if arguments.html is not None:
        check_picture(arguments.html, [".html"])  # before minutes of work, not after them
    for name, scenario in scenarios.items():
        begins = scenario.service.trigger
        if scenario.seconds <= begins < math.inf:
            print(
                f"{name}: nothing fails within {scenario.seconds:g} s, since its fault begins at {begins:g} s",
                file=errors,
            )
    bar = Progress(len(scenarios) * len(configs), errors)
    try:
        comparison = compare(configs, scenarios, seed=arguments.seed, progress=bar)
    finally:
        bar.close()
    print(comparison, file=output)
    if arguments.html is not None:
        comparison.plot(arguments.html)
        print(f"written to {arguments.html}", file=errors)
    return 0


def _scenarios(arguments: Namespace) -> dict[str, Scenario]:
    names = arguments.scenarios or [name for name in SCENARIOS if name not in _HEAVY]
    settings: dict[str, Any] = {}
    for name, check in (("clients", check_count), ("rate", check_number), ("seconds", check_duration)):
        value = getattr(arguments, name)
        if value is not None:
            check(f"--{name}", value)
            settings[name] = value
    if settings.get("rate") == 0:
        raise ConfigurationError("--rate must be a finite number above 0, not 0")
    return {name: replace(built_in(name), **settings) for name in names}


class Progress:
    """One line on a terminal: by tqdm (extra `progress`) if it is installed. Nothing where nobody watches."""

    def __init__(self, total: int, stream: TextIO) -> None:
        self._total, self._done, self._stream = total, 0, stream
        self._is_shown = stream.isatty()
        self._bar: Any = None
        try:
            if self._is_shown:
                self._bar = importlib.import_module("tqdm").tqdm(total=total, file=stream, leave=False)
        except ModuleNotFoundError:
            pass

    def __call__(self, scenario: str, configuration: str) -> None:
        if self._bar is not None:
            self._bar.set_description(f"{scenario}, {configuration}")
            self._bar.update(min(1, self._done))  # the one before has ended
        elif self._is_shown:
            print(
                f"\r\x1b[K{self._done + 1} of {self._total}: {scenario}, {configuration}",
                end="",
                file=self._stream,
                flush=True,
            )
        self._done += 1

    def close(self) -> None:
        """Remove the line."""
        if self._bar is not None:
            self._bar.close()
        elif self._is_shown:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
