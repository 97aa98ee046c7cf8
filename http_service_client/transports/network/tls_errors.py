"""TLS for asyncio that returns what it has decrypted before the error that follows it.

A server may send a complete response, and a fatal alert or a damaged record behind it. The loop reads until OpenSSL has no
more, passes on all of it at once, and passes on nothing if one of these reads raises. So the response would be lost whenever
both arrive together.
"""

from __future__ import annotations

import ssl
from typing import Any

__all__ = ["DeferringObject", "defer_errors"]

_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class DeferringObject(ssl.SSLObject):
    """What a loop does TLS with, whose reads may raise an error later than it is found.

    found: the error, for the protocol above, which looks for it whenever bytes have arrived. Without one that does,
    nothing is deferred.
    """

    defers = False
    found: ssl.SSLError | None = None
    _has_read = False  # since the loop has last been told that there is no more

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """As `SSLObject.read`. An error after bytes is left in `found`."""
        if self.found is None:
            try:
                read = super().read(len, buffer)
            except _NOT_NOW:
                self._has_read = False
                raise
            except ssl.SSLError as error:
                if not (self.defers and self._has_read):
                    raise
                self.found = error.with_traceback(None)
            else:
                self._has_read = True
                return read
        raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "an error follows what was read")


def defer_errors(transport: Any) -> DeferringObject | None:
    """The TLS of a new connection, whose protocol will look for errors in it; None where it has none to look for."""
    tls = transport.get_extra_info("ssl_object")
    if not isinstance(tls, DeferringObject):
        return None
    tls.defers = True
    return tls
