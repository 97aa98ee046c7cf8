"""The mocking libraries behind one interface, each used as its own documentation shows it.

with library() as mocked:
    mocked.add_response("GET", url, status=503)
    mocked.add_response("GET", url, json={"id": 1})
    response = front_end.request(front_end.client(), "GET", url)
    assert mocked.count("GET", url) == 2
"""

from __future__ import annotations

import json as _json
import re
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any

import requests_mock
import responses
from aioresponses import aioresponses
from yarl import URL

from kit.front_ends import AsyncioFrontEnd, BlockingFrontEnd, FrontEnd

__all__ = ["LIBRARIES", "Aioresponses", "Library", "RequestsMock", "Responses"]


class Library(ABC):
    """One mocking library, in force inside `with`. Responses for one method and URL are given in order."""

    name: str
    front_end: type[FrontEnd]
    _mocker: AbstractContextManager[Any]

    def __enter__(self) -> Library:
        self._mocked: Any = self._mocker.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._mocker.__exit__(*about)

    @abstractmethod
    def add_response(self, method: str, url: str, **parts: Any) -> None:
        """Mock a response. parts: `status`, `headers`, and `json` or `body` (bytes)."""

    @abstractmethod
    def add_error(self, method: str, url: str, error: BaseException) -> None:
        """Mock a call that raises this error."""

    @abstractmethod
    def pass_through(self, url: str) -> None:
        """Let requests whose URL begins like this reach the network."""

    @abstractmethod
    def count(self, method: str, url: str) -> int:
        """How many requests the library received."""

    @abstractmethod
    def sent_json(self, method: str, url: str) -> Any:
        """The JSON body of the last request."""


class Responses(Library):
    """responses, which patches `HTTPAdapter.send`."""

    name = "responses"
    front_end = BlockingFrontEnd

    def __init__(self) -> None:
        self._mocker = responses.RequestsMock(assert_all_requests_are_fired=False)

    def add_response(
        self, method: str, url: str, *, json: Any = None, body: bytes = b"", **parts: Any
    ) -> None:
        self._mocked.add(method, url, **({"body": body} if json is None else {"json": json}), **parts)

    def add_error(self, method: str, url: str, error: BaseException) -> None:
        self._mocked.add(method, url, body=error)

    def pass_through(self, url: str) -> None:
        self._mocked.add_passthru(url)

    def count(self, method: str, url: str) -> int:
        return sum((call.request.method, call.request.url) == (method, url) for call in self._mocked.calls)

    def sent_json(self, method: str, url: str) -> Any:
        return _json.loads(self._mocked.calls[-1].request.body)


class RequestsMock(Library):
    """requests-mock, which patches `Session.send` and `Session.get_adapter`."""

    name = "requests-mock"
    front_end = BlockingFrontEnd

    def __init__(self) -> None:
        self._mocker = requests_mock.Mocker()
        self._scripts: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def add_response(
        self, method: str, url: str, *, status: int = 200, json: Any = None, body: bytes = b"", **parts: Any
    ) -> None:
        content = {"content": body} if json is None else {"json": json}
        self._add(method, url, {"status_code": status, **content, **parts})

    def _add(self, method: str, url: str, entry: dict[str, Any]) -> None:
        script = self._scripts.setdefault((method, url), [])
        script.append(entry)
        self._mocked.register_uri(method, url, script)

    def add_error(self, method: str, url: str, error: BaseException) -> None:
        self._add(method, url, {"exc": error})

    def pass_through(self, url: str) -> None:
        self._mocked.register_uri(requests_mock.ANY, re.compile(re.escape(url)), real_http=True)

    def count(self, method: str, url: str) -> int:
        history = self._mocked.request_history
        return sum((request.method, request.url) == (method, url) for request in history)

    def sent_json(self, method: str, url: str) -> Any:
        return self._mocked.last_request.json()


class Aioresponses(Library):
    """aioresponses, which patches `ClientSession._request`."""

    name = "aioresponses"
    front_end = AsyncioFrontEnd

    def __init__(self) -> None:
        self._passed: list[str] = []
        self._mocker = aioresponses(passthrough=self._passed)

    def add_response(self, method: str, url: str, *, json: Any = None, **parts: Any) -> None:
        self._mocked.add(url, method, payload=json, **parts)

    def add_error(self, method: str, url: str, error: BaseException) -> None:
        self._mocked.add(url, method, exception=error)

    def pass_through(self, url: str) -> None:
        self._passed.append(url)

    def count(self, method: str, url: str) -> int:
        return len(self._mocked.requests.get((method, URL(url)), ()))

    def sent_json(self, method: str, url: str) -> Any:
        return _json.loads(self._mocked.requests[method, URL(url)][-1].kwargs["data"])


LIBRARIES: tuple[type[Library], ...] = (Responses, RequestsMock, Aioresponses)
