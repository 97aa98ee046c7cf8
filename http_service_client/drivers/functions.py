"""The drivers of plans around functions, which send nothing themselves.

Which one, the clock says: waits on the system's clock are those of the driver, which can be interrupted; another clock,
such as a test's, waits in its own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ..core.effects import Invoke
from ..core.timeouts import Timeout
from ..http.messages import HttpRequest
from .aio import AsyncioDriver
from .blocking import BlockingDriver
from .clocks import Clock, SystemClock
from .portal import PORTAL
from .simulated_functions import EffectAwaiter, SimulatedClock

if TYPE_CHECKING:
    from .on_trio import TrioDriver

__all__ = ["asyncio_driver", "blocking_driver", "trio_driver"]


def blocking_driver(clock: Clock) -> BlockingDriver:
    """For plain functions."""
    return _BLOCKING if type(clock) is SystemClock else BlockingDriver(_no_exchange, PORTAL, clock.sleep)


def asyncio_driver(clock: Clock) -> AsyncioDriver | EffectAwaiter:
    """For async functions."""
    if isinstance(clock, SimulatedClock):
        return EffectAwaiter(clock.monotonic)
    if type(clock) is SystemClock:
        return _ASYNCIO
    # A virtual clock records the waits of plans. A timeout is none.
    alarm = getattr(clock, "elapse_async", clock.sleep_async)
    return _AsyncioDriver(_no_exchange_async, clock.sleep_async, alarm=alarm)


def trio_driver(clock: Clock) -> TrioDriver:
    """For async functions in a task of trio."""
    from .on_trio import TrioDriver

    return TrioDriver(None if type(clock) is SystemClock else clock.sleep_async)


def _no_exchange(request: HttpRequest, timeout: Timeout) -> NoReturn:
    raise RuntimeError("a plan around a function makes no exchange")


async def _no_exchange_async(request: HttpRequest, timeout: Timeout) -> NoReturn:
    _no_exchange(request, timeout)


_BLOCKING = BlockingDriver(_no_exchange, PORTAL)


class _AsyncioDriver(AsyncioDriver):
    """A function runs in the task of its caller: at the first step of its plan, and after a wait, in a further attempt, too.

    What it sets in context variables is there afterwards, and a generator's steps are all in one task.
    """

    async def _invoke(self, effect: Invoke) -> Any:
        value = effect.function(*effect.arguments)
        if not hasattr(type(value), "__await__"):
            return value
        return await (value if effect.timeout is None else self.bounded(value, effect.timeout))


_ASYNCIO = _AsyncioDriver(_no_exchange_async)
