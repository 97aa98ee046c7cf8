"""Defaults of keywords: of those for which None means "no limit" or "none", and of several methods."""

from __future__ import annotations

from typing import Any

__all__ = ["CLIENT_DEFAULT", "MAX_LENGTH"]

MAX_LENGTH = 1024 * 1024  # characters of a line or an event


class _ClientDefault:
    def __repr__(self) -> str:
        return "<the client's>"

    def __reduce__(self) -> str:
        return "CLIENT_DEFAULT"


CLIENT_DEFAULT: Any = _ClientDefault()
"""The default of a keyword that falls back to the client's own setting."""
