"""What a mocking library lacks to work with the current release of what it mocks."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

__all__ = ["mend_aioresponses"]


def mend_aioresponses() -> bool:
    """Let aioresponses make responses for the installed aiohttp. Once is enough, in ``conftest.py``.

    aiohttp 3.14 wants a `stream_writer` for each response, which aioresponses 0.7.9 does not give: every
    mocked response is a TypeError, under any client. Here its class of responses gets a default for it.

    Returns whether aioresponses needs that: when it no longer does, this does nothing and the call may go.
    Raises ModuleNotFoundError where aioresponses is not installed.
    """
    core: Any = importlib.import_module("aioresponses.core")
    if _can_respond(core):
        return hasattr(core.ClientResponse, "is_mended")
    core.ClientResponse = _with_stream_writer(core.ClientResponse)
    return True


def _with_stream_writer(response_class: Any) -> Any:
    class MockedResponse(response_class):  # type: ignore[misc]  # whatever class aioresponses makes
        """aiohttp's response to a request that was never written to a stream."""

        is_mended = True

        def __init__(self, *arguments: Any, **options: Any) -> None:
            options.setdefault("stream_writer", SimpleNamespace(output_size=0))
            super().__init__(*arguments, **options)

    return MockedResponse


def _can_respond(core: Any) -> bool:
    url = core.URL("http://localhost")
    try:
        core.RequestMatch(url)._build_response(url)
    except TypeError:
        return False
    return True
