"""Repairs the responses of mocks, which differ from those of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from ...http.content_codings.decoder import is_encoded

__all__ = ["MockedResponse", "without_false_coding"]


async def without_false_coding(response: aiohttp.ClientResponse) -> MockedResponse:
    """The response, read whole, without the Content-Encoding of a body that is decoded.

    vcrpy records what aiohttp decoded, and keeps the header.
    """
    content = await response.read()
    headers = CIMultiDict(response.headers)
    if not is_encoded(", ".join(headers.getall("Content-Encoding")), content):
        del headers["Content-Encoding"]
    return MockedResponse(response, CIMultiDictProxy(headers), content)


class MockedResponse:
    """A response of a mock: the part of `aiohttp.ClientResponse` that the transport uses."""

    raw_headers = None

    def __init__(
        self, response: aiohttp.ClientResponse, headers: CIMultiDictProxy[str], content: bytes
    ) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = headers
        self.content = _WholeBody(content)

    def close(self) -> None:
        """Nothing: it has no connection."""


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
