"""What `progress` may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from http_service_client import ConfigurationError, ConnectionLostError, HttpResponse
from http_service_client.client.progress_bar import ProgressBar, parse_progress
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


async def awaited(done: int, total: int | None) -> None: ...


class Awaited:
    async def __call__(self, done: int, total: int | None) -> None: ...


@pytest.mark.parametrize("progress", [awaited, Awaited()], ids=["function", "object"])
def test_the_progress_of_an_upload_is_plain(front_end: FrontEnd, progress: Any) -> None:
    """It is called between two writes, where nothing can be awaited."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    with pytest.raises(ConfigurationError, match="progress of an upload must be a plain function, not async"):
        front_end.request(client, "POST", URL, data=b"abc", progress=progress)
    assert parse_progress(progress, may_be_async=True) is progress


def test_so_is_that_of_an_upload_whose_response_is_streamed(front_end: FrontEnd, tmp_path: Path) -> None:
    """Only what a download receives is reported where something can be awaited, and only that is."""
    response = HttpResponse(200, content=b"received")
    client = front_end.client(transport=ScriptedTransport([response] * 2))
    calls: list[Any] = []

    def note(*at: Any) -> None:
        calls.append(at)

    with (
        pytest.raises(ConfigurationError, match="progress of an upload must be a plain function, not async"),
        front_end.stream(client, "POST", URL, data=b"abc", progress=awaited),
    ):
        pass
    with front_end.stream(client, "POST", URL, data=b"abc", progress=note):
        assert calls == [(0, 3), (3, 3)]
    front_end.download(client, URL, tmp_path / "file", data=b"abc", progress=note)
    assert calls[2:] == [(8, None)]


@pytest.mark.parametrize("progress", ["", " \x1b", 5, b"label", ["label"]])
def test_other_values_are_refused(front_end: FrontEnd, progress: Any, tmp_path: Path) -> None:
    """A label must have something to print."""
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    with pytest.raises(
        ConfigurationError, match="progress must be a function of two numbers, True or a label"
    ):
        front_end.request(client, "POST", URL, data=b"abc", progress=progress)
    with pytest.raises(ConfigurationError, match="progress must be"):
        front_end.download(client, URL, tmp_path / "file", progress=progress)


def test_true_is_a_bar_without_a_label(front_end: FrontEnd, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the whole body."""
    pytest.importorskip("tqdm")
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200)))
    front_end.request(client, "POST", URL, data=b"x" * 1024, progress=True)
    assert "\r100%" in capsys.readouterr().err


def test_a_label_stands_before_the_bar(
    front_end: FrontEnd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of an upload and of a download. It cannot steer the terminal."""
    pytest.importorskip("tqdm")
    client = front_end.client(transport=ScriptedTransport(HttpResponse(200, content=b"x" * 2048)))
    front_end.request(client, "POST", URL, data=b"x" * 1024, progress="orders\x1b[2J")
    front_end.download(client, URL, tmp_path / "file", progress="report.bin")
    drawn = capsys.readouterr().err
    assert "orders [2J: 100%" in drawn
    assert "report.bin: 2.00kB" in drawn


def test_each_attempt_starts_the_bar_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own total and its own time; a report of the same bytes is of the same attempt."""
    tqdm = pytest.importorskip("tqdm").tqdm
    bar = ProgressBar("report")
    bar(8, 10)
    (drawn,) = tqdm._instances
    began = drawn.start_t
    monkeypatch.setattr(drawn, "_time", lambda: began + 100.0)
    bar(8, 10)
    assert (drawn.n, drawn.total, drawn.start_t) == (8, 10, began)
    bar(2, 9)
    assert (drawn.n, drawn.total, drawn.start_t) == (2, 9, began + 100.0)
    bar.close()


def test_units_are_binary(capsys: pytest.CaptureFixture[str]) -> None:
    """As those of files are in most places."""
    pytest.importorskip("tqdm")
    bar = ProgressBar("report")
    bar(9 * 1024**4, 9 * 1024**4)
    bar.close()
    assert "9.00T/9.00T" in capsys.readouterr().err


@pytest.mark.parametrize("ends", ["completed", "failed"])
def test_bars_at_a_time_have_a_line_each(
    front_end: FrontEnd, tmp_path: Path, ends: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And one that has ended, whatever its end, leaves its line to the next."""
    tqdm = pytest.importorskip("tqdm").tqdm
    end = HttpResponse(200) if ends == "completed" else ConnectionResetError()
    client = front_end.client(transport=ScriptedTransport(end), enable_retry_policy=False)
    outer, other = ProgressBar("outer"), ProgressBar("other")
    outer(1, 10)
    for _ in range(2):
        try:
            front_end.request(client, "POST", URL, data=b"x" * 10, progress="inner")
        except ConnectionLostError:
            pass
        other(1, 10)
    other.close()
    outer.close()
    assert not tqdm._instances
    assert "\n\rinner" in capsys.readouterr().err  # one line below the outer one
