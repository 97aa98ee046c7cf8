"""Under gevent and eventlet, a blocking call lets the other greenlets of its thread run while it waits."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from network.faults import served

PROGRAM = """
    import sys
    {patch}
    from http_service_client import HttpServiceClient
    client = HttpServiceClient(base_url=sys.argv[1])
    calls = [{spawn}(client.get, "/", retry_policy=None, timeout=10) for _ in range(3)]
    print(*[call.{result}().text for call in calls])
    calls = [{spawn}(client.post, "/", json=[1], retry_policy=None, timeout=10) for _ in range(3)]
    print(*[call.{result}().text for call in calls])
    client.close()
"""
PATCHES = {
    "gevent": ("from gevent import monkey, spawn; monkey.patch_all()", "spawn", "get"),
    "gevent, sockets only": ("from gevent import monkey, spawn; monkey.patch_socket()", "spawn", "get"),
    "eventlet": ("import eventlet; eventlet.monkey_patch()", "eventlet.spawn", "wait"),
}


@pytest.mark.parametrize("name", PATCHES)
def test_calls_of_several_greenlets_wait_at_the_same_time(name: str) -> None:
    """The server responds to none of them before all have arrived, on new connections and on kept ones."""
    pytest.importorskip(name.partition(",")[0])
    patch, spawn, result = PATCHES[name]
    all_have_arrived = threading.Barrier(3)

    def respond_to_all_at_once(accepted: socket.socket, is_over: threading.Event) -> None:
        while accepted.recv(65536):
            all_have_arrived.wait(10)
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    program = textwrap.dedent(PROGRAM).format(patch=patch, spawn=spawn, result=result)
    with served(respond_to_all_at_once) as address:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, f"http://{address}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout.split() == ["hi"] * 6, done.stderr
