"""The telemetry of clients: that of their own, or that of all clients, which may be switched on and off while they run."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..drivers.locks import ForkSafeLock
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..core.layers.telemetry import Telemetry
    from ..core.machines.circuit_breaker.states import StateChange

__all__ = ["ClientTelemetry", "Followed", "use_for_all_clients"]


class Followed(Protocol):
    """A client's parts, which are put together with the telemetry of the moment."""

    def renew_pipelines(self) -> None:
        """The telemetry of all clients has changed."""
        ...


_LOCK = ForkSafeLock()
_FOLLOWERS: weakref.WeakSet[Followed] = weakref.WeakSet()
_OF_ALL: list[Telemetry | None] = [None]


def use_for_all_clients(telemetry: Telemetry | None) -> None:
    """Have the clients use this telemetry, those that exist and those to come, unless they have one of their own.

    Calls in flight end as they began. None switches it off.
    """
    with _LOCK:
        _OF_ALL[0] = telemetry
        followers = list(_FOLLOWERS)
    for follower in followers:
        follower.renew_pipelines()


class ClientTelemetry:
    """The telemetry of one client.   own: None for that of all clients, False for none.

    Raises ConfigurationError for something else.
    """

    __slots__ = ("_own",)

    def __init__(self, own: Telemetry | Literal[False] | None) -> None:
        is_telemetry = not isinstance(own, type) and all(hasattr(own, name) for name in ("begin", "changed"))
        if not (own is None or own is False or is_telemetry):
            raise ConfigurationError(
                f"telemetry must be an OpenTelemetry, False or None, not {own!r}; write telemetry=OpenTelemetry()"
            )
        self._own: Telemetry | Literal[False] | None = own

    @property
    def current(self) -> Telemetry | None:
        """What sees the calls that begin now."""
        own = self._own
        return _OF_ALL[0] if own is None else (None if own is False else own)

    def follow(self, follower: Followed) -> None:
        """Have the parts renewed whenever the telemetry of all clients changes, for as long as they live."""
        if self._own is None:
            with _LOCK:
                _FOLLOWERS.add(follower)

    def notified(self, listener: Callable[[Any], None]) -> Callable[[StateChange], None]:
        """The listener of the client's circuits, with telemetry after it."""

        def notify(change: StateChange) -> None:
            listener(change)
            telemetry = self.current
            if telemetry is not None:
                telemetry.changed(change)

        return notify
