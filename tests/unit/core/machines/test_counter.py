"""A number that is advanced without a lock."""

from __future__ import annotations

from http_service_client.core.machines.counter import Counter
from kit.threads import run_threads


def test_reading_does_not_count() -> None:
    """However often it is done."""
    counter, found = Counter(), []
    for events in (0, 3, 0, 1):
        for _ in range(events):
            counter.advance()
        found.append(counter.read())
    assert found == [0, 3, 3, 4]


def test_threads_lose_no_count() -> None:
    """They advance it at once."""
    counter = Counter()
    run_threads(lambda number: [counter.advance() for _ in range(1000)], 8)
    assert counter.read() == 8000
