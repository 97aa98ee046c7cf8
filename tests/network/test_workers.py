"""Where services run: green threads, gunicorn's workers, and the processes of a task queue."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from http_service_client.testing import LoopbackServer, drip, respond, stall
from kit.gunicorn import gunicorn
from network.test_processes import CHECKOUT, needs_fork


def needs(package: str) -> pytest.MarkDecorator:
    is_missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(is_missing, reason=f"{package} is not installed")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT)}


# Green threads.

GREEN = """
import sys
if sys.argv[1] == "gevent":
    from gevent import monkey, spawn
    monkey.patch_all()
    result_of = lambda greenlet: greenlet.get()
else:
    import warnings
    warnings.simplefilter("ignore")  # the import of eventlet warns that it is deprecated
    import eventlet
    eventlet.monkey_patch()
    spawn, result_of = eventlet.spawn, lambda greenlet: greenlet.wait()
    warnings.simplefilter("error")

import asyncio, warnings
from http_service_client import HttpClientConfig, HttpServiceClient

class Awaits:
    "Makes a call of its own, which waits for a slot on the portal's loop."
    async def intercept_request(self, request, context):
        await asyncio.sleep(0.001)
        if "inner" not in request.url:
            response = await client.get_async(url + "inner")
            request.headers["X-Status"] = str(response.status_code)
        return request

url = sys.argv[2]
interceptors = [Awaits] if sys.argv[3] == "async interceptor" else []
client = HttpServiceClient(HttpClientConfig(request_interceptors=interceptors, max_connections_per_host=2))

greenlets = [spawn(client.get, url, timeout=10) for _ in range(10)]
assert [result_of(greenlet).status_code for greenlet in greenlets] == [204] * 10
try:
    client.get(url + "stall", timeout=0.2, retry_policy=None)
except TimeoutError:
    pass
if not interceptors:  # their loop keeps running, on the thread that all greenlets share
    async def main():
        return (await client.get_async(url)).status_code
    assert asyncio.run(main()) == 204
client.close()
print("done")
"""


@pytest.mark.parametrize("interceptor", ["no interceptor", "async interceptor"])
@pytest.mark.parametrize(
    "library",
    [pytest.param("gevent", marks=needs("gevent")), pytest.param("eventlet", marks=needs("eventlet"))],
)
def test_green_threads_share_a_client(server: LoopbackServer, library: str, interceptor: str) -> None:
    """They wait for each other's slots, timeouts hold, and none is taken for code inside a running event loop."""
    server.script("*", respond(204, delay=0.01))
    server.script("/stall", stall())
    ended = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            GREEN,
            library,
            f"http://localhost:{server.port}/",
            interceptor,
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stderr, ended.stdout) == ("", "done\n")
    if interceptor == "no interceptor":
        used = {request.connection for request in server.received("/")}
        assert len(used) >= 2  # they were in flight at the same time


UNDER_REQUESTS = """
import sys, time
from gevent import monkey, spawn
monkey.patch_all()
import requests
from http_service_client import HttpClientConfig
from http_service_client.integrations import ResilientAdapter

url = sys.argv[1]
session = requests.Session()
session.mount("http://", ResilientAdapter(HttpClientConfig(base_timeout=0.3, enable_retry_policy=False)))
trickling = spawn(session.get, url + "drip")
others = [spawn(session.get, url) for _ in range(10)]
assert [greenlet.get().status_code for greenlet in others] == [204] * 10
try:
    trickling.get()
except requests.RequestException as error:
    assert error.timeline[0].error == "AttemptTimeoutError", error.timeline
    print("done")
"""


@needs("gevent")
def test_green_threads_share_an_adapter(server: LoopbackServer) -> None:
    """Each has the time of its own attempt, on the sockets of gevent as well."""
    server.script("*", respond(204, delay=0.01))
    server.script("/drip", drip("x" * 100, 0.1))
    ended = subprocess.run(
        [sys.executable, "-c", UNDER_REQUESTS, f"{server.url}/"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout == "done\n", ended.stderr


# gunicorn.

APP = """
import os
from http_service_client import HttpClientConfig, HttpServiceClient

class Awaits:
    async def intercept_request(self, request, context):
        return request

URL = os.environ["SERVICE_URL"]
client = HttpServiceClient(HttpClientConfig(request_interceptors=[Awaits]))
client.get(URL + "import", timeout=5)  # with --preload, before the workers are forked

def app(environ, start_response):
    status = client.get(URL + str(os.getpid()), timeout=5).status_code
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{status} {os.getpid()}".encode()]
"""


@needs("gunicorn")
@needs_fork
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--worker-class=sync", "--preload"], id="sync, preload"),
        pytest.param(["--worker-class=gthread", "--threads=4"], id="gthread"),
        pytest.param(["--worker-class=gevent", "--preload"], id="gevent, preload", marks=needs("gevent")),
    ],
)
def test_workers_of_gunicorn_make_calls(server: LoopbackServer, tmp_path: Path, options: list[str]) -> None:
    """Each has connections of its own, whether the client was made before the fork or after it."""
    server.script("*", respond(204))
    (tmp_path / "app.py").write_text(APP)
    service = {"SERVICE_URL": f"http://localhost:{server.port}/", "HOME": str(tmp_path)}
    surroundings = {**environment(), **service}
    with (
        gunicorn("app:app", *options, folder=tmp_path, environment=surroundings) as address,
        requests.Session() as session,
    ):
        session.trust_env = False
        for _ in range(6):
            response = session.get(address, timeout=20, headers={"Connection": "close"})
            assert response.text.startswith("204 ")
    users: dict[int, set[str]] = {}  # of each connection
    for request in server.requests:
        if request.target != "/import" or "--preload" in options:  # then another process's than the workers
            users.setdefault(request.connection, set()).add(request.target)
    assert all(len(each) == 1 for each in users.values())


# Task queues.

TASKS = """
import multiprocessing, os, sys
from http_service_client import HttpClientConfig, HttpServiceClient

class Awaits:
    async def intercept_request(self, request, context):
        return request

client = HttpServiceClient(HttpClientConfig(request_interceptors=[Awaits]))

def task(url):
    return client.get(url, timeout=5).status_code, os.getpid()

if __name__ == "__main__":
    url, method = sys.argv[1:]
    assert task(url)[0] == 204
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = pool.map(task, [url] * 6)
    assert {status for status, _ in results} == {204}
    assert os.getpid() not in {pid for _, pid in results}
    assert task(url)[0] == 204
    print("done")
"""


@needs_fork
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_a_task_queue_make_calls(server: LoopbackServer, tmp_path: Path, method: str) -> None:
    """With a client of the module, as Celery's tasks have it: used by the parent, then by its workers."""
    server.script("*", respond(204))
    program = tmp_path / "tasks.py"
    program.write_text(TASKS)
    ended = subprocess.run(
        [sys.executable, str(program), f"http://localhost:{server.port}/", method],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout == "done\n", ended.stderr
