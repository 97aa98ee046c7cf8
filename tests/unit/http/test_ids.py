"""Ids that nobody else has."""

from __future__ import annotations

import uuid

import pytest

from http_service_client.http.ids import new_id


@pytest.mark.parametrize("digit", range(16))
def test_an_id_is_a_random_uuid(digit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of version 4 (RFC 9562, 5.4): 122 bits of it are random, two of them beside the variant."""
    random = bytes.fromhex(f"0123456789abcdef{digit:x}edcba9876543210")
    monkeypatch.setattr("os.urandom", lambda size: random[:size])
    assert new_id() == f"01234567-89ab-4def-{'89ab'[digit % 4]}edc-ba9876543210"
    assert uuid.UUID(new_id()).version == 4
