"""A blocking call inside a running event loop is warned of once, at the caller's own line."""

from __future__ import annotations

import asyncio
import inspect
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import http_service_client
from http_service_client import DeadlineExceededError, HttpRequest, HttpResponse, HttpServiceClient
from http_service_client.client import call_site
from http_service_client.testing import ScriptedTransport

URL = "https://api.example.com/"


def new_client() -> HttpServiceClient:
    return HttpServiceClient(transport=ScriptedTransport([HttpResponse(200, content=b"ok")]))


def in_a_loop(function: Callable[[], object]) -> list[warnings.WarningMessage]:
    """The warnings of a function that is called inside a running event loop."""

    async def main() -> None:
        function()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
    return caught


def by_stream(client: HttpServiceClient, path: Path) -> None:
    with client.stream("GET", URL):
        pass


def by_poll(client: HttpServiceClient, path: Path) -> None:
    accepted = HttpResponse(202, headers={"Location": URL, "Retry-After": "60"}, url=URL)
    with pytest.raises(DeadlineExceededError):
        client.poll(accepted, total_timeout=5.0)


CALLS: dict[str, Callable[[HttpServiceClient, Path], object]] = {
    "request": lambda client, path: client.request("GET", URL),
    "get": lambda client, path: client.get(URL),
    "post": lambda client, path: client.post(URL),
    "put": lambda client, path: client.put(URL),
    "patch": lambda client, path: client.patch(URL),
    "delete": lambda client, path: client.delete(URL),
    "head": lambda client, path: client.head(URL),
    "options": lambda client, path: client.options(URL),
    "query": lambda client, path: client.query(URL),
    "send": lambda client, path: client.send(HttpRequest("GET", URL)),
    "paginate": lambda client, path: list(client.paginate(URL)),
    "poll": by_poll,
    "download": lambda client, path: client.download(URL, path),
    "download_parallel": lambda client, path: client.download_parallel(URL, path),
    "stream": by_stream,
}


@pytest.mark.parametrize("method", CALLS)
def test_the_warning_points_at_the_caller_s_line(method: str, tmp_path: Path) -> None:
    """Not at a line of the client: that of a stream is two folders deep, in `streams/context.py`."""
    call = CALLS[method]
    (warning,) = in_a_loop(lambda: call(new_client(), tmp_path / "file"))
    lines, first = inspect.getsourcelines(call)
    here = next(first + at for at, line in enumerate(lines) if f"client.{method}(" in line)
    assert (warning.filename, warning.lineno) == (__file__, here)
    assert warning.category is RuntimeWarning
    assert "use the *_async methods" in str(warning.message)


def test_a_blocking_call_in_a_task_of_trio_is_warned_of() -> None:
    """In a thread, as the warning says to write it, it is not."""
    trio = pytest.importorskip("trio", reason="the extra trio is not installed")

    async def main() -> int:
        with pytest.warns(
            RuntimeWarning, match=r"in a task of trio .* await trio\.to_thread\.run_sync\("
        ) as caught:
            new_client().get(URL)
        assert [warning.filename for warning in caught] == [__file__]
        status: int = await trio.to_thread.run_sync(lambda: new_client().get(URL).status_code)
        return status

    assert trio.run(main) == 200


def test_a_client_warns_once() -> None:
    """A service that does it at each request has one line in its log, not a million."""
    client = new_client()
    assert len(in_a_loop(lambda: (client.get(URL), client.post(URL)))) == 1
    assert in_a_loop(lambda: client.get(URL)) == []


def test_a_blocking_call_outside_of_a_loop_warns_of_nothing() -> None:
    """Warnings are errors in these tests."""
    assert new_client().get(URL).content == b"ok"


@pytest.mark.parametrize(
    ("file", "is_ours"),
    [
        ("client/streams/context.py", True),
        ("client/verbs.py", True),
        ("__init__.py", True),
        ("../http_service_client_plugin/plugin.py", False),
        ("../app.py", False),
    ],
)
def test_the_package_s_files_are_those_below_its_root(file: str, is_ours: bool) -> None:
    """At any depth, and not those of a package whose name begins alike."""
    root = os.path.dirname(http_service_client.__file__)
    assert call_site.is_ours(os.path.normpath(os.path.join(root, file))) is is_ours
