"""The default of keywords for which None means "no limit" or "none"."""

from __future__ import annotations

from typing import Any

__all__ = ["CLIENT_DEFAULT"]


class _ClientDefault:
    def __repr__(self) -> str:
        return "<the client's>"

    def __reduce__(self) -> str:
        return "CLIENT_DEFAULT"


CLIENT_DEFAULT: Any = _ClientDefault()
"""The default of a keyword that falls back to the client's own setting."""
