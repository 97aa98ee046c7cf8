"""What the exceptions and the responses of other HTTP libraries mean: requests, urllib3, aiohttp, httpx and httpx2.

Policies guard functions that call services by any library. Classes are recognised by their names, and by the names
of their base classes, so that no library is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from operator import attrgetter
from typing import Any

from ...errors import chain
from ...http.fields.retry_after import DELAY_HEADERS, requested_delay
from ...http.headers import Headers

__all__ = ["READERS", "is_transient", "is_unverified", "requested_delay_of", "status_of", "status_of_error"]

Names = frozenset[tuple[str, str]]  # of a package and a class in it

_STATUS_BY_CLASS = {
    ("http_service_client", "HttpResponse"): "status_code",  # so that one look-up covers ours, too
    ("requests", "Response"): "status_code",
    ("httpx", "Response"): "status_code",
    ("httpx2", "Response"): "status_code",
    ("aiohttp", "ClientResponse"): "status",
    ("urllib3", "BaseHTTPResponse"): "status",
    ("urllib3", "HTTPResponse"): "status",
}

# The service could not be reached, or the exchange broke. Not here: errors that another attempt would meet again, such
# as an invalid URL, too many redirects, or a corrupt content coding.
_TRANSIENT: Names = frozenset(
    (library, name)
    for libraries, names in {
        "requests": "ConnectionError Timeout ChunkedEncodingError",
        "urllib3": "NewConnectionError MaxRetryError ProtocolError ProxyError TimeoutError",
        "aiohttp": "ClientConnectionError ClientPayloadError",
        "httpx httpx2": "NetworkError TimeoutException RemoteProtocolError ProxyError",
    }.items()
    for library in libraries.split()
    for name in names.split()
)

_RAISED_FOR_A_STATUS: Names = frozenset(
    {
        ("requests", "HTTPError"),
        ("httpx", "HTTPStatusError"),
        ("httpx2", "HTTPStatusError"),
        ("aiohttp", "ClientResponseError"),
    }
)


# Python's is in the chain of any library's error; a fingerprint is compared by aiohttp itself.
_UNVERIFIED: Names = frozenset(
    {("ssl", "SSLCertVerificationError"), ("aiohttp", "ServerFingerprintMismatch")}
)


def _names_of(kind: type) -> Names:
    return frozenset((str(base.__module__).partition(".")[0], base.__name__) for base in kind.__mro__)


_names: Callable[[type], Names] = lru_cache(maxsize=1024)(_names_of)


class _Readers(dict[type, "Callable[[Any], object] | None"]):
    """How to read the status from a value of each type; None for a type that has none.

    A dictionary, since every result of a guarded function is looked up here.
    """

    def __missing__(self, kind: type) -> Callable[[Any], object] | None:
        found = [attribute for name, attribute in _STATUS_BY_CLASS.items() if name in _names(kind)]
        if len(self) >= 1024:  # a program may make classes without end
            self.clear()
        self[kind] = reader = attrgetter(found[0]) if found else None
        return reader


READERS = _Readers()


def status_of(value: object) -> int | None:
    """The status of a response, ours or another library's; None for anything else."""
    read = READERS[type(value)]
    status = None if read is None else read(value)
    return status if isinstance(status, int) else None


def status_of_error(error: BaseException) -> int | None:
    """The status that another library raised this error for, such as by its `raise_for_status()`; else None."""
    if not _names(type(error)) & _RAISED_FOR_A_STATUS or _is_malformed(error):
        return None
    status = getattr(error, "status", None)  # aiohttp's
    return status if isinstance(status, int) else status_of(getattr(error, "response", None))


def requested_delay_of(
    result: object, error: BaseException | None, handled: BaseException | None, wall_now: float
) -> float | None:
    """The seconds that another library's response asks to wait: one that was returned, or that an error stems from.

    handled: see `errors.chain`.   wall_now: see `http.fields.retry_after.requested_delay`.
    """
    if error is None:
        return None if status_of(result) is None else _delay(result, wall_now)
    for link in chain(error, handled):
        if status_of_error(link) is not None:
            response = getattr(link, "response", None)
            # requests' responses are false for an error; aiohttp's errors have the headers themselves.
            return _delay(link if response is None else response, wall_now)
    return None


def _delay(response: object, wall_now: float) -> float | None:
    headers = getattr(response, "headers", None) or {}
    named = {name: str(headers[name]) for name in DELAY_HEADERS if name in headers}
    return requested_delay(Headers(list(named.items())), wall_now)


def is_transient(error: BaseException) -> bool:
    """Whether it is another library's error for a service that could not be reached, or an exchange that broke."""
    return bool(_names(type(error)) & _TRANSIENT) or _is_malformed(error)


def is_unverified(error_type: type) -> bool:
    """Whether it says that a server's certificate is not the expected one."""
    return bool(_names(error_type) & _UNVERIFIED)


def _is_malformed(error: BaseException) -> bool:
    """aiohttp reports a malformed response as a status of 400, with its parser's error as the cause."""
    names = _names(type(error))
    return ("aiohttp", "ClientResponseError") in names and (
        ("aiohttp", "HttpProcessingError") in _names(type(error.__cause__))
    )
