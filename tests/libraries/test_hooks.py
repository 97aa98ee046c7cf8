"""A library that hooks into requests sees every blocking exchange; without one, requests is not even imported."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from types import ModuleType
from typing import Any

import pytest
import requests
from urllib3 import connectionpool

from http_service_client import HttpServiceClient
from http_service_client.testing import LoopbackServer, respond
from http_service_client.transports.compatibility import SeamNotice
from http_service_client.transports.over_requests.hook_detection import is_hooked
from http_service_client.transports.over_requests.hooked import exchanges as through_requests
from kit.hooks import HOOKS, hooked


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_sees_each_exchange_from_now_on(name: str, server: LoopbackServer) -> None:
    """A client that was made before it, and until it is removed; on the client's own connections."""
    server.script("/", respond(200, json={"id": 1}))
    with HttpServiceClient() as client:
        assert client.get(server.url + "/").json() == {"id": 1}
        with hooked(name) as called:
            assert is_hooked()
            for _ in range(2):
                assert client.get(server.url + "/").json() == {"id": 1}
        assert called == [name] * 2
        assert not is_hooked()
        client.get(server.url + "/")
    assert called == [name] * 2
    assert server.connection_count == 1


@pytest.mark.parametrize("name", ["HTTPConnectionPool", "HTTPSConnectionPool"])
def test_a_recorder_of_one_scheme_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """vcrpy replaces the connections of both pools of urllib3, one after the other."""
    recording = type("Recording", (), {"__module__": "vcr.stubs"})
    monkeypatch.setitem(sys.modules, "vcr", ModuleType("vcr"))
    assert not is_hooked()
    monkeypatch.setattr(getattr(connectionpool, name), "ConnectionCls", recording)
    assert is_hooked()


