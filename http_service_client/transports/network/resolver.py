"""Resolves a host name to addresses, in bounded time, with the same rules for both transports.

The system's resolver cannot be interrupted: with a dead name server it may take half a minute. So it runs on a
daemon thread, which a caller that times out abandons. asyncio's own method (the loop's executor) does not fit:
`asyncio.run` and the interpreter wait for those threads at the end.

With a dead name server, callers come faster than such look-ups end. So callers that need the same name at the same
time share one look-up, the number of threads is limited, and a look-up whose callers have all left before a thread
was free is not made. Names that nobody can resolve must not stop the others: some threads are reserved for names
that resolved the last time.
"""

from __future__ import annotations

import _thread
import copy
import encodings.idna  # noqa: F401  # `getaddrinfo` encodes each host name by it, and would import it at the first one
import ipaddress
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.signals import raise_if_of_signal_handler
from ...drivers.interruption import interruptible
from ...drivers.locks import acquire_within
from ...drivers.threads import DaemonThreads
from ...errors import EgressRefusedError, HttpClientError

if TYPE_CHECKING:
    from ...http.egress import EgressPolicy

__all__ = ["Address", "address_text", "permitted", "resolve", "resolve_async"]

Address = tuple[Any, Any, int, str, Any]  # as `socket.getaddrinfo` gives them
Result = list[Address] | Exception
Found = TypeVar("Found")

# As many as asyncio's own executor has at most.
_THREADS = DaemonThreads(32)
_RESERVED_THREADS = DaemonThreads(8)


def resolve(host: str, port: int, within: float | None) -> list[Address]:
    """The addresses of a host, best first (RFC 6724). Raises gaierror, or TimeoutError after `within` seconds."""
    if _is_address(host):
        return _look_up(host, port)
    results: list[Result] = []
    # Not an Event or a Future: a signal handler that resolves a name, too, may interrupt this thread inside their
    # locks, and the thread that resolves for both would then wait for this one.
    arrived = _thread.allocate_lock()
    arrived.acquire()

    def wake() -> None:
        with suppress(RuntimeError):  # it was released before: by the result, or by an interruption
            arrived.release()

    def receive(result: Result) -> None:
        results.append(result)
        wake()

    look_up = _join(host, port, receive)
    try:
        with interruptible(wake):
            if not acquire_within(arrived, within):
                raise TimeoutError("the host name was not resolved in time")
    finally:
        look_up.leave(receive)
    return _unpacked(results.pop())


async def resolve_async(host: str, port: int) -> list[Address]:
    """As `resolve`; the caller bounds its time."""
    if _is_address(host):
        return _look_up(host, port)
    import asyncio

    loop = asyncio.get_running_loop()
    found: asyncio.Future[Result] = loop.create_future()

    def set_result(result: Result) -> None:
        if not found.done():  # cancelled: nobody waits any more
            found.set_result(result)

    def receive(result: Result) -> None:
        try:
            loop.call_soon_threadsafe(set_result, result)
        except RuntimeError:  # the loop has been closed
            pass

    look_up = _join(host, port, receive)
    try:
        return _unpacked(await found)
    finally:
        look_up.leave(receive)


def address_text(address: Address) -> str:
    """The IP address as text."""
    text: str = address[4][0]
    return text


def permitted(
    addresses: list[Found], text_of: Callable[[Found], str], host: str, port: int, egress: EgressPolicy | None
) -> list[Found]:
    """The addresses of a host that the policy allows. Raises EgressRefusedError when it allows none.

    The caller must connect to one of these and not resolve the name again: a name may resolve differently
    the second time (DNS rebinding).
    """
    if egress is None:
        return addresses
    allowed: list[Found] = []
    refused: EgressRefusedError | None = None
    for address in addresses:
        try:
            egress.check_address(host, text_of(address), port)
            allowed.append(address)
        except EgressRefusedError as error:
            refused = refused or error
    try:
        if refused is not None and not allowed:
            raise refused.with_traceback(None)
        return allowed
    finally:
        del refused  # its traceback holds this frame


Receiver = Callable[[Result], None]

_SHARED_FOR = 5.0
"""Seconds for which a running look-up accepts more callers.

The system's resolver sends its query again after 5 s. One that hangs for longer may hang on a server that is dead,
while a new look-up already asks another one.
"""

_MAX_RESOLVED = 1024


