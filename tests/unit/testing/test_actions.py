"""Actions of the loopback server, played without a network: the bytes and the waits, in their order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpResponse
from http_service_client.testing import (
    Action,
    Received,
    answer,
    drip,
    hang_up,
    raw,
    reset,
    respond,
    stall,
    stall_reading,
)
from kit.rows import each_row


class Stage:
    """The exchange that an action is played in. log: bytes sent, seconds waited, and other steps by name."""

    def __init__(self, method: str = "GET") -> None:
        self.received = Received(method, "/", "/", [("X-A", "1"), ("x-a", "2")], b"[1]", b"", 1, 0.0)
        self.log: list[Any] = []

    def send(self, data: bytes) -> None:
        self.log.append(data)

    def wait(self, seconds: float) -> None:
        if seconds:
            self.log.append(seconds)

    def wait_for_the_end(self) -> None:
        self.log.append("the end")

    def hold(self) -> None:
        self.log.append("hold")

    def reset(self) -> None:
        self.log.append("reset")


def played(action: Action, method: str = "GET") -> tuple[list[Any], bool]:
    """What an action does, and whether the connection may serve another request."""
    stage = Stage(method)
    goes_on = action.play(stage)
    return stage.log, goes_on


@each_row(
    "make",
    [
        lambda: respond(200, headers={"X": "1"}),
        lambda: drip("ab"),
        lambda: raw(b"a", every=1.0),
        lambda: hang_up(b"a"),
        lambda: reset(b"a"),
        stall,
        stall_reading,
        lambda: answer(len),  # type: ignore[arg-type, return-value]  # it is not called
    ],
)
def test_every_action_is_a_value(make: Callable[[], Action]) -> None:
    """They are equal, hash alike and cannot be changed, so a script may hold one many times."""
    assert make() == make()
    assert hash(make()) == hash(make())
    with pytest.raises(FrozenInstanceError):
        make().play = None  # type: ignore[method-assign, assignment]


@each_row(
    ("action", "log", "goes_on"),
    [
        (respond(), [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], True),
        (respond(404, body="é"), [b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n\xc3\xa9"], True),
        (respond(body=b"a", delay=2.0), [2.0, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"], True),
        (
            respond(json={"a": 1}),
            [b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'],
            True,
        ),
        (
            respond(json=0, headers={"content-TYPE": "x/y"}),
            [b"HTTP/1.1 200 OK\r\ncontent-TYPE: x/y\r\nContent-Length: 1\r\n\r\n0"],
            True,
        ),
        (
            respond(close=True),
            [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"],
            False,
        ),
        (
            respond(close=True, headers=[("CONNECTION", "x"), ("A", "1"), ("A", "2")]),
            [b"HTTP/1.1 200 OK\r\nCONNECTION: x\r\nA: 1\r\nA: 2\r\nContent-Length: 0\r\n\r\n"],
            False,
        ),
        (
            respond(body=b"abcde", chunked=True),
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"],
            True,
        ),
        (
            respond(body=b"a" * 32, chunked=True),
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
                + b"a" * 16
                + b"\r\n10\r\n"
                + b"a" * 16
                + b"\r\n0\r\n\r\n"
            ],
            True,
        ),
        (respond(chunked=True), [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], True),
        (
            respond(body=b"abc", headers={"content-LENGTH": "9"}),
            [b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 9\r\n\r\nabc"],
            True,
        ),
        (
            respond(body=b"abc", headers={"Transfer-Encoding": "gzip"}, chunked=True),
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"],
            True,
        ),
        (respond(299, reason=""), [b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"], True),
        (respond(298), [b"HTTP/1.1 298 \r\nContent-Length: 0\r\n\r\n"], True),
        (respond(299), [b"HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"], True),
        (respond(200, reason="Fine"), [b"HTTP/1.1 200 Fine\r\nContent-Length: 0\r\n\r\n"], True),
        *(
            (respond(status, body=b"abc", chunked=chunked), [head + b"\r\n\r\n"], True)
            for status, head in (
                (204, b"HTTP/1.1 204 No Content"),
                (304, b"HTTP/1.1 304 Not Modified"),
                (100, b"HTTP/1.1 100 Continue"),
                (199, b"HTTP/1.1 199 "),
            )
            for chunked in (False, True)
        ),
        (respond(205, body=b"a"), [b"HTTP/1.1 205 Reset Content\r\nContent-Length: 1\r\n\r\na"], True),
        (
            drip("ab"),
            [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 0.05, b"a", 0.05, b"b"],
            True,
        ),
        (
            drip(b"", 3.0, status=503, json=1, headers={"X": "y"}),
            [
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nX: y\r\nContent-Length: 1\r\n\r\n",
                3.0,
                b"1",
            ],
            True,
        ),
        (raw(b"a", b"b", b"c", every=2.0), [b"a", 2.0, b"b", 2.0, b"c"], False),
        (raw(b"a", close=False), [b"a"], True),
        (raw(b"a", b"b"), [b"a", b"b"], False),
        (hang_up(), [], False),
        (hang_up(b"HTTP/1.1 2"), [b"HTTP/1.1 2"], False),
        (reset(), ["reset"], False),
        (reset(b"HTTP/1.1 2"), [b"HTTP/1.1 2", 0.03, "reset"], False),
        (stall(), ["the end"], False),
        (stall_reading(), ["hold"], False),
    ],
)
def test_an_action_is_played(action: Action, log: list[Any], goes_on: bool) -> None:
    """Byte by byte, and what becomes of the connection."""
    assert played(action) == (log, goes_on)


def test_a_response_to_head_has_no_body() -> None:
    """And the length that it would have."""
    assert played(respond(body=b"abc"), "HEAD") == ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"], True)


@pytest.mark.parametrize(
    ("function", "log"),
    [
        (
            lambda received: respond(body=received.method),
            [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nGET"],
        ),
        (
            lambda received: HttpResponse(201, headers={"A": received.header("X-a") or ""}, content=b"x"),
            [b"HTTP/1.1 201 Created\r\nA: 1, 2\r\nContent-Length: 1\r\n\r\nx"],
        ),
        (
            lambda received: respond(json=[*received.json(), received.header("X-B")]),
            [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[1, null]"],
        ),
        (lambda received: hang_up(), []),
    ],
)
def test_a_function_may_choose_the_action(function: Callable[[Received], Any], log: list[Any]) -> None:
    """By the request; a response stands for itself."""
    assert played(answer(function))[0] == log


def test_only_an_upload_that_is_not_read_leaves_its_body() -> None:
    """All other actions are played when the whole request has come."""
    for action in (respond(), drip(""), raw(), reset(), stall(), answer(lambda received: respond())):
        assert action.reads_body
    assert not stall_reading().reads_body


@each_row(
    ("wrong", "message"),
    [
        (lambda: respond("503"), "status must be an int such as 200, not '503'"),
        (lambda: respond(json={}, body=b"x"), "pass body or json, not both"),
        (lambda: respond(body={"id": 1}), "body must be bytes or text, not dict; pass data as json="),
        (lambda: respond(body=5), "body must be bytes or text, not int; pass data as json="),
        (lambda: drip([1]), "body must be bytes or text, not list; pass data as json="),
        (
            lambda: respond(headers="X"),
            r"headers must be a mapping or a list of \(name, value\) pairs, not str",
        ),
        (
            lambda: respond(headers=5),
            r"headers must be a mapping or a list of \(name, value\) pairs, not int",
        ),
        (lambda: raw("x"), "a piece of raw must be bytes, not str"),
        (lambda: reset("x"), "after must be bytes, not str"),
        (lambda: hang_up("x"), "after must be bytes, not str"),
        (lambda: drip("x", json={}), "pass body or json, not both"),
        (
            lambda: answer(lambda received: 503).play(Stage()),  # type: ignore[arg-type, return-value]
            r"a script consists of actions such as respond\(503\), not 503",
        ),
    ],
)
def test_what_is_no_action_is_an_error(wrong: Callable[[], Any], message: str) -> None:
    """That says what to write."""
    with pytest.raises(TypeError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: respond(delay="1"), "delay must be a finite number of seconds of 0 or more, not '1'"),
        (lambda: respond(delay=-1), "delay must be a finite number of seconds of 0 or more, not -1"),
        (lambda: drip("x", -1), "every must be a finite number of seconds of 0 or more, not -1"),
        (lambda: raw(b"x", every=None), "every must be a finite number of seconds of 0 or more, not None"),
        (lambda: answer(5), "function must be a function, not 5"),
    ],
)
def test_a_wrong_setting_of_an_action_is_an_error_at_once(wrong: Callable[[], Any], message: str) -> None:
    """Not in the server's thread, when the action is played."""
    with pytest.raises(ConfigurationError, match=message):
        wrong()
