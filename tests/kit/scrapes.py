"""Scrapes, made and read by Prometheus' official library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["FORMATS", "registry_of", "scrape", "table"]

FORMATS = ("text", "openmetrics")


def registry_of(*collectors: Any) -> Any:
    """A registry of its own with these collectors."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def scrape(registry: Any, format: str = "text") -> dict[str, Any]:
    """The families of a scrape, by name, as the official parser of the format reads them."""
    if format == "text":
        from prometheus_client import generate_latest
        from prometheus_client.parser import text_string_to_metric_families as parse
    else:
        from prometheus_client.openmetrics.exposition import generate_latest
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
    return {family.name: family for family in parse(generate_latest(registry).decode())}


def table(families: dict[str, Any], *names: str) -> dict[str, float]:
    """The samples of these families, by name and labels as people write them; without the buckets of histograms."""
    found = {}
    for name in names:
        for sample in families[name].samples:
            if not sample.name.endswith("_bucket"):
                found[sample.name + _labels(sample.labels.items())] = sample.value
    return found


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    shown = ",".join(f"{name}={value}" for name, value in sorted(labels) if value)
    return f"{{{shown}}}" if shown else ""
