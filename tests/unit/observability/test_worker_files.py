"""`PrometheusCollector` in the multiprocess mode of prometheus_client, each time in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from http_service_client import ConfigurationError, HttpMetrics, MetricsCollector
from http_service_client.observability.prometheus_metrics import COUNTS
from http_service_client.observability.worker_files import is_multiprocess
from network.test_processes import CHECKOUT, needs_fork

prometheus_client = pytest.importorskip("prometheus_client")

START = """
import asyncio, gc, os, struct, sys, threading, time
from prometheus_client import CollectorRegistry, Counter, REGISTRY, multiprocess
from http_service_client import HttpMetrics, HttpResponse, HttpServiceClient
from http_service_client.observability import PrometheusCollector
from http_service_client.testing import ScriptedTransport

client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(204)), base_url="https://api.example.com")

def get(front_end, url="/"):
    return client.get(url) if front_end == "blocking" else asyncio.run(client.get_async(url))

def samples(*names):
    "The samples of all processes, as people write them."
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    found = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name in names:
                shown = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()) if value)
                found[f"{sample.name}{{{shown}}}"] = sample.value
    return found

def samples_so_far(*names):
    "None while another thread is just making a file, which prometheus_client cannot read then."
    try:
        return samples(*names)
    except struct.error:
        return {}

def show(*names):
    for name, value in sorted(samples(*names).items()):
        print(name, value)
"""

FORKS = """
collector = PrometheusCollector(client)
REGISTRY.register(collector)
for _ in range(2):
    get(sys.argv[1])
for _ in range(2):
    child = os.fork()
    if not child:
        for _ in range(3):
            get(sys.argv[1])
        sys.exit()  # what it has counted is written now
    assert os.waitpid(child, 0)[1] == 0
    multiprocess.mark_process_dead(child)
collector._files.flush()
show(
    "http_client_calls_total",
    "http_client_call_duration_seconds_count",
    "http_client_attempts_total",
    "http_client_circuits",
    "http_client_connections_limit",
)
assert not [family for family in collector.collect()]
client.close()
collector._files.flush()
print("closed")
show("http_client_connections_limit", "http_client_retries_left", "http_client_throttle_pause_seconds")
"""


def run(script: str, folder: Path | None, *arguments: str, quiet: bool = False) -> str:
    if quiet:  # what is logged is for the script to look at
        script = "import io; sys.stderr = io.StringIO()\n" + script
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    if folder is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    ended = subprocess.run(
        [sys.executable, "-c", START + script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@needs_fork
@pytest.mark.parametrize("front_end", ["blocking", "asyncio"])
def test_the_counts_of_all_processes_are_added_up(front_end: str, tmp_path: Path) -> None:
    """Those of the parent and of two children, each counted once; gauges are those of the living."""
    service = "service=https://api.example.com"
    assert run(FORKS, tmp_path, front_end).splitlines() == [
        f"http_client_attempts_total{{{service},status_code=204}} 8.0",
        f"http_client_call_duration_seconds_count{{method=GET,{service}}} 8.0",
        f"http_client_calls_total{{method=GET,{service},status_code=204}} 8.0",
        f"http_client_circuits{{mode=enforcing,{service},state=closed}} 1.0",
        f"http_client_circuits{{mode=enforcing,{service},state=half_open}} 0.0",
        f"http_client_circuits{{mode=enforcing,{service},state=isolated}} 0.0",
        f"http_client_circuits{{mode=enforcing,{service},state=open}} 0.0",
        "http_client_connections_limit{} 100.0",
        # What changes no sum, no largest and no least value: an alert on retries that are left must not fire.
        "closed",
        "http_client_connections_limit{} 0.0",
        f"http_client_retries_left{{{service}}} inf",
        f"http_client_throttle_pause_seconds{{{service}}} 0.0",
    ]


IN_A_FINALIZER = """
PrometheusCollector(client)

class Abandoned:
    "A call that the garbage collector ends while a thread changes another metric."
    def __del__(self):
        client.get("/")

orders = Counter("orders_total", "Orders.", ["kind"])
(lock,) = [
    cell.cell_contents
    for cell in orders.labels("new")._value.inc.__closure__
    if hasattr(cell.cell_contents, "acquire")
]
with lock:
    abandoned = Abandoned()
    del abandoned
