"""Runs clients over libraries that have been upgraded: names in their source are renamed.

    python tests/kit/upgraded.py aiohttp aiohttp:_resolve_host aiohttp:_conns,add_callback

`blocking` and `asyncio` are the front ends; `aiohttp` is that of asyncio, through aiohttp, as if something had hooked in. It
runs the scenarios for one front end, in a process for each case, since our modules look for the names when they are
imported. It prints what they came to, one line of JSON for each case. A name is a regular expression, or a module. It is
renamed everywhere in the library, so the library itself works as before. `-` renames nothing.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any


class Renaming(MetaPathFinder):
    """Imports the modules of a library with some names replaced."""

    def __init__(self, library: str, names: list[str]) -> None:
        self._library = library
        self._names = re.compile(rf"\b({'|'.join(names)})\b")

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] != self._library:
            return None
        if self._names.fullmatch(fullname.rpartition(".")[2]):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname.removesuffix("_upgraded"), path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.name = fullname
            spec.loader = _Renamed(fullname, spec.loader.path, self._names)
        return spec


class _Renamed(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, names: re.Pattern[str]) -> None:
        super().__init__(fullname, path)
        self._names = names

    def get_code(self, fullname: str) -> Any:
        source = self.get_source(fullname) or ""
        if not self._names.search(source):
            return super().get_code(fullname)
        return compile(self._names.sub(r"\1_upgraded", source), self.path, "exec", dont_inherit=True)


@contextmanager
def resolving_to_loopback() -> Iterator[None]:
    """A stranger's name server: `evil.test` is this machine."""
    import socket

    real = socket.getaddrinfo
    socket.getaddrinfo = lambda host, port, *about, **options: real(  # type: ignore[assignment]
        "127.0.0.1" if host == "evil.test" else host, port, *about, **options
    )
    try:
        yield
    finally:
        socket.getaddrinfo = real


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the error's class, its sent state, and whether it names a version."""
    from http_service_client import HttpClientError

    try:
        return call()
    except HttpClientError as error:
        names_version = bool(re.search(r"(aiohttp|requests|urllib3) \d+\.\d", str(error)))
        state = getattr(error, "sent_state", None)
        return [type(error).__name__, getattr(state, "value", state), names_version]


class FrontEnd:
    """A client, and its verbs for blocking callers."""

    def __init__(self, is_async: bool, **settings: Any) -> None:
        from http_service_client import HttpClientConfig, HttpServiceClient

        settings = {"trust_env_proxy_settings": False, "enable_retry_policy": False, **settings}
        self._client = HttpServiceClient(HttpClientConfig(**settings))
        self._is_async = is_async
        import asyncio  # not before its names are renamed

        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> FrontEnd:
        return self

    def __exit__(self, *about: object) -> None:
        self._loop.run_until_complete(self._client.close_async())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def request(self, method: str, url: str, **options: Any) -> Any:
        if self._is_async:
            return self._loop.run_until_complete(self._client.request_async(method, url, **options))
        return self._client.request(method, url, **options)

    def wait_for(self, happened: threading.Semaphore) -> None:
        """Wait for what the server does, and let the loop notice it."""
        import asyncio

        assert happened.acquire(timeout=20)
        self._loop.run_until_complete(asyncio.sleep(0.02))

    def stream(self, url: str, **options: Any) -> bytes:
        if not self._is_async:
            with self._client.stream("GET", url, **options) as response:
                return b"".join(response.iter_bytes())

        async def read() -> bytes:
            async with self._client.stream_async("GET", url, **options) as response:
                return b"".join([piece async for piece in response.iter_bytes()])

        return self._loop.run_until_complete(read())


def followed_by(happened: threading.Semaphore, action: Any) -> Any:
    """The action, after which the semaphore is released."""
    from http_service_client.testing import Action

    class Followed(Action):
        def play(self, exchange: Any) -> bool:
            try:
                return bool(action.play(exchange))
            finally:
                happened.release()

    return Followed()


