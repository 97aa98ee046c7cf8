"""Decoding on an event loop lets others have their turn."""

from __future__ import annotations

import asyncio
import gzip
from io import BytesIO

import pytest

from http_service_client.http.content_codings.decoder import Decoder
from http_service_client.transports.over_aiohttp import decoding
from http_service_client.transports.over_aiohttp.decoding import decode_into


@pytest.mark.parametrize(
    ("members", "content"), [(50_000, b""), (1, bytes(40_000_000))], ids=["empty members", "a bomb"]
)
def test_other_tasks_run_while_a_long_body_is_decoded(members: int, content: bytes) -> None:
    """A few kilobytes may decode to megabytes, or take long to decode to nothing."""
    data = gzip.compress(content, mtime=0) * members
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def decoding() -> bytes:
        other = asyncio.create_task(others())
        body, decoder = BytesIO(), Decoder("gzip", None)
        await decode_into(body, decoder, data)
        other.cancel()
        decoder.finish()
        return body.getvalue()

    assert asyncio.run(decoding()) == content
    assert turns >= 2


@pytest.mark.parametrize(("seconds", "pieces_between"), [(0.0, 0), (0.004, 3), (0.006, 2), (0.011, 1)])
def test_a_pause_comes_after_a_hundredth_of_a_second(
    monkeypatch: pytest.MonkeyPatch, seconds: float, pieces_between: int
) -> None:
    """Whatever was decoded in it."""
    now = 100.0

    def clock() -> float:
        nonlocal now
        now += seconds
        return now

    monkeypatch.setattr(decoding, "monotonic", clock)
    data, body, pauses = gzip.compress(bytes(2_000_000), mtime=0), BytesIO(), 0
    pieces = len(list(Decoder("gzip", None).pieces(data)))
    work = decode_into(body, Decoder("gzip", None), data)
    with pytest.raises(StopIteration):
        while True:
            work.send(None)
            pauses += 1
    assert pieces > 6
    assert pauses == (pieces // pieces_between if pieces_between else 0)
    assert body.getvalue() == bytes(2_000_000)


def test_a_body_without_a_coding_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind what was there."""
    monkeypatch.setattr(decoding, "monotonic", None)
    body = BytesIO()
    for data in (b"ab", b"c"):
        with pytest.raises(StopIteration):
            decode_into(body, Decoder(None, None), data).send(None)
    assert body.getvalue() == b"abc"


def test_a_timeout_ends_the_decoding() -> None:
    """A cancellation arrives in one of the pauses."""

    async def decoding() -> None:
        data = gzip.compress(b"", mtime=0) * 200_000
        await asyncio.wait_for(decode_into(BytesIO(), Decoder("gzip", None), data), timeout=0.05)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(decoding())