def test_a_wrapper_that_claims_to_be_what_it_wraps_is_seen(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of wrapt do, which instrumentation is made of."""
    real, seen = requests.Session.send, []

    class Claiming:
        __globals__, __code__ = real.__globals__, real.__code__

        def __get__(self, session: Any, kind: type) -> Any:
            return self if session is None else lambda *given, **options: self(session, *given, **options)

        def __call__(self, *given: Any, **options: Any) -> Any:
            seen.append(given[1].url)
            return real(*given, **options)

        def __eq__(self, other: object) -> bool:
            return other is real

        __hash__ = None  # type: ignore[assignment]

    server.script("/", respond(204))
    with HttpServiceClient() as client:
        client.get(server.url + "/")  # requests' own functions are known now
        monkeypatch.setattr(requests.Session, "send", Claiming())
        client.get(server.url + "/")
    assert seen == [server.url + "/"]


def test_a_change_in_requests_is_announced_by_the_first_exchange_through_it(
    server: LoopbackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before: without a hook it makes no difference."""
    monkeypatch.setattr(
        through_requests, "ADAPTER", SeamNotice("requests", "9.9", ["HTTPAdapter.cert_verify"], "it differs")
    )
    server.script("/", respond(204))
    with HttpServiceClient() as client:
        client.get(server.url + "/")
        with (
            hooked(),
            pytest.warns(RuntimeWarning, match=r"requests 9.9 is not as .* \(HTTPAdapter.cert_verify\)"),
        ):
            client.get(server.url + "/")


def run(program: str, *arguments: str) -> list[str]:
    """What a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


CALLS = """
    import sys
    from http_service_client import HttpServiceClient
    {before}
    with HttpServiceClient() as client:
        print(client.get(sys.argv[1]).status_code)
        print(*sorted({{"requests", "urllib3", "aiohttp"}} & {{*sys.modules}}))
        {after}
"""


def test_a_blocking_call_imports_no_library(server: LoopbackServer) -> None:
    """Not requests, not urllib3, not aiohttp: each takes longer than the call."""
    server.script("/", respond(204))
    assert run(CALLS.format(before="", after=""), server.url + "/") == ["204"]


def hook_on_import(package: str, module: str, cls: str, method: str) -> str:
    """A program that has this package wait for the import of a module, and hook into a method of it then."""
    return textwrap.dedent(f"""
        import importlib.util, sys, types
        class Finder:
            def find_spec(self, name, path, target=None):
                if name == "{module}":
                    sys.meta_path.remove(self)
                    spec = importlib.util.find_spec(name)
                    execute = spec.loader.exec_module
                    def exec_module(module):
                        execute(module)
                        real = module.{cls}.{method}
                        module.{cls}.{method} = lambda *given, **options: print("seen") or real(*given, **options)
                    spec.loader.exec_module = exec_module
                    return spec
        Finder.__module__ = "{package}.importer"
        sys.modules["{package}"] = types.ModuleType("{package}")
        sys.meta_path.insert(0, Finder())
    """)


@pytest.mark.parametrize(
    ("package", "comes"),
    [("wrapt", "before"), ("ddtrace", "before"), ("newrelic", "before"), ("wrapt", "meanwhile")],
)
def test_instrumentation_that_waits_for_the_import_gets_it(
    package: str, comes: str, server: LoopbackServer
) -> None:
    """It hooks in as requests is imported, and sees the first exchange already; of a client that was made before it, too."""
    server.script("/", respond(204))
    install = "exec(sys.argv[2], {})"
    calls = CALLS.format(before=install if comes == "before" else "", after="")
    if comes == "meanwhile":
        made = "    with HttpServiceClient() as client:\n"
        calls = calls.replace(made, f"{made}        {install}\n")
    hook = hook_on_import(package, "requests", "Session", "send")
    assert run(calls, server.url + "/", hook) == ["seen", "204", "requests", "urllib3"]


CALLS_ASYNC = """
    import asyncio, sys
    from http_service_client import HttpServiceClient
    async def main():
        async with HttpServiceClient() as client:
            print((await client.get_async(sys.argv[1])).status_code)
            install()
            print((await client.get_async(sys.argv[1])).status_code)
    def install():
        exec(sys.argv[2], {{}})
    {before}
    asyncio.run(main())
"""


@pytest.mark.parametrize("comes", ["before", "meanwhile"])
def test_instrumentation_of_aiohttp_that_waits_for_the_import_gets_it(
    comes: str, server: LoopbackServer
) -> None:
    """It sees the first exchange after it has come. Until then, an asyncio call imports no library."""
    server.script("/", respond(204))
    before = "install()" if comes == "before" else "assert 'aiohttp' not in sys.modules"
    hook = hook_on_import("wrapt", "aiohttp.client", "ClientSession", "_request")
    seen = run(CALLS_ASYNC.format(before=before), server.url + "/", hook)
    assert seen == (["seen", "204"] * 2 if comes == "before" else ["204", "seen", "204"])


def test_a_package_that_could_wait_but_does_not_changes_nothing(server: LoopbackServer) -> None:
    """wrapt is used for decorators, too."""
    server.script("/", respond(204))
    before = 'import types; sys.modules["wrapt"] = types.ModuleType("wrapt")'
    assert run(CALLS.format(before=before, after=""), server.url + "/") == ["204"]


def test_a_hook_that_comes_after_calls_is_seen(server: LoopbackServer) -> None:
    """requests is imported by the one who hooks in; the calls go on, on the same connection."""
    server.script("/", respond(204))
    after = """
        import requests
        real = requests.Session.send
        requests.Session.send = lambda *given, **options: print("seen") or real(*given, **options)
        print(client.get(sys.argv[1]).status_code)
    """
    assert run(CALLS.format(before="", after=after), server.url + "/") == ["204", "seen", "204"]
    assert server.connection_count == 1


def test_classes_in_the_place_of_those_of_requests_are_not_ours(server: LoopbackServer) -> None:
    """As requests-cache puts there; nor later, if they are there while the first exchange goes through requests."""
    server.script("/", respond(204))
    after = """
        import requests.adapters
        from unittest import mock

        class Cached(requests.Session):
            def send(self, *given, **options):
                print("cached")

        real = requests.adapters.HTTPAdapter.send
        with (
            mock.patch("requests.Session", Cached),
            mock.patch("requests.sessions.Session", Cached),
            mock.patch("requests.adapters.HTTPAdapter"),
        ):
            print(client.get(sys.argv[1]).status_code)
            requests.adapters.BaseAdapter.__subclasses__()[0].send = lambda *given, **options: print("seen") or real(*given, **options)
            print(client.get(sys.argv[1]).status_code)
        print(client.get(sys.argv[1]).status_code)
    """
    assert run(CALLS.format(before="", after=after), server.url + "/") == [
        "204",
        "204",
        "seen",
        "204",
        "seen",
        "204",
    ]
    assert server.connection_count == 1
