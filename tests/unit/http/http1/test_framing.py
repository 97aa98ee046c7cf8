"""The framing of a response: one way to read its body, or none."""

from __future__ import annotations

import pytest

from http_service_client.http.http1.errors import NotHttpError
from http_service_client.http.http1.framing import RawFields, field_text, is_chunked


@pytest.mark.parametrize(
    ("status", "lengths", "codings", "expected"),
    [
        (200, [], [], False),
        (200, ["0"], [], False),
        (200, ["9" * 18], [], False),
        (200, [], ["chunked"], True),
        (200, [], ["Chunked"], True),
        (200, [], ["identity"], False),
        (100, [], [], False),
        (999, [], [], False),
        (103, ["2"], [], False),
        (103, [], ["chunked"], True),
        (104, ["0"], [], False),
        (200, ["2"], [], False),
    ],
)
def test_a_framing_with_one_reading_is_accepted(
    status: int, lengths: list[str], codings: list[str], expected: bool
) -> None:
    """By length, in chunks, or until the connection ends."""
    assert is_chunked(status, lengths, codings) is expected


@pytest.mark.parametrize(
    ("status", "lengths", "codings"),
    [
        (99, [], []),
        (200, ["2", "2"], []),
        (200, ["2"], ["chunked"]),
        (200, ["0"], ["identity"]),
        (200, [], ["chunked", "chunked"]),
        (200, [""], []),
        (200, ["+2"], []),
        (200, ["-2"], []),
        (200, ["2, 2"], []),
        (200, ["0x2"], []),
        (200, ["٢"], []),
        (200, ["9" * 19], []),
        (200, [], ["gzip"]),
        (200, [], ["gzip, chunked"]),
        (200, [], ["chunked, identity"]),
        (200, [], [""]),
        (104, ["2"], []),
        (199, ["2"], []),
        (104, [], ["chunked"]),
        (199, [], ["identity"]),
    ],
)
def test_any_other_framing_is_refused(status: int, lengths: list[str], codings: list[str]) -> None:
    """Two readers could see different ends of the response (RFC 9112, 6.3 and 11.2)."""
    with pytest.raises(NotHttpError):
        is_chunked(status, lengths, codings)


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"a", "a"), ("é€".encode(), "é€"), (b"\xe9", "é"), (b"\xc3\xa9\xe9", "Ã©é"), (b"", "")],
)
def test_a_value_is_utf8_or_else_latin1(value: bytes, text: str) -> None:
    """As a whole: one invalid byte makes all of it latin-1."""
    assert field_text(value) == text
    assert list(RawFields([(b"X", value)])) == [("X", text)]
