"""What a layer is, and how layers are put around a handler.

A **handler** is a function `(request, call) -> Plan[Outcome]`. A **layer** is a generator function
`(proceed, request, call) -> Plan[Outcome]` around a handler. It may answer without proceeding, proceed
several times, or change what it passes on; it holds what it holds in a `finally`, and knows nothing of
its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MethodType
from typing import Protocol

from ..http.messages import HttpRequest
from .call import Call
from .effects import Outcome, Plan

__all__ = ["Handler", "Layer", "compose"]

Handler = Callable[[HttpRequest, Call], Plan[Outcome]]


class Layer(Protocol):
    """One concern of a call."""

    def __call__(self, proceed: Handler, request: HttpRequest, call: Call) -> Plan[Outcome]: ...


def compose(layers: Sequence[Layer | None], handler: Handler) -> Handler:
    """`handler` with the layers around it, the first one outermost; those that are None are left out.

    A bound method that is bound once more is entered without a step of Python's own in between, sooner than by `partial`.
    """
    for layer in reversed(layers):
        if layer is not None:
            handler = MethodType(layer.__call__, handler)
    return handler