ends_at = time.monotonic() + 20
found = {}
while not sum(found.values()) and time.monotonic() < ends_at:  # a new sample is 0 until it is written
    time.sleep(0.01)
    found = samples_so_far("http_client_calls_total")
print(sum(found.values()))
"""


def test_a_call_that_ends_in_a_finalizer_is_counted(tmp_path: Path) -> None:
    """The thread that it interrupts may hold the lock of all metrics: it must not wait for that lock."""
    assert run(IN_A_FINALIZER, tmp_path) == "1.0\n"


SEVERAL = """
from http_service_client import ConfigurationError
other = HttpServiceClient(transport=ScriptedTransport(HttpResponse(500)), metrics=HttpMetrics(max_series=1))
collector = PrometheusCollector({"billing": client, "search": other}, exemplars=lambda: {"trace_id": "1"})
get("blocking")
client.get("/orders/{number}", path_params={"number": 42}, name="look up")
for number in range(3):
    other.get(f"https://user-{number}.example.com/", retry_policy=None)
collector._files.flush()
show("http_client_calls_total")
try:
    PrometheusCollector({"billing": HttpServiceClient()})
except ConfigurationError as error:
    print(error)
try:
    PrometheusCollector(HttpMetrics())
except ConfigurationError as error:
    print(error)
"""


def test_several_clients_have_their_names_and_their_bounds(tmp_path: Path) -> None:
    """As in one process; a name that is in use, and metrics without calls, are refused."""
    assert run(SEVERAL, tmp_path).splitlines() == [
        (
            "http_client_calls_total{client=billing,method=GET,name=look up,service=https://api.example.com,"
            "status_code=204,url_template=/orders/{number}} 1.0"
        ),
        "http_client_calls_total{client=billing,method=GET,service=https://api.example.com,status_code=204} 1.0",
        "http_client_calls_total{client=search,method=GET,service=https://user-0.example.com,status_code=500} 1.0",
        "http_client_calls_total{client=search,overflow=true} 2.0",
        (
            "another PrometheusCollector of this process writes for 'billing'; pass one collector the clients by their "
            "names: PrometheusCollector({'billing': client, ...})"
        ),
        "the files of several processes need the client, or its MetricsCollector, in place of its HttpMetrics",
    ]


WITHOUT_FILES = """
import shutil
collector = PrometheusCollector(client)
shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
for _ in range(100):
    assert get("blocking").status_code == 204
ends_at = time.monotonic() + 20
while not collector._files._events.empty() and time.monotonic() < ends_at:
    time.sleep(0.01)
collector._files.flush()
print(collector._files._events.qsize())
"""


def test_files_that_cannot_be_written_cost_no_call_and_no_memory(tmp_path: Path) -> None:
    """The reason is logged, once."""
    printed = run(
        WITHOUT_FILES + "print(sys.stderr.getvalue().count('cannot be written'))\n", tmp_path, quiet=True
    )
    assert printed == "0\n1\n"


LOGGED = """
import logging
records = []

class Keep(logging.Handler):
    def emit(self, record):
        records.append(record)

logging.getLogger("http_service_client").addHandler(Keep())
"""


def test_the_record_of_files_that_cannot_be_written_has_its_fields(tmp_path: Path) -> None:
    """For people who search a log, and its reason for those who read it."""
    show = "for each in records: print(each.name, each.levelname, each.http_event, each.exc_info[0].__name__)"
    printed = run(LOGGED + WITHOUT_FILES + show, tmp_path, quiet=True)
    assert printed.splitlines()[1:] == ["http_service_client.metrics ERROR metrics_failed FileNotFoundError"]


WITHOUT_A_THREAD = """
collector = PrometheusCollector(client)
start = threading.Thread.start

