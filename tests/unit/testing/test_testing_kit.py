"""The test kit keeps its word: a server that does as scripted, a network without sockets, a clock to turn."""

from __future__ import annotations

import asyncio
import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import (
    AttemptTimeoutError,
    ConnectError,
    HttpResponse,
    HttpServiceClient,
    ReadTimeoutError,
    Timeout,
)
from http_service_client import testing as kit
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock, late


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def say(server: LoopbackServer, *messages: bytes) -> bytes:
    """What the server answers on one connection, up to its end."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        for message in messages:
            connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two: 2\r\n\r\n"


# The server.


def test_a_request_is_recorded_as_it_came(server: LoopbackServer) -> None:
    """Names in their case, repeats in their order, the body without its chunks, the raw bytes beside it."""
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4;x=y\r\n two\r\n0\r\nT: 1\r\n\r\n"
    say(server, GET, chunked)
    first, second = server.requests
    assert (first.method, first.target, first.path, first.body) == ("GET", "/a?b=c", "/a", b"")
    assert first.headers == [("Host", "x"), ("X-Two", "1"), ("x-two", "2")]
    assert first.header("X-TWO") == "1, 2"
    assert (second.body, second.raw, second.connection) == (b"one two", chunked, 1)
    assert server.received("/a") == [first, second]


def test_one_action_a_request_and_the_last_repeats(server: LoopbackServer) -> None:
    """A script is played in order, each path its own; the last action stands for all further requests."""
    server.script("/a", kit.respond(503), kit.respond(201))
    statuses = [line.split()[1] for line in say(server, GET * 3).split(b"\r\n") if line.startswith(b"HTTP")]
    assert statuses == [b"503", b"201", b"201"]
    assert say(server, b"GET /other HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_a_response_is_well_framed_unless_told_otherwise(server: LoopbackServer) -> None:
    """A length is added, never corrected; 204 has none; HEAD has the length and no body."""
    head = GET.replace(b"GET", b"HEAD")
    server.script("/a", kit.respond(body="é"), kit.respond(headers={"Content-Length": "9"}), kit.respond(204))
    assert say(server, GET) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xc3\xa9"
    assert say(server, GET) == b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    assert say(server, GET) == b"HTTP/1.1 204 No Content\r\n\r\n"
    server.script("/a", kit.respond(json=[1], close=True), kit.respond(body="ab", chunked=True))
    assert (
        say(server, head) == b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        b"Content-Length: 3\r\nConnection: close\r\n\r\n"
    )
    assert say(server, GET).endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


def test_a_dynamic_answer_sees_the_request(server: LoopbackServer) -> None:
    """`answer` may give an action or a response of the client's own kind."""
    server.script(
        "*",
        kit.answer(lambda request: kit.respond(body=request.target)),
        kit.answer(lambda request: HttpResponse(418, content=b"tea")),
    )
    assert say(server, GET).endswith(b"\r\n\r\n/a?b=c")
    assert say(server, GET).startswith(b"HTTP/1.1 418 ")


def test_an_error_of_a_dynamic_answer_comes_out_of_the_server() -> None:
    """A mistake in a test's own function is not swallowed by a thread."""

    def mistaken(request: kit.Received) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), LoopbackServer() as server:
        server.script("/a", kit.answer(mistaken))
        say(server, GET)


def test_a_refusing_server_keeps_its_port(server: LoopbackServer) -> None:
    """`refuse` ends what is open and refuses what comes; `accept` takes up again on the same port."""
    idle = socket.create_connection((server.host, server.port))
    assert server.wait_for(lambda: server.open_connections == 1)
    server.refuse()
    assert idle.recv(1) == b""
    idle.close()
    assert server.open_connections == 0
    with pytest.raises(ConnectionRefusedError):
        say(server, GET)
    server.accept()
    assert say(server, GET).startswith(b"HTTP/1.1 404 ")
    assert server.connection_count == 2


@pytest.mark.parametrize(
    "action",
    [kit.stall(), kit.stall_reading(), kit.drip("x" * 999, 9.0), kit.raw(b"a", b"b", every=9.0)],
    ids=repr,
)
def test_a_closed_server_waits_for_nothing(action: kit.Action) -> None:
    """Whatever a connection is stuck in, closing the server ends it at once, and its thread with it."""
    server = LoopbackServer()
    server.script("/a", action)
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(GET)
        assert server.wait_for(lambda: len(server.requests) == 1)
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 1.0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("LoopbackServer")]


def test_a_connection_that_the_client_leaves_is_not_open(server: LoopbackServer) -> None:
    """A stalled connection ends with its client, so a test can see that a client let go of it."""
    server.script("/a", kit.stall())
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(GET)
        assert server.wait_for(lambda: len(server.requests) == 1)
    assert server.wait_for(lambda: server.open_connections == 0)


