"""What `progress` may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from http_service_client import HttpResponse
from http_service_client.client.progress_bar import parse_progress
from http_service_client.testing import ScriptedTransport
from kit.front_ends import FrontEnd

URL = "https://api.example.com/"


@pytest.mark.parametrize("progress", [None, False])
def test_progress_false_is_no_progress(
    front_end: FrontEnd, progress: bool | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As None: nothing is called and nothing is drawn, for an upload and for a download."""
    transport = ScriptedTransport([HttpResponse(200, content=b"ok")])
    client = front_end.client(transport=transport)
    assert front_end.request(client, "POST", URL, data=b"x", progress=progress).content == b"ok"
    front_end.download(client, URL, tmp_path / "file", progress=progress)
    assert [sent.request.progress for sent in transport.sent] == [None, None]
    assert parse_progress(progress, may_be_async=True) is None
    assert capsys.readouterr().err == ""


def test_a_function_is_called_as_it_is(front_end: FrontEnd) -> None:
    """With the bytes sent and the total."""
    calls: list[Any] = []
    client = front_end.client(transport=ScriptedTransport([HttpResponse(200)]))
    front_end.request(client, "POST", URL, data=b"abc", progress=lambda *at: calls.append(at))
    assert calls == [(0, 3), (3, 3)]
