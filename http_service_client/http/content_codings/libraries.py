"""The libraries for br and zstd. Each of them is optional.

`compression.zstd` comes with Python 3.14; `backports.zstd` has the same interface. brotlicffi is brotli for
PyPy. Each name is written out, so that a text search and the test of imports find it here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["load"]

_LIBRARIES: dict[str, Callable[[], Any]] = {
    "brotli": lambda: import_module("brotli"),
    "brotlicffi": lambda: import_module("brotlicffi"),
    "compression.zstd": lambda: import_module("compression.zstd"),
    "backports.zstd": lambda: import_module("backports.zstd"),
    "zstandard": lambda: import_module("zstandard"),
}


def load(name: str) -> Any:
    """The library, or None if it is not installed."""
    try:
        return _LIBRARIES[name]()
    except ImportError:
        return None
