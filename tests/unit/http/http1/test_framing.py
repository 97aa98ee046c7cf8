"""Header values become text."""

from __future__ import annotations

import pytest

from http_service_client.http.http1.framing import ParserSettings, RawFields, field_text


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"a", "a"), ("é€".encode(), "é€"), (b"\xe9", "é"), (b"\xc3\xa9\xe9", "Ã©é"), (b"", "")],
)
def test_a_value_is_utf8_or_else_latin1(value: bytes, text: str) -> None:
    """As a whole: one invalid byte makes all of it latin-1."""
    assert field_text(value) == text
    assert list(RawFields([(b"X", value)])) == [("X", text)]


def test_a_name_that_is_not_ascii_is_shown_as_such() -> None:
    """No error is raised for it where the fields are read."""
    assert list(RawFields([(b"X\xff", b"a")])) == [("X\ufffd", "a")]


def test_a_head_has_limits() -> None:
    """As the documentation of the configuration says; several heads may come, and the parts of a body have room."""
    settings = ParserSettings()
    assert (settings.fields, settings.size, settings.tolerated) == (256, 65_536, frozenset())
    assert (ParserSettings(size=100).total, ParserSettings(size=100).between) == (400, 200)
