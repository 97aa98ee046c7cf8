"""Runs one scenario in four ways and records what happened, so that the records can be compared.

    over sockets       a LoopbackServer, by blocking and by asyncio calls
    over the script    a ScriptedTransport, under the blocking and the asyncio driver

A `Step` is what the network does in one exchange; the server and the script take it from the same object. A `Record`
holds all that a caller, a listener and a server can see of the scenario. Only ports are replaced in it (and
times, where a deadline in real time cuts a step).
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

from http_service_client import HttpResponse, testing
from http_service_client.errors import HttpClientError, SentState
from http_service_client.events import RetryScheduled
from http_service_client.testing import LoopbackServer, ScriptedTransport, VirtualClock
from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd

__all__ = [
    "REFUSES",
    "RESETS",
    "STALLS",
    "Record",
    "Row",
    "Step",
    "does",
    "http_date_in",
    "jittered",
    "raw_bytes",
    "records",
    "responds",
    "run",
    "seeded",
    "set_up",
    "wait_for_requests",
    "wire_only",
]

EPOCH = 1_704_067_200.0  # the time at which a VirtualClock starts
_CALL_ID = re.compile(r"call_id='[0-9a-f]+-[0-9a-f]+'")  # another one in each call


# What the network does.


@dataclass(frozen=True)
class Step:
    """One exchange. `{here}` and `{elsewhere}` in header values stand for the two servers.

    action: of the server; None refuses connections until the client waits for its next attempt.
    outcome: of the script; None if the step is about bytes on the wire, which a script does not have.
    """

    action: Callable[[Callable[[str], str]], testing.Action] | None
    outcome: Callable[[Callable[[str], str]], Any] | None


def responds(
    status: int = 200, *, headers: Mapping[str, str] | Sequence[tuple[str, str]] = (), **parts: Any
) -> Step:
    """A response. parts: keywords of `testing.respond`."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    if "json" in parts:
        pairs.insert(0, ("Content-Type", "application/json"))

    def filled(at: Callable[[str], str]) -> list[tuple[str, str]]:
        return [(name, at(value)) for name, value in pairs]

    def scripted(at: Callable[[str], str]) -> HttpResponse:
        body = json.dumps(parts["json"]) if "json" in parts else parts.get("body", b"")
        content = body.encode() if isinstance(body, str) else body
        reason = parts.get("reason", "")
        return HttpResponse(status, headers=filled(at), content=content, reason_phrase=reason)

    # A script returns its content undecoded.
    is_coded = any(name == "Content-Encoding" for name, _ in pairs)
    return Step(
        lambda at: testing.respond(status, headers=filled(at), **parts), None if is_coded else scripted
    )


def raw_bytes(*pieces: bytes, every: float = 0.0, close: bool = True) -> Step:
    """The server sends these bytes."""
    return Step(lambda at: testing.raw(*pieces, every=every, close=close), None)


def does(action: testing.Action, outcome: Any = None) -> Step:
    """This action of the server, and this outcome of the script."""
    return Step(lambda at: action, None if outcome is None else lambda at: outcome)


def wire_only(step: Step) -> Step:
    """The step without an outcome: a script cannot show what it does."""
    return Step(step.action, None)


