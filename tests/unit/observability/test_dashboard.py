"""The Grafana dashboard and the alert rules: what they ask for exists, and says what it should when it should.

promtool, of Prometheus, evaluates each expression over ninety minutes of real clients (docs/dashboard_story.py).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.loading import load
from http_service_client import MetricsCollector
from http_service_client.cli.monitoring import alert_rules
from http_service_client.observability import PrometheusCollector
from http_service_client.observability.dashboard import PANELS, dashboard
from http_service_client.observability.prometheus_metrics import COUNTS, GAUGES
from kit.rows import each_row

pytestmark = pytest.mark.once

PROMTOOL = shutil.which("promtool")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")

ROOT = Path(__file__).resolve().parents[3]

RULES: list[dict[str, Any]] = yaml.safe_load(alert_rules())["groups"][0]["rules"]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
EXPRESSIONS = {
    **{f"{row.title}: {panel.title} {number}": query.expr for row in PANELS for panel in row.panels for number, query in enumerate(panel.queries)},
    **{rule.get("alert") or rule["record"]: rule["expr"] for rule in RULES},
}  # fmt: skip

# A selector: a name, labels in braces, and perhaps a range.
SELECTOR = re.compile(r"\b([a-z_]+:)?(http_client_\w+)(:\w+)?(?:\{((?:[^}\"]|\"[^\"]*\")*)\})?")
GROUPING = re.compile(r"\b(?:by|on|group_left|without) \(([^)]*)\)")


def exposed() -> dict[str, set[str]]:
    """The samples of a scrape, and which labels each may have."""
    metrics = MetricsCollector().metrics
    found: dict[str, set[str]] = {}
    for count in COUNTS:
        labels = {*metrics._declared[count.source], "overflow", "client"}
        suffixes = ("_bucket", "_count", "_sum") if count.is_histogram else ("_total",)
        for suffix in suffixes:
            found[count.name + suffix] = {*labels, "le"} if suffix == "_bucket" else labels
    for gauge in GAUGES:
        found[gauge.name] = {*gauge.labels, "overflow", "client"}
    return found


EXPOSED = exposed()


@each_row("title", EXPRESSIONS)
def test_an_expression_asks_for_what_is_exposed(title: str) -> None:
    """Each name is one of a scrape or of a recording rule, and each label is one that it has. Labels of a target are free."""
    expression = EXPRESSIONS[title]
    selectors = SELECTOR.findall(expression)
    assert selectors, expression
    labels = {"job", "instance"}
    for level, name, operations, matchers in selectors:
        if level:
            assert level + name + operations in RECORDED
            labels |= {"job", "service"}
            continue
        assert name in EXPOSED, name
        labels |= EXPOSED[name]
        for label in re.findall(r"(\w+)\s*[=!]~?", matchers):
            assert label in EXPOSED[name] | {"job"}, f"{name} has no label {label}"
    for listed in GROUPING.findall(expression):
        assert set(filter(None, listed.replace(" ", "").split(","))) <= labels


@each_row("title", EXPRESSIONS)
def test_brackets_of_an_expression_are_closed(title: str) -> None:
    """In pairs, and nothing is written right behind one. Where promtool is installed, it says so as well."""
    plain = re.sub(r'"[^"]*"', "", EXPRESSIONS[title])
    assert not re.search(r"[)}\]]\w", plain)
    rest, before = plain, ""
    while rest != before:
        before, rest = rest, re.sub(r"\([^(){}\[\]]*\)|\{[^(){}\[\]]*\}|\[[^(){}\[\]]*\]", "", rest)
    assert not set(rest) & set("(){}[]")


def test_rows_are_filled_from_the_left_and_have_their_titles() -> None:
    """A panel begins a new line when it does not fit into the last one, and not before."""
    panels = dashboard()["panels"]
    assert [each["title"] for each in panels if each["type"] == "row"] == [row.title for row in PANELS]
    for before, panel in pairwise(panels):
        place, last = panel["gridPos"], before["gridPos"]
        if panel["type"] == "row":
            continue
        if place["y"] == last["y"]:
            assert place["x"] == last["x"] + last["w"]
        else:
            assert (place["x"], place["y"]) == (0, last["y"] + last["h"])
            assert last["w"] == 24 or last["x"] + last["w"] + place["w"] > 24
        assert place["h"] == (4 if panel["type"] == "stat" else 8)


def test_every_metric_is_on_the_dashboard() -> None:
    """A metric without a panel would go unseen. Errors and retries are drawn as parts of calls and attempts."""
    text = json.dumps(dashboard())
    assert {name for name in EXPOSED if name not in text} == {
        "http_client_call_duration_seconds_count",
        "http_client_call_duration_seconds_sum",
        "http_client_call_errors_total",
        "http_client_retries_total",
        "http_client_circuit_trials_total",
        "http_client_operation_duration_seconds_count",
        "http_client_operation_duration_seconds_sum",
    }


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    """Panels have ids and places of their own, and the data source is the reader's choice."""
    model = dashboard()
    panels = model["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
            ids = [target["refId"] for target in panel["targets"]]
            assert len(set(ids)) == len(ids)
    assert model["schemaVersion"] >= 38  # of Grafana 10
    assert [variable["name"] for variable in model["templating"]["list"]] == ["datasource", "job", "service"]
    assert json.loads(json.dumps(model)) == model


PICTURES = {panel.title: (row, panel) for row in PANELS for panel in row.panels}


def drawn(title: str) -> dict[str, Any]:
    """The panel of the model."""
    (found,) = [each for each in dashboard()["panels"] if each["type"] != "row" and each["title"] == title]
    return found


SOURCE = {"type": "prometheus", "uid": "${datasource}"}
LINES = {
    "legend": {"displayMode": "list", "placement": "bottom"},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
NUMBER = {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}


@each_row("title", PICTURES)
def test_a_panel_is_drawn_in_words_that_grafana_knows(title: str) -> None:
    """A misspelt one is no error there: the panel is empty, or has another look."""
    (_, panel), model = PICTURES[title], drawn(title)
    line = {"fillOpacity": 20 if panel.stacked else 0, "lineWidth": 1, "showPoints": "never"}
    if panel.stacked:
        line["stacking"] = {"mode": "normal", "group": "A"}
    is_number = panel.is_stat
    assert re.fullmatch(r"[A-Z]?[a-z0-9 ,]+", title)
    assert panel.unit in {"reqps", "percentunit", "s", "short"}
    assert {name: model[name] for name in model if name not in ("id", "gridPos", "targets")} == {
        "type": "stat" if is_number else "timeseries",
        "title": title,
        "description": panel.about,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {} if is_number else line},
            "overrides": [],
        },
        "options": NUMBER if is_number else LINES,
    }
    assert model["targets"] == [
        {
            "refId": letter,
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "exemplar": "_bucket" in query.expr,
            "range": not is_number,
            "instant": is_number,
        }
        for letter, query in zip("ABCDEFG", panel.queries, strict=False)
    ]
    assert len(model["targets"]) == len(panel.queries)


