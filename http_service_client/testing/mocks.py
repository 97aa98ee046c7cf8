"""What a mocking library lacks to work with the current release of what it mocks."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

__all__ = ["mend_aioresponses"]


def mend_aioresponses() -> bool:
    """Let aioresponses make responses for the installed aiohttp. Once is enough, in ``conftest.py``.

    On aiohttp 3.14 every response of aioresponses 0.7.9 is a TypeError, under any client: it lacks the argument
    `stream_writer`. One of more than 128 KiB is an AssertionError besides: its stream asks a parser, which is not
    there, to pause. Here the class of its responses has a default, and its streams never ask.

    Returns whether aioresponses needs that: when it no longer does, this does nothing and the call may go.
    Raises ModuleNotFoundError where aioresponses is not installed.
    """
    core: Any = importlib.import_module("aioresponses.core")
    if _can_respond(core):
        return hasattr(core.ClientResponse, "is_mended")
    core.ClientResponse = _with_stream_writer(core.ClientResponse)
    core.stream_reader_factory = _endless_stream
    return True


def _with_stream_writer(response_class: Any) -> Any:
    class MockedResponse(response_class):  # type: ignore[misc]  # whatever class aioresponses makes
        """aiohttp's response to a request that was never written to a stream."""

        is_mended = True

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*arguments, **options)

    return MockedResponse


def _endless_stream(loop: Any = None) -> Any:
    """A stream that takes any number of bytes before it asks for a pause."""
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
