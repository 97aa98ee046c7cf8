"""What exchanges through aiohttp use of it, beside what it documents, and what if a part of that is gone.

Only exchanges that a library has hooked into go through aiohttp (see `hook_detection`). Our own parser reads their responses, and
writes them out again for aiohttp's; a middleware turns the errors after which aiohttp would send a request again into one
after which it does not.

    without              what is missing                                what follows
    SEES_CONNECTIONS     the session gets its connections by            nobody sees the socket before the request is sent: calls
                         `TCPConnector.connect`                         under an egress policy, and SOCKS proxies, are refused.
                                                                        aiohttp's parser reads the responses alone: faults have no
                                                                        rule, and none is tolerated
    KEEPS_ALIVE          a connection reports the end of its exchange,  each connection serves one exchange
                         and can be kept from being used again
    MAKES_SOCKETS        `socket_factory`, which is documented          SOCKS proxies, Unix sockets, and options of sockets are
                                                                        refused
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import aiohttp

from ...compatibility import SeamNotice, names_in, parameters_of

__all__ = ["AIOHTTP", "KEEPS_ALIVE", "MAKES_SOCKETS", "SEES_CONNECTIONS"]


# Each is None if it is gone.
_Connection: Any = None
_ResponseHandler: Any = None
try:
    from aiohttp.connector import Connection as _Connection
except ImportError:
    pass
try:
    from aiohttp.client_proto import ResponseHandler as _ResponseHandler
except ImportError:
    pass


def _has(owner: Any, *names: str) -> bool:
    return all(hasattr(owner, name) for name in names)


# Whether the session gets its connections by `connect`, which ours replaces.
SEES_CONNECTIONS = (
    "connect" in names_in(sys.modules[aiohttp.ClientSession.__module__])
    and _has(aiohttp.TCPConnector, "connect")
    and _has(_Connection, "transport", "close")
)
# Whether a connection reports the end of its exchange, and can be kept from being used again.
KEEPS_ALIVE = (
    SEES_CONNECTIONS
    and _has(_Connection, "add_callback", "protocol")
    and _has(_ResponseHandler, "force_close", "should_close")
    and "should_close" in names_in(sys.modules[_Connection.__module__])
)

# Whether the sockets of connections can be made here. It is documented.
MAKES_SOCKETS = "socket_factory" in parameters_of(aiohttp.TCPConnector)


def _gone() -> Iterator[str]:
    """The parts that are not as expected."""
    if not SEES_CONNECTIONS:
        yield "TCPConnector.connect"
    elif not KEEPS_ALIVE:
        yield "Connection.add_callback"
    if not MAKES_SOCKETS:
        yield "TCPConnector(socket_factory=...)"


def _effect() -> str:
    refused = ["SOCKS proxies"]
    if not MAKES_SOCKETS:
        refused.append("Unix sockets, and options of sockets")
    if not SEES_CONNECTIONS:
        refused.append("calls under an egress policy")
    effects = [] if KEEPS_ALIVE else ["each request has a new connection"]
    if not (MAKES_SOCKETS and SEES_CONNECTIONS):
        effects.append(f"{', '.join(refused)} are refused")
    return f"in asyncio calls that another library has hooked into, {'; '.join(effects)}"


AIOHTTP = SeamNotice("aiohttp", aiohttp.__version__, _gone(), _effect())