@each_row("title", PICTURES)
def test_lines_are_named_by_what_they_are_grouped_by(title: str) -> None:
    """By each label of the grouping, or two lines would have one name; and no two queries of a panel name theirs alike."""
    _, panel = PICTURES[title]
    for query in panel.queries:
        grouped = set(",".join(re.findall(r"by \(([^)]*)\)", query.expr)).replace(" ", "").split(","))
        assert set(re.findall(r"{{(\w+)}}", query.legend)) == grouped - {"le", ""}, query.legend
        assert re.fullmatch(r"(?:{{[a-z_]+}}|[a-z0-9 ,:])+", query.legend), query.legend
    assert len({query.legend for query in panel.queries}) == len(panel.queries)


@each_row("row", PANELS, ids=[row.title for row in PANELS])
def test_a_row_has_numbers_or_pictures(row: Any) -> None:
    """Six numbers beside each other, or two pictures; the ones are half as high as the others."""
    kinds = {(panel.is_stat, panel.width) for panel in row.panels}
    assert kinds in ({(True, 4)}, {(False, 12)})
    heights = {drawn(panel.title)["gridPos"]["h"] for panel in row.panels}
    assert heights == ({4} if row.panels[0].is_stat else {8})


def test_the_dashboard_is_compact() -> None:
    """Panels stand beside each other while they fit, each row under its heading, and no line is left empty."""
    covered: dict[int, int] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        if panel["type"] == "row":
            assert (place["x"], place["w"], place["h"]) == (0, 24, 1)
            assert (panel["collapsed"], panel["panels"]) == (False, [])
            assert place["y"] not in covered
        for y in range(place["y"], place["y"] + place["h"]):
            assert covered.get(y, 0) == place["x"], panel["title"]
            covered[y] = place["x"] + place["w"]
    assert sorted(covered) == list(range(len(covered)))


