"""A warning is of the line that called into the package, for the filters of warnings too."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import gc
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from http_service_client import HttpResponse, HttpServiceClient
from http_service_client.testing import ScriptedTransport
from kit.fakes import URL
from kit.streaming import StreamingTransport
from kit.threads import wait_until

LEFT_OPEN = """
def use(client):
    client.stream("GET", "https://api.example.com/").__enter__()
"""
IN_A_LOOP = """
def use(client):
    async def main():
        client.get("https://api.example.com/")
    asyncio.run(main())
"""
CODE = {
    "a stream that is left open": (LEFT_OPEN, StreamingTransport(b"one", b"two"), ResourceWarning),
    "a blocking call in a loop": (IN_A_LOOP, ScriptedTransport(HttpResponse(200)), RuntimeWarning),
}


def code_of_a_module(source: str, its_globals: Mapping[str, Any]) -> Callable[[HttpServiceClient], None]:
    """The function `use` of a module with these globals."""
    names = {**its_globals, "asyncio": asyncio}
    exec(compile(source, "/app/calls.py", "exec"), names)
    use: Callable[[HttpServiceClient], None] = names["use"]
    return use


def warned(use: Callable[[], object], *, ignored: str = "") -> list[warnings.WarningMessage]:
    """The warnings, apart from those in the module that is ignored."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        if ignored:
            warnings.filterwarnings("ignore", module=ignored)
        use()
        gc.collect()
    return caught


@pytest.mark.parametrize("what", CODE)
@pytest.mark.parametrize(
    ("its_globals", "module"),
    [({"__name__": "app.calls"}, r"app\.calls"), ({}, "<string>")],
    ids=["a name", "no name"],
)
def test_a_filter_of_warnings_may_name_the_module_that_called(
    what: str, its_globals: Mapping[str, Any], module: str
) -> None:
    """As with `warnings.warn`, which has this name for code without one. Other modules are still warned of."""
    source, transport, category = CODE[what]
    client = HttpServiceClient(transport=transport)
    (warning,) = warned(lambda: code_of_a_module(source, its_globals)(client), ignored=r"app\.others$")
    assert (warning.category, warning.filename) == (category, "/app/calls.py")
    client = HttpServiceClient(transport=transport)
    assert not warned(lambda: code_of_a_module(source, its_globals)(client), ignored=f"{module}$")


def test_a_line_that_blocks_a_loop_is_warned_of_once() -> None:
    """Under the usual filter, however many clients it makes; it is noted where `unittest` clears it."""
    source, transport, _ = CODE["a blocking call in a loop"]
    use = code_of_a_module(source, {"__name__": "app.calls"})

    def use_several() -> None:
        for _ in range(3):
            use(HttpServiceClient(transport=transport))

    assert len(warned(use_several)) == 1
    assert use.__globals__["__warningregistry__"]


def test_a_blocking_call_in_an_exit_stack_is_that_of_its_user() -> None:
    """Not one of contextlib."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))

    async def main() -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(client.stream("GET", URL))

    (warning,) = warned(lambda: asyncio.run(main()))
    assert warning.filename == __file__


def test_a_thread_may_have_no_line_but_ours() -> None:
    """As a greenlet may, whose function is a method of a client: its call is made as any other."""
    client = HttpServiceClient(transport=StreamingTransport(b"one", b"two"))
    opened = client.stream("GET", URL)
    _thread.start_new_thread(opened.__enter__, ())
    wait_until(lambda: "StreamedResponse" in repr(opened))
    opened.__exit__(None, None, None)


@pytest.mark.parametrize("timeout", [5_000, 30_000.0, 600_000])
def test_a_timeout_that_is_surely_in_milliseconds_is_warned_of(timeout: float) -> None:
    """By the name of the keyword, at the line of the call."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    with pytest.warns(
        UserWarning, match=rf"^timeout={timeout:g} is .* write {timeout / 1000:g} if"
    ) as caught:
        client.get(URL, timeout=timeout)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("timeout", [4_500, 3_600, 7_200, 30_001, 600_500])
def test_a_timeout_that_may_be_in_seconds_is_not_warned_of(timeout: float) -> None:
    """Warnings are errors in these tests."""
    client = HttpServiceClient(transport=ScriptedTransport(HttpResponse(200)))
    assert client.get(URL, timeout=timeout).status_code == 200
