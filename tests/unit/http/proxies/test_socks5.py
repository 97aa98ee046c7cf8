"""The SOCKS5 handshake, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.proxies.socks5 import Login, ask_for_connection

CONNECTED = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"


def run(host: str, port: int, login: Login | None, replies: bytes) -> tuple[list[bytes], str | None, bytes]:
    """The messages sent, the result, and the bytes of the replies that were not read."""
    dialogue = ask_for_connection(host, port, login)
    message, size = next(dialogue)
    sent = [message]
    while True:
        reply, replies = replies[:size], replies[size:]
        try:
            message, size = dialogue.send(reply)
        except StopIteration as end:
            return [message for message in sent if message], end.value, replies
        sent.append(message)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("api.example.com", b"\x03\x0fapi.example.com"),
    ],
)
def test_a_connection_is_requested(host: str, address: bytes) -> None:
    """RFC 1928 3 to 6; the port is big-endian, and no byte after the handshake is read."""
    sent, refusal, left = run(host, 443, None, b"\x05\x00" + CONNECTED + b"HTTP/1.1")
    assert sent == [b"\x05\x01\x00", b"\x05\x01\x00" + address + b"\x01\xbb"]
    assert (refusal, left) == (None, b"HTTP/1.1")


def test_a_login_is_sent_when_the_proxy_asks_for_it() -> None:
    """RFC 1929 2."""
    sent, refusal, left = run("h", 80, (b"joe", b"hush"), b"\x05\x02\x01\x00" + CONNECTED)
    assert sent[:2] == [b"\x05\x02\x00\x02", b"\x01\x03joe\x04hush"]
    assert (refusal, left) == (None, b"")


@given(st.binary(max_size=40), st.sampled_from([None, (b"u", b"p")]))
def test_any_reply_ends_the_dialogue(replies: bytes, login: Login | None) -> None:
    """Whatever a proxy sends, the result comes after at most six reads of bounded size."""
    dialogue = ask_for_connection("h.example", 80, login)
    _, size = next(dialogue)
    replies = replies + bytes(300)
    for _ in range(6):
        assert 0 < size <= 257
        reply, replies = replies[:size], replies[size:]
        try:
            _, size = dialogue.send(reply)
        except StopIteration:
            return
    pytest.fail("the dialogue does not end")