REFUSES = Step(None, lambda at: ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
RESETS = does(testing.reset(), ConnectionResetError(errno.ECONNRESET, "reset"))
STALLS = does(testing.stall(), testing.late(1000.0, HttpResponse(200)))


def http_date_in(seconds: float) -> str:
    """The HTTP-date that many seconds after the start of a virtual clock."""
    return formatdate(EPOCH + seconds, usegmt=True)


def jittered(*delays: float) -> list[float]:
    """The waits that full jitter makes of these delays, with the random numbers of every run."""
    random = seeded()
    return [delay * random() for delay in delays]


def seeded() -> Callable[[], float]:
    return Random(7).random


# A scenario.


@dataclass(frozen=True)
class Row:
    """One line of the table.

    name: a sentence.   script: steps for "/", or by path; a path that begins with "elsewhere" belongs to the
        other server.
    expected_result: the status, or the name of the error, that the caller gets.
    expected_requests: how many requests reach a server.   expected_waits: seconds between the attempts.
    call: keywords of the call, `method` and `path` among them.   config: of the client.
    calls: how many calls are made, `pause` seconds apart; the record is about the last of them.
    per_call: makes keywords for each call, such as a stream.
    real_time: time is real, since the row is about a deadline; times in the record are blanked.
    then: checks of each record.
    """

    name: str
    script: Sequence[Step] | Mapping[str, Sequence[Step]]
    expected_result: int | str
    expected_requests: int
    expected_waits: Sequence[float] = ()
    call: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    calls: int = 1
    pause: float = 0.0
    per_call: Callable[[], Mapping[str, Any]] = dict
    real_time: bool = False
    then: Sequence[Callable[[Record], Any]] = ()

    def steps(self) -> Mapping[str, Sequence[Step]]:
        """The script by path."""
        return self.script if isinstance(self.script, Mapping) else {"/": self.script}

    @property
    def is_scripted(self) -> bool:
        """Whether a script can run it without a wire."""
        return all(step.outcome is not None for steps in self.steps().values() for step in steps)


# What happened.


@dataclass
class Record:
    """Everything that can be seen of a scenario afterwards, in plain values.

    result: the status, or the name of the error.   details: the other parts of the response or of the error.
    received: the requests as the servers saw them: method, URL, headers, body.
    """

    result: int | str = ""
    details: Any = None
    waits: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    explained: str = ""
    circuits: dict[str, str] = field(default_factory=dict)
    received: list[Any] = field(default_factory=list)

    def differences(self, other: Record) -> list[str]:
        """The fields in which the other record differs."""
        return [
            f"{name}:\n    {mine!r}\n    {theirs!r}"
            for name in vars(self)
            if (mine := getattr(self, name)) != (theirs := getattr(other, name))
        ]


# A script has no framing.
_FRAMING = {"content-length", "transfer-encoding", "connection", "host"}
_TIMES = re.compile(
    r"(at|duration|deadline_left|delay|overrun|remaining)=-?[0-9.e-]+|-?[0-9]+\.[0-9]+ s\b| {2,}"
)
_KEYS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def records(row: Row) -> Iterator[tuple[str, Record]]:
    """The record of each way in which the scenario can be run."""
    for kind in (BlockingFrontEnd, AsyncioFrontEnd):
        yield f"{kind.name} over sockets", run(row, kind, scripted=False)
    if row.is_scripted:
        for kind in (BlockingFrontEnd, AsyncioFrontEnd):
            yield f"{kind.name} over the script", run(row, kind, scripted=True)


def run(row: Row, kind: type[FrontEnd], scripted: bool) -> Record:
    """Run the scenario in one way."""
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
            transport = ScriptedTransport(outcomes, clock=clock if row.real_time else VirtualClock())
        refusals = 0 if scripted else set_up(row, here, elsewhere, at)

        def listen(event: Any) -> None:
            events.append(_CALL_ID.sub("call_id=…", repr(event)))
            if isinstance(event, RetryScheduled) and event.attempt == refusals:
                here.accept()

        client = front_end.client(
            **{"trust_env_proxy_settings": False, **row.config},
            transport=transport,
            clock=None if row.real_time and not scripted else clock,
            random=seeded(),
            on_event=listen,
        )
        record = Record()
        for number in range(row.calls):
            if number:
                clock.advance(row.pause)
            options = {"method": "GET", "path": "/", **row.call, **row.per_call()}
            method, path = options.pop("method"), options.pop("path")
            try:
                _record_response(record, front_end.request(client, method, here.url + path, **options))
            except Exception as error:
                _record_error(record, error)
        record.waits, record.events = clock.waits, events
        record.circuits = client.get_circuit_breaker_states()
        if transport is None:
            wait_for_requests(row, here, elsewhere)
        for server in (here, elsewhere):
            record.received += (
                _received_by(server) if transport is None else _sent_by_script(server, transport)
            )
        return _normalized(record, names, row.real_time)


def _address(path: str) -> str:
    return "{elsewhere}" + path.removeprefix("elsewhere") if path.startswith("elsewhere") else "{here}" + path


def set_up(row: Row, here: LoopbackServer, elsewhere: LoopbackServer, at: Callable[[str], str]) -> int:
    """Script the servers. Returns how many attempts they must refuse."""
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


def wait_for_requests(row: Row, here: LoopbackServer, elsewhere: LoopbackServer) -> None:
    """Until the servers have as many as the row says: a call may time out before its request was read."""
    here.wait_for(lambda: len(here.requests) + len(elsewhere.requests) >= row.expected_requests)


def _record_response(record: Record, response: HttpResponse) -> None:
    record.result, record.explained = response.status_code, response.explain()
    record.details = {
        "reason": response.reason_phrase,
        "headers": _pairs(response.headers.multi_items()),
        "content": response.content,
        "url": response.url,
        "attempts": response.attempts,
        "sent_state": response.sent_state,
        "history": [(past.status_code, past.url) for past in response.history],
        "request": response.request and (response.request.method, response.request.url),
        "is_timed": response.elapsed >= 0.0,
    }


def _record_error(record: Record, error: Exception) -> None:
    record.result, record.explained = type(error).__name__, ""
    record.details = {"message": str(error), "bases": [base.__name__ for base in type(error).__mro__]}
    cause = error.__cause__
    record.details["cause"] = cause and (type(cause).__name__, getattr(cause, "errno", None))
    if isinstance(error, HttpClientError):
        record.explained = error.timeline.explain() if error.timeline is not None else "no timeline"
        record.details |= {
            "sent_state": error.sent_state,
            "request": error.request and (error.request.method, error.request.url),
            "response": error.response and error.response.status_code,
            "retry_after": getattr(error, "retry_after", None),
        }


def _pairs(pairs: Any) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name.lower() not in _FRAMING]


def _received_by(server: LoopbackServer) -> list[Any]:
    return [(r.method, server.url + r.target, _pairs(r.headers), r.body) for r in server.requests]


def _sent_by_script(server: LoopbackServer, transport: ScriptedTransport) -> list[Any]:
    return [
        (sent.request.method, sent.request.url, _pairs(sent.request.headers.items()), sent.content)
        for sent in transport.sent
        if sent.request.url.startswith(server.url) and sent.outcome.sent_state is not SentState.NEVER_SENT
    ]


def _normalized(record: Record, names: Mapping[str, str], blank_times: bool) -> Record:
    """The record with names for ports, numbers for generated keys, and blanks for real times."""
    keys: dict[str, str] = {}

    def normalized(value: Any) -> Any:
        if isinstance(value, str) and type(value) is str:
            for url, name in names.items():
                value = value.replace(url, name)
            value = _KEYS.sub(lambda match: keys.setdefault(match[0], f"key {len(keys) + 1}"), value)
            return _TIMES.sub("…", value) if blank_times else value
        if isinstance(value, dict):
            return {normalized(key): normalized(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(normalized(item) for item in value)
        return value

    return Record(**{name: normalized(value) for name, value in vars(record).items()})
