"""Plays one scenario in four worlds and writes down what happened, so that the stories can be compared.

    over sockets     a LoopbackServer, by requests and by aiohttp
    by the script    a ScriptedTransport, under the blocking and the asyncio driver

A `Step` says what the network does at one exchange, for the server and for the script alike. A `Story` is
all that a caller, a listener or a server could tell of the scenario; ports are the only thing in it that is
made the same (and, where a step is cut by a real timeout under a deadline, times).
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.utils import formatdate
from random import Random
from typing import Any

from http_service_client import HttpResponse
from http_service_client import testing as kit
from http_service_client.errors import HttpClientError, SentState
from http_service_client.events import RetryScheduled
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd

__all__ = [
    "REFUSES",
    "RESETS",
    "STALLS",
    "Row",
    "Step",
    "Story",
    "does",
    "in_date",
    "jittered",
    "on_the_wire",
    "play",
    "says",
    "stories",
    "wire",
]

EPOCH = 1_704_067_200.0  # what a VirtualClock takes for now


# What the network does.


@dataclass(frozen=True)
class Step:
    """One exchange. `{here}` and `{elsewhere}` in header values stand for the two servers.

    action: for the server; None refuses connections, until the client waits for its next attempt.
    outcome: for the script; None where the bytes on the wire are the point.
    """

    action: Callable[[Callable[[str], str]], kit.Action] | None
    outcome: Callable[[Callable[[str], str]], Any] | None


def says(
    status: int = 200, *, headers: Mapping[str, str] | Sequence[tuple[str, str]] = (), **answer: Any
) -> Step:
    """A response."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if "json" in answer:
        pairs.insert(0, ("Content-Type", "application/json"))

    def filled(at: Callable[[str], str]) -> list[tuple[str, str]]:
        return [(name, at(value)) for name, value in pairs]

    def scripted(at: Callable[[str], str]) -> HttpResponse:
        body = json.dumps(answer["json"]) if "json" in answer else answer.get("body", b"")
        content = body.encode() if isinstance(body, str) else body
        reason = answer.get("reason", "")
        return HttpResponse(status, headers=filled(at), content=content, reason_phrase=reason)

    # A script knows no codings: it gives the content as it is.
    is_coded = any(name == "Content-Encoding" for name, _ in pairs)
    return Step(lambda at: kit.respond(status, headers=filled(at), **answer), None if is_coded else scripted)


def wire(*pieces: bytes, every: float = 0.0, close: bool = True) -> Step:
    """These bytes, as they are."""
    return Step(lambda at: kit.raw(*pieces, every=every, close=close), None)


def does(action: kit.Action, outcome: Any = None) -> Step:
    """This action of the server, and this outcome of the script."""
    return Step(lambda at: action, None if outcome is None else lambda at: outcome)


def on_the_wire(step: Step) -> Step:
    """A step whose bytes are the point: no script can tell it."""
    return Step(step.action, None)


