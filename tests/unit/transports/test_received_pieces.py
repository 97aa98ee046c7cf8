"""How many bytes a blocking connection requests from the kernel at a time."""

from __future__ import annotations

from collections.abc import Iterator

from http_service_client.http.http1.framing import ParserSettings
from http_service_client.transports.over_requests.connection import Connection

KIB = 1024


class Wire:
    """A socket on which so many bytes wait at each call, as far as they are requested."""

    def __init__(self, *waiting: int) -> None:
        self._waiting: Iterator[int] = iter(waiting)
        self.requested: list[int] = []

    def settimeout(self, seconds: float | None) -> None: ...

    def recv(self, size: int) -> bytes:
        self.requested.append(size)
        return bytes(min(size, next(self._waiting)))


def test_a_body_that_fills_its_pieces_is_received_in_larger_ones() -> None:
    """Fewer system calls, here and where it is written; a slow one is not given the memory for it."""
    wire = Wire(*[KIB * KIB] * 3, 100 * KIB, 10 * KIB, 10 * KIB, 0)
    connection = Connection(wire, None, ParserSettings())
    received = [len(connection.receive()) // KIB for _ in range(7)]
    assert received == [64, 256, 256, 100, 10, 10, 0]
    assert [size // KIB for size in wire.requested] == [64, 256, 256, 256, 256, 64, 64]
