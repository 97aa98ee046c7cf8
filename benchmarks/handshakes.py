"""A new TLS connection for each call: what a handshake costs, and who resumes the session of an earlier one.

The server closes the connection after each response. The limits are sockets of Python's `ssl`, once with a full handshake each
time and once with a session that is resumed.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

from .async_peers import async_calls
from .blocking_peers import blocking_calls
from .clients import OnLoop, repeated
from .measuring import Work
from .scenarios import Call, Scenario
from .server import running_tls_server

FULL, RESUMED = "ssl socket, full handshake", "ssl socket, resumed"


@contextmanager
def blocking(base: str) -> Iterator[dict[str, Work]]:
    """By each blocking client."""
    with running_tls_server() as (url, ca_file), ExitStack() as stack:
        scenario = Scenario(f"{url}/close", ca_file=ca_file)
        made = blocking_calls(stack, scenario)
        made |= {FULL: _bare(scenario, resume=False), RESUMED: _bare(scenario, resume=True)}
        yield {name: repeated(call) for name, call in made.items()}


@contextmanager
def asynchronous(base: str) -> Iterator[dict[str, Work]]:
    """By each async client."""
    with running_tls_server() as (url, ca_file), OnLoop() as on_loop:
        made = async_calls(on_loop, Scenario(f"{url}/close", ca_file=ca_file))
        yield {name: on_loop.repeated(call) for name, call in made.items()}


def who_resumes() -> dict[str, bool]:
    """Which clients resume a session, blocking and async, as the server sees it."""
    with running_tls_server() as (url, ca_file), ExitStack() as stack, OnLoop() as on_loop:
        scenario = Scenario(f"{url}/close", ca_file=ca_file)
        seen = {}
        for name, call in blocking_calls(stack, scenario).items():
            seen[name] = [call() for _ in range(3)][-1]["resumed"]
        for name, coroutine in async_calls(on_loop, scenario).items():
            answers = [on_loop.loop.run_until_complete(coroutine()) for _ in range(3)]
            seen[f"{name}, async"] = answers[-1]["resumed"]
        return seen


def _bare(scenario: Scenario, *, resume: bool) -> Call:
    """A handshake, a request, and all that comes until the server closes."""
    parts, context = urlsplit(scenario.url), scenario.tls
    assert context is not None
    session: ssl.SSLSession | None = None

    def call() -> Any:
        nonlocal session
        with (
            socket.create_connection((parts.hostname, parts.port)) as plain,
            context.wrap_socket(plain, server_hostname=parts.hostname, session=session) as secured,
        ):
            secured.sendall(scenario.ready)
            received = b"".join(iter(lambda: secured.recv(65536), b""))
            if resume:
                session = secured.session
        return json.loads(received[received.index(b"\r\n\r\n") + 4 :])

    return call
