"""A Grafana dashboard of the metrics that a `PrometheusCollector` shows.

`PANELS` is its table of contents. `dashboard()` makes the JSON model of it, for Grafana 10 and later. Expressions are PromQL;
``$job`` and ``$service`` are what the reader has chosen at the top, and ``$__rate_interval`` is a range that Grafana chooses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["PANELS", "Panel", "Row", "dashboard"]


class Query(NamedTuple):
    """A line, or several, of a panel.   legend: how they are called, by their labels."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """A picture.

    unit: as Grafana calls it.   about: what it shows, and what to look at when it moves.
    width: of 24.   is_stat: one number in place of lines.   stacked: lines are added up.
    """

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    width: int = 12
    is_stat: bool = False
    stacked: bool = False


class Row(NamedTuple):
    """A heading, and the panels beneath it."""

    title: str
    panels: tuple[Panel, ...]


_S = '{job=~"$job",service=~"$service"}'
# As in the alert rules: 408, 429 and 5xx, and errors but for calls that were cancelled or whose client was closed.
_FAILED = (
    '{job=~"$job",service=~"$service",status_code!~"[123]..|4(0[0-79]|1.|2[0-8]|[3-9].)",'
    'error!~"CancelledError|KeyboardInterrupt|SystemExit|GeneratorExit|GreenletExit|ClientClosedError",overflow=""}'
)


def _with(labels: str) -> str:
    return f"{_S[:-1]},{labels}}}"


def _rate(name: str, by: str, labels: str = _S) -> str:
    return f"sum by ({by}) (rate({name}{labels}[$__rate_interval]))"


def _quantile(share: float, by: str, of: str = "http_client_call_duration_seconds") -> str:
    return f"histogram_quantile({share}, {_rate(f'{of}_bucket', f'le{by}')})"


_OPEN = _with('state=~"open|half_open|isolated",mode="enforcing"')
_NOT_CLOSED = _with('state!="closed",mode="enforcing"')
_CALLS = _rate("http_client_calls_total", "service")
_FAILURES = f"({_rate('http_client_calls_total', 'service', _FAILED)} or {_CALLS} * 0) / ({_CALLS} > 0)"

PANELS = (
    Row(
        "Now",
        (
            Panel(
                "Calls",
                "Finished calls a second.",
                "reqps",
                (Query(_rate("http_client_calls_total", "job"), "{{job}}"),),
                4,
                is_stat=True,
            ),
            Panel(
                "Failed",
                "Share of the calls that failed: 408, 429, 5xx, and errors. Calls that were cancelled do not count.",
                "percentunit",
                (
                    Query(
                        f"({_rate('http_client_calls_total', 'job', _FAILED)} "
                        f"or {_rate('http_client_calls_total', 'job')} * 0) "
                        f"/ ({_rate('http_client_calls_total', 'job')} > 0)",
                        "{{job}}",
                    ),
                ),
                4,
                is_stat=True,
            ),
            Panel(
                "p95",
                "19 of 20 calls were faster, retries and waits included.",
                "s",
                (Query(_quantile(0.95, ""), "p95"),),
                4,
                is_stat=True,
            ),
            Panel(
                "Circuits open",
                "Circuits that refuse calls now.",
                "short",
                (Query(f"sum(http_client_circuits{_OPEN})", "open"),),
                4,
                is_stat=True,
            ),
            Panel(
                "Gates closed",
                "Services that asked for a pause that is not over.",
                "short",
                (Query(f"sum(http_client_throttle_pause_seconds{_S} > bool 0)", "closed"),),
                4,
                is_stat=True,
            ),
            Panel(
                "Waiting",
                "Calls that wait for a connection now.",
                "short",
                (Query(f"sum(http_client_calls_waiting_for_connection{_S})", "waiting"),),
                4,
                is_stat=True,
            ),
        ),
    ),
    Row(
        "Calls",
        (
            Panel(
                "Calls by service",
                "Finished calls a second.",
                "reqps",
                (Query(_CALLS, "{{service}}"),),
            ),
            Panel(
                "Failed calls",
                'Share of the calls that failed, as the alerts count them. Look at "Calls by outcome" for the reason.',
                "percentunit",
                (Query(_FAILURES, "{{service}}"),),
            ),
            Panel(
                "Calls by outcome",
                "By status code, or by the class of the error that the caller got.",
                "reqps",
                (Query(_rate("http_client_calls_total", "status_code, error"), "{{status_code}}{{error}}"),),
                stacked=True,
            ),
            Panel(
                "Duration",
                "As callers see it, retries and waits included. p50 is what most see; p99 shows retries and waits.",
                "s",
                tuple(
                    Query(_quantile(share, ", service"), f"{word} {{{{service}}}}")
                    for share, word in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
                ),
            ),
            Panel(
                "Slowest kinds of calls",
                "p95 of the ten slowest, by their name and their URL template (name= and path_params= of a call).",
                "s",
                (
                    Query(
                        f"topk(10, {_quantile(0.95, ', service, name, url_template')})",
                        "{{service}} {{name}} {{url_template}}",
                    ),
                ),
            ),
            Panel(
                "Failed calls, by kind",
                "A second, the ten most frequent. One kind that fails alone is more likely ours to mend than the service's.",
                "reqps",
                (
                    Query(
                        f"topk(10, {_rate('http_client_calls_total', 'service, name, url_template', _FAILED)})",
                        "{{service}} {{name}} {{url_template}}",
                    ),
                ),
            ),
        ),
    ),
    Row(
        "Attempts and retries",
        (
            Panel(
                "Amplification",
                "Attempts a call. Above 1 by retries; below 1 while calls are refused, or come from a cache.",
                "short",
                (Query(f"{_rate('http_client_attempts_total', 'service')} / ({_CALLS} > 0)", "{{service}}"),),
            ),
            Panel(
                "Retries left",
                "What the quota pays for; the least of all processes and keys. At 0 failed attempts are not retried.",
                "short",
                (Query(f"min by (service) (http_client_retries_left{_S})", "{{service}}"),),
            ),
            Panel(
                "Attempts by outcome",
                "What the services returned, before retries mended it.",
                "reqps",
                (
                    Query(
                        _rate("http_client_attempts_total", "status_code, error"), "{{status_code}}{{error}}"
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Not retried, by reason",
                "Failed attempts that were the last of their call. not_safe: the service may have processed the request.",
                "reqps",
                (Query(_rate("http_client_retries_stopped_total", "reason"), "{{reason}}"),),
                stacked=True,
            ),
        ),
    ),
    Row(
        "Circuits and pauses",
        (
            Panel(
                "Circuits that are not closed",
                "By state. One that is half open makes trials.",
                "short",
                (
                    Query(
                        f"sum by (service, state) (http_client_circuits{_NOT_CLOSED})",
                        "{{service}} {{state}}",
                    ),
                ),
            ),
            Panel(
                "Changes of circuits",
                "To which state, in the last quarter of an hour. One that opens again and again calls a service that fails under load.",
                "short",
                (
                    Query(
                        f"sum by (service, state) (increase(http_client_circuit_state_changes_total{_S}[15m]))",
                        "{{service}} {{state}}",
                    ),
                ),
            ),
            Panel(
                "Refused and delayed attempts",
                "Refused by a circuit, with its reason, by a limit of the client, or since the service asked for a longer pause than "
                "the call may wait; and those that wait for a limit or the end of a pause.",
                "reqps",
                (
                    Query(
                        _rate("http_client_circuit_refusals_total", "service, reason"),
                        "{{service}} {{reason}}",
                    ),
                    Query(
                        _rate("http_client_throttle_refusals_total", "service"), "{{service}} pause too long"
                    ),
                    Query(
                        _rate("http_client_deadline_refusals_total", "service"),
                        "{{service}} too little time left",
                    ),
                    Query(
                        _rate("http_client_host_changes_total", "service"), "{{service}} in place of another"
                    ),
                    Query(
                        _rate("http_client_throttle_waits_total", "service"),
                        "{{service}} waits for the end of a pause",
                    ),
                    Query(
                        _rate("http_client_limit_refusals_total", "service, limit"), "{{service}} {{limit}}"
                    ),
                    Query(
                        _rate("http_client_limit_waits_total", "service, limit"),
                        "{{service}} waits for the {{limit}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Pauses",
                "Seconds that are left of the pause that a service asked for.",
                "s",
                (Query(f"max by (service) (http_client_throttle_pause_seconds{_S})", "{{service}}"),),
            ),
        ),
    ),
    Row(
        "Connections",
        (
            Panel(
                "Connections in use",
                "By calls and open streams, and the limit for a service in one process.",
                "short",
                (
                    Query(f"sum by (service) (http_client_connections_in_use{_S})", "{{service}}"),
                    Query(
                        'max(http_client_connections_limit_per_service{job=~"$job"})', "limit of a service"
                    ),
                ),
            ),
            Panel(
                "Waiting for a connection",
                "Above 0 for longer: the limit is too low, the service is slow, or streams are not closed.",
                "short",
                (Query(f"sum by (service) (http_client_calls_waiting_for_connection{_S})", "{{service}}"),),
            ),
            Panel(
                "Permits",
                "Of bulkheads and adaptive limits: in use, all there are, and calls that wait for one.",
                "short",
                (
                    Query(
                        f"sum by (service, limit) (http_client_permits_in_use{_S})",
                        "{{service}} {{limit}} in use",
                    ),
                    Query(
                        f"sum by (service, limit) (http_client_permits_limit{_S})", "{{service}} {{limit}}"
                    ),
                    Query(
                        f"sum by (service, limit) (http_client_calls_waiting_for_permit{_S})",
                        "{{service}} wait for {{limit}}",
                    ),
                ),
            ),
            Panel(
                "Rate limits",
                "Calls a second that the client's own rate limits let pass, and calls that wait for them.",
                "short",
                (
                    Query(
                        f"min by (service) (http_client_rate_limit_per_second{_S})", "{{service}} a second"
                    ),
                    Query(
                        f"sum by (service) (http_client_calls_waiting_for_rate_limit{_S})",
                        "{{service}} waiting",
                    ),
                ),
            ),
            Panel(
                "In flight",
                "Calls that run, and streams that are open. A number of streams that only grows is a leak.",
                "short",
                (
                    Query('sum(http_client_calls_in_flight{job=~"$job"})', "calls"),
                    Query('sum(http_client_streams_open{job=~"$job"})', "open streams"),
                ),
            ),
            Panel(
                "Idle connections",
                "Kept for later calls. None at a steady load: servers close them, or each call is the first in a long time.",
                "short",
                (
                    Query('sum by (job) (http_client_connections_idle{job=~"$job"})', "{{job}}"),
                    Query('sum by (job) (http_client_connections_limit{job=~"$job"})', "{{job}} limit"),
                ),
            ),
        ),
    ),
    Row(
        "Further requests and the cache",
        (
            Panel(
                "Further requests",
                "Requests beside the attempts: redirects, requests of auth flows, bodies sent again without compression.",
                "reqps",
                (
                    Query(_rate("http_client_redirects_total", "service"), "{{service}} redirects"),
                    Query(_rate("http_client_auth_exchanges_total", "service"), "{{service}} auth"),
                    Query(
                        _rate("http_client_codings_refused_total", "service"),
                        "{{service}} without compression",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Cache",
                "Calls that asked a cache, by the result; and failures of its storage.",
                "reqps",
                (
                    Query(_rate("http_client_cache_requests_total", "result"), "{{result}}"),
                    Query(
                        _rate("http_client_cache_errors_total", "operation"), "storage: {{operation}} failed"
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Hedges",
                "Requests sent a second time, beside one in flight, by what became of them; and those that were denied.",
                "reqps",
                (
                    Query(_rate("http_client_hedge_results_total", "result"), "{{result}}"),
                    Query(_rate("http_client_hedges_denied_total", "service"), "{{service}} denied"),
                    Query(_rate("http_client_hedges_total", "service"), "{{service}} sent"),
                ),
            ),
            Panel(
                "Functions under pipelines",
                "Finished calls of functions under a ResiliencePipeline, by the class of their error, if any; and their p95.",
                "short",
                (
                    Query(
                        _rate("http_client_operations_total", "service, error"),
                        "{{service}} {{error}} a second",
                    ),
                    Query(
                        _quantile(0.95, ", service", "http_client_operation_duration_seconds"),
                        "{{service}} p95, seconds",
                    ),
                ),
            ),
            Panel(
                "Chaos",
                "Faults that were injected on purpose. Empty unless somebody experiments.",
                "reqps",
                (
                    Query(
                        _rate("http_client_chaos_injections_total", "service, kind"), "{{service}} {{kind}}"
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Functions out of time",
                "Guarded functions that took longer than allowed: cancelled, late, or abandoned in a thread that they hold.",
                "reqps",
                (
                    Query(
                        _rate("http_client_operation_timeouts_total", "service, result"),
                        "{{service}} {{result}}",
                    ),
                ),
                stacked=True,
            ),
            Panel(
                "Fallbacks",
                "Calls that failed, and whose callers saw no error: what stood in. An outage that nobody reports.",
                "reqps",
                (Query(_rate("http_client_fallbacks_total", "service, source"), "{{service}} {{source}}"),),
                stacked=True,
            ),
        ),
    ),
)

_HEIGHT = 8
_STAT_HEIGHT = 4


def dashboard() -> dict[str, Any]:
    """The JSON model of the dashboard."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in PANELS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
                "panels": [],
            }
        )
        y += 1
        x, height = 0, 0
        for panel in row.panels:
            if x + panel.width > 24:
                x, y = 0, y + height
            height = _STAT_HEIGHT if panel.is_stat else _HEIGHT
            place = {"x": x, "y": y, "w": panel.width, "h": height}
            panels.append(_panel(panel, len(panels) + 1, place))
            x += panel.width
        y += height
    return {
        "title": "HTTP service clients",
        "uid": "http-service-client",
        "description": "Calls to other services by http_service_client: outcomes, retries, circuits, connections.",
        "tags": ["http", "http-service-client"],
        "schemaVersion": 39,  # of Grafana 10.3
        "version": 1,
        "editable": True,
        "graphTooltip": 1,  # the cross-hair is in all panels
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_data_source(), _variable("job"), _variable("service")]},
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    drawing: dict[str, Any] = {
        "fillOpacity": 20 if panel.stacked else 0,
        "lineWidth": 1,
        "showPoints": "never",
    }
    if panel.stacked:
        drawing["stacking"] = {"mode": "normal", "group": "A"}
    return {
        "id": number,
        "type": "stat" if panel.is_stat else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {} if panel.is_stat else drawing},
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}
        if panel.is_stat
        else {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": "ABCDEFGHIJ"[position],
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "exemplar": "_bucket" in query.expr,  # the dots that lead to a trace
                "range": not panel.is_stat,
                "instant": panel.is_stat,
            }
            for position, query in enumerate(panel.queries)
        ],
    }


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _variable(label: str) -> dict[str, Any]:
    """What the reader chooses at the top: all values of a label, at first."""
    of_job = '{job=~"$job"}' if label != "job" else ""
    query = f"label_values(http_client_calls_total{of_job}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "refresh": 2,  # when the range of time changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }
