"""The loopback server does what its script says, and records what it receives."""

from __future__ import annotations

import queue
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from http_service_client import HttpResponse
from http_service_client import testing as kit
from http_service_client.testing import LoopbackServer
from http_service_client.testing import server as server_module
from kit.threads import wait_until


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer() as server:
        yield server


def say(server: LoopbackServer, *messages: bytes) -> bytes:
    """Everything that the server sends on one connection."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        for message in messages:
            connection.sendall(message)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


GET = b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Two: 1\r\nx-two: 2\r\n\r\n"


def test_a_request_is_recorded_as_it_was_received(server: LoopbackServer) -> None:
    """Names in their case, repeats in their order, the body without chunk framing, and the raw bytes."""
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\none\r\n4;x=y\r\n two\r\n0\r\nT: 1\r\n\r\n"
    say(server, GET, chunked)
    first, second = server.requests
    assert (first.method, first.target, first.path, first.body) == ("GET", "/a?b=c", "/a", b"")
    assert first.headers == [("Host", "x"), ("X-Two", "1"), ("x-two", "2")]
    assert first.header("X-TWO") == "1, 2"
    assert (second.body, second.raw, second.connection) == (b"one two", chunked, 1)
    assert server.received("/a") == [first, second]


def test_each_request_plays_one_action_and_the_last_repeats(server: LoopbackServer) -> None:
    """In order, for each path on its own; a path without a script is a 404."""
    server.script("/a", kit.respond(503), kit.respond(201))
    statuses = [line.split()[1] for line in say(server, GET * 3).split(b"\r\n") if line.startswith(b"HTTP")]
    assert statuses == [b"503", b"201", b"201"]
    assert say(server, b"GET /other HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 404 ")


def test_a_response_is_framed_correctly_unless_the_script_frames_it(server: LoopbackServer) -> None:
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


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"GET / HTTP/1.1\r\nX: ".ljust(1024 * 1024 + 1, b"x"), b"the head of the request is too long"),
        (b"GET / HTTP/2.0\r\n\r\n", b"'HTTP/2.0' is not a version of HTTP/1"),
    ],
    ids=["long", "version"],
)
def test_a_request_that_is_none_is_refused(server: LoopbackServer, head: bytes, reason: bytes) -> None:
    """With the reason, for the author of the test; it does not count as received."""
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        connection.sendall(head)
        received = b""
        while reason not in received:
            piece = connection.recv(65536)
            assert piece
            received += piece
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    assert server.requests == []


def test_a_dynamic_answer_sees_the_request(server: LoopbackServer) -> None:
    """The function of `answer` may return an action or an `HttpResponse`."""
    server.script(
        "*",
        kit.answer(lambda request: kit.respond(body=request.target)),
        kit.answer(lambda request: HttpResponse(418, content=b"tea")),
    )
    assert say(server, GET).endswith(b"\r\n\r\n/a?b=c")
    assert say(server, GET).startswith(b"HTTP/1.1 418 ")


def test_an_error_of_a_dynamic_answer_is_raised_by_the_server() -> None:
    """At the end of its block: a mistake in a test's own function is not lost in a thread."""

    def mistaken(request: kit.Received) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), LoopbackServer() as server:
        server.script("/a", kit.answer(mistaken))
        say(server, GET)


def test_the_first_error_of_an_answer_is_raised() -> None:
    """Others may follow from it. One of the block itself goes before them: it may be why."""
    errors: list[Exception] = []

    def mistaken(request: kit.Received) -> Any:
        errors.append(ValueError(len(errors)))
        raise errors[-1]

    with pytest.raises(ValueError, match=r"^0$"), LoopbackServer() as server:
        server.script("/a", kit.answer(mistaken))
        say(server, GET)
        say(server, GET)
    assert len(errors) == 2
    with pytest.raises(KeyError), LoopbackServer() as server:
        server.script("/a", kit.answer(mistaken))
        say(server, GET)
        raise KeyError


def test_a_client_that_resets_the_connection_is_no_error_of_the_server() -> None:
    """Its action ends; that is all."""
    with LoopbackServer() as server:
        server.script("/a", kit.drip("x" * 1000, 0.001))
        connection = socket.create_connection((server.host, server.port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(GET)
        assert connection.recv(1)
        connection.close()
        assert server.wait_for(lambda: server.open_connections == 0)


def test_a_reset_is_none_of_the_ends_that_a_client_may_expect(server: LoopbackServer) -> None:
    """After some bytes of the response, or at once."""
    server.script("/a", kit.reset(), kit.reset(b"HTTP/1.1 2"))
    for expected in (b"", b"HTTP/1.1 2"):
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            connection.sendall(GET)
            if expected:
                assert connection.recv(100) == expected
            with pytest.raises(ConnectionResetError):
                connection.recv(100)


def test_a_response_has_one_body() -> None:
    """Of two, one would be dropped in silence."""
    with pytest.raises(TypeError, match="pass body or json, not both"):
        kit.respond(body="x", json={})


def test_a_refusing_server_keeps_its_port(server: LoopbackServer) -> None:
    """`refuse` closes open connections and refuses new ones; `accept` accepts on the same port again."""
    idle = socket.create_connection((server.host, server.port), timeout=5)
    assert server.wait_for(lambda: server.open_connections == 1)
    server.refuse()
    server.refuse()  # does nothing
    assert idle.recv(1) == b""
    idle.close()
    assert server.open_connections == 0
    with pytest.raises(ConnectionRefusedError):
        say(server, GET)
    server.accept()
    assert say(server, GET).startswith(b"HTTP/1.1 404 ")
    assert server.connection_count == 2


def test_a_connection_that_comes_as_the_server_begins_to_refuse_is_closed(server: LoopbackServer) -> None:
    """Its thread has accepted it, and finds that it should not have."""
    ours, theirs = socket.socketpair()
    server.refuse()
    server._serve(theirs)
    ours.settimeout(5)
    assert ours.recv(1) == b""
    ours.close()
    assert (server.connection_count, server.open_connections) == (0, 0)


def test_a_client_that_is_gone_before_it_is_accepted_holds_nothing_up() -> None:
    """The system has told of it, and then has nothing to accept."""

    class Forgetful(socket.socket):
        tries = 0

        def accept(self) -> Any:
            self.tries += 1
            if self.tries == 1:
                super().accept()[0].close()
            return super().accept()

    listener = Forgetful()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    accepted: queue.Queue[socket.socket] = queue.Queue()
    acceptor = server_module._Acceptor(listener, accepted.put)
    socket.create_connection(listener.getsockname()).close()
    wait_until(lambda: listener.tries == 1)
    socket.create_connection(listener.getsockname()).close()
    with accepted.get(timeout=5) as connection:
        assert connection.getblocking()
    acceptor.stop()


def test_each_server_has_a_port_of_its_own(server: LoopbackServer) -> None:
    """And a URL by which it is reached."""
    with LoopbackServer() as other:
        assert server.port != other.port
    assert server.url == f"http://127.0.0.1:{server.port}"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow one socket for each port")
def test_a_port_that_is_taken_is_an_error(server: LoopbackServer) -> None:
    """The server that has it would get the connections."""
    with pytest.raises(OSError, match="in use"):
        server_module._bound(server.port)


def test_a_system_may_allow_one_socket_for_each_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the server works without the second one."""
    bound = server_module._bound

    def once(port: int) -> socket.socket:
        if port:
            raise OSError("in use")
        return bound(port)

    monkeypatch.setattr(server_module, "_bound", once)
    with LoopbackServer() as server:
        assert say(server, GET).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("is_refusing", [False, True])
def test_a_closed_server_leaves_its_port(is_refusing: bool) -> None:
    """To any other program."""
    with LoopbackServer() as server:
        if is_refusing:
            server.refuse()
    with socket.socket() as other:
        other.bind((server.host, server.port))


def test_a_server_that_nobody_closes_does_not_keep_the_program_alive(server: LoopbackServer) -> None:
    """None of its threads does."""
    with socket.create_connection((server.host, server.port)):
        assert server.wait_for(lambda: server.open_connections == 1)
        threads = [each for each in threading.enumerate() if each.name.startswith("LoopbackServer")]
        assert [each.daemon for each in threads] == [True, True]


def test_what_is_waited_for_is_noticed_when_it_happens(server: LoopbackServer) -> None:
    """A connection, a request, and the end of a connection; not only when the time is over."""
    began = time.monotonic()
    with socket.create_connection((server.host, server.port)) as connection:
        assert server.wait_for(lambda: server.open_connections == 1, 6.0)
        connection.sendall(GET)
        assert server.wait_for(lambda: len(server.requests) == 1, 6.0)
    assert server.wait_for(lambda: server.open_connections == 0, 6.0)
    assert time.monotonic() - began < 5.0


def test_threads_that_have_ended_are_forgotten(server: LoopbackServer) -> None:
    """A server that lasts for a whole test run does not collect them; those that run are ended with it."""
    for _ in range(5):
        say(server, GET)
        assert server.wait_for(lambda: not server.open_connections)
        for thread in server._threads:
            thread.join(5)
    held = socket.create_connection((server.host, server.port))
    assert server.wait_for(lambda: server.open_connections == 1)
    assert len(server._threads) == 1
    (thread,) = server._threads
    server.close()
    assert not thread.is_alive()
    held.close()


def test_a_closed_server_does_not_accept_again() -> None:
    """Its port may be another program's by now. To close it again does nothing."""
    server = LoopbackServer()
    server.close()
    server.close()
    with pytest.raises(RuntimeError, match="this LoopbackServer was closed; make a new one"):
        server.accept()
    assert "closed" in repr(server)


def test_a_closed_server_is_not_entered_again() -> None:
    """Calls in the second block would fail with no more than "connection refused"."""
    with LoopbackServer() as server:
        pass
    with pytest.raises(RuntimeError, match="this LoopbackServer was closed; make a new one"), server:
        pytest.fail("the block ran")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow one socket for each port")
def test_no_other_connection_takes_the_port_while_it_is_bound_again(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of the listening socket and the new one the port stays this server's."""
    bound = server_module._bound

    def after_an_attempt_to_take_it(port: int) -> socket.socket:
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((server.host, port))
        return bound(port)

    monkeypatch.setattr(server_module, "_bound", after_an_attempt_to_take_it)
    server.refuse()
    server.accept()
    assert say(server, GET).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "action",
    [kit.stall(), kit.stall_reading(), kit.drip("x" * 999, 9.0), kit.raw(b"a", b"b", every=9.0)],
    ids=repr,
)
def test_a_closed_server_waits_for_nothing(action: kit.Action) -> None:
    """Whatever its connections wait for, closing the server ends them at once, and their threads."""
    server = LoopbackServer()
    server.script("/a", action)
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(GET)
        assert server.wait_for(lambda: len(server.requests) == 1)
        started = time.monotonic()
        server.close()
        assert time.monotonic() - started < 8.0  # each of the actions would take longer
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("LoopbackServer")]


def test_a_connection_that_the_client_leaves_is_not_open(server: LoopbackServer) -> None:
    """A stalled connection ends with its client, so a test can see that a client closed it."""
    server.script("/a", kit.stall())
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(GET)
        assert server.wait_for(lambda: len(server.requests) == 1)
    assert server.wait_for(lambda: server.open_connections == 0)


def test_actions_are_values() -> None:
    """They are frozen, so scripts may share them. Anything else in a script is an error at once."""
    assert kit.respond(503, body="a") == kit.respond(503, body=b"a") != kit.respond(503)
    with LoopbackServer() as server, pytest.raises(TypeError, match="503"):
        server.script("/", 503)  # type: ignore[arg-type]  # that is the test
    with LoopbackServer() as server, pytest.raises(TypeError, match=r"begins with .*; write '/orders'$"):
        server.script("orders", kit.respond())  # no request has this path, so it would never be played
    with LoopbackServer() as server, pytest.raises(TypeError, match=r"begins with .*, not 5$"):
        server.script(5, kit.respond())  # type: ignore[arg-type]  # the mistake
    with LoopbackServer() as server, pytest.raises(TypeError, match="at least one"):
        server.script("/")


def test_a_status_must_be_a_number() -> None:
    """The error is raised where the action is made; otherwise the server would fail mid-response."""
    with pytest.raises(TypeError, match="status must be an int such as 200, not '200'"):
        kit.respond("200")  # type: ignore[arg-type]