def refuse(thread):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
get("blocking")
threading.Thread.start = start
get("blocking")
print(collector._files._thread.is_alive())
collector._files.flush()
show("http_client_calls_total")
"""


def test_a_process_with_too_many_threads_makes_its_calls(tmp_path: Path) -> None:
    """They are counted later."""
    printed = run(WITHOUT_A_THREAD, tmp_path)
    assert printed == (
        "True\nhttp_client_calls_total{method=GET,service=https://api.example.com,status_code=204} 2.0\n"
    )


STATES = """
collector = PrometheusCollector(client)
get("blocking")
ends_at = time.monotonic() + 30
while not collector._files._shown and time.monotonic() < ends_at:
    time.sleep(0.01)
with collector._files._lock:  # so that nothing is being written: neither a further file nor this number
    show("http_client_connections_limit")
"""


def test_states_are_written_with_the_first_events(tmp_path: Path) -> None:
    """And not only at the end of the process, when they are of no use."""
    assert run(STATES, tmp_path) == "http_client_connections_limit{} 100.0\n"


MANY_SERVICES = """
collector = PrometheusCollector({"billing": client}, max_services=1)
for number in range(3):
    client.get(f"https://user-{number}.example.com/")
collector._files.flush()
show("http_client_connections_in_use", "http_client_calls_in_flight")
print(*(name for name, value in sorted(samples("http_client_circuits").items()) if value), sep="\\n")
"""


def test_services_beyond_the_bound_are_one_together(tmp_path: Path) -> None:
    """A label says that it is none of them; what has no service has no such label."""
    assert run(MANY_SERVICES, tmp_path).splitlines() == [
        "http_client_calls_in_flight{client=billing} 0.0",
        "http_client_connections_in_use{client=billing,overflow=true} 0.0",
        "http_client_connections_in_use{client=billing,service=https://user-0.example.com} 0.0",
        "http_client_circuits{client=billing,mode=enforcing,overflow=true,state=closed}",
        "http_client_circuits{client=billing,mode=enforcing,service=https://user-0.example.com,state=closed}",
    ]


DROPPED = """
collector = PrometheusCollector(client)
get("blocking")
thread = collector._files._thread
print(thread.name, thread.is_alive())
del client, collector
ends_at = time.monotonic() + 20
while thread.is_alive() and time.monotonic() < ends_at:
    gc.collect()  # again, if the thread was just writing
    time.sleep(0.01)
print(thread.is_alive())
"""


def test_the_thread_of_a_collector_ends_with_it(tmp_path: Path) -> None:
    """A dump of all threads says what it is for."""
    assert run(DROPPED, tmp_path).splitlines() == ["http-client-prometheus True", "False"]


TOO_LATE = """
from http_service_client import ConfigurationError
os.environ["PROMETHEUS_MULTIPROC_DIR"] = sys.argv[1]
try:
    PrometheusCollector(client)
except ConfigurationError as error:
    print(error)
"""


def test_a_mode_that_is_set_too_late_is_refused(tmp_path: Path) -> None:
    """The library decides once; a scrape would be empty, and nobody would see why."""
    assert "was set after prometheus_client had been imported" in run(TOO_LATE, None, str(tmp_path))


@pytest.mark.parametrize(
    ("is_on", "folder", "refusal"),
    [
        (False, None, None),
        (True, ".", None),
        (True, None, None),  # its older name is in use
        (False, ".", "was set after prometheus_client had been imported"),
        (True, "missing", "is '.*missing', which is no directory"),
    ],
)
def test_files_are_written_where_prometheus_client_has_decided_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_on: bool, folder: str | None, refusal: str | None
) -> None:
    """When it was imported. What it could not know then, and where it could not write, is an error."""
    values = prometheus_client.values
    monkeypatch.setattr(values, "ValueClass", object() if is_on else values.MutexValue)
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    if folder is not None:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / folder))
    if refusal is None:
        assert is_multiprocess() == is_on
    else:
        with pytest.raises(ConfigurationError, match=refusal):
            is_multiprocess()


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """At the start, and not in a thread later."""
    folder = tmp_path / "missing"
    assert "which is no directory" in run(TOO_LATE, folder, str(folder))


def test_all_that_a_collector_counts_has_a_name_for_prometheus() -> None:
    """A new metric without one would have no description, and no files."""
    metrics = HttpMetrics()
    MetricsCollector(metrics)
    assert {count.source for count in COUNTS} == set(metrics._declared)
