"""Threads that work side by side, each in a place of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from .process import Place

__all__ = ["Workers"]

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """One for each folder. Left early, by an error or Ctrl-C too, they kill what runs, and do no more."""

    def __init__(self, package: str, folders: Sequence[Path]) -> None:
        self._stop = threading.Event()
        self._free: SimpleQueue[Place] = SimpleQueue()
        self._places = [Place(folder, package, self._stop) for folder in folders]
        for place in self._places:
            self._free.put(place)
        self._pool = ThreadPoolExecutor(len(folders))

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *about: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        for place in self._places:
            place.close()

    def each(self, work: Callable[[Place, T], R], things: Sequence[T]) -> Iterator[R]:
        """The results, as they come; the things are taken in their order."""

        def in_a_place(thing: T) -> R:
            place = self._free.get()
            try:
                return work(place, thing)
            finally:
                self._free.put(place)

        for done in as_completed([self._pool.submit(in_a_place, thing) for thing in things]):
            yield done.result()
