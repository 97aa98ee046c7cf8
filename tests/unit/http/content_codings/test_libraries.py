"""The optional libraries of codings, each by its own name."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from http_service_client.http.content_codings.libraries import load


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize("name", ["brotli", "brotlicffi", "compression.zstd", "backports.zstd", "zstandard"])
def test_a_library_is_imported_by_its_name(
    name: str, is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None where it is not installed."""
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name.partition(".")[0], made)
    monkeypatch.setitem(sys.modules, name, made if is_installed else None)  # type: ignore[arg-type]
    assert load(name) is (made if is_installed else None)
