"""The public test kit: a server that misbehaves on a script, a network that is a script, a clock to turn.

Nothing here imports requests or aiohttp.
"""

from __future__ import annotations

from .clock import VirtualClock
from .mocks import mend_aioresponses
from .scripted_transport import Late, ScriptedTransport, Sent, late
from .server import (
    Action,
    LoopbackServer,
    Received,
    answer,
    drip,
    hang_up,
    raw,
    reset,
    respond,
    stall,
    stall_reading,
)

__all__ = [
    "Action",
    "Late",
    "LoopbackServer",
    "Received",
    "ScriptedTransport",
    "Sent",
    "VirtualClock",
    "answer",
    "drip",
    "hang_up",
    "late",
    "mend_aioresponses",
    "raw",
    "reset",
    "respond",
    "stall",
    "stall_reading",
]
