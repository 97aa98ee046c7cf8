"""Every fault × both worlds × GET, POST, POST with an idempotency key: see `table.py`.

Each ends with the right error and sent-state, on time, without a second side effect, with all connections,
places and permits back, and the client works afterwards. The calls of a row that waits are made side by side.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from faults.stage import KEY, MARGIN, Played, Stage, play
from faults.table import FAULTS, Fault
from http_service_client import HttpServiceClient
from kit.front_ends import FRONT_ENDS, AsyncioFrontEnd, FrontEnd
from kit.metronome import Metronome
from kit.stopwatch import EARLY
from network.faults import Certificates

REQUESTS = ("GET", "POST", "POST with key")
DEADLINE = 0.3

# With the default settings but for the wait; a single attempt; within a deadline.
VARIANTS: dict[str, dict[str, Any]] = {
    "retries": {},
    "alone": {"retry_policy": None},
    "deadline": {"total_timeout": DEADLINE},
}
Scene = tuple[type[FrontEnd], str, str]  # world, request, variant
SCENES: list[Scene] = [
    (kind, request, variant) for kind in FRONT_ENDS for request in REQUESTS for variant in VARIANTS
]


@pytest.fixture(scope="module")
def played(
    certificates: Certificates, strangers: Certificates, metronome: Metronome
) -> Callable[[Fault], dict[Scene, Played]]:
    """All scenes of a fault, played side by side when the first of them is asked for."""
    stored: dict[str, dict[Scene, Played]] = {}

    def play_one(fault: Fault, scene: Scene) -> Played:
        kind, request, variant = scene

        def act(front_end: FrontEnd, client: HttpServiceClient, url: str, call_id: str) -> Any:
            method, _, key = request.partition(" with ")
            headers = {"X-Call": call_id} | ({KEY: f"order-{call_id}"} if key else {})
            options: dict[str, Any] = {"timeout": 3.0, **fault.options, **VARIANTS[variant]}
            if method == "POST":
                options["data"] = fault.upload
            return front_end.request(client, method, url, headers=headers, **options)

        with Stage(certificates, strangers) as stage, kind() as front_end:
            return play(
                front_end, stage, fault.site, act, metronome, retry_policy_config={"initial_delay": 0.001}
            )

    def play_all(fault: Fault) -> dict[Scene, Played]:
        if fault.name not in stored:
            waiting = [each for each in FAULTS if each.seconds and each.name not in stored]
            # Two that wait at a time: more would wait for each other instead of for their servers.
            faults = [fault, *(each for each in waiting if each is not fault)][: 2 if fault.seconds else 1]
            scenes = [(each, scene) for each in faults for scene in SCENES]
            with ThreadPoolExecutor(len(scenes) if fault.seconds else 4) as threads:
                ends = threads.map(lambda each: play_one(*each), scenes)
                for (each, scene), end in zip(scenes, ends, strict=True):
                    stored.setdefault(each.name, {})[scene] = end
        return stored[fault.name]

    return play_all


def expected(fault: Fault, request: str) -> tuple[str, str, int, int]:
    """Result, sent-state, attempts and requests taken, of a call that retries."""
    *result, numbers = {"GET": fault.get, "POST": fault.post, "POST with key": fault.keyed}[request].split()
    attempts, taken = map(int, numbers.split("/"))
    return (result[0], "answered", attempts, taken) if result else (fault.error, fault.sent, attempts, taken)


def shown(scene: Scene) -> str:
    kind, request, variant = scene
    return f"{kind.name}-{request.replace(' ', '_')}-{variant}"


@pytest.mark.parametrize("scene", SCENES, ids=shown)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_fault(played: Callable[[Fault], dict[Scene, Played]], fault: Fault, scene: Scene) -> None:
    kind, request, variant = scene
    if sys.version_info < (3, 11) and kind is AsyncioFrontEnd and "inside" in fault.name:
        pytest.skip("asyncio cannot do TLS in TLS before Python 3.11")
    end = played(fault)[scene]
    result, sent, attempts, taken = expected(fault, request)
    if variant == "alone":
        result, sent, attempts, taken = fault.error, fault.sent, 1, min(taken, 1)
    found = (end.result, end.sent, end.attempts, len(end.seen))
    if variant == "deadline":
        # It may cut the call at any of its attempts; or stop before a wait, with what the last one came to.
        assert end.result in (result, fault.error, "DeadlineExceededError"), end.message
        assert end.attempts <= attempts
        assert len(end.seen) <= taken
        assert end.seconds <= DEADLINE + MARGIN
    else:
        assert found == (result, sent, attempts, taken), end.message
        assert end.seconds <= attempts * fault.seconds + MARGIN
        if fault.error.endswith("TimeoutError"):
            assert end.seconds + end.stood_still >= attempts * fault.seconds - EARLY
    if end.result == "DeadlineExceededError":
        assert end.seconds + end.stood_still >= DEADLINE - EARLY
    check_that_nothing_was_done_twice(fault, request, end)
    assert end.left_over == []


def check_that_nothing_was_done_twice(fault: Fault, request: str, end: Played) -> None:
    """A POST is taken once, unless the server declines; with a key, any number of times with the same key."""
    keys = {received.header(KEY) for received in end.seen}
    if request == "POST":
        assert len(end.seen) <= 1 or fault.is_declined
        assert keys <= {None}
    elif request == "POST with key":
        assert len(keys) <= 1
        assert None not in keys


def test_the_matrix_is_as_large_as_promised() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25


def test_the_page_about_errors_says_the_same() -> None:
    """docs/errors.md tells what each fault becomes: each row of it names faults of the matrix."""
    page = (Path(__file__).resolve().parents[2] / "docs/errors.md").read_text(encoding="utf-8")
    told = page.partition("## What each fault becomes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \| `(\w+)` \| (\d, \d, \d) \|$", told, re.M)
    shown = {name: row[1:] for row in rows for name in row[0].split("; ")}
    expected = {
        fault.name: (
            fault.error,
            fault.sent,
            ", ".join(
                column.split()[-1].partition("/")[0] for column in (fault.get, fault.post, fault.keyed)
            ),
        )
        for fault in FAULTS
    }
    assert shown == expected
