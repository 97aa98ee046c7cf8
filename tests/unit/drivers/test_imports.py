"""Imports on a thread apart."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from http_service_client.drivers import imports
from kit.forks import in_a_child, needs_fork
from kit.threads import wait_until

CALLER = """
from http_service_client.drivers.imports import import_apart
import importlib
import_apart(lambda: importlib.import_module("hsc_imports_itself"))
is_loaded = True
"""


def test_a_module_that_makes_a_call_while_it_is_imported_does_not_wait_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other thread needs the module whose import lock this thread holds, as with an import hook of `requests`."""
    (tmp_path / "hsc_imports_itself.py").write_text(CALLER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "_PATIENCE", 0.01)
    monkeypatch.setattr(imports, "_DONE", set())
    importing = threading.Thread(target=importlib.import_module, args=("hsc_imports_itself",), daemon=True)
    importing.start()
    importing.join(10)
    assert not importing.is_alive()
    assert sys.modules.pop("hsc_imports_itself").is_loaded


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has imported nothing."""
    monkeypatch.setattr(imports, "_DONE", set())


@pytest.mark.usefixtures("fresh")
def test_each_loader_runs_once_in_order_and_on_another_thread() -> None:
    """No exception of a signal handler can interrupt it there."""
    ran: list[tuple[str, bool]] = []
    caller = threading.get_ident()

    def loader(name: str) -> imports.Loader:
        return lambda: ran.append((name, threading.get_ident() == caller))

    one, two, three = map(loader, ("one", "two", "three"))
    imports.import_apart(one, two)
    imports.import_apart(two, three)
    imports.import_apart(one, three)
    assert ran == [("one", False), ("two", False), ("three", False)]


@pytest.mark.usefixtures("fresh")
def test_what_is_imported_needs_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call asks for its imports, and a thread takes longer than all the rest of one."""

    def load() -> None:
        pass

    imports.import_apart(load)
    monkeypatch.setattr(imports, "_THREADS", None)
    imports.import_apart(load)


@pytest.mark.usefixtures("fresh")
def test_an_import_that_fails_is_raised_and_tried_again() -> None:
    """What was imported before it counts; what would have come after it does not."""
    ran: list[str] = []

    def failing() -> None:
        ran.append("failing")
        if ran.count("failing") == 1:
            raise ImportError("not yet")

    def loader(name: str) -> imports.Loader:
        return lambda: ran.append(name)

    before, after = loader("before"), loader("after")
    with pytest.raises(ImportError, match="not yet"):
        imports.import_apart(before, failing, after)
    imports.import_apart(before, failing, after)
    assert ran == ["before", "failing", "failing", "after"]


@pytest.mark.usefixtures("fresh")
def test_a_call_during_an_import_imports_what_it_needs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a finalizer on the importing thread: another thread may be waiting for this one."""
    threads: list[int] = []

    def inner() -> None:
        threads.append(threading.get_ident())

    def outer() -> None:
        threads.append(threading.get_ident())
        monkeypatch.setattr(imports._THREADS, "start", None)
        imports.import_apart(inner)

    imports.import_apart(outer)
    assert len(threads) == 2
    assert threads[0] == threads[1] != threading.get_ident()
    assert not imports._IMPORTING


@pytest.mark.usefixtures("fresh")
def test_an_import_that_hangs_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, once: two threads that wait for each other would wait for ever."""
    monkeypatch.setattr(imports, "_PATIENCE", 0.01)
    may_end, ran = threading.Event(), list[int]()
    caller = threading.get_ident()

    def loader() -> None:
        ran.append(threading.get_ident())
        if threading.get_ident() != caller:
            may_end.wait(5)

    imports.import_apart(loader)
    may_end.set()
    assert ran.count(caller) == 1
    wait_until(lambda: len(ran) == 2)  # the other thread may begin later than that


@needs_fork
@pytest.mark.usefixtures("fresh")
def test_a_fork_waits_for_an_import_on_another_thread() -> None:
    """Or the child, which has no such thread, would wait for the module for ever: its lock is inherited, too."""
    has_begun, imported = threading.Event(), list[str]()

    def loader() -> None:
        has_begun.set()
        wait_until(lambda: imports._IMPORTS._forks)
        imported.append("module")

    importing = threading.Thread(target=imports.import_apart, args=(loader,), daemon=True)
    importing.start()
    assert has_begun.wait(20)

    def child() -> None:
        assert imported == ["module"]

    assert in_a_child(child) == 0
    importing.join(20)
    assert not importing.is_alive()
