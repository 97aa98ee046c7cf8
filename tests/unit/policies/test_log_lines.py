"""What the log says of each kind of call, to the letter, in both front ends."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from http_service_client import (
    Cache,
    CircuitBreakerPolicy,
    CircuitOpenError,
    ConstantBackoff,
    HttpResponse,
    MemoryStorage,
    RetryPolicy,
    StateChange,
)
from http_service_client.events import CallFinished, Event, RetryScheduled
from http_service_client.policies import logs
from http_service_client.policies.logs import IS_LOGGED
from http_service_client.testing import ScriptedTransport, VirtualClock, late
from kit.fakes import FakeClock
from kit.front_ends import FrontEnd

URL = "https://api.test/orders?token=hunter2"
OK = HttpResponse(200, reason_phrase="OK")
BUSY = HttpResponse(503, reason_phrase="Service Unavailable")


class Log:
    """A client in virtual time, and the lines of its log: level, branch of the tree, text."""

    def __init__(
        self, front_end: FrontEnd, caplog: pytest.LogCaptureFixture, *script: Any, **settings: Any
    ) -> None:
        self._caplog = caplog
        self.front_end = front_end
        self.clock = VirtualClock()
        self.client = front_end.client(
            clock=self.clock,
            random=lambda: 0.5,
            transport=ScriptedTransport(list(script), clock=self.clock),
            **settings,
        )
        caplog.clear()

    def lines(self) -> list[str]:
        root = "http_service_client"
        ours = [each for each in self._caplog.records if each.name.partition(".")[0] == root]
        return [f"{each.levelname} {each.name.removeprefix(root)} {each.getMessage()}" for each in ours]


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "http_service_client")
    return caplog


@pytest.fixture
def by_default(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """An application at INFO."""
    caplog.set_level(logging.INFO)
    return caplog


def test_two_retries(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """Each attempt, each wait, the end."""
    log = Log(front_end, everything, late(0.25, BUSY), late(0.25, BUSY), late(0.25, OK))
    front_end.request(log.client, "GET", URL, name="look up", total_timeout=10)
    key = "https://api.test (look up)"
    assert log.lines() == [
        f"DEBUG .attempt {key}: attempt 1: 503 Service Unavailable (after 0.250 s, answered)",
        f"INFO .retry {key}: retry in 0.500 s because of status 503 "
        "[3 retries left in the budget, 9.750 s left of the deadline]",
        f"DEBUG .attempt {key}: attempt 2: 503 Service Unavailable (after 0.250 s, answered)",
        f"INFO .retry {key}: retry in 1.000 s because of status 503 "
        "[2 retries left in the budget, 9.000 s left of the deadline]",
        f"DEBUG .attempt {key}: attempt 3: 200 OK (after 0.250 s, answered)",
        "DEBUG .call GET https://api.test/orders?token=*** (look up): 200 after 3 attempts in 2.250 s, answered",
    ]


def test_an_application_at_info_sees_retries_alone(
    front_end: FrontEnd, by_default: pytest.LogCaptureFixture
) -> None:
    """No line a call, which it has not asked for."""
    log = Log(front_end, by_default, BUSY, OK)
    front_end.request(log.client, "GET", URL)
    assert [line.split()[:2] for line in log.lines()] == [["INFO", ".retry"]]


def test_a_call_that_logs_nothing_makes_no_text(
    front_end: FrontEnd, by_default: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One question for each event is all that the log costs it, also in an application at INFO."""
    log = Log(front_end, by_default, OK)
    front_end.request(log.client, "GET", URL)
    monkeypatch.setattr("http_service_client.client.client.log_event", None)  # a call of it would raise
    front_end.request(log.client, "GET", URL)
    assert log.lines() == []


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_one_line_a_call_where_asked(
    front_end: FrontEnd, caplog: pytest.LogCaptureFixture, level: int
) -> None:
    """By a level for its logger, whatever the levels above; at INFO, so that a handler at INFO writes it."""
    caplog.set_level(logging.WARNING)
    caplog.set_level(level, "http_service_client.call")
    log = Log(front_end, caplog, late(0.25, OK))
    front_end.request(log.client, "POST", "https://api.test/{id}", path_params={"id": 7})
    assert log.lines() == ["INFO .call POST https://api.test/7: 200 after 1 attempt in 0.250 s, answered"]
    fields = vars(caplog.records[-1])
    assert fields["http_url_template"] == "/{id}"
    assert (fields["http_event"], fields["http_duration"], fields["http_status_code"]) == (
        "call_finished",
        0.25,
        200,
    )