def test_actions_are_values() -> None:
    """Actions are frozen, so scripts may share them; what is no action is refused where it is scripted."""
    assert kit.respond(503, body="a") == kit.respond(503, body=b"a") != kit.respond(503)
    with LoopbackServer() as server, pytest.raises(TypeError, match="503"):
        server.script("/", 503)  # type: ignore[arg-type]  # that is the test
    with LoopbackServer() as server, pytest.raises(TypeError, match="at least one"):
        server.script("/")


# The script.

URL = "https://api.example.com/charges?at=once"


def scripted(script: Any, **settings: Any) -> tuple[HttpServiceClient, ScriptedTransport]:
    """A client over a script, in virtual time."""
    clock = VirtualClock()
    transport = ScriptedTransport(script, clock=clock)
    return HttpServiceClient(transport=transport, clock=clock, random=lambda: 0.5, **settings), transport


def test_a_script_is_played_in_order_and_written_down() -> None:
    """Responses and socket errors are outcomes; `sent` has all exchanges, `requests` those a server saw."""
    client, transport = scripted(
        [ConnectionRefusedError(), HttpResponse(503), HttpResponse(200, content=b"ok")]
    )
    response = client.put(URL, json={"a": 1})
    assert (response.content, response.url, response.reason_phrase) == (b"ok", URL, "OK")
    assert [sent.content for sent in transport.sent] == [b"", b'{"a":1}', b'{"a":1}']
    assert [request.url for request in transport.requests] == [URL, URL]


def test_a_script_may_be_for_each_url() -> None:
    """The URL without its query is looked for, then the path, then "*"; nothing found is the test's mistake."""
    script = {"https://api.example.com/charges": HttpResponse(201), "/charges": HttpResponse(202)}
    client, _ = scripted(script)
    assert client.get(URL).status_code == 201
    assert client.get("https://other.example.com/charges").status_code == 202
    with pytest.raises(
        LookupError, match=r"nothing is scripted for GET https://other.*, only for 'https://api"
    ):
        client.get("https://other.example.com/else")
    assert scripted({**script, "*": HttpResponse(203)})[0].get("https://a.example/b").status_code == 203


def test_an_outcome_may_depend_on_the_request() -> None:
    """A function is asked each time."""
    client, _ = scripted(lambda request: HttpResponse(200, content=request.method.encode()))
    assert client.delete(URL).content == b"DELETE"


@pytest.mark.parametrize(
    ("timeout", "error"),
    [(2.0, AttemptTimeoutError), (Timeout(total=9.0, read=2.0), ReadTimeoutError)],
    ids=str,
)
def test_a_late_outcome_is_cut_where_a_wire_would_be(timeout: Any, error: type[Exception]) -> None:
    """A latency within the timeout passes on the clock; one beyond it is the timeout's failure, on time."""
    client, transport = scripted([late(1.5, HttpResponse(200)), late(2.5, HttpResponse(200))])
    assert client.get(URL, timeout=timeout, retry_policy=None).timeline[0].duration == 1.5  # type: ignore[index, union-attr]
    with pytest.raises(error) as raised:
        client.get(URL, timeout=timeout, retry_policy=None)
    assert raised.value.timeline[0].duration == 2.0  # type: ignore[attr-defined]
    assert len(transport.requests) == 2


def test_without_a_clock_a_late_outcome_takes_its_time() -> None:
    """The machine's, in both worlds."""
    client = HttpServiceClient(transport=ScriptedTransport(late(0.03, HttpResponse(200))))
    for call in (lambda: client.get(URL), lambda: asyncio.run(client.get_async(URL))):
        started = time.monotonic()
        assert call().elapsed == 0.03
        assert time.monotonic() - started > 0.025


