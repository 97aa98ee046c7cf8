"""Every fault of a body × both worlds × stream as GET, POST, POST with key, and download.

A stream is retried until its head is there, and from then on the caller's; a download goes on until it is whole.
Either ends with the right error and sent-state, on time, with all connections, places, permits and part
files gone, and the client works afterwards.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from faults import sites
from faults.sites import Site, plays
from faults.stage import KEY, MARGIN, Played, Stage, play
from faults.table import SOON, waits
from http_service_client import HttpServiceClient, Timeout
from http_service_client.testing.actions import drip, hang_up, raw, reset, respond, stall
from kit.front_ends import FRONT_ENDS, FrontEnd
from kit.metronome import Metronome
from kit.stopwatch import EARLY
from network.faults import Certificates

OPEN_END = b"HTTP/1.1 200 OK\r\n\r\n"
BAD_GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\nnot gzip.."
TAGGED = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 1000\r\n\r\n'
DEADLINE = 0.3
SILENCE = Timeout(total=6.0, read=1.0)


class BodyFault(NamedTuple):
    """One row: see `table.Fault`. The numbers are those of a stream as GET, POST, POST with key, and of a download."""

    name: str
    site: Site
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
    # Of the body: the caller of a stream has the head already.
    BodyFault("reset in the body", plays(reset(sites.HEAD + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in the body", plays(hang_up(sites.HEAD + b"half")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed behind the head", plays(hang_up(sites.HEAD)), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in a chunk", plays(hang_up(sites.CHUNKED + b"5\r\nab")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed before the last chunk", plays(hang_up(sites.CHUNKED + b"2\r\nab\r\n")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("reset in a body without a length", plays(reset(OPEN_END + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("bad chunk", plays(raw(sites.CHUNKED, b"5\r\n12345\r\nzz\r\n", every=0.02)), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in the body of a file that has a tag", plays(hang_up(TAGGED + b"half")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("reset over TLS", sites.over_tls(reset(sites.HEAD + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("reset in a body without a length over TLS", sites.over_tls(reset(OPEN_END + b"half")), "ConnectionLostError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("closed in the body over TLS", sites.over_tls(hang_up(sites.HEAD + b"half")), "ProtocolError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("silent behind the head", plays(raw(sites.HEAD, close=False)), "ReadTimeoutError", "maybe_processed", "1/1", "1/1", "1/1", "3/3", **waits(SILENCE, 1.0)),
    BodyFault("silent in the body", plays(raw(sites.HEAD + b"half", close=False)), "ReadTimeoutError", "maybe_processed", "1/1", "1/1", "1/1", "3/3", **waits(SILENCE, 1.0)),
    BodyFault("silent in a chunk", plays(raw(sites.CHUNKED + b"5\r\nab", close=False)), "ReadTimeoutError", "maybe_processed", "1/1", "1/1", "1/1", "3/3", **waits(SILENCE, 1.0)),
    BodyFault("body dripped", plays(drip(b"x" * 500, 0.01)), "DeadlineExceededError", "abandoned", "1/1", "1/1", "1/1", "1/1", **within(0.5)),
    BodyFault("chunks dripped", plays(raw(sites.CHUNKED, *[b"1\r\nx\r\n"] * 500, every=0.01)), "DeadlineExceededError", "abandoned", "1/1", "1/1", "1/1", "1/1", **within(0.5)),
    BodyFault("truncated gzip", plays(raw(sites.CUT_GZIP, close=False)), "DecodingError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("gzip that is none", plays(raw(BAD_GZIP, close=False)), "DecodingError", "maybe_processed", "1/1", "1/1", "1/1", "3/3"),
    BodyFault("body too large", plays(respond(body=b"x" * 2_000_000), max_response_size=1000), "ResponseTooLargeError", "answered", "1/1", "1/1", "1/1", "1/1"),
    # Before the body: as for any other call.
    BodyFault("connection refused", sites.refused, "ConnectError", "never_sent", "3/0", "3/0", "3/0", "3/0"),
    BodyFault("reset before the head", plays(reset()), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3", "3/3"),
    BodyFault("closed in the head", plays(hang_up(b"HTTP/1.1 200 OK\r\nX-")), "ProtocolError", "maybe_processed", "3/3", "1/1", "3/3", "3/3"),
    BodyFault("no answer", plays(stall()), "AttemptTimeoutError", "maybe_processed", "3/3", "1/1", "3/3", "3/3", **waits(SOON)),
    BodyFault("503", plays(respond(503)), "503", "answered", "3/3", "1/1", "3/3", "HttpStatusError 3/3"),
    BodyFault("the body of an error is reset", plays(reset(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nhalf")), "ConnectionLostError", "maybe_processed", "3/3", "1/1", "3/3", "3/3"),
]
# fmt: on

WAYS = ("GET", "POST", "POST with key", "download")
Scene = tuple[type[FrontEnd], str, str]  # world, way, variant
SCENES: list[Scene] = [
    (kind, way, variant) for kind in FRONT_ENDS for way in WAYS for variant in ("plain", "deadline")
]


@pytest.fixture(scope="module")
def played(
    certificates: Certificates, strangers: Certificates, metronome: Metronome
) -> Callable[[BodyFault], dict[Scene, Played]]:
    """All scenes of a fault, played side by side when the first of them is asked for."""
    stored: dict[str, dict[Scene, Played]] = {}

    def play_one(fault: BodyFault, scene: Scene, folder: Path) -> Played:
        kind, way, variant = scene

        def act(front_end: FrontEnd, client: HttpServiceClient, url: str, call_id: str) -> Any:
            method, _, key = way.partition(" with ")
            options: dict[str, Any] = {"timeout": 3.0, **fault.options}
            options["headers"] = {"X-Call": call_id} | ({KEY: f"order-{call_id}"} if key else {})
            if variant == "deadline":
                options["total_timeout"] = DEADLINE
            if method == "download":
                return front_end.download(client, url, folder / call_id, **options)
            with front_end.stream(client, method, url, **options) as response:
                response.read()
            return response

        with Stage(certificates, strangers) as stage, kind() as front_end:
            return play(
                front_end, stage, fault.site, act, metronome, retry_policy_config={"initial_delay": 0.001}
            )

    def play_all(fault: BodyFault) -> dict[Scene, Played]:
        if fault.name not in stored:
            with (
                tempfile.TemporaryDirectory() as folder,
                ThreadPoolExecutor(len(SCENES) if fault.seconds else 4) as threads,
            ):
                results = threads.map(lambda scene: play_one(fault, scene, Path(folder)), SCENES)
                stored[fault.name] = dict(zip(SCENES, results, strict=True))
                assert os.listdir(folder) == []
        return stored[fault.name]

    return play_all


def shown(scene: Scene) -> str:
    kind, way, variant = scene
    return f"{kind.name}-{way.replace(' ', '_')}-{variant}"


@pytest.mark.parametrize("scene", SCENES, ids=shown)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault_of_the_body(
    played: Callable[[BodyFault], dict[Scene, Played]], fault: BodyFault, scene: Scene
) -> None:
    _, way, variant = scene
    end = played(fault)[scene]
    column = {"GET": fault.get, "POST": fault.post, "POST with key": fault.keyed, "download": fault.download}
    *other, numbers = column[way].split()
    attempts, taken = map(int, numbers.split("/"))
    result = other[0] if other else fault.error
    if variant == "deadline":
        assert end.result in (result, "DeadlineExceededError"), end.message
        assert len(end.seen) <= taken
        assert end.seconds <= DEADLINE + MARGIN
        if end.result == "DeadlineExceededError":
            assert end.seconds + end.stood_still >= DEADLINE - EARLY
    else:
        found = (end.result, end.sent, end.attempts, len(end.seen))
        assert found == (result, fault.sent, attempts, taken), end.message
        assert end.seconds <= attempts * fault.seconds + MARGIN
        if fault.error.endswith("TimeoutError"):
            assert end.seconds + end.stood_still >= attempts * fault.seconds - EARLY
    assert len({received.header(KEY) for received in end.seen}) <= 1
    assert end.left_over == []