def test_a_redirect(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """Its target, redacted."""
    moved = HttpResponse(302, headers={"Location": "/paid?token=hunter2"}, reason_phrase="Found")
    log = Log(front_end, everything, moved, late(0.5, OK))
    front_end.request(log.client, "POST", URL)
    assert log.lines() == [
        "DEBUG .redirect https://api.test: attempt 1: 302, following to GET https://api.test/paid?token=***",
        "DEBUG .attempt https://api.test: attempt 1: 200 OK (after 0.500 s, answered)",
        "DEBUG .call POST https://api.test/orders?token=***: 200 after 1 attempt in 0.500 s, answered",
    ]


def test_a_refusal(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """The circuit that opens is a warning; the call that it refuses is for debugging."""
    breaker = {"failure_threshold": 1, "recovery_timeout": 60.0}
    log = Log(front_end, everything, BUSY, circuit_breaker_config=breaker, enable_retry_policy=False)
    front_end.request(log.client, "GET", URL)
    with pytest.raises(CircuitOpenError):
        front_end.request(log.client, "GET", URL)
    lines = log.lines()
    assert [line for line in lines if line.startswith("WARNING")] == [
        "WARNING .circuit https://api.test: the circuit is open: 1 consecutive failure; next trial in 60.000 s"
    ]
    assert lines[-2:] == [
        "DEBUG .circuit https://api.test: attempt 1: refused by the circuit breaker for https://api.test "
        "(open; next trial in 60.000 s)",
        "DEBUG .call GET https://api.test/orders?token=***: CircuitOpenError after 0 attempts in 0.000 s, never sent",
    ]


def test_a_cancellation(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """Nobody knows what became of the request, and the line says so."""
    kind = KeyboardInterrupt if front_end.name == "blocking" else asyncio.CancelledError

    def cancel(request: Any) -> Any:
        raise kind

    log = Log(front_end, everything, cancel)
    with pytest.raises(kind):
        front_end.request(log.client, "POST", URL)
    assert log.lines() == [
        f"DEBUG .call POST https://api.test/orders?token=***: {kind.__name__} after 1 attempt in 0.000 s, abandoned"
    ]


def test_a_stream(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """The attempt ends with its headers, the call with its body."""
    log = Log(front_end, everything, late(0.25, HttpResponse(200, reason_phrase="OK", content=b"body")))
    attempt = "DEBUG .attempt https://api.test: attempt 1: 200 OK (after 0.250 s, answered)"
    with front_end.stream(log.client, "GET", URL) as response:
        assert log.lines() == [attempt]
        log.clock.advance(2.0)
        assert b"".join(response.iter_bytes()) == b"body"
    assert log.lines() == [
        attempt,
        "DEBUG .call GET https://api.test/orders?token=***: 200 after 1 attempt in 2.250 s, answered",
    ]


def test_a_download(front_end: FrontEnd, everything: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """As another call."""
    log = Log(front_end, everything, late(0.25, HttpResponse(200, reason_phrase="OK", content=b"file")))
    front_end.download(log.client, URL, tmp_path / "file")
    assert log.lines() == [
        "DEBUG .attempt https://api.test: attempt 1: 200 OK (after 0.250 s, answered)",
        "DEBUG .call GET https://api.test/orders?token=***: 200 after 1 attempt in 0.250 s, answered",
    ]


def test_a_guarded_function(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """Without a client: the retries of a policy, and the changes of its circuit, once each."""
    breaker = CircuitBreakerPolicy(failure_threshold=2, recovery_timeout=60.0, name="shipping")
    retries = RetryPolicy(3, ConstantBackoff(0.0), clock=FakeClock())
    log = Log(front_end, everything, OK)

    def body() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        front_end.run(retries.apply(breaker.apply(front_end.function(body))))
    assert log.lines() == [
        "INFO .retry a guarded function: retry in 0.000 s because of ConnectionResetError [3 retries left in the budget]",
        "WARNING .circuit shipping: the circuit is open: 2 consecutive failures; next trial in 60.000 s",
        "INFO .retry a guarded function: retry in 0.000 s because of ConnectionResetError [2 retries left in the budget]",
        "DEBUG .retry a guarded function: not retried: the circuit is open [2 retries left in the budget]",
    ]


def test_every_kind_of_event_has_a_logger() -> None:
    """A listener asks for each event whether it is logged; an unknown kind would fail its call."""
    assert set(get_args(Event)) | {StateChange} == set(IS_LOGGED)


def test_the_logger_of_a_kind_of_event_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first one comes, so that `logging.config` may run before; each call has several events."""
    looked_up: list[str] = []
    monkeypatch.setitem(IS_LOGGED, CallFinished, partial(logs._is_first_logged, CallFinished))
    monkeypatch.setitem(IS_LOGGED, RetryScheduled, partial(logs._is_first_logged, RetryScheduled))
    monkeypatch.setattr(logs, "branch", lambda name: looked_up.append(name) or logging.getLogger(name))
    for _ in range(3):
        IS_LOGGED[CallFinished]()
        IS_LOGGED[RetryScheduled]()
    assert looked_up == ["call", "retry"]


def test_a_record_is_one_line(front_end: FrontEnd, everything: pytest.LogCaptureFixture) -> None:
    """Of whatever an error says: a second line would look like a record of its own."""

    class Broken(MemoryStorage):
        def get(self, *_: object) -> Any:
            raise OSError("disk\nWARNING forged: \x1b[2K")

    log = Log(front_end, everything, OK, cache=Cache(storage=Broken()))
    front_end.request(log.client, "GET", URL)
    assert log.lines()[0] == (
        "WARNING .cache https://api.test: the cache's storage failed to get: OSError: disk WARNING forged: [2K"
    )


@pytest.mark.parametrize(("first", "length"), [("Of", 1000), ("A", 999)])
def test_a_record_of_a_text_that_has_to_be_cleaned_is_cut(
    front_end: FrontEnd, everything: pytest.LogCaptureFixture, first: str, length: int
) -> None:
    """At a word, to at most 1,000 characters: nobody reads more of what is perhaps an attack."""

    class Broken(MemoryStorage):
        def get(self, *_: object) -> Any:
            raise OSError(f"\n{first}{' a' * 2000}")

    log = Log(front_end, everything, OK, cache=Cache(storage=Broken()))
    front_end.request(log.client, "GET", URL)
    _, _, text = log.lines()[0].partition("https://api.test: ")
    assert (len(text), text[-5:]) == (length, "a ...")


def test_each_branch_can_be_set_alone(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """A level for one of them leaves the others as they are."""
    caplog.set_level(logging.WARNING, "http_service_client")
    caplog.set_level(logging.DEBUG, "http_service_client.attempt")
    log = Log(front_end, caplog, BUSY, OK)
    front_end.request(log.client, "GET", URL)
    assert [line.split()[1] for line in log.lines()] == [".attempt", ".attempt"]
