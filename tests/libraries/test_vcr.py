"""`with vcr.use_cassette(...)` is all that is needed to record the client and to replay it, sync and async."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

import http_service_client
from http_service_client import ConnectionPoolConfig, HttpServiceClient, ResponseTooLargeError, Timeout
from http_service_client.events import RetryScheduled
from http_service_client.testing import LoopbackServer, reset, respond, stall
from kit.front_ends import FRONT_ENDS, FrontEnd
from network.faults import Certificates, failing, slots_in_use, swallowing

vcr = pytest.importorskip("vcr")

AT_ONCE: dict[str, Any] = {"retry_policy_config": {"initial_delay": 0}}
JSON = {"order": 42, "status": "baking"}


@pytest.fixture
def cassette(tmp_path: Path) -> str:
    """The path of a cassette that does not exist yet."""
    return str(tmp_path / "cassette.yaml")


def test_a_recorded_call_is_replayed(front_end: FrontEnd, server: LoopbackServer, cassette: str) -> None:
    """The second run sees the same response, and the server sees no second request."""
    server.script("/", respond(201, json=JSON, headers={"X-Request-Id": "7", "Set-Cookie": "a=1"}))
    seen = []
    for _ in range(2):
        with vcr.use_cassette(cassette) as used:
            response = front_end.request(front_end.client(), "GET", server.url + "/?page=2")
        seen.append(
            (response.status_code, response.json(), response.headers["X-Request-Id"], response.cookies)
        )
    assert seen == [(201, JSON, "7", {"a": "1"})] * 2
    assert (used.play_count, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("recorder", FRONT_ENDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("body", [b"", b"plain", gzip.compress(b"plain")], ids=["empty", "plain", "gzip"])
def test_each_front_end_replays_what_the_other_recorded(
    front_end: FrontEnd, recorder: type[FrontEnd], body: bytes, server: LoopbackServer, cassette: str
) -> None:
    """A blocking cassette holds a decoded body with its Content-Encoding, an asyncio one the body as it came."""
    coded = {"Content-Encoding": "gzip"} if body[:1] == b"\x1f" else {}
    server.script("/", respond(200, body=body, headers=coded))
    with vcr.use_cassette(cassette), recorder() as other:
        expected = other.request(other.client(), "GET", server.url + "/").content
    with vcr.use_cassette(cassette, record_mode="none"):
        assert front_end.request(front_end.client(), "GET", server.url + "/").content == expected
    assert expected == (b"plain" if body else b"")


@pytest.mark.parametrize("recorder", FRONT_ENDS, ids=lambda kind: kind.name)
def test_streams_and_downloads_are_recorded_and_replayed(
    front_end: FrontEnd, recorder: type[FrontEnd], server: LoopbackServer, cassette: str, tmp_path: Path
) -> None:
    """Either front end replays the compressed bodies that the other recorded."""
    server.script("/", respond(200, body=gzip.compress(b"plain" * 999), headers={"Content-Encoding": "gzip"}))
    path = tmp_path / "file"

    def bodies(front_end: FrontEnd) -> tuple[bytes, bytes]:
        client = front_end.client()
        with front_end.stream(client, "GET", server.url + "/?stream") as response:
            streamed = b"".join(response.iter_bytes())
        front_end.download(client, server.url + "/?download", path)
        return streamed, path.read_bytes()

    with vcr.use_cassette(cassette), recorder() as other:
        assert bodies(other) == (b"plain" * 999, b"plain" * 999)
    with vcr.use_cassette(cassette, record_mode="none"):
        assert bodies(front_end) == (b"plain" * 999, b"plain" * 999)


def test_cassettes_of_requests_are_replayed(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """A project keeps the cassettes that it recorded with requests."""
    server.script("/", respond(200, body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"}))
    with vcr.use_cassette(cassette):
        requests.get(server.url + "/", timeout=5)
    with vcr.use_cassette(cassette, record_mode="none"):
        assert front_end.request(front_end.client(), "GET", server.url + "/").content == b"plain"


def test_cassettes_of_aiohttp_are_replayed(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """A project keeps the cassettes that it recorded with aiohttp, which hold decoded bodies."""

    async def record() -> None:
        async with aiohttp.ClientSession() as session, session.get(server.url + "/") as response:
            await response.read()

    server.script("/", respond(200, body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"}))
    with vcr.use_cassette(cassette):
        asyncio.run(record())
    with vcr.use_cassette(cassette, record_mode="none"):
        assert front_end.request(front_end.client(), "GET", server.url + "/").content == b"plain"


def _pieces() -> Iterator[bytes]:
    yield b"x" * 70_000
    yield b"y"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"json": {"amount": 25}}, b'{"amount":25}'),
        ({"data": {"amount": 25, "note": "a b"}}, b"amount=25&note=a+b"),
        ({"data": b"bytes"}, b"bytes"),
        ({"data": b"x" * 200_000}, b"x" * 200_000),
        ({"data": _pieces}, b"x" * 70_000 + b"y"),
    ],
    ids=["json", "form", "bytes", "many bytes", "iterator"],
)
def test_uploads_are_recorded_and_matched(
    front_end: FrontEnd, server: LoopbackServer, cassette: str, options: dict[str, Any], expected: bytes
) -> None:
    """The server gets the whole body during the recording, and `match_on` can compare it in the replay."""
    server.script("/", respond(201))
    for _ in range(2):
        given = {name: value() if callable(value) else value for name, value in options.items()}
        with vcr.use_cassette(cassette, match_on=["method", "uri", "body"]):
            assert front_end.request(front_end.client(), "POST", server.url + "/", **given).status_code == 201
    (received,) = server.requests
    assert received.body == expected


def test_each_attempt_is_recorded_and_replayed(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """Retries are made above the cassette, so a replay makes the same attempts."""
    server.script("/", respond(503), respond(200, json=JSON))
    for _ in range(2):
        with vcr.use_cassette(cassette) as used:
            response = front_end.request(front_end.client(**AT_ONCE), "GET", server.url + "/")
        assert (response.json(), response.attempts, len(used)) == (JSON, 2, 2)
    assert len(server.requests) == 2


def test_each_redirect_is_recorded_and_replayed(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """Redirects are followed above the cassette, so a replay follows the same."""
    server.script("/", respond(302, headers={"Location": "/next"}))
    server.script("/next", respond(200, json=JSON))
    for _ in range(2):
        with vcr.use_cassette(cassette) as used:
            response = front_end.request(front_end.client(), "GET", server.url + "/")
        assert (response.json(), len(response.history), len(used)) == (JSON, 1, 2)
    assert len(server.requests) == 2


def test_a_request_that_is_not_on_the_cassette_is_an_error_of_vcrpy(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """The caller gets that error as it is. It is not retried, and no connection slot stays acquired."""
    events: list[Any] = []
    client = front_end.client(on_event=events.append)
    with (
        vcr.use_cassette(cassette, record_mode="none"),
        pytest.raises(vcr.errors.CannotOverwriteExistingCassetteException),
    ):
        front_end.request(client, "GET", server.url + "/")
    assert (len(server.requests), slots_in_use(client)) == (0, 0)
    assert not any(isinstance(event, RetryScheduled) for event in events)


@pytest.mark.parametrize(
    ("path", "expected", "sent"),
    [
        ("/stall", "AttemptTimeoutError", "maybe_processed"),
        ("/reset", "ConnectionLostError", "maybe_processed"),
        ("", "ConnectError", "never_sent"),
    ],
)
def test_failures_during_a_recording_have_their_usual_errors(
    front_end: FrontEnd, server: LoopbackServer, cassette: str, path: str, expected: str, sent: str
) -> None:
    """Below a cassette the errors are urllib3's in blocking code and ours in asyncio; the caller gets the same."""
    server.script("/stall", stall())
    server.script("/reset", reset())
    url = server.url + path if path else "http://127.0.0.1:9/"
    with vcr.use_cassette(cassette):
        caught = failing(front_end, front_end.client(), "GET", url, timeout=0.3)
    assert (caught.type, caught.sent) == (expected, sent)
    caught.check_took(0.3 if path == "/stall" else 0.0)


