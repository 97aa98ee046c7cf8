"""Where a cache keeps its responses: in the process, or in a file that several processes share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from ..core.checks import check_count
from ..drivers.locks import ForkSafeLock
from ..http.caching.stored import StoredResponse

__all__ = ["MemoryStorage"]

_Place = tuple[str, str, str]  # key, partition, variant


class MemoryStorage:
    """Responses in the memory of this process; the least recently used ones make room for others.

    max_bytes: of bodies, headers and the objects themselves, roughly.   Raises ConfigurationError for less than 1.
    """

    blocks = False

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        check_count("max_bytes", max_bytes, unit="of bytes ")
        self._max_bytes = max_bytes
        self._lock = ForkSafeLock()
        self._entries: OrderedDict[_Place, StoredResponse] = OrderedDict()
        # The users of one URL may be many: each look-up concerns one partition of it.
        self._by_key: dict[str, dict[str, dict[_Place, None]]] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """The bytes in use, roughly."""
        return self._size

    def get(self, key: str, partition: str) -> Sequence[StoredResponse]:
        """The responses of a URL's digest for one partition."""
        with self._lock:
            places = self._by_key.get(key, {}).get(partition, ())
            for place in places:
                self._entries.move_to_end(place)
            return [self._entries[place] for place in places]

    def set(self, key: str, partition: str, response: StoredResponse) -> None:
        """Keep a response."""
        place = (key, partition, response.variant)
        with self._lock:
            self._remove(place)
            if response.size > self._max_bytes:
                return
            self._entries[place] = response
            self._by_key.setdefault(key, {}).setdefault(partition, {})[place] = None
            self._size += response.size
            while self._size > self._max_bytes:
                self._remove(next(iter(self._entries)))

    def delete(self, key: str, partition: str | None = None) -> None:
        """Forget the responses of a URL, of one partition or of all."""
        with self._lock:
            partitions = self._by_key.get(key, {})
            for each in list(partitions) if partition is None else [partition]:
                for place in list(partitions.get(each, ())):
                    self._remove(place)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._by_key.clear()
            self._size = 0

    def _remove(self, place: _Place) -> None:
        removed = self._entries.pop(place, None)
        if removed is not None:
            self._size -= removed.size
            key, partition, _ = place
            partitions = self._by_key[key]
            del partitions[partition][place]
            if not partitions[partition]:
                del partitions[partition]
            if not partitions:
                del self._by_key[key]

    def __repr__(self) -> str:
        return f"<MemoryStorage {len(self._entries)} responses, {self._size} bytes>"
