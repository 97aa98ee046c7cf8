"""Header values become text."""

from __future__ import annotations

import pytest

from http_service_client.http.http1.framing import RawFields, field_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"a", "a"), ("é€".encode(), "é€"), (b"\xe9", "é"), (b"\xc3\xa9\xe9", "Ã©é"), (b"", "")],
)
def test_a_value_is_utf8_or_else_latin1(value: bytes, text: str) -> None:
    """As a whole: one invalid byte makes all of it latin-1."""
    assert field_text(value) == text
    assert list(RawFields([(b"X", value)])) == [("X", text)]
