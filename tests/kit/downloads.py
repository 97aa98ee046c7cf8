"""A download without a client: a driver that does all work at once, a sink that counts, and scripted exchanges."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from http_service_client import HttpRequest, ReadTimeoutError, SentState, Timeout
from http_service_client.core.effects import Invoke, Work
from http_service_client.core.layers.download import Download
from http_service_client.errors import Failure
from kit.fakes import URL

__all__ = ["LOST", "VALIDATOR", "VERSION", "Exchanges", "OpenBody", "Sink", "a_call", "attempted", "driven"]

LOST = Failure(ReadTimeoutError, "slow", SentState.MAYBE_PROCESSED)


VALIDATOR = {"ETag": '"v1"'}


VERSION = ('"v1"', None, None, None)  # an ETag, by which another attempt can ask for the rest


class Sink:
    """Where the bytes would go.   writes, commits: how often it was asked to."""

    resumes = True

    def __init__(self, version: Any = VERSION, problem: str | None = None) -> None:
        self.received = self.writes = self.commits = 0
        self.restored: list[str] = []
        self._problem = problem
        self.remembered: list[tuple[str, Any]] = []
        self._version = version

    def restore(self, url: str) -> Any:
        self.restored.append(url)
        return self._version

    def write(self, pieces: list[bytes]) -> None:
        self.writes += 1
        self.received += sum(map(len, pieces))

    def remember(self, url: str, version: Any) -> None:
        self.remembered.append((url, version))

    def commit(self) -> str | None:
        self.commits += 1
        return self._problem

    def rewind(self, offset: int) -> None:
        assert 0 <= offset < self.received
        self.received = offset


def a_call(
    remaining: float | None = None, progress: Any = None, max_size: int | None = None, **limits: float
) -> Any:
    discards: list[None] = []
    return SimpleNamespace(
        current=SimpleNamespace(has_progressed=None, body=None),
        remaining=lambda: remaining,
        clock=lambda: 0.0,
        options=SimpleNamespace(
            timeout=Timeout(**limits), progress=progress, stream=SimpleNamespace(max_size=max_size)
        ),
        discards=discards,
        discard_body=lambda: discards.append(None),
    )


def driven(plan: Any) -> Any:
    """The result of a plan; work is done at once."""
    value = None
    try:
        while True:
            effect = plan.send(value)
            assert isinstance(effect, (Work, Invoke))
            value = effect.function(*effect.arguments)
    except StopIteration as stop:
        return stop.value


class Exchanges:
    """The layers below, with a response for each request; one more request fails the test."""

    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.ranges: list[str | None] = []

    def __call__(self, request: HttpRequest, call: Any) -> Any:
        yield from ()
        self.ranges.append(request.headers.get("Range"))
        return self._outcomes.pop(0)


def attempted(download: Download, call: Any, sink: Sink, arrived: int) -> Any:
    """An attempt in which so many bytes arrive before it is lost."""

    def proceed(request: Any, call: Any) -> Any:
        yield from ()
        sink.received += arrived
        return LOST

    return driven(download.attempt(proceed, HttpRequest("GET", URL), call))


class OpenBody:
    """A body that arrives in pieces: of so many bytes each, or a failure."""

    def __init__(self, *pieces: Any) -> None:
        self._pieces = list(pieces)

    def next_piece(self) -> Any:
        yield from ()
        piece = self._pieces.pop(0) if self._pieces else 0
        return bytes(piece) if isinstance(piece, int) else piece
