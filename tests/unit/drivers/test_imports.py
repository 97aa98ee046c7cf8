"""Imports on a thread apart."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from http_service_client.drivers import imports

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
