"""A download whose connection breaks again and again: as long as the file grows, it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from http_service_client import ProtocolError
from http_service_client.events import CircuitRefused, RetryStopped, StopReason
from http_service_client.testing import LoopbackServer, answer
from kit.front_ends import FrontEnd
from network.test_downloads import CONTENT, File

STEP = 100_000  # eleven attempts for the file
THREE_ATTEMPTS: dict[str, Any] = {"retry_policy_config": {"initial_delay": 0.001}}


def test_a_download_that_makes_progress_is_not_given_up(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path
) -> None:
    """However many attempts it takes: three are allowed, and a failure of each would open the circuit."""
    file = File(CONTENT, STEP)
    server.script("/", answer(file))
    client = front_end.client(retry_budget_config={"ratio": 0.0, "min_per_second": 0.1}, **THREE_ATTEMPTS)
    response = front_end.download(client, server.url + "/", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert (response.attempts, len(file.ranges)) == (11, 11)
    assert set(client.get_circuit_breaker_states().values()) == {"closed"}


def test_the_attempts_count_from_the_last_progress(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path
) -> None:
    """After it, three attempts that gain nothing end the download, as they end any other call."""
    file = File(CONTENT, STEP, STEP, STEP, 0)
    server.script("/", answer(file))
    client = front_end.client(**THREE_ATTEMPTS)
    with pytest.raises(ProtocolError) as caught:
        front_end.download(client, server.url + "/", tmp_path / "file")
    assert len(file.ranges) == 3 + 2  # the third one gained something, and is the first that counts
    (stopped,) = [event for event in caught.value.timeline if isinstance(event, RetryStopped)]
    assert stopped.reason is StopReason.EXHAUSTED


@pytest.mark.parametrize(
    ("step", "headers"),
    [(1000, {"etag": '"v1"'}), (STEP, {"etag": None}), (STEP, {"etag": 'W/"v1"'})],
    ids=str,
)
def test_a_step_too_small_or_one_that_is_lost_is_no_progress(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path, step: int, headers: dict[str, Any]
) -> None:
    """A hostile server could keep a call for days, and a file that starts over never ends."""
    file = File(CONTENT, step, **headers)
    server.script("/", answer(file))
    client = front_end.client(**THREE_ATTEMPTS)
    with pytest.raises(ProtocolError):
        front_end.download(client, server.url + "/", tmp_path / "file")
    assert len(file.ranges) == 3
    state = client._call_builder.origins.get(server.url)
    assert state.breaker is not None
    assert state.breaker.snapshot().failures == 3


def test_a_file_that_starts_over_again_and_again_makes_no_progress(
    front_end: FrontEnd, server: LoopbackServer, tmp_path: Path
) -> None:
    """Each attempt finds another version: what it gains is less than what an earlier one had."""
    versions = iter(range(100))

    def another_version(received: Any) -> Any:
        return File(CONTENT, 5 * STEP, etag=f'"v{next(versions)}"')(received)

    server.script("/", answer(another_version))
    client = front_end.client(**THREE_ATTEMPTS)
    with pytest.raises(ProtocolError) as caught:
        front_end.download(client, server.url + "/", tmp_path / "file")
    assert not any(isinstance(event, CircuitRefused) for event in caught.value.timeline)
    assert next(versions) == 3
