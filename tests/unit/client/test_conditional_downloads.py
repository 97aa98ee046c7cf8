"""Downloads under a condition of the caller's: only if the file has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from http_service_client import ConnectionLostError, HttpResponse, HttpStatusError
from http_service_client.errors import Failure, SentState
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd
from kit.streaming import StreamingTransport

URL = "https://api.example.com/file"
CONDITIONS = {"If-None-Match": '"v1"', "If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}
NOT_MODIFIED = HttpResponse(304, headers={"ETag": '"v1"'})


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_file_that_has_not_changed_stays(front_end: FrontEnd, tmp_path: Path, name: str) -> None:
    """304 is what the condition asked for: no error, no write, no retry, and nothing left beside the file."""
    path = tmp_path / "file"
    path.write_bytes(b"v1")
    transport = ScriptedTransport(NOT_MODIFIED)
    client = front_end.client(transport=transport)
    response = front_end.download(
        client, URL, path, headers={name: CONDITIONS[name]}, checksum="md5:" + "0" * 32
    )
    assert (response.status_code, response.attempts, response.headers["ETag"]) == (304, 1, '"v1"')
    assert path.read_bytes() == b"v1"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_has_changed_is_replaced(front_end: FrontEnd, tmp_path: Path) -> None:
    """200 brings the new version."""
    path = tmp_path / "file"
    path.write_bytes(b"v1")
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200, content=b"v2")))
    response = front_end.download(client, URL, path, headers={"If-None-Match": '"v1"'})
    assert response.status_code == 200
    assert path.read_bytes() == b"v2"


def test_what_can_be_resumed_stays_when_nothing_has_changed(front_end: FrontEnd, tmp_path: Path) -> None:
    """A 304 ends the call and not the download that was interrupted before."""
    path = tmp_path / "file"
    lost = Failure(ConnectionLostError, "lost", SentState.MAYBE_PROCESSED)
    breaking = StreamingTransport(b"half", lost, headers={"ETag": '"v2"'})
    with pytest.raises(ConnectionLostError):
        client = front_end.client(transport=breaking, enable_retry_policy=False)
        front_end.download(client, URL, path, resume=True)
    client = front_end.client(
        transport=ScriptedTransport(
            [
                NOT_MODIFIED,
                HttpResponse(206, headers={"Content-Range": "bytes 4-7/8", "ETag": '"v2"'}, content=b"half"),
            ]
        )
    )
    response = front_end.download(client, URL, path, resume=True, headers={"If-None-Match": '"v1"'})
    assert response.status_code == 304
    assert front_end.download(client, URL, path, resume=True).status_code == 206
    assert path.read_bytes() == b"halfhalf"


@pytest.mark.parametrize(("status", "headers"), [(304, {}), (412, {"If-Match": '"v0"'}), (204, CONDITIONS)])
def test_other_statuses_without_a_file_are_errors(
    front_end: FrontEnd, tmp_path: Path, status: int, headers: dict[str, str]
) -> None:
    """A 304 that nobody asked for and a failed precondition leave the caller without the file."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(status)))
    with pytest.raises(HttpStatusError) as caught:
        front_end.download(client, URL, tmp_path / "file", headers=headers)
    assert caught.value.status_code == status
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (201, "201 Created"),
        (204, "204 No Content"),
        (207, "207 Multi-Status"),
        (305, "305 Use Proxy"),
        (399, "399"),
    ],
)
@pytest.mark.parametrize("headers", [{}, CONDITIONS], ids=["", "conditional"])
def test_the_error_of_a_response_without_a_file_says_so(
    front_end: FrontEnd, tmp_path: Path, status: int, shown: str, headers: dict[str, str]
) -> None:
    """Of all successes, only 200 and 206 bring one; its query may be secret."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(status)))
    with pytest.raises(
        HttpStatusError, match=rf"^GET {URL}\?key=\*\*\* answered {shown}: there is nothing to save$"
    ):
        front_end.download(client, f"{URL}?key=s3cret", tmp_path / "file", headers=headers)
    assert os.listdir(tmp_path) == []