def test_the_reader_chooses_what_is_shown() -> None:
    """The services are those of the jobs that were chosen; at first, all of them. A uid lets a later import replace the first."""
    model = dashboard()
    source, *variables = model["templating"]["list"]
    assert source == {
        "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
    }  # fmt: skip
    for variable, label, query in zip(
        variables,
        ("Job", "Service"),
        (
            "label_values(http_client_calls_total, job)",
            'label_values(http_client_calls_total{job=~"$job"}, service)',
        ),
        strict=True,
    ):
        assert variable == {
            "name": label.lower(),
            "label": label,
            "type": "query",
            "datasource": SOURCE,
            "query": {"query": query, "refId": label.lower()},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        }
    assert {
        name: value for name, value in model.items() if name not in ("panels", "templating", "description")
    } == {
        "title": "HTTP service clients",
        "uid": "http-service-client",
        "tags": ["http", "http-service-client"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": []},
        "links": [],
    }


def test_an_alert_says_what_it_means() -> None:
    """In a line with the service in it, and a text with a next step; its severity is one that routes know."""
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, name
        assert "{{ $labels." in rule["annotations"]["summary"], name
        assert rule["annotations"]["description"].endswith("."), name


def test_the_page_gives_the_reason_of_each_alert() -> None:
    """A threshold without a reason cannot be changed with one."""
    page = (ROOT / "docs" / "prometheus.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(HttpClient\w+)`", page, re.MULTILINE)) == set(ALERTS)


# Minutes at which the alert fires, and at which it does not, for this service.
WHEN = [
    ("HttpClientErrorBudgetBurnsFast", "payments", [26], [9, 33]),
    ("HttpClientErrorBudgetBurns", "payments", [45], [9, 24]),
    ("HttpClientCircuitOpen", "payments", [24, 26], [9, 21, 31, 89]),
    ("HttpClientCircuitFlaps", "flapping", [80], [9, 59]),
    ("HttpClientCircuitIsolated", "archive", [70], [9, 60]),
    ("HttpClientRetriesMany", "payments", [19], [9, 40]),
    ("HttpClientRetryQuotaExhausted", "payments", [25], [9, 40]),
    ("HttpClientThrottled", "search", [42], [9, 37, 47]),
    ("HttpClientThrottleRefusals", "search", [44], [9, 34]),
    ("HttpClientWaitsForConnections", "payments", [60], [9, 49, 70]),
    ("HttpClientConnectionsNearLimit", "payments", [62], [9, 49, 70]),
    ("HttpClientCacheStorageFails", "files", [40], [5]),
    ("HttpClientSeriesOverflow", "", [80], [60]),
]


