"""What the loopback server can do with a request: answer it, well or badly, or not at all.

Actions are frozen values: they may be used in any number of scripts, and compared in tests. An action
knows only the `Exchange` that it is played in; sockets and threads belong to the server.
"""

from __future__ import annotations

import json as _json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, ClassVar, Protocol

from ..core.checks import check_function, check_number
from ..http.messages import HttpResponse

__all__ = [
    "Action",
    "Exchange",
    "Received",
    "answer",
    "drip",
    "hang_up",
    "raw",
    "reset",
    "respond",
    "stall",
    "stall_reading",
]

HeadersGiven = Mapping[str, str] | Iterable[tuple[str, str]]

_FRAMING = frozenset({"content-length", "transfer-encoding"})


@dataclass(frozen=True)
class Received:
    """One request as it was received.

    target: as in the request line.  path: the target without scheme, host and query, still escaped.
    headers: in their order, names in their case.  body: without the framing of chunks.
    raw: every byte of it.  connection: 1-based number of the connection.  at: instant, `time.monotonic`.
    """

    method: str
    target: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes = field(repr=False)  # the other fields show all of it
    connection: int
    at: float

    def header(self, name: str) -> str | None:
        """The values of a header, joined by ", "; None if it is missing."""
        values = [value for known, value in self.headers if known.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.body)


class Exchange(Protocol):
    """What an action is played in: one request on one connection.

    Every method raises an error that ends the action when the client has disconnected or the server stops.
    """

    received: Received

    def send(self, data: bytes) -> None:
        """Send bytes."""
        ...

    def wait(self, seconds: float) -> None:
        """Wait for so many seconds."""
        ...

    def wait_for_the_end(self) -> None:
        """Do nothing until the client disconnects or the server stops."""
        ...

    def hold(self) -> None:
        """Do nothing until the server stops; read nothing either."""
        ...

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        ...


class Action(ABC):
    """One thing to do with a request."""

    reads_body: ClassVar[bool] = True  # whether the server reads the body before it plays the action

    @abstractmethod
    def play(self, exchange: Exchange) -> bool:
        """Do it. Returns whether the connection may serve another request."""


