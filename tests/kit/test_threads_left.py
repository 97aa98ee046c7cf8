"""The check for threads that outlive their test knows them on this Python."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parent.parent / "conftest.py"


def test_a_thread_of_a_test_is_known(pytestconfig: pytest.Config) -> None:
    """By its function, which Python does not document; a thread of anything else is none of ours."""
    (checks,) = (
        plugin
        for plugin in pytestconfig.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(CONFTEST)
    )
    is_over = threading.Event()

    def work() -> None:
        is_over.wait(20.0)

    ours, other = threading.Thread(target=work), threading.Thread(target=is_over.wait, args=(20.0,))
    for thread in (ours, other):
        thread.start()
    found = [checks._runs_code_of_tests(thread) for thread in (ours, other)]
    is_over.set()
    for thread in (ours, other):
        thread.join()
    assert found == [True, False]
