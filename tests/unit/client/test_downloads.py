"""`download` and `download_async`: how large a file may be. What connections do to it: tests/network/test_downloads.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, HttpResponse, ResponseTooLargeError
from http_service_client.auth import Bearer
from http_service_client.testing import ScriptedTransport, VirtualClock
from kit.front_ends import FrontEnd
from kit.streaming import ScriptedSource, StreamingTransport

URL = "https://api.example.com/file"
SIZE = 200


def pieces(size: int, count: int) -> list[bytes]:
    """So many bytes, in so many pieces."""
    content = bytes(index % 251 for index in range(size))
    step = -(-size // count)
    return [content[at : at + step] for at in range(0, size, step)]


@pytest.mark.parametrize("count", [1, 2, 200])
@pytest.mark.parametrize("is_of_the_call", [False, True], ids=["of the client", "of the call"])
def test_a_file_of_exactly_max_response_size_is_saved(
    front_end: FrontEnd, tmp_path: Path, count: int, is_of_the_call: bool
) -> None:
    """The limit is the largest size that is allowed."""
    body = pieces(SIZE, count)
    client = front_end.client(
        transport=StreamingTransport(*body), max_response_size=1 if is_of_the_call else SIZE
    )
    options = {"max_response_size": SIZE} if is_of_the_call else {}
    front_end.download(client, URL, tmp_path / "file", **options)
    assert (tmp_path / "file").read_bytes() == b"".join(body)


@pytest.mark.parametrize("count", [1, 2, 201])
def test_a_file_of_one_byte_more_is_refused(front_end: FrontEnd, tmp_path: Path, count: int) -> None:
    """And leaves nothing behind."""
    client = front_end.client(transport=StreamingTransport(*pieces(SIZE + 1, count)), max_response_size=SIZE)
    with pytest.raises(ResponseTooLargeError, match=f"max_response_size \\({SIZE} bytes\\)"):
        front_end.download(client, URL, tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_download_is_a_get(front_end: FrontEnd, tmp_path: Path) -> None:
    """So it may be repeated."""
    client = front_end.client(
        transport=ScriptedTransport([HttpResponse(503), HttpResponse(200)]), clock=VirtualClock()
    )
    response = front_end.download(client, URL, tmp_path / "file")
    assert response.request is not None
    assert (response.request.method, response.attempts) == ("GET", 2)


@pytest.mark.parametrize(
    ("auth", "sent"), [(None, None), ("token", "Bearer token"), (Bearer(lambda: "made"), "Bearer made")]
)
def test_a_download_has_the_credentials_of_its_client(
    front_end: FrontEnd, tmp_path: Path, auth: Any, sent: str | None
) -> None:
    """A header, or those of a flow."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)), auth=auth)
    response = front_end.download(client, URL, tmp_path / "file")
    assert response.request is not None
    assert response.request.headers.get("Authorization") == sent


@pytest.mark.parametrize("resume", [0, 1, "yes", None])
def test_whether_to_resume_is_a_switch(front_end: FrontEnd, tmp_path: Path, resume: Any) -> None:
    """Nothing is sent, and no file is made."""
    transport = ScriptedTransport(HttpResponse(200))
    client = front_end.client(transport=transport)
    with pytest.raises(ConfigurationError, match=r"^resume must be True or False"):
        front_end.download(client, URL, tmp_path / "file", resume=resume)
    assert (len(transport.sent), os.listdir(tmp_path)) == (0, [])


def test_a_download_prefers_long_pieces(
    front_end: FrontEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a source that has them, before the first read. A stream does not: its reader may keep each piece."""
    preferred: list[int] = []
    monkeypatch.setattr(
        ScriptedSource,
        "prefer_long_pieces",
        lambda source: preferred.append(len(source._script)),
        raising=False,
    )
    client = front_end.client(transport=StreamingTransport(b"one", b"two"))
    with front_end.stream(client, "GET", URL) as response:
        assert response.read() == b"onetwo"
    assert preferred == []
    front_end.download(client, URL, tmp_path / "file")
    assert preferred == [2]
