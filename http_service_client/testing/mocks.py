"""Patches for mocking libraries that do not work with the current release of what they mock."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

__all__ = ["mend_aioresponses"]


def mend_aioresponses() -> bool:
    """Make aioresponses work with the installed aiohttp. Call it once, in ``conftest.py``.

    On aiohttp 3.14 every response of aioresponses 0.7.9 is a TypeError, under any client: it lacks the argument
    `stream_writer`. A response of more than 128 KiB is an AssertionError as well: its stream asks a parser that
    does not exist to pause. With this patch the argument has a default, and the streams never ask.

    Returns whether aioresponses needs the patch. If it does not, nothing happens, and the call can be removed.
    Raises ModuleNotFoundError if aioresponses is not installed.
    """
    core: Any = importlib.import_module("aioresponses.core")
    if _can_respond(core):
        return getattr(core.ClientResponse, "is_mended", False)
    core.ClientResponse = _with_stream_writer(core.ClientResponse)
    core.stream_reader_factory = _endless_stream
    return True


def _with_stream_writer(response_class: Any) -> Any:
    class MockedResponse(response_class):  # type: ignore[misc]  # whatever class aioresponses makes
        """aiohttp's response, to a request that was never written to a stream."""

        is_mended = True

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*arguments, **options)

    return MockedResponse


def _endless_stream(loop: Any = None) -> Any:
    """A stream that accepts any number of bytes before it asks for a pause."""
    import aiohttp
    from aiohttp.base_protocol import BaseProtocol

    return aiohttp.StreamReader(BaseProtocol(loop), 2**62, loop=loop)


def _can_respond(core: Any) -> bool:
    url = core.URL("http://localhost")
    try:
        core.RequestMatch(url)._build_response(url, body=bytes(1024 * 1024))
    except (TypeError, AssertionError, AttributeError):
        return False
    return True
