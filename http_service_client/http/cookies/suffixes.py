"""Public suffixes: domains below which strangers have names, such as ``co.uk`` and ``github.io`` (publicsuffix.org).

The list comes with publicsuffixlist, an optional library (extra `publicsuffix`). Without it, the jar knows registries by
their shape alone.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Any

__all__ = ["is_public_suffix", "load_suffixes"]


@lru_cache(maxsize=1)
def _known() -> Any:
    """The list, which takes some 40 ms to read, or None if its library is not installed."""
    try:
        return import_module("publicsuffixlist").PublicSuffixList()
    except ImportError:
        return None


def load_suffixes() -> None:
    """Read the list now, so that the first cookie need not."""
    _known()


def is_public_suffix(domain: str) -> bool:
    """Whether the list has the domain, in its ASCII form; False without the library."""
    known = _known()
    return known is not None and bool(known.is_public(domain))
