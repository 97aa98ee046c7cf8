"""Every fault of a body × sync and async × a streamed GET, POST and POST with a key, and a download.

A stream is retried until its head has arrived; from then on its body belongs to the caller. A download continues
until the file is whole. Both end with the right error and sent-state, on time. All connections, slots, permits and
part files are gone, and the client works afterwards.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from faults import setups
from faults.runner import KEY, MARGIN, PROMPT, TIMEOUT, Result, Servers, run, run_in_parallel
from faults.setups import Setup, does
from faults.table import SOON, waits
from http_service_client import HttpServiceClient, Timeout
from http_service_client.testing.actions import drip, hang_up, raw, reset, respond, stall
from kit.front_ends import FRONT_ENDS, FrontEnd
from kit.metronome import Metronome
from kit.rows import each_row
from kit.stopwatch import EARLY
from network.faults import Certificates

OPEN_END = b"HTTP/1.1 200 OK\r\n\r\n"
BAD_GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\nnot gzip.."
TAGGED = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 1000\r\n\r\n'
DEADLINE = 0.3
READ_SOON = Timeout(total=6.0, read=0.6)  # time enough for the head


class BodyFault(NamedTuple):
    """One row: see `table.Fault`. The numbers are those of a streamed GET, POST and POST with a key, and of a download."""

    name: str
    setup: Setup
    error: str
    sent: str
    get: str
    post: str
    keyed: str
    download: str
    seconds: float = 0.0
    options: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return self.name


def within(total_timeout: float) -> dict[str, Any]:
    return {"seconds": total_timeout, "options": {"total_timeout": total_timeout}}


# fmt: off
FAULTS = [
    # In the body: the caller of a stream has the head already.
    BodyFault("reset in the body", does(reset(setups.HEAD + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in the body", does(hang_up(setups.HEAD + b"half")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed after the head", does(hang_up(setups.HEAD)), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in a chunk", does(hang_up(setups.CHUNKED + b"5\r\nab")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed before the last chunk", does(hang_up(setups.CHUNKED + b"2\r\nab\r\n")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("reset in a body without a length", does(reset(OPEN_END + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("bad chunk", does(raw(setups.CHUNKED, b"5\r\n12345\r\nzz\r\n", every=0.02)), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in the body of a file that has a tag", does(hang_up(TAGGED + b"half")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("reset over TLS", setups.over_tls(reset(setups.HEAD + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("reset in a body without a length over TLS", setups.over_tls(reset(OPEN_END + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in the body over TLS", setups.over_tls(hang_up(setups.HEAD + b"half")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("no body after the head", does(raw(setups.HEAD, close=False)), "ReadTimeoutError", "maybe_processed", "1/1", "1/1", "1/1", "3/3", **waits(READ_SOON)),
    BodyFault("no bytes after half of the body", does(raw(setups.HEAD + b"half", close=False)), "ReadTimeoutError", "maybe_processed", "1/1", "1/1", "1/1", "3/3", **waits(READ_SOON)),
    BodyFault("no bytes after half of a chunk", does(raw(setups.CHUNKED + b"5\r\nab", close=False)), "ReadTimeoutError", "maybe_processed", "1/1", "1/1", "1/1", "3/3", **waits(READ_SOON)),
    BodyFault("body dripped", does(drip(b"x" * 500, 0.01)), "DeadlineExceededError", "abandoned", "1/1", "1/1", "1/1", "1/1", **within(0.5)),
    BodyFault("chunks dripped", does(raw(setups.CHUNKED, *[b"1\r\nx\r\n"] * 500, every=0.01)), "DeadlineExceededError", "abandoned", "1/1", "1/1", "1/1", "1/1", **within(0.5)),
    BodyFault("truncated gzip", does(raw(setups.CUT_GZIP, close=False)), "DecodingError", "answered", "1/1", "1/1", "1/1", "1/1"),
    BodyFault("invalid gzip", does(raw(BAD_GZIP, close=False)), "DecodingError", "answered", "1/1", "1/1", "1/1", "1/1"),
    BodyFault("body too large", does(respond(body=b"x" * 2_000_000), max_response_size=1000), "ResponseTooLargeError", "answered", "1/1", "1/1", "1/1", "1/1"),
    # Before the body: as in any other call.
    BodyFault("connection refused", setups.refused, "ConnectError", "never_sent", "3/0", "3/0", "3/0", "3/0"),
    BodyFault("reset before the head", does(reset()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3", "3/3"),
    BodyFault("closed in the head", does(hang_up(b"HTTP/1.1 200 OK\r\nX-")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3", "3/3"),
    BodyFault("no response", does(stall()), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", "3/3", **waits(SOON)),
    BodyFault("503", does(respond(503)), "503", "answered", "3/3", "1/1", "3/3", "HttpStatusError 3/3"),
    BodyFault("the body of an error is reset", does(reset(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nhalf")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3", "3/3"),
]
# fmt: on

WAYS = ("GET", "POST", "POST with key", "download")
Case = tuple[type[FrontEnd], str, str]  # front end, way, variant
CASES: list[Case] = [
    (kind, way, variant) for kind in FRONT_ENDS for way in WAYS for variant in ("plain", "deadline")
]


@pytest.fixture(scope="module")
def results(
    certificates: Certificates, strangers: Certificates, metronome: Metronome
) -> Callable[[BodyFault], dict[Case, Result]]:
    """Runs all cases of a fault when the first result is needed, and returns the results by case."""
    stored: dict[str, dict[Case, Result]] = {}

    def run_one(fault: BodyFault, case: Case, folder: Path) -> Result:
        kind, way, variant = case

        def act(front_end: FrontEnd, client: HttpServiceClient, url: str, call_id: str) -> Any:
            method, _, key = way.partition(" with ")
            options: dict[str, Any] = {"timeout": TIMEOUT, **fault.options}
            options["headers"] = {"X-Call": call_id} | ({KEY: f"order-{call_id}"} if key else {})
            if variant == "deadline":
                options["total_timeout"] = DEADLINE
            if method == "download":
                return front_end.download(client, url, folder / call_id, **options)
            with front_end.stream(client, method, url, **options) as response:
                response.read()
            return response

        with Servers(certificates, strangers) as servers, kind() as front_end:
            return run(
                front_end, servers, fault.setup, act, metronome, retry_policy_config={"initial_delay": 0.001}
            )

    def run_all(fault: BodyFault) -> dict[Case, Result]:
        if fault.name not in stored:
            with tempfile.TemporaryDirectory() as folder:
                ends = run_in_parallel(
                    CASES,
                    lambda case: run_one(fault, case, Path(folder)),
                    lambda case, result: result.is_conclusive(limit(fault, case), fault.sent),
                    len(CASES) if fault.seconds else 4,
                )
                stored[fault.name] = dict(zip(CASES, ends, strict=True))
                assert os.listdir(folder) == []
        return stored[fault.name]

    return run_all


def expected(fault: BodyFault, way: str) -> tuple[str, int, int]:
    """Result, attempts and requests taken, without a deadline."""
    column = {"GET": fault.get, "POST": fault.post, "POST with key": fault.keyed, "download": fault.download}
    *other, numbers = column[way].split()
    attempts, taken = map(int, numbers.split("/"))
    return other[0] if other else fault.error, attempts, taken


def limit(fault: BodyFault, case: Case) -> float:
    """Seconds that a call may take."""
    _, way, variant = case
    if variant == "deadline":
        return DEADLINE + MARGIN
    return expected(fault, way)[1] * fault.seconds + MARGIN if fault.seconds else PROMPT


def case_id(case: Case) -> str:
    kind, way, variant = case
    return f"{kind.name}-{way.replace(' ', '_')}-{variant}"


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@each_row("case", CASES, ids=case_id)
def test_a_fault_of_the_body(
    results: Callable[[BodyFault], dict[Case, Result]], fault: BodyFault, case: Case
) -> None:
    """The stream or the download ends as the table says, on time, and leaves nothing acquired."""
    _, way, variant = case
    end = results(fault)[case]
    result, attempts, taken = expected(fault, way)
    if variant == "deadline":
        waited_for = "DeadlineExceededError" if fault.seconds > DEADLINE else result
        assert end.result in (waited_for, "DeadlineExceededError"), end.message
        assert len(end.seen) <= taken
        if end.result == "DeadlineExceededError":
            assert end.seconds + end.stood_still >= DEADLINE - EARLY
    else:
        found = (end.result, end.sent, end.attempts, len(end.seen))
        assert found == (result, fault.sent, attempts, taken), end.message
        if fault.error.endswith("TimeoutError"):
            assert end.seconds + end.stood_still >= attempts * fault.seconds - EARLY
    assert end.seconds <= limit(fault, case)
    assert len({received.header(KEY) for received in end.seen}) <= 1
    assert end.left_over == []
