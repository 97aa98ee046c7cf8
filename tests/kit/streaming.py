"""A network whose response bodies are scripts: pieces, failures and errors, in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from http_service_client.core.open_body import OpenResponse
from http_service_client.core.timeouts import Timeout
from http_service_client.errors import Failure
from http_service_client.http.messages import HttpRequest

__all__ = ["ScriptedSource", "StreamingTransport"]


class ScriptedSource:
    """The body of one response. is_closed: whether its connection was released."""

    def __init__(self, script: tuple[bytes | Failure | BaseException, ...]) -> None:
        self._script = list(script)
        self.is_closed = False

    def read(self, timeout: Timeout) -> bytes | Failure:
        piece = self._script.pop(0) if self._script else b""
        if isinstance(piece, BaseException):
            raise piece
        return piece

    async def read_async(self, timeout: Timeout) -> bytes | Failure:
        await asyncio.sleep(0)
        return self.read(timeout)

    def close(self) -> None:
        self.is_closed = True


class StreamingTransport:
    """Answers each request with 200 and a body of the same script: bytes, a Failure, or an error to raise.

    sources: the bodies so far.
    """

    def __init__(self, *script: bytes | Failure | BaseException, headers: Mapping[str, str] = {}) -> None:
        self._script = script
        self._headers = headers
        self.sources: list[ScriptedSource] = []

    def send(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
        source = ScriptedSource(self._script)
        self.sources.append(source)
        return OpenResponse(
            200, source=source, headers=self._headers, reason_phrase="OK", url=request.url, request=request
        )

    open_response = send

    async def send_async(self, request: HttpRequest, timeout: Timeout) -> OpenResponse:
        return self.send(request, timeout)

    open_response_async: Any = send_async
