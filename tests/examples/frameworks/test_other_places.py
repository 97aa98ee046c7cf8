"""The examples of other places where code makes calls: a test suite, a notebook, a function that is frozen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from examples.frameworks.conftest import Load
from http_service_client.testing import LoopbackServer, respond

FRAMEWORKS = Path(__file__).resolve().parents[3] / "examples" / "frameworks"


def test_the_tests_of_the_example_pass(tmp_path: Path) -> None:
    """In a project of their own, without the settings of this one."""
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(tmp_path), "-c", os.devnull]
    path = os.pathsep.join(filter(None, sys.path))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(FRAMEWORKS / "test_orders.py")],
        env={**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


def test_the_notebook_runs(stock: LoopbackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a kernel of Jupyter, from top to bottom, without a warning."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("STOCK_URL", stock.url)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    stock.script("*", respond(json={"items": 3}))
    notebook = nbformat.read(FRAMEWORKS / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=100).execute()
    shown: list[Any] = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert [len(outputs) for outputs in shown] == [0, 1, 1, 1, 0]
    assert shown[1][0]["data"]["text/plain"] == "{'items': 3}"
    assert shown[2][0]["text"].startswith("GET http://127.0.0.1")
    assert shown[3][0]["data"]["text/plain"] == "20"


class Context:
    """Of Lambda. left: milliseconds."""

    def __init__(self, left: int = 10_000) -> None:
        self.left = left

    def get_remaining_time_in_millis(self) -> int:
        return self.left


EVENT = {"pathParameters": {"order": "7"}}


@pytest.fixture
def function(load: Load, stock: LoopbackServer) -> Any:
    """The module of the function."""
    module = load("aws_lambda")
    yield module
    module.stock.close()


def test_a_function_that_was_frozen_opens_a_new_connection(function: Any, stock: LoopbackServer) -> None:
    """Its old one is dead, though no time seems to have passed; without a pause the connection is kept."""
    stock.script("/items/7", respond(json={"items": 3}))
    for frozen_for in (0.0, 0.0, 3600.0):
        function._last_event_at -= frozen_for
        answer = function.handler(EVENT, Context())
        assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"items": 3})
    assert [request.connection for request in stock.requests] == [1, 1, 2]


def test_a_function_responds_before_its_time_is_over(function: Any, stock: LoopbackServer) -> None:
    """By a 504, a second before Lambda would kill it."""
    stock.script("/items/7", respond(delay=30))
    began = time.monotonic()
    answer = function.handler(EVENT, Context(1200))
    assert answer["statusCode"] == 504
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert time.monotonic() - began < 20


def test_a_bug_is_an_error_of_the_function(function: Any) -> None:
    """Lambda logs it and counts it."""
    function.stock.close()
    with pytest.raises(RuntimeError, match="was closed"):
        function.handler(EVENT, Context())