REFUSES = Step(None, lambda at: ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
RESETS = does(kit.reset(), ConnectionResetError(errno.ECONNRESET, "reset"))
STALLS = does(kit.stall(), kit.late(1000.0, HttpResponse(200)))


def in_date(seconds: float) -> str:
    """An HTTP date so many seconds from a virtual clock's beginning."""
    return formatdate(EPOCH + seconds, usegmt=True)


def jittered(*delays: float) -> list[float]:
    """The waits that full jitter makes of these delays, by the chance that every play begins with."""
    random = _chance()
    return [delay * random() for delay in delays]


def _chance() -> Callable[[], float]:
    return Random(7).random


# A scenario.


@dataclass(frozen=True)
class Row:
    """One line of the table.

    name: a sentence.   script: steps for "/", or by path; a path that begins with "elsewhere" is the other
        server's.   ends: the status, or the name of the error, that the caller gets.
    seen: requests that reached a server.   waits: seconds between the attempts.
    call: keywords of the call, `method` and `path` among them.   config: of the client.
    calls: how many calls are made, `pause` seconds apart; the story is about the last of them.
    fresh: makes keywords anew for each call, such as a stream.
    live: real time passes, since the deadline is what is looked at; times in the story are blanked.
    then: a last look at the story of each world.
    """

    name: str
    script: Sequence[Step] | Mapping[str, Sequence[Step]]
    ends: int | str
    seen: int
    waits: Sequence[float] = ()
    call: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    calls: int = 1
    pause: float = 0.0
    fresh: Callable[[], Mapping[str, Any]] = dict
    live: bool = False
    then: Callable[[Story], Any] | None = None

    def steps(self) -> Mapping[str, Sequence[Step]]:
        """The script by path."""
        return self.script if isinstance(self.script, Mapping) else {"/": self.script}

    @property
    def is_scripted(self) -> bool:
        """Whether the script can tell it without a wire."""
        return all(step.outcome is not None for steps in self.steps().values() for step in steps)


# What happened.


@dataclass
class Story:
    """Everything that can be known of a scenario afterwards, in plain values."""

    ends: int | str = ""
    answer: Any = None
    waits: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    explained: str = ""
    circuits: dict[str, str] = field(default_factory=dict)
    received: list[Any] = field(default_factory=list)

    def differences(self, other: Story) -> list[str]:
        """What the other story tells differently."""
        return [
            f"{name}:\n    {mine!r}\n    {theirs!r}"
            for name in vars(self)
            if (mine := getattr(self, name)) != (theirs := getattr(other, name))
        ]


# The framing of a message is the wire's; a script has none.
_FRAMING = {"content-length", "transfer-encoding", "connection", "host"}
_TIMES = re.compile(r"(at|duration|deadline_left|delay)=-?[0-9.e-]+|-?[0-9]+\.[0-9]+ s\b| {2,}")
_KEYS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def stories(row: Row) -> Iterator[tuple[str, Story]]:
    """The scenario's story in each world that can play it."""
    for kind in (BlockingFrontEnd, AsyncioFrontEnd):
        yield f"{kind.name} over sockets", play(row, kind, scripted=False)
    if row.is_scripted:
        for kind in (BlockingFrontEnd, AsyncioFrontEnd):
            yield f"{kind.name} by the script", play(row, kind, scripted=True)


def play(row: Row, kind: type[FrontEnd], scripted: bool) -> Story:
    """Play the scenario in one world."""
    with ExitStack() as stack:
        here, elsewhere = (stack.enter_context(LoopbackServer()) for _ in range(2))
        front_end = stack.enter_context(kind())
        names = {here.url: "http://here", elsewhere.url: "http://elsewhere"}

        def at(text: str) -> str:
            return text.replace("{here}", here.url).replace("{elsewhere}", elsewhere.url)

        transport, clock, events = None, VirtualClock(), []
        if scripted:
            outcomes = {
                at(_address(path)): [step.outcome(at) for step in steps if step.outcome is not None]
                for path, steps in row.steps().items()
            }
            transport = ScriptedTransport(outcomes, clock=clock if row.live else VirtualClock())
        refusals = 0 if scripted else _set_up(row, here, elsewhere, at)

        def listen(event: Any) -> None:
            events.append(repr(event))
            if isinstance(event, RetryScheduled) and event.attempt == refusals:
                here.accept()

        client = front_end.client(
            **{"trust_env_proxy_settings": False, **row.config},
            transport=transport,
            clock=None if row.live and not scripted else clock,
            random=_chance(),
            on_event=listen,
        )
        story = Story()
        for number in range(row.calls):
            if number:
                clock.advance(row.pause)
            options = {"method": "GET", "path": "/", **row.call, **row.fresh()}
            method, path = options.pop("method"), options.pop("path")
            try:
                _tell_response(story, front_end.request(client, method, here.url + path, **options))
            except Exception as error:
                _tell_error(story, error)
        story.waits, story.events = clock.waits, events
        story.circuits = client.get_circuit_breaker_states()
        for server in (here, elsewhere):
            story.received += _seen_by(server) if transport is None else _scripted_for(server, transport)
        return _alike(story, names, row.live)


def _address(path: str) -> str:
    return "{elsewhere}" + path.removeprefix("elsewhere") if path.startswith("elsewhere") else "{here}" + path


def _set_up(row: Row, here: LoopbackServer, elsewhere: LoopbackServer, at: Callable[[str], str]) -> int:
    """Script the servers; how many attempts are to be refused."""
    refusals = 0
    for path, steps in row.steps().items():
        server = elsewhere if path.startswith("elsewhere") else here
        actions = [step.action(at) for step in steps if step.action is not None]
        refusals += len(steps) - len(actions)
        if actions:
            server.script(path.removeprefix("elsewhere"), *actions)
    if refusals:
        here.refuse()
    return refusals


def _tell_response(story: Story, response: HttpResponse) -> None:
    story.ends, story.explained = response.status_code, response.explain()
    story.answer = {
        "reason": response.reason_phrase,
        "headers": _pairs(response.headers.items()),
        "content": response.content,
        "url": response.url,
        "attempts": response.attempts,
        "sent_state": response.sent_state,
        "history": [(past.status_code, past.url) for past in response.history],
        "request": response.request and (response.request.method, response.request.url),
        "is_timed": response.elapsed >= 0.0,
    }


def _tell_error(story: Story, error: Exception) -> None:
    story.ends, story.explained = type(error).__name__, ""
    story.answer = {"message": str(error), "bases": [base.__name__ for base in type(error).__mro__]}
    cause = error.__cause__
    story.answer["cause"] = cause and (type(cause).__name__, getattr(cause, "errno", None))
    if isinstance(error, HttpClientError):
        story.explained = error.timeline.explain() if error.timeline is not None else "no timeline"
        story.answer |= {
            "sent_state": error.sent_state,
            "request": error.request and (error.request.method, error.request.url),
            "response": error.response and error.response.status_code,
            "retry_after": getattr(error, "retry_after", None),
        }


def _pairs(pairs: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name.lower() not in _FRAMING]


def _seen_by(server: LoopbackServer) -> list[Any]:
    return [(r.method, server.url + r.target, _pairs(r.headers), r.body) for r in server.requests]


def _scripted_for(server: LoopbackServer, transport: ScriptedTransport) -> list[Any]:
    return [
        (sent.request.method, sent.request.url, _pairs(sent.request.headers.items()), sent.content)
        for sent in transport.sent
        if sent.request.url.startswith(server.url) and sent.outcome.sent_state is not SentState.NEVER_SENT
    ]


def _alike(story: Story, names: Mapping[str, str], blank_times: bool) -> Story:
    """The story with the ports by name, generated keys by number, and times blank where they are real."""
    keys: dict[str, str] = {}

    def alike(value: Any) -> Any:
        if isinstance(value, str) and type(value) is str:
            for url, name in names.items():
                value = value.replace(url, name)
            value = _KEYS.sub(lambda match: keys.setdefault(match[0], f"key {len(keys) + 1}"), value)
            return _TIMES.sub("…", value) if blank_times else value
        if isinstance(value, dict):
            return {alike(key): alike(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(alike(item) for item in value)
        return value

    return Story(**{name: alike(value) for name, value in vars(story).items()})
