"""Responses whose body is in memory: those of mocks, which differ from those of a server, and those that a hook has read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from ....http.content_codings.decoder import is_encoded

__all__ = ["BufferedResponse", "as_unread", "without_false_coding"]


async def as_unread(response: aiohttp.ClientResponse) -> aiohttp.ClientResponse | BufferedResponse:
    """The response, with its body to read.

    A hook may have read it, to log it say, and a body can be read from the connection only once. aiohttp keeps one that
    was read whole by `read`, `text` or `json`.
    """
    if not response.content.total_bytes or not response.content.at_eof():
        return response
    content = await response.read()
    if not content:
        raise RuntimeError(
            "what has hooked into aiohttp has read the body of the response from `content`, which keeps nothing for "
            "others; use `await response.read()` there"
        )
    return BufferedResponse(response, response.headers, content, response.raw_headers)


async def without_false_coding(response: aiohttp.ClientResponse) -> BufferedResponse:
    """The response, read whole, without the Content-Encoding of a body that is decoded.

    vcrpy records what aiohttp decoded, and keeps the header.
    """
    content = await response.read()
    headers = CIMultiDict(response.headers)
    if not is_encoded(", ".join(headers.getall("Content-Encoding")), content):
        del headers["Content-Encoding"]
    return BufferedResponse(response, CIMultiDictProxy(headers), content)


class BufferedResponse:
    """A response that has been read: the part of `aiohttp.ClientResponse` that the transport uses.

    raw_headers: the header fields as they arrived; None for a mock, whose `headers` hold then.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        headers: CIMultiDictProxy[str],
        content: bytes,
        raw_headers: tuple[tuple[bytes, bytes], ...] | None = None,
    ) -> None:
        self.raw_headers = raw_headers
        self.status = response.status
        self.reason = response.reason
        self.headers = headers
        self.content = _WholeBody(content)

    def close(self) -> None:
        """Nothing: it holds no connection."""


class _WholeBody:
    """A body that has been read, for the readers of a stream."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def readany(self) -> bytes:
        """All of it; b"" after that."""
        content, self._content = self._content, b""
        return content

    async def iter_any(self) -> AsyncIterator[bytes]:
        """All of it, in one piece."""
        yield await self.readany()
