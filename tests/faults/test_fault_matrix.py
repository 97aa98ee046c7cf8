"""Every fault × sync and async × GET, POST, POST with an idempotency key, with and without retries: see `table.py`.

Each call ends with the right error and sent-state, on time and without a second side effect. All connections, slots
and permits are released, and the client works afterwards. The calls of a row that waits are made concurrently.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.runner import KEY, MARGIN, PROMPT, TIMEOUT, Result, Servers, run, run_in_parallel
from faults.table import FAULTS, Fault
from http_service_client import HttpServiceClient
from kit.front_ends import FRONT_ENDS, AsyncioFrontEnd, FrontEnd
from kit.metronome import Metronome
from kit.rows import each_row
from kit.stopwatch import EARLY
from network.faults import Certificates

REQUESTS = ("GET", "POST", "POST with key")
DEADLINE = 0.3

# The default settings but for the delay between attempts; a single attempt; a deadline.
VARIANTS: dict[str, dict[str, Any]] = {
    "retries": {},
    "alone": {"retry_policy": None},
    "deadline": {"total_timeout": DEADLINE},
}
Case = tuple[type[FrontEnd], str, str]  # front end, request, variant
# A key says whether an attempt may be repeated: it is nothing to a single one, and a deadline ends the call as a GET.
CASES: list[Case] = [
    (kind, request, variant)
    for kind in FRONT_ENDS
    for request in REQUESTS
    for variant in VARIANTS
    if request != "POST with key" or variant == "retries"
]


@pytest.fixture(scope="module")
def results(
    certificates: Certificates, strangers: Certificates, metronome: Metronome
) -> Callable[[Fault], dict[Case, Result]]:
    """Runs all cases of a fault when the first result is needed, and returns the results by case."""
    stored: dict[str, dict[Case, Result]] = {}

    def run_one(fault: Fault, case: Case) -> Result:
        kind, request, variant = case

        def act(front_end: FrontEnd, client: HttpServiceClient, url: str, call_id: str) -> Any:
            method, _, key = request.partition(" with ")
            headers = {"X-Call": call_id} | ({KEY: f"order-{call_id}"} if key else {})
            options: dict[str, Any] = {"timeout": TIMEOUT, **fault.options, **VARIANTS[variant]}
            if method == "POST":
                options["data"] = fault.upload
            return front_end.request(client, method, url, headers=headers, **options)

        with Servers(certificates, strangers) as servers, kind() as front_end:
            return run(
                front_end, servers, fault.setup, act, metronome, retry_policy_config={"initial_delay": 0.001}
            )

    def run_all(fault: Fault) -> dict[Case, Result]:
        if fault.name not in stored:
            waiting = [each for each in FAULTS if each.seconds and each.name not in stored]
            # Two waiting faults at a time: the calls of more would wait for each other instead of for their servers.
            faults = [fault, *(each for each in waiting if each is not fault)][: 2 if fault.seconds else 1]
            cases = [(each, case) for each in faults for case in CASES]
            ends = run_in_parallel(
                cases,
                lambda each: run_one(*each),
                lambda each, result: result.is_conclusive(limit(*each), each[0].sent),
                len(cases) if fault.seconds else 9 if fault.outlasts else 4,
            )
            for (each, case), end in zip(cases, ends, strict=True):
                stored.setdefault(each.name, {})[case] = end
        return stored[fault.name]

    return run_all


def expected(fault: Fault, request: str) -> tuple[str, str, int, int]:
    """Result, sent-state, attempts and received requests of a call that retries."""
    *result, numbers = {"GET": fault.get, "POST": fault.post, "POST with key": fault.keyed}[request].split()
    attempts, taken = map(int, numbers.split("/"))
    return (result[0], "answered", attempts, taken) if result else (fault.error, fault.sent, attempts, taken)


def limit(fault: Fault, case: Case) -> float:
    """Seconds that a call may take."""
    _, request, variant = case
    if variant == "deadline":
        return DEADLINE + MARGIN
    attempts = 1 if variant == "alone" else expected(fault, request)[2]
    return attempts * fault.seconds + MARGIN if fault.seconds else PROMPT


def case_id(case: Case) -> str:
    kind, request, variant = case
    return f"{kind.name}-{request.replace(' ', '_')}-{variant}"


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@each_row("case", CASES, ids=case_id)
def test_a_fault(results: Callable[[Fault], dict[Case, Result]], fault: Fault, case: Case) -> None:
    """The call ends as the table says, on time, and leaves nothing acquired."""
    kind, request, variant = case
    if sys.version_info < (3, 11) and kind is AsyncioFrontEnd and fault.has_tls_in_tls:
        return  # asyncio cannot do TLS in TLS before Python 3.11
    end = results(fault)[case]
    result, sent, attempts, taken = expected(fault, request)
    if variant == "alone":
        result, sent, attempts, taken = fault.error, fault.sent, 1, min(taken, 1)
    found = (end.result, end.sent, end.attempts, len(end.seen))
    if variant == "deadline":
        # It may end the call during any attempt, or before a wait, with the outcome of the last attempt.
        outcomes = {result, fault.error, "DeadlineExceededError"}
        if fault.error.endswith("TimeoutError") and fault.seconds > DEADLINE:
            outcomes = {"DeadlineExceededError"}
        assert end.result in outcomes, end.message
        assert end.attempts <= attempts
        assert len(end.seen) <= taken
    else:
        assert found == (result, sent, attempts, taken), end.message
        if fault.error.endswith("TimeoutError"):
            assert end.seconds + end.stood_still >= attempts * fault.seconds - EARLY
    if end.result == "DeadlineExceededError":
        assert end.seconds + end.stood_still >= DEADLINE - EARLY
    assert end.seconds <= limit(fault, case)
    check_that_nothing_was_done_twice(fault, request, end)
    assert end.left_over == []


def check_that_nothing_was_done_twice(fault: Fault, request: str, end: Result) -> None:
    """The server receives a POST once, unless it declines it; with a key any number of times, with the same key."""
    keys = {received.header(KEY) for received in end.seen}
    if request == "POST":
        assert len(end.seen) <= 1 or fault.is_declined
        assert keys <= {None}
    elif request == "POST with key":
        assert len(keys) <= 1
        assert None not in keys


def test_the_names_of_the_faults_are_unique() -> None:
    """And no part of the table has been left out: there are at least 75 faults."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 75


def test_the_page_about_errors_says_the_same() -> None:
    """The table "What each fault becomes" of docs/errors.md has each fault of the matrix, and its outcome."""
    page = (Path(__file__).resolve().parents[2] / "docs/errors.md").read_text(encoding="utf-8")
    section = page.partition("## What each fault becomes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \| `(\w+)` \| (\d, \d, \d) \|$", section, re.M)
    documented = {name: row[1:] for row in rows for name in row[0].split("; ")}
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
    assert documented == expected
