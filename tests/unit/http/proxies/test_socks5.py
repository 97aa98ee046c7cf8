"""The dialogue with a SOCKS5 proxy, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.proxies.socks5 import Login, ask_for_connection

CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"


def played(
    host: str, port: int, login: Login | None, answers: bytes
) -> tuple[list[bytes], str | None, bytes]:
    """What was said, how it ended, and what was left unread of the answers."""
    dialogue = ask_for_connection(host, port, login)
    said, size = next(dialogue)
    spoken = [said]
    while True:
        answer, answers = answers[:size], answers[size:]
        try:
            said, size = dialogue.send(answer)
        except StopIteration as end:
            return [each for each in spoken if each], end.value, answers
        spoken.append(said)


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("api.example.com", b"\x03\x0fapi.example.com"),
    ],
)
def test_a_connection_is_asked_for(host: str, place: bytes) -> None:
    """RFC 1928 3 to 6; the port is big-endian, and nothing of what follows is read."""
    spoken, refusal, left = played(host, 443, None, b"\x05\x00" + CONNECTED + b"HTTP/1.1")
    assert spoken == [b"\x05\x01\x00", b"\x05\x01\x00" + place + b"\x01\xbb"]
    assert (refusal, left) == (None, b"HTTP/1.1")


def test_a_login_is_given_when_it_is_asked_for() -> None:
    """RFC 1929 2."""
    spoken, refusal, left = played("h", 80, (b"joe", b"hush"), b"\x05\x02\x01\x00" + CONNECTED)
    assert spoken[:2] == [b"\x05\x02\x00\x02", b"\x01\x03joe\x04hush"]
    assert (refusal, left) == (None, b"")


@given(st.binary(max_size=40), st.sampled_from([None, (b"u", b"p")]))
def test_any_answer_is_understood_or_refused(answers: bytes, login: Login | None) -> None:
    """Whatever a proxy says: a connection, or words; and no more is asked for than a dialogue takes."""
    dialogue = ask_for_connection("h.example", 80, login)
    _, size = next(dialogue)
    answers = answers + bytes(300)
    for _ in range(6):
        assert 0 < size <= 257
        answer, answers = answers[:size], answers[size:]
        try:
            _, size = dialogue.send(answer)
        except StopIteration:
            return
    raise AssertionError("it goes on and on")
