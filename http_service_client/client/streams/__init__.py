"""Responses whose body is read as it arrives: in pieces, lines, events or JSON values, or as a file."""

from typing import TYPE_CHECKING

from ...lazy import lazy_names as _lazy_names

if TYPE_CHECKING:
    from .context import AsyncStreamContext as AsyncStreamContext
    from .context import StreamContext as StreamContext
    from .event_source import AsyncEventSource as AsyncEventSource
    from .event_source import EventSource as EventSource
    from .event_source import Listening as Listening
    from .response import AsyncStreamedResponse as AsyncStreamedResponse
    from .response import StreamedResponse as StreamedResponse

if not TYPE_CHECKING:  # a type checker would take `from … import *` for an import of nothing
    __all__ = _lazy_names(
        globals(),
        {
            ".context": "AsyncStreamContext StreamContext",
            ".event_source": "AsyncEventSource EventSource Listening",
            ".response": "AsyncStreamedResponse StreamedResponse",
        },
    )