def scenarios(is_async: bool) -> dict[str, Any]:
    """What ordinary calls, timeouts, retries, and the rules of egress and proxies come to."""
    from http_service_client import EgressPolicy
    from http_service_client.testing import LoopbackServer, answer, raw, reset, respond, stall

    seen: dict[str, Any] = {}
    with LoopbackServer() as server, resolving_to_loopback():
        server.script("/", respond(200, body="hello"))
        server.script("/echo", answer(lambda received: respond(200, body=received.body)))
        server.script("/pieces", respond(200, body=b"piece" * 1000, chunked=True))
        server.script("/late", stall())
        one, two = (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number for number in (1, 2))
        all_was_sent = threading.Semaphore(0)
        poisoned = (
            raw(one + two, close=False),
            raw(one, two, every=0.02, close=False),
            raw(one + two[:9], two[9:], every=0.02, close=False),
        )
        server.script("/poisoned", *[followed_by(all_was_sent, action) for action in poisoned])
        server.script("/lost", reset())
        server.script("/twice", respond(503), respond(200, body="second"))
        url = server.url
        with FrontEnd(is_async) as client:
            seen["get"] = [client.request("GET", url + "/").text for _ in range(3)]
            seen["connections"] = server.connection_count
            seen["post"] = (
                client.request("POST", url + "/echo", data=b"x" * 200_000).content == b"x" * 200_000
            )
            seen["stream"] = client.stream(url + "/pieces") == b"piece" * 1000
            seen["timeout"] = outcome(lambda: client.request("GET", url + "/late", timeout=0.1))
            seen["foreign bytes"] = []
            for path in ("/poisoned", "/", "/poisoned", "/", "/poisoned", "/"):
                seen["foreign bytes"].append(client.request("GET", url + path).text)
                if path == "/poisoned":
                    client.wait_for(all_was_sent)
            before = len(server.requests)
            seen["lost"] = outcome(lambda: client.request("GET", url + "/lost"))
            seen["sent"] = len(server.requests) - before
        quick = {"initial_delay": 0.001}
        with FrontEnd(is_async, enable_retry_policy=True, retry_policy_config=quick) as client:
            seen["retry"] = client.request("GET", url + "/twice").text
        before = len(server.requests)
        evil = url.replace("127.0.0.1", "evil.test") + "/"
        with FrontEnd(is_async, egress_policy=EgressPolicy()) as client:
            seen["egress"] = outcome(lambda: client.request("GET", evil).text)
        with FrontEnd(is_async, egress_policy=EgressPolicy(allow_loopback=True)) as client:
            seen["egress allowed"] = outcome(lambda: client.request("GET", evil).text)
        passed = len(server.requests)
        with FrontEnd(is_async, proxy={"http": "socks5://127.0.0.1:9"}) as client:
            seen["socks"] = outcome(lambda: client.request("GET", url + "/").text)
        seen["bypassed"] = (passed - before, len(server.requests) - passed)
        with FrontEnd(is_async, proxy={"http": url}) as client:
            client.request("GET", "http://nowhere.test/")
            seen["proxied"] = server.requests[-1].target
    return seen


def hook_into_aiohttp() -> None:
    """Replace a function of aiohttp's session by one that calls it, and does not look like it otherwise."""
    import aiohttp

    name = "_request" if hasattr(aiohttp.ClientSession, "_request") else "__init__"
    real: Any = getattr(aiohttp.ClientSession, name)
    setattr(aiohttp.ClientSession, name, lambda *given, **options: real(*given, **options))


def run(front_end: str, case: str) -> None:
    """Print the outcome of one case."""
    library, _, names = case.partition(":")
    if names:
        sys.meta_path.insert(0, Renaming(library, names.split(",")))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if front_end == "aiohttp":
            hook_into_aiohttp()
        seen = scenarios(front_end != "blocking")
        seen["aiohttp"] = "aiohttp" in sys.modules
    seen["warnings"] = [f"{warning.category.__name__}: {warning.message}" for warning in caught]
    print(json.dumps(seen), flush=True)


def main(front_end: str, *cases: str) -> None:
    if not any(case.startswith("asyncio:") for case in cases):
        # What no case renames is imported once, for all of them.
        import asyncio  # noqa: F401

        import http_service_client.client.client
        import http_service_client.testing  # noqa: F401

        assert not {"aiohttp", "requests", "urllib3"} & {*sys.modules}
    for case in cases:
        child = os.fork()
        if not child:
            try:
                run(front_end, case)
            finally:
                sys.stderr.flush()
                os._exit(sys.exc_info()[0] is not None)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
