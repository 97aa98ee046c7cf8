"""docs/operating.md: its metrics and reasons are those of the code, and each symptom looks as a real client shows it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from docs.loading import ROOT, load
from http_service_client import errors
from http_service_client.events import StopReason
from http_service_client.observability.prometheus_metrics import COUNTS, GAUGES
from kit.sources import CHECKOUT

ALERTS = CHECKOUT / "observability/alerts.yml"
PAGE = (ROOT / "docs/operating.md").read_text("utf-8")
COUNTERS = {count.name if count.is_histogram else f"{count.name}_total" for count in COUNTS}
METRICS = COUNTERS | {gauge.name for gauge in GAUGES}

symptoms = load("docs/symptoms.py")
pictures = load("docs/operating_pictures.py")

_, _, _TROUBLES = PAGE.partition("\n## When something moves\n")
SECTIONS = dict(re.findall(r"^### (.+)\n((?:(?!^##).*\n)*)", _TROUBLES.partition("\n## ")[0], re.MULTILINE))


def first_cells(head: str) -> list[str]:
    """The code in the first column of the table with this head."""
    _, _, table = PAGE.partition(f"{head}\n")
    return re.findall(r"^\| `(\w+)` \|", table.partition("\n\n")[0], re.MULTILINE)


@pytest.mark.parametrize("symptom", symptoms.SYMPTOMS, ids=lambda symptom: symptom.heading)
def test_a_symptom_looks_as_the_page_shows_it(symptom: Any) -> None:
    """A change of a message, a log line or a metric is a change of the page."""
    pytest.importorskip("prometheus_client", reason="the extra prometheus is not installed")
    start, end = symptoms.sections(PAGE)[symptom.heading]
    assert PAGE[start:end] == f"{symptoms.shown(symptom)}\n", "run: python docs/symptoms.py"


def test_each_section_has_its_symptom_and_says_what_to_do() -> None:
    """In the order of the script, so that a new one is not forgotten in either."""
    assert list(SECTIONS) == [symptom.heading for symptom in symptoms.SYMPTOMS]
    assert all("\n- **Do**" in text for text in SECTIONS.values())


@pytest.mark.parametrize(
    ("head", "existing"),
    [
        ("| counter | one more | when it grows |", COUNTERS),
        ("| gauge | is, at this instant | when it moves |", METRICS - COUNTERS),
    ],
)
def test_every_metric_has_its_meaning(head: str, existing: set[str]) -> None:
    """Each one that exists, and no other."""
    listed = first_cells(head)
    assert len(listed) == len(set(listed))
    assert set(listed) == existing


def test_the_page_names_no_other_metric() -> None:
    """Neither in a question to watch nor in the text."""
    samples = re.sub(r"_seconds_(?:count|sum|bucket)\b", "_seconds", PAGE)
    assert set(re.findall(r"\bhttp_client_\w+", samples)) <= METRICS
    assert not re.search(r"\bhttp_(?!client_)\w+_(?:total|seconds)\b", PAGE)


def test_the_metrics_of_opentelemetry_are_those_of_its_page() -> None:
    """By the names that the page on OpenTelemetry lists."""
    names = re.compile(r"`(http(?:_service_client|\.client)(?:\.[a-z_]+)+)`")
    rows = (ROOT / "docs/opentelemetry.md").read_text("utf-8").partition("\n## Metrics\n")[2]
    _, _, table = PAGE.partition("\n### The same by OpenTelemetry\n")
    used = set(names.findall(table.partition("\n## ")[0]))
    assert used
    assert used <= set(names.findall(rows))


def test_every_reason_not_to_retry_is_explained() -> None:
    """The values of the label, in lower case."""
    listed = first_cells("| `reason` of a retry that was not made | means | look at |")
    assert sorted(listed) == sorted(reason.name.lower() for reason in StopReason)


def test_every_error_of_a_call_leads_to_a_section() -> None:
    """Classes that only have subclasses are no value of the label."""
    rows = PAGE.partition("| `error` of a call | is | see |\n")[2].partition("\n\n")[0].splitlines()[1:]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    classes = [each for each in map(errors.__dict__.get, errors.__all__) if isinstance(each, type)]
    raised = {
        each.__name__
        for each in classes
        if issubclass(each, errors.HttpClientError)
        and not any(each in other.__bases__ and other.__module__ == each.__module__ for other in classes)
    }
    # With a subclass, and raised themselves.
    raised |= {"ConnectError", "DeadlineExceededError", "InvalidRequestError", "TlsError"}
    # No outcomes of a call, but of `raise_for_status` and of guarded functions.
    raised -= {"HttpStatusError", "OperationTimeoutError"}
    assert sorted(listed) == sorted(raised | {"CancelledError", "KeyboardInterrupt"})


def test_every_alert_leads_to_a_section_and_is_named_on_the_page() -> None:
    """Its runbook_url works for whoever is woken up by it."""
    (group,) = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    alerts = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in group["rules"] if "alert" in rule}
    watched = PAGE.partition("## What to watch")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(HttpClient\w+)`", watched)) == set(alerts)
    headings = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE)
    }
    for url in alerts.values():
        page, _, anchor = url.partition("#")
        assert page.endswith("/blob/main/docs/operating.md")
        assert anchor in headings


def test_each_picture_is_drawn_by_the_script_and_shown() -> None:
    """None is left over, and none is large."""
    names = {f"operating-{name}.svg" for name in pictures.TROUBLES}
    assert set(re.findall(r"\(_static/(operating-[\w-]+\.svg)\)", PAGE)) == names
    for name in names:
        assert (ROOT / "docs/_static" / name).stat().st_size < 60_000


def test_a_quantile_is_that_of_prometheus() -> None:
    """Within its bucket, values are taken to be spread evenly; beyond the last bound, it is the last bound."""
    before = pictures.Reading(0.0, {}, ((1.0, 0), (2.0, 0), (float("inf"), 0)), 0, False, 0, 0)
    after = before._replace(buckets=((1.0, 2), (2.0, 6), (float("inf"), 8)))
    assert pictures.quantile(0.5, before, after) == 1.5
    assert pictures.quantile(0.125, before, after) == 0.5
    assert pictures.quantile(0.99, before, after) == 2.0
    assert pictures.quantile(0.5, after, after) is None
