"""Repairs the responses of mocks, which differ from those of a server.

What is private to aiohttp here: `_cache` and `_raw_headers` of its response.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy

from ...http.content_codings.decoder import is_encoded

__all__ = ["drop_false_coding"]


async def drop_false_coding(response: aiohttp.ClientResponse) -> None:
    """Remove Content-Encoding from a decoded body: vcrpy records what aiohttp decoded, and keeps the header."""
    content = await response.read()
    if not is_encoded(", ".join(response.headers.getall("Content-Encoding")), content):
        headers = CIMultiDict(response.headers)
        del headers["Content-Encoding"]
        response._cache["headers"] = CIMultiDictProxy(headers)  # `response.headers` is read from here
        response._raw_headers = None  # type: ignore[assignment]  # `_fields` then uses `headers`
    loop = asyncio.get_running_loop()
    response.content = aiohttp.StreamReader(BaseProtocol(loop), max(2**16, len(content)), loop=loop)
    response.content.feed_data(content)
    response.content.feed_eof()
