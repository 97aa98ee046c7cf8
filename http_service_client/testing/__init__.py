"""The public test kit: a server that misbehaves on a script, a network that is a script, a virtual clock.

Nothing here imports requests or aiohttp.
"""

from __future__ import annotations

from .actions import (
    Action,
    Exchange,
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
from .clock import VirtualClock
from .mocks import mend_aioresponses
from .scripted_transport import Late, Script, Scripted, ScriptedTransport, Sent, late
from .server import LoopbackServer

__all__ = [
    "Action",
    "Exchange",
    "Late",
    "LoopbackServer",
    "Received",
    "Script",
    "Scripted",
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
