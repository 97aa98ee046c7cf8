"""A response as aiohttp's session expects it from its own parser."""

from __future__ import annotations

from aiohttp import HttpVersion
from multidict import CIMultiDict, CIMultiDictProxy

from ...http.http1.fast_path import FastHead
from ...http.http1.head import Head

__all__ = ["Message"]


class Message:
    """The head of a response.

    head: as it was parsed.
    """

    __slots__ = ("code", "head", "headers", "reason")

    def __init__(self, head: Head | FastHead) -> None:
        self.head = head
        self.code = head.status
        self.reason = head.reason
        self.headers = CIMultiDictProxy(CIMultiDict(head))

    @property
    def version(self) -> HttpVersion:
        """Of HTTP."""
        major, minor = self.head.version.split(b".")
        return HttpVersion(int(major), int(minor))

    @property
    def raw_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Names and values."""
        return tuple(self.head.raw_fields())
