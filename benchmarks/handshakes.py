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


def _bare(scenario: Scenario, *, resume: bool) -> Call:
    """A handshake, a request, and all that comes until the server closes."""
    context = scenario.tls
    assert context is not None
    session: ssl.SSLSession | None = None

    def call() -> Any:
        nonlocal session
        with (
            socket.create_connection(scenario.address) as plain,
            context.wrap_socket(plain, server_hostname=scenario.address[0], session=session) as secured,
        ):
            secured.sendall(scenario.ready)
            received = b"".join(iter(lambda: secured.recv(65536), b""))
            if resume:
                session = secured.session
        return json.loads(received[received.index(b"\r\n\r\n") + 4 :])

    return call
