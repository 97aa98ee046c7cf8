"""Functions of each kind: async, and generators, as functions and as objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

__all__ = ["AsyncCallable", "GeneratorCallable", "coroutine", "iterating", "iterating_async"]


class AsyncCallable:
    async def __call__(self) -> None: ...

    def __repr__(self) -> str:
        return "<async>"


class GeneratorCallable:
    def __call__(self) -> Iterator[None]:
        yield

    def __repr__(self) -> str:
        return "<generator>"


async def coroutine() -> None: ...


def iterating() -> Iterator[None]:
    yield


async def iterating_async() -> AsyncIterator[None]:
    yield
