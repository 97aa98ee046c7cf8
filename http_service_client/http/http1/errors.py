"""The errors of received bytes. The transports turn them into failures."""

from __future__ import annotations

from .rules import RULES, Rule

__all__ = ["CutShortError", "NotHttpError"]


class NotHttpError(Exception):
    """The bytes are not a valid HTTP response.

    rule: the rule that they break; None where a library below found the fault.   detail: its words, or "".
    offset: of the first byte at fault, counted from the first byte that arrived after the request; or None.
    excerpt: the bytes up to the fault, for people: short, printable and without secrets.
    """

    def __init__(
        self, rule: Rule | None = None, offset: int | None = None, excerpt: str = "", detail: str = ""
    ) -> None:
        super().__init__(rule, offset, excerpt, detail)
        self.rule = rule
        self.offset = offset
        self.excerpt = excerpt
        self.detail = detail

    def __str__(self) -> str:
        """The fault, as part of a sentence."""
        if self.rule is None:
            return self.detail or "it breaks the rules of HTTP"
        at = "" if self.offset is None else f" at byte {self.offset}"
        shown = f": {self.excerpt}" if self.excerpt else ""
        return f"{self.rule.text} ({self.rule.name}; {self.rule.section}){at}{shown}"


class CutShortError(NotHttpError):
    """The connection ended before the response was complete.   offset: the number of bytes that arrived, or None."""

    def __init__(self, offset: int | None = None) -> None:
        super().__init__(RULES["cut-short"], offset)
