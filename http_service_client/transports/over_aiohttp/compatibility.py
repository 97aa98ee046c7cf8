"""What the asyncio transport uses of aiohttp beside its documented interface, and what if any of it is gone.

Two connectors do the same work. `connector` is fast; it needs all of `_SEAMS`. `public_connector` needs what aiohttp
documents, and asyncio. It is used as soon as one seam is not as expected.

    promise                               with the seams               without them
    timeouts, phases, sent states         kept                         kept; the write timeout sees bodies in pieces only
    rules and tolerated faults of HTTP    our parser replaces          our parser writes the responses out again for
                                          aiohttp's (`feed_data`)      aiohttp's: slower
    no foreign bytes in a response        kept                         kept
    no silent second request              `_retry_connection`          a middleware turns aiohttp's error into one
                                                                       that it does not retry
    egress policy                         addresses, before connecting the same, by the resolver; both judge the
                                          (`_resolve_host`)            socket's peer too, before a request is sent
    HTTP proxies                          kept                         kept
    SOCKS proxies                         `_wrap_create_connection`    refused
    options and source of sockets         `_wrap_create_connection`    by `MAKES_SOCKETS`; else refused
    an idle connection                    used without the session     used by the session: slower

The public connector has seams of its own, of which aiohttp documents a part. Without `KEEPS_ALIVE`, each connection serves
one exchange. Without `SEES_CONNECTIONS`, nobody sees the socket before the request is sent, so an egress policy cannot be
kept: calls of a client that has one are refused. aiohttp's parser then reads the responses alone: faults have no rule, and
none is tolerated.

Private names that our classes add to those of aiohttp must not be names of aiohttp's too (`collisions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import aiohttp

from ..seams import SeamNotice, names_used_by, parameters_of

__all__ = ["AIOHTTP", "KEEPS_ALIVE", "MAKES_SOCKETS", "SEES_CONNECTIONS", "collisions"]


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

_CONNECTOR = (aiohttp.TCPConnector, _Connection)
_PROTOCOL = (_ResponseHandler,)
_SESSION = (aiohttp.ClientSession,)
_STREAM = (aiohttp.StreamReader,)

_SEAMS: tuple[tuple[tuple[Any, ...], tuple[str, ...]], ...] = (
    (
        _CONNECTOR,
        (
            "_acquired", "_cleanup_handle", "_closed", "_conns", "_create_connection", "_factory", "_get", "_key",
            "_loop", "_release", "_resolve_host", "_update_proxy_auth_header_and_build_proxy_req",
            "_wrap_create_connection", "_wrap_existing_connection",
        ),
    ),
    (
        _PROTOCOL,
        (
            "_drop_timeout", "_loop", "_parser", "_payload", "_read_timeout", "_reading_paused", "_reschedule_timeout",
            "_timeout_ceil_threshold", "feed_data", "resume_reading", "set_exception",
        ),
    ),
    (_SESSION, ("_middlewares", "_request", "_retry_connection", "_trace_configs")),
    (_STREAM, ("_buffer", "_read_nowait")),
)  # fmt: skip

# Where we replace a method, or call it, its parameters too.
_PARAMETERS: tuple[tuple[tuple[Any, ...], str, tuple[str, ...]], ...] = (
    (_CONNECTOR, "_get", ("self", "key", "traces")),
    (_CONNECTOR, "_release", ("self", "key", "protocol", "should_close")),
    (_CONNECTOR, "_resolve_host", ("self", "host", "port", "traces")),
    (_CONNECTOR, "_update_proxy_auth_header_and_build_proxy_req", ("self", "req")),
    (_PROTOCOL, "connection_lost", ("self", "exc")),
    (_PROTOCOL, "data_received", ("self", "data")),
    (_PROTOCOL, "feed_data", ("self", "data", "size")),
    (_STREAM, "__init__", ("self", "protocol", "limit", "timer", "loop")),
    (_PROTOCOL, "resume_reading", ("self", "resume_parser")),
    (_PROTOCOL, "set_exception", ("self", "exc", "exc_cause")),
    (_STREAM, "_read_nowait", ("self", "n")),
)
_KEYWORDS: tuple[tuple[tuple[Any, ...], str, frozenset[str]], ...] = (
    (_CONNECTOR, "_wrap_create_connection", frozenset({"addr_infos"})),
    (
        _PROTOCOL,
        "set_response_params",
        frozenset(
            {
                *("skip_payload", "read_timeout", "timeout_ceil_threshold"),
            }
        ),
    ),
)

# Public names that no documentation promises.
_ATTRIBUTES: tuple[tuple[tuple[Any, ...], tuple[str, ...]], ...] = (
    (
        _PROTOCOL,
        ("abort", "force_close", "read", "read_timeout", "should_close", "start_timeout", "upgraded"),
    ),
    (_STREAM, ("feed_data", "feed_eof", "is_eof", "on_eof", "readany", "read_nowait", "set_exception")),
)


def _name(owners: tuple[Any, ...], name: str) -> str:
    return f"{owners[0].__name__}.{name}"


def _gone() -> Iterator[str]:
    """The seams that are not as expected."""
    if not SEES_CONNECTIONS:
        yield _name(_CONNECTOR, "connect")
    if _ResponseHandler is None:
        yield "ResponseHandler"
        return
    used = {owners: names_used_by(*owners) for owners in (_CONNECTOR, _PROTOCOL, _SESSION, _STREAM)}
    for owners, names in _SEAMS:
        yield from (_name(owners, name) for name in names if name not in used[owners])
    for owners, name, expected in _PARAMETERS:
        if parameters_of(getattr(owners[0], name, None)) != expected:
            yield _name(owners, name)
    for owners, name, needed in _KEYWORDS:
        if not needed <= set(parameters_of(getattr(owners[0], name, None))):
            yield _name(owners, name)
    for owners, names in _ATTRIBUTES:
        yield from (_name(owners, name) for name in names if not hasattr(owners[0], name))


def _has(owner: Any, *names: str) -> bool:
    return owner is not None and all(hasattr(owner, name) for name in names)


# Whether the session gets its connections by `connect`, which the public connector replaces.
SEES_CONNECTIONS = (
    "connect" in names_used_by(*_SESSION)
    and _has(aiohttp.TCPConnector, "connect")
    and _has(_Connection, "transport", "close")
)
# Whether a connection reports the end of its exchange, and can be kept from being used again.
KEEPS_ALIVE = (
    SEES_CONNECTIONS
    and _has(_Connection, "add_callback", "protocol")
    and _has(_ResponseHandler, "force_close", "should_close")
    and "should_close" in names_used_by(*_CONNECTOR)
)

# Whether the sockets of connections can be made here. It is documented.
MAKES_SOCKETS = "socket_factory" in parameters_of(aiohttp.TCPConnector)


def _effect() -> str:
    slower = (
        "a new connection for each request" if not KEEPS_ALIVE else "each exchange goes through its session"
    )
    refused = "SOCKS proxies" if SEES_CONNECTIONS else "SOCKS proxies, and calls under an egress policy,"
    return f"asyncio calls use its public interface and are slower ({slower}), and {refused} are refused"


AIOHTTP = SeamNotice("aiohttp", aiohttp.__version__, _gone(), _effect())


def collisions(*kinds: type) -> Iterator[str]:
    """The private names of classes that derive from aiohttp's, which aiohttp uses and `_SEAMS` does not list."""
    seams = {name for _, names in _SEAMS for name in names}
    for kind in kinds:
        taken = names_used_by(*[base for base in kind.__mro__ if base.__module__.startswith("aiohttp.")])
        for name in sorted(names_used_by(kind) & taken - seams):
            if name.startswith("_") and not name.startswith("__"):
                yield f"{kind.__name__}.{name}"
