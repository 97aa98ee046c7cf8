"""`demo --prometheus PORT`: the evening as Prometheus sees it."""

from __future__ import annotations

import re
import socket
import threading
import urllib.request
from typing import Any

import pytest

from http_service_client import HttpServiceClient
from http_service_client.cli import main
from http_service_client.cli.demo import metrics, play
from http_service_client.cli.demo.metrics import serve_metrics
from kit.fakes import ORIGIN, Harness
from kit.front_ends import FrontEnd
from kit.scrapes import table

pytest.importorskip("prometheus_client")


def scrape(address: str) -> dict[str, Any]:
    from prometheus_client.parser import text_string_to_metric_families

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=20) as response:
        return {family.name: family for family in text_string_to_metric_families(response.read().decode())}


def test_the_server_shows_the_clients_by_their_names(front_end: FrontEnd) -> None:
    """On loopback, as long as the block lasts."""
    harness = Harness(front_end, 200)
    harness.request()
    with serve_metrics({"threads": harness.client}, 0) as address:
        assert table(scrape(address), "http_client_calls") == {
            f"http_client_calls_total{{client=threads,method=GET,service={ORIGIN},status_code=200}}": 1
        }
    with pytest.raises(OSError):
        scrape(address)


class Server:
    """A server that nobody asks, and a diary of what becomes of it."""

    server_port = 4711

    def __init__(self) -> None:
        self.diary: list[str] = []
        self.serving, self._ends = threading.Event(), threading.Event()

    def serve_forever(self, interval: float) -> None:
        self.thread, self.interval = threading.current_thread(), interval
        self.serving.set()
        self._ends.wait(10)
        self.diary.append("ended")

    def shutdown(self) -> None:
        self.diary.append("is to end")
        self._ends.set()

    def server_close(self) -> None:
        self.diary.append("closed")


def test_the_server_works_as_long_as_the_block_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a thread that does not keep the program from ending. Its socket is closed when it has ended."""
    server = Server()
    monkeypatch.setattr(metrics, "make_server", lambda *_, **__: server)
    with HttpServiceClient() as client, serve_metrics({"threads": client}, 0) as address:
        assert address == "http://127.0.0.1:4711/metrics"
        assert server.serving.wait(5)
        assert server.thread.daemon
        assert server.thread.name == "pizzeria-metrics"
        assert server.interval == 0.05  # nobody waits longer for its end
        assert server.diary == []
    assert server.diary == ["is to end", "ended", "closed"]


def test_an_evening_shows_its_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what happens there, while it goes on."""
    seen: list[dict[str, Any]] = []
    report = play.print_report

    def look(*arguments: Any) -> bool:
        (address,) = re.findall(r"at (http://127\.0\.0\.1:\d+/metrics)\.", capsys.readouterr().out)
        seen.append(scrape(address))
        return report(*arguments)

    monkeypatch.setattr(play, "print_report", look)
    assert main(["demo", "--plain", "--orders", "1", "--tempo", "0.01", "--prometheus", "0"]) == 0
    clients = {sample.labels["client"] for sample in seen[0]["http_client_calls"].samples}
    assert clients == {"threads", "tasks"}


def test_a_port_that_is_taken_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, before the evening begins."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--plain", "--orders", "1", "--prometheus", str(port)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: cannot show metrics at port {port} (")
    assert printed.out == ""


@pytest.mark.parametrize("wrong", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser, with its range."""
    assert main(["demo", "--prometheus", wrong]) == 2
    assert "must be a port from 0 to 65535" in capsys.readouterr().err
