"""One small call by each blocking library: a function that returns the decoded JSON of the response."""

from __future__ import annotations

import http.client
import io
import json
import socket
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Any

import httpx
import requests
import requests.adapters
import urllib3

from http_service_client import HttpServiceClient

from .clients import OURS
from .scenarios import Call, Scenario, installed, made_by, our_settings, with_authority, wreq_settings

RAW = "raw socket"
_JSON = {"Content-Type": "application/json"}


def blocking_calls(stack: ExitStack, scenario: Scenario, names: Collection[str] = ()) -> dict[str, Call]:
    """A function that makes the call, by each blocking client, ours first; by those of these names, if there are any."""
    return made_by(_BLOCKING, names, stack, scenario)


def _verb_or_post(client: Any, scenario: Scenario) -> Call:
    """By a client with `get` and `post` in the manner of requests."""
    url, json = scenario.url, scenario.json
    if json is None:
        return lambda: client.get(url).json()
    return lambda: client.post(url, json=json).json()


def _ours(stack: ExitStack, scenario: Scenario) -> Call:
    return _verb_or_post(stack.enter_context(HttpServiceClient(our_settings(scenario))), scenario)


def _requests(stack: ExitStack, scenario: Scenario) -> Call:
    session = stack.enter_context(requests.Session())
    if scenario.connections:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=scenario.connections))
    if scenario.ca_file:  # not as `session.verify`, which REQUESTS_CA_BUNDLE overrides
        return lambda: session.get(scenario.url, verify=scenario.ca_file).json()
    return _verb_or_post(session, scenario)


def _httpx(stack: ExitStack, scenario: Scenario, module: Any = httpx) -> Call:
    return _verb_or_post(stack.enter_context(module.Client(verify=scenario.tls or True)), scenario)


def _httpx2(stack: ExitStack, scenario: Scenario) -> Call | None:
    module = installed("httpx2")
    return module and _httpx(stack, scenario, module)


def _urllib3(stack: ExitStack, scenario: Scenario) -> Call:
    pool = stack.enter_context(
        urllib3.PoolManager(maxsize=scenario.connections or 1, ca_certs=scenario.ca_file)
    )
    url, json = scenario.url, scenario.json
    if json is None:
        return lambda: pool.request("GET", url).json()
    return lambda: pool.request("POST", url, json=json).json()


def _http_client(stack: ExitStack, scenario: Scenario) -> Call:
    if scenario.ca_file is None:
        connection = http.client.HTTPConnection(*scenario.address)
    else:
        connection = http.client.HTTPSConnection(*scenario.address, context=scenario.tls)
    stack.callback(connection.close)

    def call() -> Any:
        if scenario.json is None:
            connection.request("GET", scenario.path)
        else:
            connection.request("POST", scenario.path, json.dumps(scenario.json), _JSON)
        return json.loads(connection.getresponse().read())

    return call


def _httpr(stack: ExitStack, scenario: Scenario) -> Call | None:
    module = installed("httpr")
    return module and _verb_or_post(
        stack.enter_context(module.Client(ca_cert_file=scenario.ca_file)), scenario
    )


def _pyreqwest(stack: ExitStack, scenario: Scenario) -> Call | None:
    module = installed("pyreqwest.client")
    if module is None:
        return None
    client = stack.enter_context(with_authority(module.SyncClientBuilder(), scenario).build())
    url, json = scenario.url, scenario.json
    if json is None:
        return lambda: client.get(url).build().send().json()
    return lambda: client.post(url).body_json(json).build().send().json()


def _wreq(stack: ExitStack, scenario: Scenario) -> Call | None:
    module = installed("wreq.blocking")
    return module and _verb_or_post(stack.enter_context(module.Client(**wreq_settings(scenario))), scenario)


def _pycurl(stack: ExitStack, scenario: Scenario) -> Call | None:
    pycurl = installed("pycurl")
    if pycurl is None:
        return None
    handle = pycurl.Curl()
    stack.callback(handle.close)
    if scenario.ca_file:
        handle.setopt(pycurl.CAINFO, scenario.ca_file)

    def call() -> Any:
        received = io.BytesIO()
        handle.setopt(pycurl.URL, scenario.url)
        handle.setopt(pycurl.WRITEDATA, received)
        if scenario.json is not None:
            handle.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
            handle.setopt(pycurl.POSTFIELDS, json.dumps(scenario.json))
        handle.perform()
        return json.loads(received.getvalue())

    return call


def raw_socket(stack: ExitStack, scenario: Scenario) -> Call:
    """The limit: `send`, `recv`, and JSON. It knows that the response is short, and reads nothing of its head."""
    connection = stack.enter_context(socket.create_connection(scenario.address))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ready = scenario.ready

    def call() -> Any:
        connection.sendall(ready if scenario.json is None else scenario.ready)
        received = connection.recv(65536)
        return json.loads(received[received.index(b"\r\n\r\n") + 4 :])

    return call


_BLOCKING: dict[str, Callable[[ExitStack, Scenario], Call | None]] = {
    OURS: _ours,
    "requests": _requests,
    "httpx": _httpx,
    "httpx2": _httpx2,
    "urllib3": _urllib3,
    "http.client": _http_client,
    "httpr": _httpr,
    "pyreqwest": _pyreqwest,
    "wreq": _wreq,
    "pycurl": _pycurl,
}
