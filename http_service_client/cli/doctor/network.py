"""Names and addresses: does the name resolve, does each address accept connections, and how long does it take."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from ...transports.network.sockets import SocketSettings
from .findings import Finding, fail, ok, skip, warn

__all__ = ["Address", "Connected", "connect", "examine_addresses", "examine_names", "milliseconds"]

_FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
_SLOW = 0.5  # seconds for a look-up
_MOST_ADDRESSES = 8
# This machine has no way to any address of that family. Clients notice it at once, so it costs nothing.
_NO_ROUTE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the host. sockaddr: as `socket.connect` takes it."""

    family: str
    sockaddr: Any

    @property
    def text(self) -> str:
        """As people write it."""
        return str(self.sockaddr[0])


class Connected:
    """What became of the connection to an address. One of `seconds` and `error` is None in the end."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.seconds: float | None = None
        self.error: OSError | None = None


def milliseconds(seconds: float) -> str:
    """Such as "12 ms", "0.4 ms"."""
    return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"


def _each(jobs: Sequence[Callable[[], None]], within: float) -> None:
    """Run all at the same time, on threads that are abandoned when their time is over: a look-up cannot be interrupted."""
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    ends_at = time.monotonic() + within
    for thread in threads:
        thread.join(max(0.0, ends_at - time.monotonic()))


def examine_names(host: str, port: int, within: float) -> Iterator[Finding | Address]:
    """Look the host up, each family by itself: one finding, and the addresses."""
    try:
        family = "IPv4" if ip_address(host).version == 4 else "IPv6"
    except ValueError:
        pass
    else:
        yield skip("dns", f"{host} is an address; no name is looked up")
        yield Address(family, (host, port) if family == "IPv4" else (host, port, 0, 0))
        return
    found: dict[str, tuple[float, list[Address] | OSError]] = {}

    def look_up(name: str) -> None:
        began_at = time.monotonic()
        result: list[Address] | OSError
        try:
            infos = socket.getaddrinfo(host, port, _FAMILIES[name], socket.SOCK_STREAM)
            result = [Address(name, info[4]) for info in infos]
        except OSError as error:
            result = error
        except UnicodeError:
            result = socket.gaierror(socket.EAI_NONAME, "the name cannot be encoded")
        found[name] = (time.monotonic() - began_at, result)

    _each([lambda name=name: look_up(name) for name in _FAMILIES], within)  # type: ignore[misc]  # a default argument
    results = dict(found)  # an abandoned look-up may still end
    addresses = [address for _, result in results.values() if isinstance(result, list) for address in result]
    words: list[str] = []
    details: dict[str, Any] = {}
    for name in _FAMILIES:
        if name not in results:
            words.append(f"{name}: no reply within {within:g} s")
            details[name] = {"seconds": None, "addresses": [], "error": "timeout"}
            continue
        seconds, result = results[name]
        if isinstance(result, list):
            texts = [address.text for address in result]
            words.append(f"{name}: {', '.join(texts)} in {milliseconds(seconds)}")
            details[name] = {"seconds": seconds, "addresses": texts, "error": None}
        else:
            words.append(f"{name}: {_reason(result)}" if not _has_none(result) else f"no {name}")
            details[name] = {"seconds": seconds, "addresses": [], "error": _reason(result)}
    message = "; ".join(words)
    errors = [result for _, result in results.values() if isinstance(result, OSError)]
    slowest = max((seconds for seconds, _ in results.values()), default=within)
    if not addresses:
        advice = "check the spelling of the host, and the name servers of this machine"
        yield fail("dns", f"{host} does not resolve: {message}", advice, **details)
    elif len(results) < len(_FAMILIES) or not all(_has_none(error) for error in errors):
        advice = "a name server that does not reply for one family delays each look-up; ask who runs the zone"
        yield warn("dns", message, advice, **details)
    elif slowest >= _SLOW:
        advice = "each new connection waits for the look-up; use a name server nearby, or one that caches on this machine"
        yield warn("dns", message, advice, **details)
    else:
        yield ok("dns", message, **details)
    yield from addresses


def _has_none(error: OSError) -> bool:
    """Whether the name has no address of that family, which is an answer."""
    codes = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None), getattr(socket, "EAI_ADDRFAMILY", None)}
    return isinstance(error, socket.gaierror) and error.errno in codes


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def connect(address: Address, within: float | None, sockets: SocketSettings) -> socket.socket:
    """A connection to the address, as a client with these settings makes it. Raises OSError."""
    sock = sockets.new(_FAMILIES[address.family], socket.SOCK_STREAM, 0)
    try:
        sock.settimeout(within)
        sock.connect(address.sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


def examine_addresses(
    addresses: Sequence[Address], within: float, sockets: SocketSettings
) -> Iterator[Finding | Address]:
    """Connect to each address: a finding, and those that accept connections, the quickest first."""
    tried = [Connected(address) for address in addresses[:_MOST_ADDRESSES]]

    def try_one(one: Connected) -> None:
        began_at = time.monotonic()
        try:
            connect(one.address, within, sockets).close()
            one.seconds = time.monotonic() - began_at
        except OSError as error:
            one.error = error

    _each([lambda one=one: try_one(one) for one in tried], within + 1.0)  # type: ignore[misc]  # a default argument
    good = [(one.seconds, one.address) for one in tried if one.seconds is not None]
    good.sort(key=lambda one: one[0])
    unreached = [one for one in tried if one.seconds is None]
    parts = [f"{address.text} in {milliseconds(seconds)}" for seconds, address in good]
    parts += [f"{one.address.text} {_why(one.error)}" for one in unreached]
    if len(addresses) > _MOST_ADDRESSES:
        parts.append(f"{len(addresses) - _MOST_ADDRESSES} more, not tried")
    message = "; ".join(parts)
    details: dict[str, Any] = {
        "addresses": [
            {
                "address": one.address.text,
                "seconds": one.seconds,
                "error": None if one.seconds is not None else _why(one.error),
            }
            for one in tried
        ]
    }
    broken = [one for one in unreached if not _is_without_route(one)]
    if not good:
        advice = "is the service running, is the port right, does a firewall drop the packets?"
        yield fail("connect", f"no address accepts connections: {message}", advice, **details)
    elif broken and all(one.address.family == "IPv6" for one in broken):
        advice = (
            "IPv6 is broken on the way to the host. This client goes on with another address after 0.25 s; others may wait "
            "for their whole timeout. Mend the route, or remove the AAAA record"
        )
        yield warn("connect", message, advice, **details)
    elif broken:
        advice = (
            "some of the addresses are dead: calls that try them first are slower; remove them from the name"
        )
        yield warn("connect", message, advice, **details)
    else:
        yield ok("connect", message, **details)
    yield from (address for _, address in good)


def _is_without_route(one: Connected) -> bool:
    return one.error is not None and one.error.errno in _NO_ROUTE


def _why(error: OSError | None) -> str:
    if error is None or isinstance(error, TimeoutError):
        return "did not respond in time"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if error.errno in _NO_ROUTE:
        return "cannot be reached: this machine has no route for it"
    return _reason(error)