# A service that is called once in an hour, and fails: all of its calls, and no reason to wake anybody.
ONE_FAILURE = {
    "interval": "30s",
    "input_series": [
        {
            "series": 'http_client_calls_total{job="shop",service="https://rare.example.com",status_code="503"}',
            "values": "0x30 1x90",
        }
    ],
    "promql_expr_test": [
        {
            "expr": "job_service:http_client_failure_ratio:rate5m",
            "eval_time": "18m",
            "exp_samples": [
                {
                    "labels": 'job_service:http_client_failure_ratio:rate5m{job="shop",service="https://rare.example.com"}',
                    "value": 1,
                }
            ],
        },
        *({"expr": "count(ALERTS)", "eval_time": f"{minute}m", "exp_samples": []} for minute in (16, 18, 45)),
    ],
}


@pytest.fixture
def story() -> dict[str, list[str]]:
    """The series of ninety minutes, as promtool reads them: a value for each scrape."""
    pytest.importorskip("prometheus_client")
    module = load("docs/dashboard_story.py")
    story = module.Story()
    collector = PrometheusCollector(story.clients, max_services=6)
    series: dict[str, list[str]] = {}

    def scrape(seconds: float) -> None:
        so_far = int(seconds / module.STEP) - 1
        for family in collector.collect():
            for sample in family.samples:
                labels = {**sample.labels, "job": "shop", "instance": "host:9000"}
                name = f"{sample.name}{{{','.join(f'{key}={json.dumps(value)}' for key, value in labels.items())}}}"
                values = series.setdefault(name, [])
                values.extend("_" for _ in range(so_far - len(values)))
                values.append(f"{sample.value:g}")

    story.run(scrape)
    return series


@needs_promtool
def test_each_expression_says_what_happened(story: dict[str, list[str]], tmp_path: Path) -> None:
    """Each panel draws something, and each alert fires when it should, and not before."""
    rules = tmp_path / "alerts.yml"
    rules.write_text(alert_rules())
    tests = {
        "rule_files": [str(rules)],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": name, "values": " ".join(values)} for name, values in story.items()
                ],
                "promql_expr_test": [*panels(), *alerts()],
            },
            ONE_FAILURE,
        ],
    }
    (tmp_path / "tests.json").write_text(json.dumps(tests))
    ended = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(tmp_path / "tests.json")],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def panels() -> Iterator[dict[str, Any]]:
    for row in PANELS:
        for panel in row.panels:
            for query in panel.queries:
                expr = (
                    query.expr.replace("$__rate_interval", "90m")
                    .replace("$job", ".*")
                    .replace("$service", ".*")
                )
                yield {
                    "expr": f"count({expr}) > bool 0",
                    "eval_time": "90m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }


def alerts() -> Iterator[dict[str, Any]]:
    assert {name for name, *_ in WHEN} == set(ALERTS)
    for name, service, firing, quiet in WHEN:
        labels = f'alertname="{name}",alertstate="firing",service=~".*{service}.*"'
        for minute in (*firing, *quiet):
            yield {
                "expr": f"count(ALERTS{{{labels}}})",
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": "{}", "value": 1}] if minute in firing else [],
            }


@needs_promtool
def test_promtool_accepts_the_rules_and_a_scrape(tmp_path: Path) -> None:
    """It checks names, units and descriptions by the rules of Prometheus."""
    prometheus_client = pytest.importorskip("prometheus_client")
    (tmp_path / "alerts.yml").write_text(alert_rules())
    registry = prometheus_client.CollectorRegistry()
    registry.register(PrometheusCollector(MetricsCollector()))
    for arguments, text in (
        (["check", "rules", str(tmp_path / "alerts.yml")], b""),
        (["check", "metrics"], prometheus_client.generate_latest(registry)),
    ):
        ended = subprocess.run([str(PROMTOOL), *arguments], input=text, capture_output=True, timeout=100)
        assert ended.returncode == 0, ended.stdout + ended.stderr
