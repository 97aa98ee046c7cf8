"""The SOCKS5 handshake, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_service_client.http.proxies.socks5 import Login, ask_for_connection
from kit.rows import each_row

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


def test_a_login_is_not_sent_to_a_proxy_that_needs_none() -> None:
    """It is offered, and the proxy chooses."""
    sent, refusal, left = run("192.0.2.1", 80, (b"joe", b"hush"), b"\x05\x00" + CONNECTED)
    assert sent == [b"\x05\x02\x00\x02", b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"]
    assert (refusal, left) == (None, b"")


@pytest.mark.parametrize(
    "bound", [b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x00" + bytes(2), b"\x03\xff" + bytes(257)]
)
def test_the_address_of_the_proxy_is_skipped(bound: bytes) -> None:
    """Of whatever type it is; nothing more is sent."""
    sent, refusal, left = run("h", 80, None, b"\x05\x00\x05\x00\x00" + bound + b"HTTP")
    assert (len(sent), refusal, left) == (2, None, b"HTTP")


LOGIN = (b"u", b"p")


@each_row(
    ("login", "replies", "reason"),
    [
        (None, b"\x04\x00", "it does not speak SOCKS5"),
        (None, b"HT", "it does not speak SOCKS5"),
        (None, b"\x05\xff", "it requires a login"),
        (None, b"\x05\x02", "it requires a login"),
        (LOGIN, b"\x05\xff", "it requires another login method"),
        (LOGIN, b"\x05\x01", "it requires another login method"),
        (LOGIN, b"\x05\x02\x01\x01", "it refused the login"),
        (None, b"\x05\x00\x04\x00", "it does not speak SOCKS5"),
        (None, b"\x05\x00\x05\x01", "it reports a general failure"),
        (None, b"\x05\x00\x05\x02", "it does not allow the connection"),
        (None, b"\x05\x00\x05\x03", "network unreachable"),
        (None, b"\x05\x00\x05\x04", "host unreachable"),
        (None, b"\x05\x00\x05\x05", "connection refused"),
        (None, b"\x05\x00\x05\x06", "the TTL expired"),
        (None, b"\x05\x00\x05\x07", "it does not support the command CONNECT"),
        (None, b"\x05\x00\x05\x08", "it does not support this type of address"),
        (None, b"\x05\x00\x05\x09", "it replied 9"),
        (None, b"\x05\x00\x05\x00\x00\x02", "it does not speak SOCKS5"),
    ],
)
def test_a_refusal_has_a_reason(login: Login | None, replies: bytes, reason: str) -> None:
    """RFC 1928 3 and 6, RFC 1929 2; no byte after it is read."""
    assert run("h", 80, login, replies + b"more")[1:] == (reason, b"more")


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