def test_threads_share_a_script() -> None:
    """Each outcome is given out once, the last one as often as it takes."""
    outcomes = [HttpResponse(200, content=str(number).encode()) for number in range(400)]
    transport = ScriptedTransport([*outcomes, HttpResponse(204)])
    client = HttpServiceClient(transport=transport)
    threads = [threading.Thread(target=lambda: [client.get(URL) for _ in range(60)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [sent.outcome.content for sent in transport.sent]  # type: ignore[union-attr]  # responses all
    assert sorted(given) == sorted([each.content for each in outcomes] + [b""] * 80)


def test_the_deadline_cuts_a_late_outcome_in_virtual_time() -> None:
    """The call's own deadline is told apart from the attempt's timeout, as over sockets."""
    client, _ = scripted(late(9.0, HttpResponse(200)))
    with pytest.raises(TimeoutError, match="deadline expired during the attempt"):
        client.get(URL, total_timeout=4.0)


@pytest.mark.parametrize("latency", [-1, "1", None, float("nan")])
def test_a_latency_that_is_no_time_is_a_mistake(latency: Any) -> None:
    """Where it is written, not in the call that it would delay."""
    with pytest.raises(ValueError, match="latency must be a finite number of seconds of 0 or more"):
        late(latency, HttpResponse(200))


def test_a_status_that_is_no_number_is_a_mistake() -> None:
    """Where it is written; the server would hang up in the midst of its answer."""
    with pytest.raises(TypeError, match="status must be an int such as 200, not '200'"):
        kit.respond("200")  # type: ignore[arg-type]


def test_a_script_of_nothing_is_a_mistake() -> None:
    """An empty script and what is no outcome are refused, by name."""
    with pytest.raises(ValueError, match=r"HttpResponse\(200\)"):
        ScriptedTransport([])
    with pytest.raises(TypeError, match="503"):
        scripted([503])[0].get(URL)


def test_a_script_that_is_given_out_stays_as_it_is() -> None:
    """Each exchange gets a copy: an interceptor that writes on one does not write on the next."""
    client, _ = scripted(HttpResponse(200, headers={"X-A": "1"}))
    client.get(URL).headers["X-A"] = "2"
    assert client.get(URL).headers["X-A"] == "1"


# The clock.


def test_a_blocking_sleep_is_a_step_in_time() -> None:
    """Sleeps are noted and take no time; both clocks move, and agree."""
    clock = VirtualClock(start=5.0)
    wall = clock.wall()
    clock.sleep(2.5)
    clock.elapse(1.0)
    assert (clock.monotonic(), clock.wall() - wall, clock.waits) == (8.5, 3.5, [2.5])


def test_the_wall_clock_may_be_set_and_monotonic_time_does_not_care() -> None:
    """As when an administrator sets the clock back; monotonic time cannot be moved back at all."""
    clock = VirtualClock()
    clock.set_wall(100.0)
    clock.advance(1.0)
    assert (clock.wall(), clock.monotonic()) == (101.0, 1.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1.0)


@pytest.mark.asyncio
async def test_tasks_wake_in_the_order_in_which_they_are_due() -> None:
    """However they were started, and however much work lies between their sleeps."""
    clock, woken = VirtualClock(), []

    async def sleeper(name: str, every: float) -> None:
        for _ in range(2):
            await clock.sleep_async(every)
            woken.append((name, clock.monotonic()))
            for _ in range(7):
                await asyncio.sleep(0)

    await asyncio.gather(sleeper("c", 5.0), sleeper("a", 1.0), sleeper("b", 2.5))
    assert woken == [("a", 1.0), ("a", 2.0), ("b", 2.5), ("c", 5.0), ("b", 5.0), ("c", 10.0)]


@pytest.mark.asyncio
async def test_a_cancelled_sleep_holds_up_nobody() -> None:
    """Time does not jump to a sleeper who is gone."""
    clock = VirtualClock()
    long = asyncio.create_task(clock.sleep_async(1000.0))
    short = asyncio.create_task(clock.sleep_async(1.0))
    await asyncio.sleep(0)
    long.cancel()
    await short
    await asyncio.gather(long, return_exceptions=True)
    for _ in itertools.repeat(None, 300):
        await asyncio.sleep(0)
    assert clock.monotonic() == 1.0


@pytest.mark.asyncio
async def test_a_call_waits_no_real_time() -> None:
    """A hundred calls that each wait are over at once, together, in the time of one."""
    clock = VirtualClock()
    transport = ScriptedTransport(ConnectionRefusedError(), clock=clock)
    client = HttpServiceClient(transport=transport, clock=clock, random=lambda: 0.5)
    started = time.monotonic()
    urls = [f"http://host{number}.example/" for number in range(100)]
    outcomes = await asyncio.gather(*(client.get_async(url) for url in urls), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConnectError}
    assert clock.monotonic() == 1.5
    assert time.monotonic() - started < 2.0


def test_a_thread_may_move_the_time_of_a_loop() -> None:
    """`advance` from elsewhere wakes who is due."""
    clock = VirtualClock()

    async def main() -> float:
        waiting = asyncio.create_task(clock.sleep_async(1.0))
        await asyncio.to_thread(clock.advance, 10.0)
        await waiting
        return clock.monotonic()

    assert asyncio.run(main()) == pytest.approx(11.0, abs=1.01)  # who was first, the sleep or the thread


def test_the_kit_brings_no_library_along() -> None:
    """A test that fakes the network need not load one."""
    script = "import sys, http_service_client.testing; print({'requests', 'aiohttp'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
