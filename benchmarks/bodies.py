"""100 MB up from a file, 100 MB down in pieces and down to a file; small uploads as forms; a megabyte of JSON."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import aiohttp
import httpx
import requests
import urllib3

from http_service_client import HttpServiceClient

from .blocking_peers import blocking_calls
from .clients import OURS, OnLoop, our_config, repeated
from .measuring import Work
from .scenarios import Call, Scenario, installed

SIZE = 100_000_000
_PIECE = 64 * 1024
_SMALL = bytes(range(256)) * 40


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
def blocking_downloads(base: str) -> Iterator[dict[str, Work]]:
    """100 MB down to a file. Ours appears complete or not at all, and continues after a broken connection."""
    url = f"{base}/bytes/{SIZE}"
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "file")
        ours = stack.enter_context(HttpServiceClient(our_config()))
        session = stack.enter_context(requests.Session())
        client = stack.enter_context(httpx.Client())
        pool = stack.enter_context(urllib3.PoolManager())

        def by_requests() -> None:
            with session.get(url, stream=True) as response, path.open("wb") as file:
                for piece in response.iter_content(_PIECE):
                    file.write(piece)

        def by_httpx() -> None:
            with client.stream("GET", url) as response, path.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)

        def by_urllib3() -> None:
            with pool.request("GET", url, preload_content=False) as response, path.open("wb") as file:
                shutil.copyfileobj(response, file, _PIECE)

        calls = {
            OURS: lambda: ours.download(url, path, max_response_size=None),
            "requests": by_requests,
            "httpx": by_httpx,
            "urllib3": by_urllib3,
        }
        for name, make in {"pyreqwest": _download_by_pyreqwest, "pycurl": _download_by_pycurl}.items():
            if (call := make(stack, url, path)) is not None:
                calls[name] = call
        yield {name: _whole(path, call) for name, call in calls.items()}


def _download_by_pyreqwest(stack: ExitStack, url: str, path: Path) -> Call | None:
    module = installed("pyreqwest.client")
    if module is None:
        return None
    client = stack.enter_context(module.SyncClientBuilder().build())

    def call() -> None:
        with client.get(url).build_streamed() as response, path.open("wb") as file:
            while (piece := response.body_reader.read(_PIECE)) is not None:
                file.write(piece)

    return call


def _download_by_pycurl(stack: ExitStack, url: str, path: Path) -> Call | None:
    pycurl = installed("pycurl")
    if pycurl is None:
        return None
    handle = pycurl.Curl()
    stack.callback(handle.close)

    def call() -> None:
        with path.open("wb") as file:
            handle.setopt(pycurl.URL, url)
            handle.setopt(pycurl.WRITEDATA, file)
            handle.perform()

    return call


@contextmanager
def async_downloads(base: str) -> Iterator[dict[str, Work]]:
    """100 MB down to a file, from a task. aiohttp's is written in the event loop, as is usual; ours in a thread."""
    url = f"{base}/bytes/{SIZE}"
    with OnLoop() as on_loop, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        ours = on_loop.enter(HttpServiceClient(our_config()))
        session = on_loop.enter(on_loop.make(aiohttp.ClientSession))

        async def by_us() -> None:
            await ours.download_async(url, path, max_response_size=None)

        async def by_aiohttp() -> None:
            async with session.get(url) as response:
                with path.open("wb") as file:
                    async for piece in response.content.iter_chunked(_PIECE):
                        file.write(piece)

        run = on_loop.loop.run_until_complete
        yield {
            OURS: _whole(path, lambda: run(by_us())),
            "aiohttp": _whole(path, lambda: run(by_aiohttp())),
        }


def _whole(path: Path, call: Callable[[], object]) -> Work:
    """A download whose file is checked, and removed."""

    def work(times: int) -> None:
        for _ in range(times):
            call()
            assert path.stat().st_size == SIZE
            path.unlink()

    return work


@contextmanager
def blocking_uploads(base: str) -> Iterator[dict[str, Work]]:
    """A form with a field and a file of 10 KB, which is in memory already."""
    with ExitStack() as stack:
        ours = stack.enter_context(HttpServiceClient(our_config()))
        session = stack.enter_context(requests.Session())
        client = stack.enter_context(httpx.Client())
        pool = stack.enter_context(urllib3.PoolManager())
        fields, files = {"order": "42"}, {"label": ("label.pdf", _SMALL, "application/pdf")}
        calls = {
            OURS: lambda: ours.post(base, data=fields, files=files).json(),
            "requests": lambda: session.post(base, data=fields, files=files).json(),
            "httpx": lambda: client.post(base, data=fields, files=files).json(),
            "urllib3": lambda: pool.request("POST", base, fields={**fields, **files}).json(),
        }
        if (module := installed("pyreqwest.client")) is not None:
            builder = stack.enter_context(module.SyncClientBuilder().build())
            calls["pyreqwest"] = lambda: builder.post(base).multipart(_pyreqwest_form()).build().send().json()
        yield {name: repeated(call) for name, call in calls.items()}


def _pyreqwest_form() -> Any:
    forms = installed("pyreqwest.multipart")
    part = forms.PartBuilder.from_bytes(_SMALL).file_name("label.pdf").mime("application/pdf")
    return forms.FormBuilder().text("order", "42").part("label", part)


@contextmanager
def async_uploads(base: str) -> Iterator[dict[str, Work]]:
    """The same form, by ours and aiohttp."""
    with OnLoop() as on_loop:
        ours = on_loop.enter(HttpServiceClient(our_config()))
        session = on_loop.enter(on_loop.make(aiohttp.ClientSession))
        fields, files = {"order": "42"}, {"label": ("label.pdf", _SMALL, "application/pdf")}

        async def by_us() -> Any:
            return (await ours.post_async(base, data=fields, files=files)).json()

        async def by_aiohttp() -> Any:
            form = aiohttp.FormData(fields)
            form.add_field("label", _SMALL, filename="label.pdf", content_type="application/pdf")
            async with session.post(base, data=form) as response:
                return await response.json()

        yield {OURS: on_loop.repeated(by_us), "aiohttp": on_loop.repeated(by_aiohttp)}


@contextmanager
def large_json(base: str) -> Iterator[dict[str, Work]]:
    """GET and json() of a megabyte, by each client, and by ours with each codec; decoding alone, as the limit."""
    scenario = Scenario(f"{base}/json/1000000")
    with ExitStack() as stack:
        made = blocking_calls(stack, scenario)
        content = made["requests"]()
        text = json.dumps(content).encode()
        made["json, no network"] = lambda: json.loads(text)
        for codec in ("orjson", "msgspec"):
            if (module := installed(codec)) is not None:
                client = stack.enter_context(HttpServiceClient(our_config(json_codec=codec)))
                made[f"{OURS}, {codec}"] = partial(_get_json, client, scenario.url)
                decode = module.loads if codec == "orjson" else module.json.decode
                made[f"{codec}, no network"] = partial(decode, text)
        for name, call in made.items():
            assert call() == content, name
        yield {name: repeated(call) for name, call in made.items()}


def _get_json(client: HttpServiceClient, url: str) -> Any:
    return client.get(url).json()


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