def test_before_and_after_a_cassette_the_client_uses_its_own_connections(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """The client keeps its connection while the cassette is in use, and uses it again afterwards."""
    server.script("/", respond(204))
    client = front_end.client()
    for path in ("/?before", "/?after"):
        front_end.request(client, "GET", server.url + path)
        if path == "/?before":
            with vcr.use_cassette(cassette):
                front_end.request(client, "GET", server.url + "/?inside")
    before, _, after = server.requests
    assert before.connection == after.connection


def test_tls_is_verified_while_recording(
    front_end: FrontEnd, cassette: str, certificates: Certificates
) -> None:
    """The client's own context does it: its `ssl_ca_file` is trusted, and without it the server is not."""
    with LoopbackServer(tls=certificates.server_context()) as server, vcr.use_cassette(cassette):
        server.script("/", respond(200, json=JSON))
        trusting = front_end.client(connection_pool=certificates.pool())
        assert front_end.request(trusting, "GET", server.url + "/").json() == JSON
        caught = failing(
            front_end, front_end.client(connection_pool=ConnectionPoolConfig()), "GET", server.url + "/x"
        )
    assert (caught.type, caught.sent) == ("TlsVerificationError", "never_sent")


def test_the_size_limit_holds_in_a_replay(front_end: FrontEnd, server: LoopbackServer, cassette: str) -> None:
    """`max_response_size` holds for a recorded response too."""
    server.script("/", respond(200, body=b"x" * 2000))
    with vcr.use_cassette(cassette):
        front_end.request(front_end.client(), "GET", server.url + "/")
    with vcr.use_cassette(cassette), pytest.raises(ResponseTooLargeError):
        front_end.request(front_end.client(max_response_size=1000), "GET", server.url + "/")


def test_secrets_can_be_filtered_from_the_cassette(
    front_end: FrontEnd, server: LoopbackServer, cassette: str
) -> None:
    """`filter_headers` and `filter_query_parameters` find our headers and parameters."""
    server.script("/", respond(200))
    with vcr.use_cassette(cassette, filter_headers=["authorization"], filter_query_parameters=["key"]):
        front_end.request(
            front_end.client(), "GET", server.url + "/", auth="s3cret", params={"key": "s3cret"}
        )
    assert server.requests[0].header("Authorization") == "Bearer s3cret"
    written = Path(cassette).read_text(encoding="utf-8")
    assert "User-Agent" in written
    assert "s3cret" not in written


def test_a_decorated_coroutine_function_is_replayed(server: LoopbackServer, cassette: str) -> None:
    """`@use_cassette` works for a coroutine function, on a new event loop each time."""
    server.script("/", respond(200, json=JSON))

    @vcr.use_cassette(cassette)  # type: ignore[untyped-decorator]  # vcrpy has no types
    async def call() -> Any:
        async with HttpServiceClient() as client:
            return (await client.get_async(server.url + "/")).json()

    assert [asyncio.run(call()), asyncio.run(call())] == [JSON, JSON]
    assert len(server.requests) == 1


def test_the_first_call_of_a_program_may_be_recorded(server: LoopbackServer, cassette: str) -> None:
    """The client then imports its libraries while vcrpy's classes are in place."""
    server.script("/", respond(200, json=JSON))
    program = f"""
        import sys, vcr
        from http_service_client import HttpServiceClient
        with vcr.use_cassette({cassette!r}) as used, HttpServiceClient() as client:
            assert client.get({server.url + "/"!r}).status_code == 200
            assert len(used) == 1
        with HttpServiceClient() as client:
            assert client.get({server.url + "/"!r}).status_code == 200
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(Path(http_service_client.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(server.requests) == 2


def test_a_connection_class_that_is_not_vcrpys_is_ignored(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only vcrpy may replace urllib3's connections: another class would silently drop the client's timeouts."""

    class Other(HTTPConnection):
        def connect(self) -> None:
            raise AssertionError("used")

    monkeypatch.setattr(HTTPConnectionPool, "ConnectionCls", Other)
    server.script("/", respond(204))
    with HttpServiceClient() as client:
        assert client.get(server.url + "/").status_code == 204


@pytest.mark.parametrize(
    ("timeout", "error", "seconds"),
    [
        (Timeout(total=4.0, read=0.2), "ReadTimeoutError", 0.2),
        (Timeout(total=0.2, read=4.0), "AttemptTimeoutError", 0.2),
        (Timeout(read=0.2), "ReadTimeoutError", 0.2),
        (Timeout(total=0.2), "AttemptTimeoutError", 0.2),
    ],
    ids=["read", "total", "read alone", "total alone"],
)
def test_while_recording_the_nearer_limit_holds(
    front_end: FrontEnd, server: LoopbackServer, cassette: str, timeout: Timeout, error: str, seconds: float
) -> None:
    """Of the attempt's time and the time for each read, whichever ends first."""
    server.script("/", stall())
    with vcr.use_cassette(cassette):
        caught = failing(front_end, front_end.client(), "GET", server.url + "/", timeout=timeout)
    assert (caught.type, caught.sent) == (error, "maybe_processed")
    caught.check_took(seconds)


def test_while_recording_the_attempt_s_time_bounds_the_connecting(front_end: FrontEnd, cassette: str) -> None:
    """vcrpy connects when it is asked for the response. The limit is then that of a read, so `connect` alone is not."""
    timeout = Timeout(total=0.2, connect=4.0)
    with swallowing() as address, vcr.use_cassette(cassette):
        caught = failing(front_end, front_end.client(), "GET", f"http://{address}/", timeout=timeout)
    assert (caught.type, caught.sent) == ("ConnectTimeoutError", "never_sent")
    caught.check_took(0.2)
