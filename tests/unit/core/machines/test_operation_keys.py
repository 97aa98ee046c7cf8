"""The idempotency keys of one operation, apart from calls: their number is bounded."""

from __future__ import annotations

import itertools
import threading

from http_service_client.core.machines.operation_keys import OperationKeys


def test_a_thousand_keys_are_kept() -> None:
    """With one more the operation cannot be repeated, and nothing of it is kept."""
    numbers = itertools.count(1)
    keys = OperationKeys(lambda: f"key {next(numbers)}", threading.RLock())
    for number in range(1000):
        keys.key_for(number, ())
    assert not keys.is_full
    assert keys.key_for("one more", ()) == "key 1001"
    assert keys.is_full
    assert keys.key_for(0, ()) == "key 1002", "requests go on, each with a key of its own"
    assert [len(memory) for memory in (keys._known, keys._left, keys._values, keys._done)] == [0] * 4
