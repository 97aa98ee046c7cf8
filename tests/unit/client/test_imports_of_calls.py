"""A call imports no module of the package on its own thread: a signal handler may interrupt it there.

See `drivers.imports`. What a client needs is imported when it is made, what a call needs on another thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

from kit.forks import needs_fork

# It has imported the package, and forks for each call: the child is as a fresh process that makes this call alone.
PROGRAM = """
import asyncio, json, os, sys, threading, traceback
import http_service_client as package
from http_service_client import HttpClientConfig, HttpResponse, HttpServiceClient

class Watch:
    found = []

    def find_spec(self, name, path=None, target=None):
        watched = name.startswith("http_service_client.") or name in ("pydantic", "pydantic.type_adapter", "tqdm")
        if watched and threading.current_thread() is threading.main_thread():
            self.found.append(name)

class Network:
    def send(self, request, timeout):
        if "feed" not in request.url:
            return HttpResponse(200, content=b"[]", headers={"Set-Cookie": "a=1; Domain=example.com"})
        return HttpResponse(200, content=b"data: a\\n\\n", headers={"Content-Type": "text/event-stream"})

    async def send_async(self, request, timeout):
        return self.send(request, timeout)

async def done(steps):
    async for step in steps: break

async def entered(block):
    async with block as thing: return await anext(aiter(thing)) if hasattr(thing, "__anext__") else await thing.read()

class Flow:
    requires_response_body = False
    def auth_flow(self, request):
        yield request

class Awaiting:
    async def intercept_request(self, request, context):
        return request

    async def sign_request(self, request, context):
        pass

URL = "https://api.example.com/"
FILE = sys.argv[1]
refused = "http://127.0.0.1:9/"

def call_alone(call, given):
    given = eval(given)
    client = HttpServiceClient(transport=Network(), config=HttpClientConfig(**given.pop("of the client", {})))
    over_a_network = HttpServiceClient(config=HttpClientConfig(enable_retry_policy=False))
    over_http2 = HttpServiceClient(config=HttpClientConfig(enable_retry_policy=False, http2=True))
    of_a_template = package.HttpRequest("GET", URL + "7")
    of_a_template.url_template = "/{id}"
    accepted = HttpResponse(202, headers={"Retry-After": "0"}, url=URL)
    if "adapted" in call:
        import requests
        from http_service_client.integrations import ResilientAdapter
        adapted = requests.Session()
        adapted.mount("http://", ResilientAdapter(config=HttpClientConfig(enable_retry_policy=False)))
    names = {**globals(), **locals()}
    sys.meta_path.insert(0, Watch())
    try:
        exec(call, names)
    except (package.ConnectError, OSError):
        pass

for call, given in json.load(sys.stdin):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    try:
        call_alone(call, given)
        print(*Watch.found, flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
"""


def imported(folder: Path, calls: Iterable[tuple[str, str]]) -> list[str]:
    """For each call, the modules of the package that it imports on its own thread, as the first call of its process.

    calls: each with its keywords, and under a key of their own those of its client.
    """
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "file")],
        input=json.dumps(list(calls)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


CALLS = [
    "client.get(URL)",
    "client.stream('GET', URL).__enter__().read()",
    "next(client.events(URL + 'feed'))",
    "next(iter(client.paginate(URL)))",
    "client.download(URL, FILE)",
    "client.download_parallel(URL, FILE)",
    "client.poll(accepted, url=URL + '{id}', path_params={'id': 1}, response_type=list)",
    "client.send(package.HttpRequest('GET', URL))",
    "client.send(of_a_template)",
    "over_a_network.get(refused)",
    "over_a_network.get('https://127.0.0.1:9/')",
    "over_http2.get(refused)",
    "adapted.get(refused)",
    "client._backends.foreign_asyncio()",
    "asyncio.run(client.get_async(URL))",
    "asyncio.run(over_a_network.get_async(refused))",
    "asyncio.run(over_http2.get_async(refused))",
    "asyncio.run(entered(client.stream_async('GET', URL)))",
    "asyncio.run(entered(client.events_async(URL + 'feed')))",
    "asyncio.run(done(client.paginate_async(URL)))",
    "asyncio.run(client.download_async(URL, FILE))",
    "asyncio.run(client.download_parallel_async(URL, FILE))",
]


@pytest.mark.once
@needs_fork
def test_a_first_call_imports_nothing_itself(tmp_path: Path) -> None:
    """Of each kind, in both front ends."""
    found = imported(tmp_path, [(call, "{}") for call in CALLS])
    assert dict(zip(CALLS, found, strict=True)) == dict.fromkeys(CALLS, "")


SETTINGS = [
    "{'path_params': {'id': 1}}",
    "{'auth': 'token'}",
    "{'auth': ('user', 'password')}",
    "{'auth': Flow()}",
    "{'fallback': package.FallbackPolicy(value=None, unsafe_methods=True)}",
    "{'hedging': package.HedgingPolicy()}",
    "{'response_type': list}",
    "{'error_type': list}",
    "{'progress': lambda done, total: None}",
    *(["{'progress': True}"] if find_spec("tqdm") else []),
    "{'of the client': {'auth': Flow()}}",
    "{'of the client': {'fallback': package.FallbackPolicy(value=None, unsafe_methods=True)}}",
    "{'of the client': {'hedging': package.HedgingPolicy()}}",
    "{'of the client': {'cookies': True}}",
    "{'of the client': {'request_interceptors': [Awaiting()]}}",
    "{'of the client': {'request_signers': [Awaiting()]}}",
    "{'of the client': {'auto_idempotency_key': True}}",
]


@pytest.mark.once
@needs_fork
def test_a_setting_imports_nothing_in_a_call(tmp_path: Path) -> None:
    """Whether it is the call's own or its client's."""
    url = {given: "URL + '{id}'" if "path_params" in given else "URL" for given in SETTINGS}
    found = imported(tmp_path, [(f"client.post({url[given]}, **given)", given) for given in SETTINGS])
    assert dict(zip(SETTINGS, found, strict=True)) == dict.fromkeys(SETTINGS, "")


MADE = """
import sys
from http_service_client import HttpClientConfig, HttpServiceClient

class Plain:
    def intercept_request(self, request, context):
        return request

    def sign_request(self, request, context):
        pass

class Awaiting:
    async def intercept_request(self, request, context):
        return request

    async def sign_request(self, request, context):
        pass

HttpServiceClient(HttpClientConfig(GIVEN))
print("asyncio" in sys.modules)
"""


@pytest.mark.once
@pytest.mark.parametrize("setting", ["request_interceptors", "request_signers"])
@pytest.mark.parametrize(("kind", "is_imported"), [("Plain", False), ("Awaiting", True)])
def test_a_client_has_what_its_async_code_needs_when_it_is_made(
    setting: str, kind: str, is_imported: bool
) -> None:
    """The first call does not spend its time on that; and a client without such code does without asyncio."""
    program = MADE.replace("GIVEN", f"{setting}=[{kind}()]")
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.stderr, ran.stdout) == ("", f"{is_imported}\n")