@dataclass(frozen=True)
class _Respond(Action):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    reason: str
    delay: float
    close: bool
    chunked: bool
    drip_every: float | None = None

    def play(self, exchange: Exchange) -> bool:
        exchange.wait(self.delay)
        method = exchange.received.method
        is_without_body = method == "HEAD" or self._has_no_body()
        head, body = self._head(), b"" if is_without_body else self._framed_body()
        if self.drip_every is None:
            exchange.send(head + body)
        else:
            exchange.send(head)
            for index in range(len(body)):
                exchange.wait(self.drip_every)
                exchange.send(body[index : index + 1])
        return not self.close

    def _head(self) -> bytes:
        given = {name.lower() for name, _ in self.headers}
        pairs = list(self.headers)
        # Framing that the script sets is left as it is: a wrong length is one of the things to test with.
        is_framed = self._has_no_body() or given & _FRAMING
        if not is_framed and self.chunked:
            pairs.append(("Transfer-Encoding", "chunked"))
        elif not is_framed:
            pairs.append(("Content-Length", str(len(self.body))))
        if self.close and "connection" not in given:
            pairs.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {self.status} {self.reason}", *(f"{name}: {value}" for name, value in pairs)]
        return "\r\n".join([*lines, "", ""]).encode()

    def _has_no_body(self) -> bool:
        return self.status in (204, 304) or self.status < 200

    def _framed_body(self) -> bytes:
        if not self.chunked:
            return self.body
        size = max(1, (len(self.body) + 1) // 2)  # two chunks, so that a reader has to join them
        chunks = [self.body[start : start + size] for start in range(0, len(self.body), size)]
        return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


@dataclass(frozen=True)
class _Raw(Action):
    pieces: tuple[bytes, ...]
    every: float
    close: bool

    def play(self, exchange: Exchange) -> bool:
        for index, piece in enumerate(self.pieces):
            if index:
                exchange.wait(self.every)
            exchange.send(piece)
        return not self.close


@dataclass(frozen=True)
class _Reset(Action):
    after: bytes

    def play(self, exchange: Exchange) -> bool:
        if self.after:
            exchange.send(self.after)
            exchange.wait(0.03)  # a reset overtakes bytes that the client has not read yet
        exchange.reset()
        return False


@dataclass(frozen=True)
class _Stall(Action):
    def play(self, exchange: Exchange) -> bool:
        exchange.wait_for_the_end()
        return False


@dataclass(frozen=True)
class _StallReading(Action):
    reads_body = False

    def play(self, exchange: Exchange) -> bool:
        exchange.hold()
        return False


@dataclass(frozen=True)
class _Answer(Action):
    function: Callable[[Received], Action | HttpResponse]

    def play(self, exchange: Exchange) -> bool:
        answer = self.function(exchange.received)
        if isinstance(answer, HttpResponse):
            answer = respond(answer.status_code, headers=answer.headers.items(), body=answer.content)
        return check_action(answer).play(exchange)


def respond(
    status: int = 200,
    *,
    headers: HeadersGiven = (),
    body: bytes | str = b"",
    json: object = None,
    reason: str | None = None,
    delay: float = 0.0,
    close: bool = False,
    chunked: bool = False,
) -> Action:
    """A correctly framed response, unless `headers` sets Content-Length or Transfer-Encoding.

    json: the body, instead of `body`.  reason: None for the usual phrase.
    delay: seconds before the first byte.  close: close the connection afterwards.  chunked: in chunks.
    """
    if not isinstance(status, int):
        raise TypeError(f"status must be an int such as 200, not {status!r}")
    check_number("delay", delay, unit="of seconds ")
    content, pairs = _content(body, json, headers)
    return _Respond(status, pairs, content, _reason(status, reason), delay, close, chunked)


def drip(
    body: bytes | str,
    every: float = 0.05,
    *,
    status: int = 200,
    headers: HeadersGiven = (),
    json: object = None,
) -> Action:
    """A response whose body trickles: one byte every so many seconds. Each read succeeds, and it takes forever."""
    check_number("every", every, unit="of seconds ")
    content, pairs = _content(body, json, headers)
    return _Respond(status, pairs, content, _reason(status, None), 0.0, False, False, every)


def raw(*pieces: bytes, every: float = 0.0, close: bool = True) -> Action:
    """These bytes unchanged, with so many seconds between the pieces; close the connection then, or keep it."""
    check_number("every", every, unit="of seconds ")
    return _Raw(tuple(_bytes("a piece of raw", piece) for piece in pieces), every, close)


def hang_up(after: bytes = b"") -> Action:
    """Close the connection gracefully (FIN), after these bytes of a response, if any."""
    return _Raw((after,) if _bytes("after", after) else (), 0.0, True)


def reset(after: bytes = b"") -> Action:
    """Reset the connection (RST), after these bytes of a response, if any."""
    return _Reset(_bytes("after", after))


def stall() -> Action:
    """Read the request and never respond."""
    return _Stall()


def stall_reading() -> Action:
    """Read the request's head but not its body, and never respond.

    The kernel's buffers accept a few megabytes: only a larger upload stalls.
    """
    return _StallReading()


def answer(function: Callable[[Received], Action | HttpResponse]) -> Action:
    """Call the function with the request, and play the action or send the response that it returns.

    An error in the function is raised again when the server is closed.
    """
    check_function("function", function)
    return _Answer(function)


def _content(
    body: bytes | str, json: object, headers: HeadersGiven
) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    given: Any = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(
            f"headers must be a mapping or a list of (name, value) pairs, not {type(headers).__name__}"
        )
    pairs: tuple[tuple[str, str], ...] = tuple(given)
    if not isinstance(body, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"body must be bytes or text, not {type(body).__name__}; pass data as json=")
    if json is not None:
        if body:
            raise TypeError("pass body or json, not both")
        body = _json.dumps(json)
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs = (("Content-Type", "application/json"), *pairs)
    return body.encode() if isinstance(body, str) else bytes(body), pairs


def _bytes(what: str, value: bytes) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must be bytes, not {type(value).__name__}")
    return bytes(value)


def _reason(status: int, reason: str | None) -> str:
    if reason is not None:
        return reason
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def check_action(action: object) -> Action:
    """The action; a TypeError for anything else."""
    if not isinstance(action, Action):
        raise TypeError(f"a script consists of actions such as respond(503), not {action!r}")
    return action
