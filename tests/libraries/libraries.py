"""The mocking libraries behind one face, each used as its own documentation shows it.

with library() as mocked:
    mocked.answers("GET", url, status=503)
    mocked.answers("GET", url, json={"id": 1})
    response = world.request(world.client(), "GET", url)
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
    """One mocking library, in force inside `with`. Answers to one method and URL are given in order."""

    name: str
    front_end: type[FrontEnd]
    _mocker: AbstractContextManager[Any]

    def __enter__(self) -> Library:
        self._mocked: Any = self._mocker.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._mocker.__exit__(*about)

    @abstractmethod
    def answers(self, method: str, url: str, **how: Any) -> None:
        """Give this response: `status`, `headers`, and `json` or `body` (bytes)."""

    @abstractmethod
    def fails(self, method: str, url: str, error: BaseException) -> None:
        """Raise this error instead of a response."""

    @abstractmethod
    def lets_through(self, url: str) -> None:
        """Let requests for URLs that begin so reach the network."""

    @abstractmethod
    def count(self, method: str, url: str) -> int:
        """How many requests came."""

    @abstractmethod
    def sent_json(self, method: str, url: str) -> Any:
        """The JSON body of the last request."""


class Responses(Library):
    """responses, which patches `HTTPAdapter.send`."""

    name = "responses"
    front_end = BlockingFrontEnd

    def __init__(self) -> None:
        self._mocker = responses.RequestsMock(assert_all_requests_are_fired=False)

    def answers(self, method: str, url: str, *, json: Any = None, body: bytes = b"", **how: Any) -> None:
        self._mocked.add(method, url, **({"body": body} if json is None else {"json": json}), **how)

    def fails(self, method: str, url: str, error: BaseException) -> None:
        self._mocked.add(method, url, body=error)

    def lets_through(self, url: str) -> None:
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

    def answers(
        self, method: str, url: str, *, status: int = 200, json: Any = None, body: bytes = b"", **how: Any
    ) -> None:
        content = {"content": body} if json is None else {"json": json}
        self._add(method, url, {"status_code": status, **content, **how})

    def _add(self, method: str, url: str, answer: dict[str, Any]) -> None:
        script = self._scripts.setdefault((method, url), [])
        script.append(answer)
        self._mocked.register_uri(method, url, script)

    def fails(self, method: str, url: str, error: BaseException) -> None:
        self._add(method, url, {"exc": error})

    def lets_through(self, url: str) -> None:
        self._mocked.register_uri(requests_mock.ANY, re.compile(re.escape(url)), real_http=True)

    def count(self, method: str, url: str) -> int:
        return sum((seen.method, seen.url) == (method, url) for seen in self._mocked.request_history)

    def sent_json(self, method: str, url: str) -> Any:
        return self._mocked.last_request.json()


class Aioresponses(Library):
    """aioresponses, which patches `ClientSession._request`."""

    name = "aioresponses"
    front_end = AsyncioFrontEnd

    def __init__(self) -> None:
        self._passed: list[str] = []
        self._mocker = aioresponses(passthrough=self._passed)

    def answers(self, method: str, url: str, *, json: Any = None, **how: Any) -> None:
        self._mocked.add(url, method, payload=json, **how)

    def fails(self, method: str, url: str, error: BaseException) -> None:
        self._mocked.add(url, method, exception=error)

    def lets_through(self, url: str) -> None:
        self._passed.append(url)

    def count(self, method: str, url: str) -> int:
        return len(self._mocked.requests.get((method, URL(url)), ()))

    def sent_json(self, method: str, url: str) -> Any:
        return _json.loads(self._mocked.requests[method, URL(url)][-1].kwargs["data"])


LIBRARIES: tuple[type[Library], ...] = (Responses, RequestsMock, Aioresponses)
