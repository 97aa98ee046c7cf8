"""What the responses of mocks lack to pass for those of a server."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict, CIMultiDictProxy

from ...http.content_codings.decoder import is_encoded

__all__ = ["tell_no_false_coding"]


async def tell_no_false_coding(answer: aiohttp.ClientResponse) -> None:
    """vcrpy records what aiohttp may have decoded, and leaves the name of the coding where it was."""
    content = await answer.read()
    if not is_encoded(", ".join(answer.headers.getall("Content-Encoding")), content):
        headers = CIMultiDict(answer.headers)
        del headers["Content-Encoding"]
        answer._cache["headers"] = CIMultiDictProxy(headers)  # whence `answer.headers` comes
        answer._raw_headers = None  # type: ignore[assignment]  # `_fields` knows
    loop = asyncio.get_running_loop()
    answer.content = aiohttp.StreamReader(BaseProtocol(loop), max(2**16, len(content)), loop=loop)
    answer.content.feed_data(content)
    answer.content.feed_eof()
