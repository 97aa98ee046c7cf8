"""Content codings on real connections: labels that are no codings, errors that keep their response, one call's switch."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from http_service_client import (
    ConfigurationError,
    DecodingError,
    HttpServiceClient,
    SentState,
    TransportError,
)
from http_service_client.http.content_codings import codecs
from http_service_client.testing import LoopbackServer, respond
from kit.front_ends import FrontEnd

PACKED = gzip.compress(b"plain" * 20_000, mtime=0)
BROKEN = PACKED[:-4] + b"junk"


@pytest.fixture
def front_end(each_path: FrontEnd) -> FrontEnd:
    """Both front ends, and asyncio once more through aiohttp."""
    return each_path


def warm(front_end: FrontEnd, client: HttpServiceClient, server: LoopbackServer, is_warm: bool) -> None:
    """Leave an idle connection, on which asyncio reads a response in another way."""
    if is_warm:
        server.script("/warm", respond(204))
        front_end.request(client, "GET", server.url + "/warm")


@pytest.mark.parametrize("coding", ["UTF-8", "none", "aws-chunked", "rot13"])
def test_a_body_in_no_known_coding_is_returned_as_it_came(
    front_end: FrontEnd, server: LoopbackServer, coding: str
) -> None:
    """The header stays, the request is sent once, and the circuit counts a success."""
    server.script("/", respond(201, body=b'{"id":1}', headers={"Content-Encoding": coding}))
    response = front_end.request(front_end.client(), "POST", server.url + "/", json={})
    assert (response.status_code, response.json()) == (201, {"id": 1})
    assert response.headers["Content-Encoding"] == coding
    assert len(server.received("/")) == 1


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("size", [len(BROKEN), 300_000])
def test_a_body_that_cannot_be_decoded_is_kept_in_the_error(
    front_end: FrontEnd, server: LoopbackServer, is_warm: bool, size: int
) -> None:
    """The server has answered: nothing is sent again, and the error has the response, its bytes as they arrived."""
    broken = BROKEN + b"x" * (size - len(BROKEN))
    client = front_end.client()
    warm(front_end, client, server, is_warm)
    server.script("/", respond(201, body=broken, headers={"Content-Encoding": "gzip", "X-Payment": "7"}))
    with pytest.raises(DecodingError) as caught:
        front_end.request(client, "GET", server.url + "/")
    error = caught.value
    assert error.sent_state is SentState.ANSWERED
    assert error.response is not None
    assert (error.response.status_code, error.response.headers["X-Payment"]) == (201, "7")
    assert error.response.content == broken
    assert not isinstance(error, TransportError)
    assert len(server.received("/")) == 1


def test_a_body_that_cannot_be_decoded_is_no_evidence(front_end: FrontEnd, server: LoopbackServer) -> None:
    """However many there are, the circuit stays closed for a service that answers."""
    server.script("/", respond(body=BROKEN, headers={"Content-Encoding": "gzip"}))
    server.script("/ok", respond(204))
    client = front_end.client()
    for _ in range(8):
        with pytest.raises(DecodingError):
            front_end.request(client, "GET", server.url + "/")
    assert front_end.request(client, "GET", server.url + "/ok").status_code == 204


@pytest.mark.parametrize("is_warm", [False, True])
def test_a_coding_whose_library_is_missing_keeps_the_body(
    front_end: FrontEnd, server: LoopbackServer, is_warm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, so the caller can decode it; the message names the library."""
    monkeypatch.setattr(codecs, "_optional", lambda name: None)
    body = bytes(range(256)) * 1000
    client = front_end.client()
    warm(front_end, client, server, is_warm)
    server.script("/", respond(body=body, headers={"Content-Encoding": "br"}))
    with pytest.raises(DecodingError, match=r"is 'br'; install brotli 1\.2 or later to decode it") as caught:
        front_end.request(client, "GET", server.url + "/")
    assert caught.value.response is not None
    assert caught.value.response.content == body


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize("default", [False, True])
def test_one_call_can_switch_decompression(
    front_end: FrontEnd, server: LoopbackServer, is_warm: bool, default: bool, tmp_path: Path
) -> None:
    """`decompress` overrides the client's setting for a request, a stream and a download, redirects included."""
    packed = gzip.compress(b"plain", mtime=0)
    server.script("/", respond(body=packed, headers={"Content-Encoding": "gzip"}))
    server.script("/from", respond(307, headers={"Location": "/"}))
    client = front_end.client(enable_response_decompression=default)
    warm(front_end, client, server, is_warm)
    expected = packed if default else b"plain"
    for path in ("/", "/from"):
        assert front_end.request(client, "GET", server.url + path, decompress=not default).content == expected
    with front_end.stream(client, "GET", server.url + "/", decompress=not default) as response:
        assert response.read() == expected
    front_end.download(client, server.url + "/", tmp_path / "file", decompress=not default)
    assert (tmp_path / "file").read_bytes() == expected
    assert front_end.request(client, "GET", server.url + "/").content == (b"plain" if default else packed)


def test_the_switch_is_true_or_false(front_end: FrontEnd, server: LoopbackServer) -> None:
    """Anything else is an error before anything is sent."""
    with pytest.raises(ConfigurationError, match="decompress must be True or False, not 'no'"):
        front_end.request(front_end.client(), "GET", server.url + "/", decompress="no")
    assert server.requests == []


LOG = gzip.compress(b"a line of a log\n" * 100)


@pytest.mark.parametrize(
    ("content_range", "sent", "expected"),
    [
        (f"bytes 10-29/{len(LOG)}", LOG[10:30], LOG[10:30]),
        (f"bytes 0-9/{len(LOG)}", LOG[:10], LOG[:10]),
        (f"bytes 0-{len(LOG) - 1}/*", LOG, LOG),
        (f"bytes 0-{len(LOG) - 1}/{len(LOG)}", LOG, gzip.decompress(LOG)),
    ],
    ids=["in the middle", "the beginning", "of unknown length", "all of it"],
)
@pytest.mark.parametrize("way", ["on a new connection", "on an idle one", "streamed"])
def test_a_part_of_a_coded_body_is_returned_as_it_came(
    front_end: FrontEnd,
    server: LoopbackServer,
    content_range: str,
    sent: bytes,
    expected: bytes,
    way: str,
) -> None:
    """Stores send a part of a gzip object though identity was asked for. It is not corrupt, but no whole either."""
    headers = {"Content-Encoding": "gzip", "Content-Range": content_range}
    server.script("/", respond(206, headers=headers, body=sent))
    client = front_end.client()
    asked = {"Range": "bytes=0-"}
    warm(front_end, client, server, way == "on an idle one")
    if way == "streamed":
        with front_end.stream(client, "GET", server.url + "/", headers=asked) as response:
            assert b"".join(response.iter_bytes()) == expected
    else:
        assert front_end.request(client, "GET", server.url + "/", headers=asked).content == expected
