"""TLS contexts that a process shares: made once for all clients of like settings, and again when their files change.

A context with the system's authorities takes tens of milliseconds and most of a megabyte. So equal settings share one,
for as long as a client needs it, in blocking and asyncio calls alike. In asyncio it is made on a thread: the event loop
goes on.

Certificates on disk are replaced under a running client (cert-manager, SPIFFE, certbot). A new connection looks at the
files' times, sizes and inodes, and has the context made again when one of them has changed. Files that cannot be used
(one is half written, or the key of a new certificate is missing) leave the old context in use, with one warning until
they change again. Open connections keep the context that they were made with.
"""

from __future__ import annotations

import os
import ssl
import weakref
from collections.abc import Callable, Hashable
from logging import WARNING

from ...drivers.locks import ForkSafeLock
from ...drivers.loggers import branch, write
from ...drivers.threads import DaemonThreads
from ...errors import ConfigurationError

__all__ = ["SharedContext"]

_THREADS = DaemonThreads(2)  # most of the work needs the interpreter's lock: more would gain nothing

_Signature = tuple["tuple[int, ...] | None", ...]


class SharedContext:
    """One context, and the files that it was made of.

    make: creates a context. Raises ConfigurationError; OSError where it may succeed the next time.
    files: the paths that `make` reads.
    """

    def __init__(self, make: Callable[[], ssl.SSLContext], files: tuple[str, ...] = ()) -> None:
        self._make = make
        self._files = files
        self._made: tuple[ssl.SSLContext, _Signature] | None = None
        self._unusable: _Signature | None = None  # a state of the files that failed
        # Reentrant: a signal handler may make a call while its thread makes the context, and then makes it too.
        self._lock = ForkSafeLock()

    @staticmethod
    def of(key: Hashable, make: Callable[[], ssl.SSLContext], files: tuple[str, ...] = ()) -> SharedContext:
        """The shared context of this key in this process."""
        with _SHARED_LOCK:
            shared = _SHARED.get(key)
            if shared is None:
                shared = _SHARED[key] = SharedContext(make, files)
            return shared

    def current(self) -> ssl.SSLContext | None:
        """The context, unless it is not made yet or its files have changed. Costs one `stat` for each file."""
        made = self._made
        if made is None:
            return None
        if self._files:
            seen = self._signature()
            if seen != made[1] and seen != self._unusable:
                return None
        return made[0]

    def get(self) -> ssl.SSLContext:
        """The context, made now if necessary. Raises ConfigurationError, or OSError, if none could ever be made."""
        context = self.current()
        if context is not None:
            return context
        with self._lock:
            context = self.current()  # another thread may have made it
            return self._renew() if context is None else context

    def _renew(self) -> ssl.SSLContext:
        # Before the files are read: the next connection then sees a change in between.
        seen = self._signature()
        try:
            context = self._make()
        except ConfigurationError as error:
            made = self._made
            if made is None:
                raise
            self._unusable = seen
            _warn(str(error))
            return made[0]
        except OSError:  # no descriptor is free: the next connection looks at the files again
            if self._made is None:
                raise
            return self._made[0]
        self._unusable = None
        self._made = (context, seen)
        return context

    async def get_async(self) -> ssl.SSLContext:
        """As `get`; what has to be made is made on a thread."""
        context = self.current()
        if context is not None:
            return context
        import asyncio

        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        # Not in the future: this frame holds it, as an error would.
        results: list[ssl.SSLContext | BaseException] = []

        def wake() -> None:
            if not done.done():  # cancelled: nobody waits any more
                done.set_result(None)

        def work() -> None:
            try:
                results.append(self.get())
            except BaseException as error:
                results.append(error.with_traceback(None))
            try:
                loop.call_soon_threadsafe(wake)
            except RuntimeError:  # the loop has been closed
                pass

        _THREADS.start(work)
        await done
        result = results.pop()
        if isinstance(result, ssl.SSLContext):
            return result
        try:
            raise result
        finally:
            del result  # its traceback holds this frame

    def _signature(self) -> _Signature:
        return tuple(map(_state_of, self._files))


def _warn(reason: str) -> None:
    text = "%s; new connections use the files as they were read before, until they change again"
    write(branch("tls"), WARNING, text, reason, fields={"event": "tls_files_unusable"})


def _state_of(file: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except (OSError, ValueError):  # it is missing, or no path at all
        return None
    # A copy may keep the time of its source (`rsync --times`): the time of the change of the inode shows it.
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


# By settings. A client holds those that it uses; nothing else does.
_SHARED: weakref.WeakValueDictionary[Hashable, SharedContext] = weakref.WeakValueDictionary()
_SHARED_LOCK = ForkSafeLock()
