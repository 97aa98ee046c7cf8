"""A first call imports what it uses, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from architecture.first_calls import ANY, ASYNCIO, BLOCKING, IMPORT, SLOW_IN_BLOCKING
from architecture.test_public_names import run_apart
from http_service_client.testing import LoopbackServer, respond
from kit.sources import NAME

WATCH = """
import sys
before = {*sys.modules}  # those that the environment has loaded, a tool that measures coverage for example
{}
print(*({*sys.modules} - before))
"""
GET = f"""
from {NAME} import HttpServiceClient
HttpServiceClient().get("URL")
"""
GET_ASYNC = f"""
import asyncio
from {NAME} import HttpServiceClient
async def get():
    async with HttpServiceClient() as client:
        await client.get_async("URL")
asyncio.run(get())
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server in this process."""
    with LoopbackServer() as server:
        server.script("*", respond(200, body="text"))
        yield server.url + "/"


def loaded_by(program: str) -> frozenset[str]:
    """The modules that a program imports in a fresh process."""
    return frozenset(run_apart(WATCH.replace("{}", program, 1)).split())


def ours(loaded: frozenset[str]) -> frozenset[str]:
    return frozenset(name.removeprefix(f"{NAME}.") for name in loaded if name.startswith(f"{NAME}."))


def test_the_package_alone_imports_hardly_anything() -> None:
    """Each name brings its module when it is used."""
    assert ours(loaded_by(f"import {NAME}")) == IMPORT


def test_a_blocking_call_imports_what_it_uses(url: str) -> None:
    """Neither strategies that are not set, nor asyncio, nor a library that nothing has hooked into."""
    loaded = loaded_by(GET.replace("URL", url))
    assert ours(loaded) - BLOCKING == set(), "import it where it is needed, or list it in first_calls.py"
    assert BLOCKING - ours(loaded) == set(), "take it out of first_calls.py"
    assert loaded & SLOW_IN_BLOCKING == set()


def test_an_asyncio_call_imports_what_it_uses(url: str) -> None:
    """Beside asyncio, no more than a blocking call: no library that nothing has hooked into."""
    loaded = loaded_by(GET_ASYNC.replace("URL", url))
    assert ours(loaded) - ASYNCIO == set(), "import it where it is needed, or list it in first_calls.py"
    assert ASYNCIO - ours(loaded) == set(), "take it out of first_calls.py"
    assert loaded & {"requests", "urllib3", "aiohttp"} == set()


def test_the_front_ends_have_no_transport_in_common() -> None:
    """What only one of them needs is in its own list."""
    assert BLOCKING & ASYNCIO == ANY
