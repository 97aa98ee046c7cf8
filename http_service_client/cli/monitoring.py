"""`dashboard` and `alerts`: what Grafana and Prometheus need to show the metrics of clients."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from importlib.resources import files
from typing import TextIO

from .. import observability
from ..observability.dashboard import dashboard

__all__ = ["alert_rules", "declare", "run"]

_DESCRIPTION = """\
dashboard prints a Grafana dashboard (JSON, for Grafana 10 and later), alerts prints rules for Prometheus (YAML): both
for the metrics that PrometheusCollector shows."""
_EXAMPLES = """\
examples:
  http-service-client dashboard > http-clients.json     then, in Grafana: Dashboards, New, Import
  http-service-client alerts > http-clients.rules.yml   then name it under rule_files: in prometheus.yml"""


def declare(parser: ArgumentParser) -> None:
    """Add the description: there are no arguments."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES


def run(arguments: Namespace, output: TextIO, errors: TextIO) -> int:
    """Print; the exit code: 0."""
    if arguments.command == "dashboard":
        print(json.dumps(dashboard(), indent=2), file=output)
    else:
        print(alert_rules(), end="", file=output)
    return 0


def alert_rules() -> str:
    """The alert rules, as a file of Prometheus."""
    return (files(observability) / "alerts.yml").read_text("utf-8")