class _LookUp:
    """One look-up, and the callers that wait for its result. All steps are atomic, as in `drivers.threads`.

    is_over: a caller that joins now will not be served.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._receivers: deque[Receiver] = deque()
        self._began_at: float | None = None
        self.is_over = False

    @property
    def is_fresh(self) -> bool:
        """Whether another caller may share it."""
        return self._began_at is None or time.monotonic() - self._began_at < _SHARED_FOR

    def join(self, receiver: Receiver) -> bool:
        """Have the receiver called with the result, on the look-up's thread; False when that is too late."""
        self._receivers.append(receiver)
        return not (self.is_over and self.leave(receiver))

    def leave(self, receiver: Receiver) -> bool:
        """Stop waiting; False when the receiver had been called, or is about to be."""
        try:
            self._receivers.remove(receiver)
        except ValueError:
            return False
        return True

    def run(self) -> None:
        """Look the name up and hand out the result."""
        if not self._receivers:
            self._end()
            if not self._receivers:
                return
            self.is_over = False  # a caller has just joined
        self._began_at = time.monotonic()
        result: Result = socket.gaierror(socket.EAI_AGAIN, "the look-up was interrupted")
        try:
            result = _look_up(self._host, self._port)
            _remember(self._host)
        except Exception as error:
            raise_if_of_signal_handler()
            error.__traceback__ = None
            result = _own_failure(error)
            _RESOLVED.pop(self._host, None)
        finally:  # on a calling thread, Ctrl-C may interrupt the look-up, which others share
            self._end()
            self._hand_out(result)

    def _hand_out(self, result: Result) -> None:
        while True:
            try:
                receiver = self._receivers.popleft()
            except IndexError:
                return
            receiver(result)

    def publish(self) -> None:
        """Let others find it, unless it is over."""
        key = self._host, self._port
        if not self.is_over:
            _RUNNING[key] = self
            if self.is_over and _RUNNING.get(key) is self:
                _RUNNING.pop(key, None)

    def _end(self) -> None:
        self.is_over = True  # first: a caller that joins or publishes it now notices, here or there
        key = self._host, self._port
        if _RUNNING.get(key) is self:
            _RUNNING.pop(key, None)


_RUNNING: dict[tuple[str, int], _LookUp] = {}
_RESOLVED: dict[str, None] = {}  # names that resolved the last time, oldest first

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_RUNNING.clear)  # their threads do not exist in the child


def _join(host: str, port: int, receiver: Receiver) -> _LookUp:
    """Have the receiver called with the result of a look-up, which it may share with others."""
    look_up = _RUNNING.get((host, port))
    if look_up is not None and look_up.is_fresh and look_up.join(receiver):
        return look_up
    look_up = _LookUp(host, port)
    look_up.join(receiver)
    threads = _RESERVED_THREADS if host in _RESOLVED and _THREADS.is_full else _THREADS
    threads.start(look_up.run)
    look_up.publish()  # only now: a signal handler that found it before would wait for a look-up that has not begun
    return look_up


def _remember(host: str) -> None:
    _RESOLVED.pop(host, None)
    _RESOLVED[host] = None
    while len(_RESOLVED) > _MAX_RESOLVED:
        try:
            _RESOLVED.pop(next(iter(_RESOLVED)), None)
        except (StopIteration, RuntimeError):  # another thread changed it
            return


def _unpacked(result: Result) -> list[Address]:
    """A list or an error of the caller's own: other callers have the same result."""
    if not isinstance(result, Exception):
        return list(result)
    try:
        own = copy.copy(result)
    except Exception:  # of a user's resolver: its constructor takes something else than its `args`
        own = result
    try:
        raise own
    finally:
        del own, result  # the traceback holds this frame


def _own_failure(error: Exception) -> Exception:
    """The failure of a look-up by a user's own function, in the place of `getaddrinfo`, as the system would report it.

    One that asks over HTTP may raise an error of this package. That is about another call, and would say of this one what is
    true of that one: that a server responded, for example.
    """
    is_of_system = type(error).__module__ in ("builtins", "socket")
    if is_of_system or not isinstance(error, (OSError, HttpClientError)):
        return error
    return socket.gaierror(socket.EAI_AGAIN, f"{type(error).__name__}: {error}")


def _look_up(host: str, port: int) -> list[Address]:
    try:
        # By position, as http.client and urllib3 do: what users put in its place may take no names.
        found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except UnicodeError:  # a label that is too long for IDNA
        found = []
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
