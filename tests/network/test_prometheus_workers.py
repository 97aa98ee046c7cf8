"""The metrics of all workers of a real gunicorn, in one scrape."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import requests

from http_service_client.testing import LoopbackServer, respond
from kit.gunicorn import gunicorn
from kit.scrapes import table
from network.test_processes import CHECKOUT, needs_fork
from network.test_workers import needs

APP = """
import os
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest, multiprocess
from http_service_client import HttpServiceClient
from http_service_client.observability import PrometheusCollector

SERVED = Counter("http_requests_total", "Requests that this server has served.", ["path"])
client = HttpServiceClient(base_url=os.environ["SERVICE_URL"])
REGISTRY.register(PrometheusCollector(client))

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/metrics":
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        return [generate_latest(registry)]
    SERVED.labels(environ["PATH_INFO"]).inc()
    client.get("/")
    return [str(os.getpid()).encode()]
"""

CONFIGURATION = """
from prometheus_client import multiprocess

def child_exit(server, worker):
    multiprocess.mark_process_dead(worker.pid)
"""


@needs("gunicorn")
@needs("prometheus_client")
@needs_fork
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--worker-class=sync", "--preload"], id="sync, preload"),
        pytest.param(["--worker-class=gthread", "--threads=4"], id="gthread"),
        # It patches the standard library when this package has been imported already.
        pytest.param(["--worker-class=gevent", "--preload"], id="gevent, preload", marks=needs("gevent")),
    ],
)
def test_a_scrape_has_the_calls_of_all_workers(
    server: LoopbackServer, tmp_path: Path, options: list[str]
) -> None:
    """Each call is counted once, whichever worker made it, and whichever worker is asked."""
    server.script("*", respond(204))
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(CONFIGURATION)
    files = tmp_path / "files"
    files.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "SERVICE_URL": server.url,
        "HOME": str(tmp_path),
        "PROMETHEUS_MULTIPROC_DIR": str(files),
    }
    workers = ["--workers=2", "-c", "gunicorn.conf.py"]
    with (
        gunicorn("app:app", *options, *workers, folder=tmp_path, environment=environment) as address,
        requests.Session() as session,
    ):
        session.trust_env = False

        def get(path: str) -> str:
            response = session.get(address + path, timeout=20, headers={"Connection": "close"})
            assert response.status_code == 200, response.text
            return response.text

        ends_at = time.monotonic() + 20
        processes: set[str] = set()
        calls = 0
        while len(processes) < 2 and time.monotonic() < ends_at:
            processes.add(get("/"))
            calls += 1
        wanted = {
            f"http_client_calls_total{{method=GET,service={server.url},status_code=204}}": calls,
            f"http_client_call_duration_seconds_count{{method=GET,service={server.url}}}": calls,
            f"http_client_circuits{{mode=enforcing,service={server.url},state=closed}}": len(processes),
            "http_client_connections_limit": 100 * len(processes),
            "http_requests_total{path=/}": calls,
        }
        found: dict[str, float] = {}
        while found != wanted and time.monotonic() < ends_at:
            # prometheus_client reads no file that another worker is just making: such a scrape fails.
            scrape = session.get(address + "/metrics", timeout=20, headers={"Connection": "close"})
            if scrape.ok:
                found = {name: value for name, value in scraped(scrape.text).items() if name in wanted}
        assert found == wanted
    assert len(processes) == 2
    assert {process for process in processes if (files / f"gauge_livesum_{process}.db").exists()} == set()


def scraped(text: str) -> dict[str, float]:
    """The samples of a scrape."""
    from prometheus_client.parser import text_string_to_metric_families

    families = {family.name: family for family in text_string_to_metric_families(text)}
    return table(families, *families)
