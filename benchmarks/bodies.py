"""100 MB up from a file, and 100 MB down in pieces: the cost beside the bare libraries, and the memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any

import aiohttp
import requests

from http_service_client import HttpServiceClient

from .clients import OnLoop, our_config
from .measuring import Work

SIZE = 100_000_000
_PIECE = 64 * 1024


@contextmanager
def blocking(base: str) -> Iterator[dict[str, Work]]:
    """requests and ours."""
    with ExitStack() as stack:
        file = stack.enter_context(_file())
        ours = stack.enter_context(HttpServiceClient(our_config()))
        session = stack.enter_context(requests.Session())

        def our_download() -> int:
            with ours.stream("GET", f"{base}/bytes/{SIZE}", max_response_size=None) as response:
                return sum(map(len, response.iter_bytes()))

        def download() -> int:
            with session.get(f"{base}/bytes/{SIZE}", stream=True) as response:
                return sum(map(len, response.iter_content(_PIECE)))

        yield {
            "our upload": _timed(lambda: _rewound(file, lambda: ours.post(base, data=file).status_code)),
            "requests upload": _timed(
                lambda: _rewound(file, lambda: session.post(base, data=file).status_code)
            ),
            "our download": _timed(our_download),
            "requests download": _timed(download),
        }


@contextmanager
def asynchronous(base: str) -> Iterator[dict[str, Work]]:
    """aiohttp and ours."""
    on_loop = OnLoop()
    ours = on_loop.enter(HttpServiceClient(our_config()))
    session = on_loop.enter(on_loop.make(aiohttp.ClientSession))

    async def our_upload() -> int:
        with open(name, "rb") as file:
            return int((await ours.post_async(base, data=file)).status_code)

    async def upload() -> int:
        with open(name, "rb") as file:
            async with session.post(base, data=file) as response:
                return int(response.status)

    async def our_download() -> int:
        async with ours.stream_async("GET", f"{base}/bytes/{SIZE}", max_response_size=None) as response:
            return sum([len(piece) async for piece in response.iter_bytes()])

    async def download() -> int:
        async with session.get(f"{base}/bytes/{SIZE}") as response:
            return sum([len(piece) async for piece in response.content.iter_any()])

    with _file() as temporary:
        name = temporary.name
        try:
            yield {
                "our upload": on_loop.repeated(our_upload),
                "aiohttp upload": on_loop.repeated(upload),
                "our download": on_loop.repeated(our_download),
                "aiohttp download": on_loop.repeated(download),
            }
        finally:
            on_loop.close()


@contextmanager
def _file() -> Iterator[IO[bytes]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(SIZE))
        file.flush()
        yield file


def _rewound(file: IO[bytes], call: Callable[[], Any]) -> Any:
    file.seek(0)
    return call()


def _timed(call: Callable[[], int]) -> Work:
    def work(times: int) -> None:
        for _ in range(times):
            assert call() in (200, SIZE)

    return work
